//! [`Endpoint`]: where a server listens, as users write it and as notifications will announce it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A server's address: a host and a port.
///
/// Reads and prints `host:port`, `1.2.3.4:port` and `[v6]:port`; without a port it is 6379. Names are kept as
/// written and resolved anew for each dial.
///
/// ```
/// let endpoint: hitless::Endpoint = "[::1]:7001".parse()?;
/// assert_eq!((endpoint.host(), endpoint.port()), ("::1", 7001));
/// assert_eq!(endpoint.to_string(), "[::1]:7001");
/// # Ok::<(), hitless::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// The text is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an endpoint ({problem}): expected host:port, 1.2.3.4:port or [v6]:port")]
pub struct EndpointError {
    text: String,
    problem: &'static str,
}

impl Endpoint {
    /// An endpoint from its parts. The host is a name or an address, without brackets.
    ///
    /// # Errors
    /// If the host is empty or holds a character that no host can, or the port is 0.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, EndpointError> {
        let host = host.into();
        let wrong = |problem| EndpointError { text: host.clone(), problem };
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
        Ok(Endpoint { host, port })
    }

    /// The name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, if the host is an address rather than a name.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse::<IpAddr>().ok()?, self.port))
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Endpoint { host: address.ip().to_string(), port: address.port() }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let wrong = |problem| EndpointError { text: text.to_owned(), problem };
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
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Letters, digits and what else occurs in names; anything beyond ASCII is left to the resolver.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') || !byte.is_ascii()
}

const DEFAULT_PORT: u16 = 6379;
const HOST_LENGTH_MAX: usize = 255;

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
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.to_string().contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_need_no_resolver() {
        assert_eq!("[::1]:7".parse::<Endpoint>().unwrap().socket_addr(), Some("[::1]:7".parse().unwrap()));
        assert_eq!("name:7".parse::<Endpoint>().unwrap().socket_addr(), None);
    }
}
