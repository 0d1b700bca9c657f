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

/// Whom a proxy believes that it is the upstream. It shows no certificate of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Certificates, as PEM, one of which the upstream's has to lead to; `None`: those that this system trusts.
    /// Default: `None`.
    pub ca: Option<Vec<u8>>,
    /// The name that the upstream's certificate has to be for; `None`: the host's. Default: `None`.
    pub server_name: Option<String>,
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

/// What opens TLS to one upstream.
#[derive(Clone)]
pub(super) struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl ClientTls {
    pub(super) fn connect(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| invalid("a connection", error))
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
        match (&self.path, self.client_tls()?) {
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

    /// What TLS takes, if it is wanted.
    pub(super) fn client_tls(&self) -> io::Result<Option<ClientTls>> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        match &tls.ca {
            Some(pem) => {
                for certificate in certificates(pem)? {
                    roots.add(certificate).map_err(|error| invalid("the authority's certificate", error))?;
                }
            }
            None => {
                // Some of a system's may be of a kind that is not known here.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("the protocol's versions", error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = tls.server_name.as_deref().unwrap_or(self.bare_host()).to_owned();
        let name = ServerName::try_from(name).map_err(|error| invalid("the server's name", error))?;
        Ok(Some(ClientTls { config: Arc::new(config), name }))
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
    fn tls_needs_a_name_and_roots_that_are_some() {
        let with = |host: &str, tls: UpstreamTls| {
            let config =
                UpstreamConfig { host: host.to_owned(), tls: Some(tls), ..UpstreamConfig::default() };
            config.client_tls().map(|tls| tls.is_some()).map_err(|error| error.to_string())
        };
        assert_eq!(with("[::1]", UpstreamTls::default()), Ok(true));
        assert!(with("a b", UpstreamTls::default()).is_err_and(|error| error.contains("name")));
        let named = UpstreamTls { server_name: Some("redis.test".to_owned()), ..UpstreamTls::default() };
        assert_eq!(with("a b", named), Ok(true));
        let empty = UpstreamTls { ca: Some(b"nothing".to_vec()), ..UpstreamTls::default() };
        assert!(with("localhost", empty).is_err_and(|error| error.contains("there is none")));
    }
}
