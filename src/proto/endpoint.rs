//! [`Endpoint`]: the address of a server, as users write it and as servers announce it.

#[cfg(any(feature = "tls", test))]
mod tls_names;
mod wire;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

#[cfg(feature = "tls")]
pub(crate) use self::tls_names::TlsNames;

/// The address of a server: a host and a port, or the path of a unix socket.
///
/// It reads and prints `host:port`, `1.2.3.4:port` and `[v6]:port`. The default port is 6379. A name is kept as written,
/// and resolved again for each dial. A unix socket is `unix:/the/path`; no server can announce one.
///
/// ```
/// let endpoint: hitless::Endpoint = "[::1]:7001".parse()?;
/// assert_eq!((endpoint.host(), endpoint.port()), ("::1", 7001));
/// assert_eq!(endpoint.to_string(), "[::1]:7001");
/// # Ok::<(), hitless::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(Address);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Address {
    Tcp { host: String, port: u16 },
    Unix { path: String },
}

/// The text is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an endpoint ({problem}): expected host:port, 1.2.3.4:port, [v6]:port or unix:/path")]
pub struct EndpointError {
    text: String,
    problem: &'static str,
}

impl EndpointError {
    /// Drops a text that looks like a URL, because it may hold a password.
    fn new(text: &str, problem: &'static str) -> Self {
        let is_url = text.contains('@') || text.contains("://");
        let text = if is_url { "(a URL)" } else { text };
        EndpointError { text: text.to_owned(), problem }
    }

    /// The problem without the text, for texts that may hold a password.
    pub(crate) fn problem(&self) -> &'static str {
        self.problem
    }
}

impl Endpoint {
    /// An endpoint from its parts. The host is a name or an address, without brackets.
    ///
    /// # Errors
    /// If the host is empty or holds an invalid character, or if the port is 0.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, EndpointError> {
        let host = host.into();
        let wrong = |problem| EndpointError::new(&host, problem);
        if host.is_empty() {
            return Err(wrong("the host is empty"));
        }
        if host.len() > HOST_LENGTH_MAX {
            return Err(wrong("the host is longer than 255 bytes"));
        }
        if host.parse::<Ipv6Addr>().is_err() && !host.bytes().all(is_host_byte) {
            return Err(wrong("the host holds an invalid character"));
        }
        if port == 0 {
            return Err(wrong("the port must be 1 to 65535"));
        }
        Ok(Endpoint(Address::Tcp { host, port }))
    }

    /// A unix socket, by the path of its file.
    ///
    /// # Errors
    /// If the path is empty, holds a NUL, or is longer than the 107 bytes that the system accepts.
    pub fn unix(path: impl Into<String>) -> Result<Self, EndpointError> {
        let path = path.into();
        let problem = match path.len() {
            0 => "the path is empty",
            length if length > PATH_LENGTH_MAX => "the path is longer than 107 bytes",
            _ if path.contains('\0') => "the path holds a NUL",
            _ => return Ok(Endpoint(Address::Unix { path })),
        };
        Err(EndpointError::new(&path, problem))
    }

    /// The name or address, without brackets; empty for a unix socket.
    pub fn host(&self) -> &str {
        match &self.0 {
            Address::Tcp { host, .. } => host,
            Address::Unix { .. } => "",
        }
    }

    /// The TCP port; 0 for a unix socket.
    pub fn port(&self) -> u16 {
        match &self.0 {
            Address::Tcp { port, .. } => *port,
            Address::Unix { .. } => 0,
        }
    }

    /// The path, if it is a unix socket.
    pub fn path(&self) -> Option<&str> {
        match &self.0 {
            Address::Tcp { .. } => None,
            Address::Unix { path } => Some(path),
        }
    }

    /// The host without its trailing dot, if it is a name; `None` if it is an address.
    pub(crate) fn server_name(&self) -> Option<&str> {
        let name = without_dot(self.host());
        (self.ip().is_none() && !name.is_empty()).then_some(name)
    }

    /// Whether both are the same endpoint. Ports must be equal. Addresses may be spelled differently, and names may differ in
    /// case and in a trailing dot. A name never equals an address, because this method resolves no names.
    pub(crate) fn is_same(&self, other: &Endpoint) -> bool {
        self.port() == other.port()
            && self.path() == other.path()
            && match (self.ip(), other.ip()) {
                (Some(one), Some(other)) => one == other,
                (None, None) => match (self.server_name(), other.server_name()) {
                    (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
                    _ => self.path().is_some(),
                },
                _ => false,
            }
    }

    /// The host as an address. An IPv4 address in the form of IPv6 becomes one of IPv4.
    fn ip(&self) -> Option<IpAddr> {
        Some(self.host().parse::<IpAddr>().ok()?.to_canonical())
    }

    /// The socket address, if the host is an address and not a name.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host().parse::<IpAddr>().ok()?, self.port()))
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Endpoint(Address::Tcp { host: address.ip().to_string(), port: address.port() })
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = |problem| EndpointError::new(text, problem);
        if let Some(path) = text.strip_prefix("unix:") {
            return Endpoint::unix(path).map_err(|error| wrong(error.problem));
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or_else(|| wrong("a bracket is missing"))?;
            if host.parse::<Ipv6Addr>().is_err() {
                return Err(wrong("the text in brackets is not an IPv6 address"));
            }
            match port {
                "" => (host, None),
                port => (host, Some(port.strip_prefix(':').ok_or_else(|| wrong("the port needs a colon"))?)),
            }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            // Without brackets, the last group could also be a port. The whole text is an address, so it is not.
            (text, None)
        } else {
            match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong("the port must be 1 to 65535"))?
            }
            Some(_) => return Err(wrong("the port must be 1 to 65535")),
        };
        Endpoint::new(host, port).map_err(|error| wrong(error.problem))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix { path } => write!(f, "unix:{path}"),
        }
    }
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether a host name may hold this byte. The resolver judges bytes beyond ASCII.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || !byte.is_ascii()
}

const DEFAULT_PORT: u16 = 6379;
const HOST_LENGTH_MAX: usize = 255;
/// The length of the path in `sockaddr_un`, without the final NUL.
const PATH_LENGTH_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_endpoint_is_the_parsed_one() {
        for (text, host, port) in [
            ("localhost:7001", "localhost", 7001),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[2001:db8::7]:12075", "2001:db8::7", 12075),
            ("db.example.com.:65535", "db.example.com.", 65535),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.port()), (host, port));
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn port_may_be_left_out() {
        for (text, printed) in [("redis", "redis:6379"), ("::1", "[::1]:6379"), ("[::1]", "[::1]:6379")] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn malformed_endpoint_is_refused_with_a_reason() {
        for (text, problem) in [
            ("", "empty"),
            (":1", "empty"),
            ("a:", "port"),
            ("a:0", "port"),
            ("a:65536", "port"),
            ("a:+1", "port"),
            ("a b:1", "character"),
            ("a/b:1", "character"),
            ("[::1:7001", "bracket"),
            ("[::1]7001", "colon"),
            ("[localhost]:1", "IPv6"),
            ("1:2:3:1", "character"),
            ("redis://app:s3cret@host:1", "URL"),
            ("app:s3cret@host", "URL"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains(problem), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn spellings_of_one_endpoint_are_the_same() {
        let endpoint = |host: &str| Endpoint::new(host, 7).unwrap();
        for (one, other) in [
            ("db.example.com.", "DB.example.COM"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8:0:0:0:0:0:7", "2001:DB8::7"),
        ] {
            assert!(
                endpoint(one).is_same(&endpoint(other)) && endpoint(other).is_same(&endpoint(one)),
                "{one}"
            );
            assert!(!endpoint(one).is_same(&Endpoint::new(other, 8).unwrap()), "{one}");
        }
        for (one, other) in [("10.0.0.1", "10.0.0.2"), ("a", "b"), ("10.0.0.1", "name"), ("a..", "a")] {
            assert!(!endpoint(one).is_same(&endpoint(other)), "{one} {other}");
        }
    }

    #[test]
    fn only_names_are_server_names() {
        for (host, name) in [
            ("db.example.com.", Some("db.example.com")),
            ("db", Some("db")),
            ("10.0.0.1", None),
            ("::1", None),
            (".", None),
        ] {
            assert_eq!(Endpoint::new(host, 7).unwrap().server_name(), name);
        }
    }

    #[test]
    fn unix_socket_is_a_path_and_nothing_else() {
        let socket: Endpoint = "unix:/run/redis.sock".parse().unwrap();
        assert_eq!(socket, Endpoint::unix("/run/redis.sock").unwrap());
        assert_eq!((socket.path(), socket.host(), socket.port()), (Some("/run/redis.sock"), "", 0));
        assert_eq!(socket.to_string(), "unix:/run/redis.sock");
        assert_eq!((socket.socket_addr(), socket.server_name()), (None, None));
        assert!(socket.is_same(&"unix:/run/redis.sock".parse().unwrap()));
        assert!(!socket.is_same(&"unix:/run/other.sock".parse().unwrap()));
        for path in ["", "/a\0b", &"/x".repeat(60)] {
            assert!(Endpoint::unix(path).is_err(), "{path}");
        }
    }

    #[test]
    fn addresses_need_no_resolver() {
        assert_eq!("[::1]:7".parse::<Endpoint>().unwrap().socket_addr(), Some("[::1]:7".parse().unwrap()));
        assert_eq!("name:7".parse::<Endpoint>().unwrap().socket_addr(), None);
    }
}
