//! How servers write endpoints in their announcements.

use std::net::Ipv6Addr;

use super::{Endpoint, EndpointError};

impl Endpoint {
    /// Reads an endpoint of a server's announcement; `None` if the server announces that there is none.
    ///
    /// `port` is the port of an endpoint without one. An IPv6 address may lack its brackets. Its last group is then a port
    /// if the text before it is an address by itself, because servers name ports. So `2001:db8::7:6379`, which is also an
    /// address as a whole, is port 6379 of `2001:db8::7`. The last group of `2001:db8::7` belongs to the address, because
    /// `2001:db8:` is not one.
    ///
    /// # Errors
    /// If the host or the port is malformed.
    pub(crate) fn from_wire(text: &str, port: u16) -> Result<Option<Self>, EndpointError> {
        let text = text.trim_ascii();
        let wrong = |problem| EndpointError::new(text, problem);
        let (host, digits) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| wrong("a bracket is missing"))?;
            if !host.is_empty() && host.parse::<Ipv6Addr>().is_err() {
                return Err(wrong("the text in brackets is not an IPv6 address"));
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
}

/// Whether the last colon of an endpoint without brackets precedes a port, and is not part of an address.
fn is_port_apart(text: &str, host: &str, digits: &str) -> bool {
    let is_address = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    !is_address(text) || (is_decimal && is_address(host))
}

/// Whether the host is one of the forms in which servers write that there is none.
fn is_null_host(host: &str) -> bool {
    matches!(host, "" | "-" | "?") || host.eq_ignore_ascii_case("null")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(Endpoint::from_wire("host", 0), Ok(None), "a connection without a port provides none");
        for text in ["a b:1", "host:65536", "host:+1", "[::1", "[::1]1", "[host]:1", "1:2:3:1", "a/b"] {
            assert!(Endpoint::from_wire(text, 7).is_err(), "{text}");
        }
    }

    #[test]
    fn no_server_can_announce_a_unix_socket() {
        for text in ["unix:/run/redis.sock", "unix:1"] {
            let named = Endpoint::from_wire(text, 7).ok().flatten();
            assert_eq!(named.and_then(|named| named.path().map(str::to_owned)), None, "{text}");
        }
    }
}
