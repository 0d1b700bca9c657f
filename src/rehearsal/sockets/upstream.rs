//! The settings of the real Redis behind a proxy: its address, its TLS, and its login.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::tls::{certificates, invalid};

/// The real Redis behind a proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// The host name or address. Default: `127.0.0.1`.
    pub host: String,
    /// The TCP port. Default: 6379.
    pub port: u16,
    /// The unix socket to use instead of host and port. Default: `None`.
    pub path: Option<PathBuf>,
    /// The TLS settings; `None` is plain text. Default: `None`.
    pub tls: Option<UpstreamTls>,
    /// The user to authenticate as, if there is a password; `None` is the default user. Default: `None`.
    pub username: Option<String>,
    /// The password with which the proxy authenticates each connection; with `None`, clients authenticate themselves.
    /// Default: `None`.
    pub password: Option<String>,
    /// The database that is selected for each connection. Default: 0.
    pub database: u32,
}

/// TLS to upstream: the trusted CAs and the expected server name.
#[derive(Clone)]
pub struct UpstreamTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl UpstreamTls {
    /// Trusts server certificates for `server_name` that are signed by one of the CAs in `ca`, as PEM. The proxy has no
    /// client certificate.
    ///
    /// # Errors
    ///
    /// If `ca` has no certificate, or if `server_name` is not a valid server name.
    pub fn trusting(ca: &[u8], server_name: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| invalid("CA certificate", error))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("TLS versions", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name =
            ServerName::try_from(server_name.to_owned()).map_err(|error| invalid("server name", error))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Uses an existing TLS configuration.
    #[cfg(feature = "cli")]
    pub(crate) fn from_config(config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        Self { config, name }
    }

    pub(super) fn connect(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| invalid("TLS connection", error))
    }
}

/// Clones of one value are equal. Two values that were made separately are not, even with the same CAs.
impl PartialEq for UpstreamTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Eq for UpstreamTls {}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls").field("server_name", &self.name).finish_non_exhaustive()
    }
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            path: None,
            tls: None,
            username: None,
            password: None,
            database: 0,
        }
    }
}

impl std::fmt::Debug for UpstreamConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("path", &self.path)
            .field("tls", &self.tls)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("database", &self.database)
            .finish()
    }
}

/// The address, for humans.
impl std::fmt::Display for UpstreamConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.path {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl UpstreamConfig {
    /// Connects as for a client, and sends a `PING`. It blocks for at most about twice `timeout`, and for the name lookup
    /// before.
    ///
    /// # Errors
    ///
    /// If upstream cannot be reached, has a certificate that is not trusted, or replies with an error.
    pub fn check(&self, timeout: Duration) -> io::Result<()> {
        match (&self.path, &self.tls) {
            (Some(_), Some(_)) => Err(invalid("upstream", "a unix socket has no TLS; remove one of the two")),
            (Some(path), None) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(timeout))?;
                self.ping(stream)
            }
            (None, tls) => {
                let mut found = (self.bare_host(), self.port).to_socket_addrs()?;
                let first = found.next().ok_or_else(|| invalid("host", "the name has no address"))?;
                let stream = TcpStream::connect_timeout(&first, timeout)?;
                stream.set_read_timeout(Some(timeout))?;
                match tls {
                    None => self.ping(stream),
                    Some(tls) => self.ping(StreamOwned::new(tls.connect()?, stream)),
                }
            }
        }
    }

    fn ping(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let (mut requests, replies) = self.login_requests();
        requests.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        stream.write_all(&requests)?;
        let mut lines = BufReader::new(stream).lines();
        for _ in 0..=replies {
            let line = lines.next().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))??;
            if line.starts_with('-') {
                return Err(io::Error::other(format!("it replies {line:?}")));
            }
        }
        Ok(())
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// The requests with which each connection begins, and the number of their replies.
    pub(super) fn login_requests(&self) -> (Vec<u8>, usize) {
        let database = self.database.to_string();
        let auth: Option<Vec<&str>> = self.password.as_deref().map(|password| match &self.username {
            Some(username) => vec!["AUTH", username, password],
            None => vec!["AUTH", password],
        });
        let select = (self.database != 0).then(|| vec!["SELECT", &database]);
        let requests: Vec<Vec<&str>> = auth.into_iter().chain(select).collect();
        let mut bytes = Vec::new();
        for request in &requests {
            bytes.extend_from_slice(format!("*{}\r\n", request.len()).as_bytes());
            for word in request {
                bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        (bytes, requests.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_requests_follow_the_configuration() {
        let requests = |config: UpstreamConfig| {
            let (bytes, replies) = config.login_requests();
            (String::from_utf8(bytes).unwrap(), replies)
        };
        let config = UpstreamConfig::default();
        assert_eq!(requests(config.clone()), (String::new(), 0));
        let config = UpstreamConfig { password: Some("secret".into()), ..config };
        assert_eq!(requests(config.clone()), ("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n".to_owned(), 1));
        let config = UpstreamConfig { username: Some("me".into()), database: 12, ..config };
        let expected =
            "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n".to_owned();
        assert_eq!(requests(config.clone()), (expected, 2));
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn tls_needs_a_name_and_a_ca() {
        let made = rcgen::generate_simple_self_signed(["redis.test".to_owned()]).unwrap();
        let pem = made.cert.pem();
        let tls = UpstreamTls::trusting(pem.as_bytes(), "::1").unwrap();
        assert_eq!(tls, tls.clone());
        assert_ne!(tls, UpstreamTls::trusting(pem.as_bytes(), "::1").unwrap());
        let wrong = |pem: &str, name: &str| {
            UpstreamTls::trusting(pem.as_bytes(), name).expect_err("wrong").to_string()
        };
        assert!(wrong(&pem, "a b").contains("server name"));
        assert!(wrong("nothing", "redis.test").contains("contains no certificate"));
    }
}
