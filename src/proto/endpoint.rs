//! [`Endpoint`]: where a server listens, as users write it and as notifications will announce it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A server's address: a host and a port, or the path of a unix socket.
///
/// Reads and prints `host:port`, `1.2.3.4:port` and `[v6]:port`; without a port it is 6379. Names are kept as
/// written and resolved anew for each dial. A unix socket is `unix:/the/path`; no server can name one in what it
/// announces.
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

/// The names that TLS goes by: each is a DNS name without its trailing dot, or an address.
#[cfg(any(feature = "tls", test))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsNames {
    /// What the server is asked for, unless it is an address, which none can be asked for; its certificate may be
    /// valid for it.
    pub(crate) asked: String,
    /// What its certificate may be valid for instead.
    pub(crate) or: Option<String>,
}

/// The text is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an endpoint ({problem}): expected host:port, 1.2.3.4:port, [v6]:port or unix:/path")]
pub struct EndpointError {
    text: String,
    problem: &'static str,
}

impl EndpointError {
    /// A text that looks like a URL may hold a password, and is not kept.
    fn new(text: &str, problem: &'static str) -> Self {
        let is_url = text.contains('@') || text.contains("://");
        let text = if is_url { "(a URL)" } else { text };
        EndpointError { text: text.to_owned(), problem }
    }

    /// What is wrong, without the text: where a password may be part of it.
    pub(crate) fn problem(&self) -> &'static str {
        self.problem
    }
}

impl Endpoint {
    /// An endpoint from its parts. The host is a name or an address, without brackets.
    ///
    /// # Errors
    /// If the host is empty or holds a character that no host can, or the port is 0.
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
            return Err(wrong("the host holds a character that none can"));
        }
        if port == 0 {
            return Err(wrong("the port must be 1 to 65535"));
        }
        Ok(Endpoint(Address::Tcp { host, port }))
    }

    /// A unix socket, by the path of its file.
    ///
    /// # Errors
    /// If the path is empty, holds a NUL, or is longer than the 107 bytes that the system takes.
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

    /// Reads an endpoint as servers name it in notifications; `None` if they say that there is none.
    ///
    /// `port` is that of an endpoint that names none. An address of IPv6 may lack its brackets: the last group is
    /// then taken for a port wherever what stands before it is an address by itself, because servers name ports.
    /// So `2001:db8::7:6379`, which could be an address as a whole, is port 6379 of `2001:db8::7`; and the last
    /// group of `2001:db8::7` is part of the address, because `2001:db8:` is none.
    ///
    /// # Errors
    /// If a host or a port is there and cannot be one.
    pub(crate) fn from_wire(text: &str, port: u16) -> Result<Option<Self>, EndpointError> {
        let text = text.trim_ascii();
        let wrong = |problem| EndpointError::new(text, problem);
        let (host, digits) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("a bracket is missing"))?;
            if !host.is_empty() && host.parse::<Ipv6Addr>().is_err() {
                return Err(wrong("what stands in brackets is no IPv6 address"));
            }
            match rest.strip_prefix(':') {
                None if !rest.is_empty() => return Err(wrong("the port needs a colon")),
                digits => (host, digits.unwrap_or_default()),
            }
        } else {
            match text.rsplit_once(':') {
                Some((host, digits)) if is_port_apart(text, host, digits) => (host, digits),
                _ => (text, ""),
            }
        };
        let named = match digits {
            "" => port,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong("the port must be 1 to 65535"))?
            }
            _ => return Err(wrong("the port must be 1 to 65535")),
        };
        if is_null_host(host) || named == 0 {
            return Ok(None);
        }
        Endpoint::new(host, named).map(Some).map_err(|error| wrong(error.problem))
    }

    /// The name that a server's certificate is asked for: the host without its trailing dot; `None` for addresses,
    /// which are no names.
    pub(crate) fn server_name(&self) -> Option<&str> {
        let name = without_dot(self.host());
        (self.ip().is_none() && !name.is_empty()).then_some(name)
    }

    /// What TLS asks for here, and accepts, when the application has configured `configured` and `explicit`, a name of
    /// its own or none.
    ///
    /// A server that moves its clients says where to, and anybody could have said so: what proves that it is the same
    /// service is a certificate for what was configured. A name that it moves to may be proven instead, because names
    /// of nodes are what certificates are commonly issued for. An address is not asked for by name, and the server
    /// that listens on it has to be told which of its certificates is wanted: the configured name's.
    #[cfg(any(feature = "tls", test))]
    pub(crate) fn tls_names(&self, configured: &Endpoint, explicit: Option<&str>) -> TlsNames {
        let only = |asked: String| TlsNames { asked, or: None };
        if let Some(name) = explicit {
            return only(without_dot(name).to_owned());
        }
        let expected = configured.certified();
        match self.ip() {
            _ if self.server_name().is_some_and(|name| name.eq_ignore_ascii_case(&expected)) => {
                only(expected)
            }
            Some(_) if configured.ip().is_none() => only(expected),
            Some(address) if configured.ip() == Some(address) => only(expected),
            Some(address) => TlsNames { asked: expected, or: Some(address.to_string()) },
            None => TlsNames { asked: self.certified(), or: Some(expected) },
        }
    }

    /// The name or the address that a certificate for this endpoint is valid for.
    #[cfg(any(feature = "tls", test))]
    fn certified(&self) -> String {
        match self.ip() {
            Some(address) => address.to_string(),
            None => without_dot(self.host()).to_owned(),
        }
    }

    /// Whether both are one place: one port, and one address, however it is written, or one name in any case and
    /// with or without its trailing dot. A name is never the same as an address, because no resolver is asked.
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

    /// The host as an address, that of IPv4 in the form of IPv6 as one of IPv4.
    fn ip(&self) -> Option<IpAddr> {
        Some(self.host().parse::<IpAddr>().ok()?.to_canonical())
    }

    /// The socket address, if the host is an address rather than a name.
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
                return Err(wrong("what stands in brackets is no IPv6 address"));
            }
            match port {
                "" => (host, None),
                port => (host, Some(port.strip_prefix(':').ok_or_else(|| wrong("the port needs a colon"))?)),
            }
        } else if text.parse::<Ipv6Addr>().is_ok() {
            // Without brackets the last group may be a port as well as not: the whole is the address.
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

/// Whether the last colon of an endpoint without brackets stands before a port, rather than within an address.
fn is_port_apart(text: &str, host: &str, digits: &str) -> bool {
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    !is_address(text) || (is_decimal && is_address(host))
}

/// How servers write that they name no host.
fn is_null_host(host: &str) -> bool {
    matches!(host, "" | "-" | "?") || host.eq_ignore_ascii_case("null")
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Letters, digits and what else occurs in names; anything beyond ASCII is left to the resolver.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || !byte.is_ascii()
}

const DEFAULT_PORT: u16 = 6379;
const HOST_LENGTH_MAX: usize = 255;
/// What `sockaddr_un` holds, but for the NUL that ends it.
const PATH_LENGTH_MAX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_what_was_read() {
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
    fn the_port_may_be_left_out() {
        for (text, printed) in [("redis", "redis:6379"), ("::1", "[::1]:6379"), ("[::1]", "[::1]:6379")] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn rubbish_is_refused_with_a_reason() {
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
    fn servers_may_leave_out_ports_and_brackets() {
        for (text, host, port) in [
            ("54.78.247.156:12075", "54.78.247.156", 12075),
            ("10.0.0.1", "10.0.0.1", 7),
            ("db.example.com.:12075", "db.example.com.", 12075),
            ("db.example.com:", "db.example.com", 7),
            ("[2001:db8::7]:12075", "2001:db8::7", 12075),
            ("[2001:db8::7]", "2001:db8::7", 7),
            ("2001:db8::7:12075", "2001:db8::7", 12075),
            ("2001:db8::7:6379", "2001:db8::7", 6379),
            ("2001:db8::7", "2001:db8::7", 7),
            ("2001:db8::7:beef", "2001:db8::7:beef", 7),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 7),
            ("1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8", 9),
            ("::1", "::1", 7),
            ("::ffff:10.0.0.1:80", "::ffff:10.0.0.1", 80),
            (" 10.0.0.1:1 ", "10.0.0.1", 1),
        ] {
            assert_eq!(Endpoint::from_wire(text, 7), Endpoint::new(host, port).map(Some), "{text}");
        }
        for text in ["", " ", "?", "-", "null", "NULL", ":0", ":80", "host:0", "?:80", "[]:80", "[::1]:0"] {
            assert_eq!(Endpoint::from_wire(text, 7), Ok(None), "{text}");
        }
        assert_eq!(Endpoint::from_wire("host", 0), Ok(None), "a connection without a port has none to lend");
        for text in ["a b:1", "host:65536", "host:+1", "[::1", "[::1]1", "[host]:1", "1:2:3:1", "a/b"] {
            assert!(Endpoint::from_wire(text, 7).is_err(), "{text}");
        }
    }

    #[test]
    fn one_place_has_many_spellings() {
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
    fn certificates_are_asked_for_by_name_only() {
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
    fn mv_tls_names() {
        let endpoint = |host: &str| Endpoint::new(host, 7).unwrap();
        for (configured, target, explicit, asked, or) in [
            // Not moved at all.
            ("db.example.com.", "DB.example.com", None, "db.example.com", None),
            ("10.0.0.1", "::ffff:10.0.0.1", None, "10.0.0.1", None),
            // An address is asked for by what was configured.
            ("db.example.com.", "10.0.0.2", None, "db.example.com", None),
            ("10.0.0.1", "2001:db8::7", None, "10.0.0.1", Some("2001:db8::7")),
            // A name is asked for by itself, and may be certified as what was configured.
            ("db.example.com", "node-2.example.com.", None, "node-2.example.com", Some("db.example.com")),
            ("10.0.0.1", "node-2.example.com", None, "node-2.example.com", Some("10.0.0.1")),
            // What the application says always wins.
            ("db.example.com", "db.example.com", Some("own.example.com."), "own.example.com", None),
            ("db.example.com", "10.0.0.2", Some("own.example.com"), "own.example.com", None),
            ("db.example.com", "node-2.example.com", Some("10.9.9.9"), "10.9.9.9", None),
        ] {
            let names = endpoint(target).tls_names(&endpoint(configured), explicit);
            let expected = TlsNames { asked: asked.to_owned(), or: or.map(str::to_owned) };
            assert_eq!(names, expected, "{configured} moves to {target}, {explicit:?}");
        }
    }

    #[test]
    fn a_unix_socket_is_a_path_and_nothing_else() {
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
        for text in ["unix:/run/redis.sock", "unix:1"] {
            let named = Endpoint::from_wire(text, 7).ok().flatten();
            assert_eq!(named.and_then(|named| named.path().map(str::to_owned)), None, "{text}");
        }
    }

    #[test]
    fn addresses_need_no_resolver() {
        assert_eq!("[::1]:7".parse::<Endpoint>().unwrap().socket_addr(), Some("[::1]:7".parse().unwrap()));
        assert_eq!("name:7".parse::<Endpoint>().unwrap().socket_addr(), None);
    }
}
