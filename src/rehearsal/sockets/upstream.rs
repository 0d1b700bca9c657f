//! The real Redis behind a proxy: where it is, how it is reached, and what is said to it first.

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

/// The real Redis that a proxy stands in front of.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// A name or an address. Default: `127.0.0.1`.
    pub host: String,
    /// Default: 6379.
    pub port: u16,
    /// A unix socket, in the place of host and port. Default: `None`.
    pub path: Option<PathBuf>,
    /// How TLS is spoken to it; `None`: not at all. Default: `None`.
    pub tls: Option<UpstreamTls>,
    /// Whom to authenticate as before anything is forwarded, if there is a password; `None`: the
    /// default user. Default: `None`.
    pub username: Option<String>,
    /// `None`: clients authenticate themselves. Default: `None`.
    pub password: Option<String>,
    /// The database that clients find themselves in. Default: 0.
    pub database: u32,
}

/// How TLS is spoken to the upstream: whom to believe that it is the one, and what to show.
#[derive(Clone)]
pub struct UpstreamTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl UpstreamTls {
    /// Believes a certificate that is for `server_name`, and leads to one of those in `ca`, as PEM. It shows none of
    /// its own.
    ///
    /// # Errors
    ///
    /// If there is no certificate in `ca`, or if no certificate can be for such a name.
    pub fn trusting(ca: &[u8], server_name: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| invalid("the authority's certificate", error))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("the protocol's versions", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|error| invalid("the server's name", error))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// As another part of the program does it.
    #[cfg(feature = "cli")]
    pub(crate) fn as_configured(config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        Self { config, name }
    }

    pub(super) fn connect(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| invalid("a connection", error))
    }
}

/// The same if they were made as one.
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

/// Where it is, for people.
impl std::fmt::Display for UpstreamConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.path {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl UpstreamConfig {
    /// Connects as is done for each client, and asks for a sign of life. Blocks, for about twice `timeout` at most
    /// once the host's address is known.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, shows a certificate that is not believed, or refuses.
    pub fn check(&self, timeout: Duration) -> io::Result<()> {
        match (&self.path, &self.tls) {
            (Some(_), Some(_)) => Err(invalid("upstream", "TLS is not spoken over a unix socket")),
            (Some(path), None) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(timeout))?;
                self.ask(stream)
            }
            (None, tls) => {
                let mut found = (self.bare_host(), self.port).to_socket_addrs()?;
                let first = found.next().ok_or_else(|| invalid("the host", "it has no address"))?;
                let stream = TcpStream::connect_timeout(&first, timeout)?;
                stream.set_read_timeout(Some(timeout))?;
                match tls {
                    None => self.ask(stream),
                    Some(tls) => self.ask(StreamOwned::new(tls.connect()?, stream)),
                }
            }
        }
    }

    fn ask(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let (mut requests, replies) = self.greeting();
        requests.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        stream.write_all(&requests)?;
        let mut lines = BufReader::new(stream).lines();
        for _ in 0..=replies {
            let line = lines.next().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))??;
            if line.starts_with('-') {
                return Err(io::Error::other(format!("it says {line:?}")));
            }
        }
        Ok(())
    }

    /// Without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// What is sent before anything is forwarded, and how many replies it gets.
    pub(super) fn greeting(&self) -> (Vec<u8>, usize) {
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
    fn the_greeting_is_what_the_configuration_asks_for() {
        let greeting = |config: UpstreamConfig| {
            let (bytes, replies) = config.greeting();
            (String::from_utf8(bytes).unwrap(), replies)
        };
        let config = UpstreamConfig::default();
        assert_eq!(greeting(config.clone()), (String::new(), 0));
        let config = UpstreamConfig { password: Some("secret".into()), ..config };
        assert_eq!(greeting(config.clone()), ("*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n".to_owned(), 1));
        let config = UpstreamConfig { username: Some("me".into()), database: 12, ..config };
        let expected =
            "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$6\r\nsecret\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n".to_owned();
        assert_eq!(greeting(config.clone()), (expected, 2));
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn tls_needs_a_name_and_an_authority() {
        let made = rcgen::generate_simple_self_signed(["redis.test".to_owned()]).unwrap();
        let pem = made.cert.pem();
        let tls = UpstreamTls::trusting(pem.as_bytes(), "::1").unwrap();
        assert_eq!(tls, tls.clone());
        assert_ne!(tls, UpstreamTls::trusting(pem.as_bytes(), "::1").unwrap());
        let wrong = |pem: &str, name: &str| {
            UpstreamTls::trusting(pem.as_bytes(), name).expect_err("wrong").to_string()
        };
        assert!(wrong(&pem, "a b").contains("the server's name"));
        assert!(wrong("nothing", "redis.test").contains("there is none"));
    }
}
