//! [`Targets`]: the policy for the addresses to which servers may redirect a client.
//!
//! A server is untrusted input, even after it has received a password: without TLS the first bytes on each new connection
//! are the credentials of the client. So the [`TargetFilter`] checks every target that a server names. It checks the
//! address that is dialed in the end, because a name may resolve to any address.

mod filter;
mod reach;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

#[cfg(test)]
pub(crate) use self::filter::MOVING_TARGETS_MAX;
pub use self::filter::Redirection;
pub(crate) use self::filter::{RedirectSource, Refusal, TargetFilter};
use super::endpoint::Endpoint;

/// Where servers may redirect this client, with a `MOVING` or any other message that names another server.
///
/// The configured endpoint is always allowed, whatever its name resolves to. No server can redirect a client to a unix
/// socket, or away from one. The client never dials unspecified, multicast and broadcast addresses, or port 0. For a refused
/// target you get one event per minute ([`Event::TargetRefused`](crate::observe::Event)), and the old connection stays in use.
///
/// It reads and prints `same-reach`, `any`, or patterns separated by commas: `10.0.0.0/8,.redis.example.com`.
///
/// ```
/// use hitless::{Config, net::Targets};
///
/// let config = Config::from_url("redis://10.0.0.7:6379")?
///     .targets(Targets::only(["10.0.0.0/8", ".redis.example.com", "node-7.example.com:6379"])?);
/// # config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Targets {
    /// To addresses of the same class as that of the server, or of a wider one. The classes are loopback, link-local (with
    /// the metadata services of clouds), private, and public, in this order. So a private server may name private and
    /// public addresses, and a public server only public ones. The default.
    #[default]
    SameReach,
    /// To all addresses.
    Any,
    /// To targets that match one of these patterns. Without TLS, this is the only way to keep credentials from servers that
    /// you do not know.
    Only(Vec<TargetPattern>),
}

/// A set of targets: an address or a block of addresses (`10.0.0.7`, `10.0.0.0/8`, `fd00::/8`), or a name
/// (`node-7.example.com`) or the end of one (`.example.com`). Addresses are compared with the address that is dialed, and
/// names with the name that the server announces. A single address or a name may be followed by a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Block {
        network: IpAddr,
        prefix: u8,
        port: Option<u16>,
    },
    Name {
        name: String,
        port: Option<u16>,
    },
    /// Begins with a dot.
    Suffix(String),
}

/// The text is not a pattern of targets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no targets ({problem}): allowed are same-reach, any, or patterns such as 10.0.0.0/8, \
     10.0.0.7:6379, node.example.com:6379, .example.com"
)]
pub struct TargetsError {
    text: String,
    problem: &'static str,
}

impl Targets {
    /// [`Targets::Only`] the targets that match one of these patterns.
    ///
    /// # Errors
    /// If there is no pattern, or one is malformed. The error names the first such pattern.
    pub fn only<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Targets, TargetsError> {
        let patterns: Result<Vec<_>, _> = patterns.into_iter().map(|text| text.as_ref().parse()).collect();
        match patterns? {
            patterns if patterns.is_empty() => Err(wrong("", "there is no pattern")),
            patterns => Ok(Targets::Only(patterns)),
        }
    }
}

impl TargetPattern {
    /// Whether the pattern matches a target that resolves to this address.
    fn allows(&self, target: &Endpoint, address: SocketAddr) -> bool {
        let has_port = |port: &Option<u16>| port.is_none_or(|port| port == address.port());
        match &self.0 {
            Pattern::Block { network, prefix, port } => {
                has_port(port) && is_within(address.ip().to_canonical(), *network, *prefix)
            }
            Pattern::Name { name, port } => {
                has_port(port) && target.server_name().is_some_and(|host| host.eq_ignore_ascii_case(name))
            }
            Pattern::Suffix(suffix) => target.server_name().is_some_and(|host| ends_with(host, suffix)),
        }
    }
}

impl FromStr for Targets {
    type Err = TargetsError;

    fn from_str(text: &str) -> Result<Self, TargetsError> {
        match text.trim() {
            "same-reach" => Ok(Targets::SameReach),
            "any" => Ok(Targets::Any),
            "" => Err(wrong(text, "it is empty")),
            patterns => Targets::only(patterns.split(',').map(str::trim)),
        }
    }
}

impl FromStr for TargetPattern {
    type Err = TargetsError;

    fn from_str(text: &str) -> Result<Self, TargetsError> {
        let wrong = |problem| wrong(text, problem);
        if let Some(suffix) = text.strip_prefix("*.").or(text.strip_prefix('.')) {
            let name = Endpoint::new(suffix, 1).map_err(|error| wrong(error.problem()))?;
            let suffix = name.server_name().ok_or_else(|| wrong("a dot goes before a name"))?;
            return Ok(TargetPattern(Pattern::Suffix(format!(".{suffix}"))));
        }
        if let Some((address, prefix)) = text.split_once('/') {
            let network: IpAddr =
                address.parse().map_err(|_| wrong("the text before the slash is not an address"))?;
            let bits = if network.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits);
            let prefix = prefix.ok_or_else(|| wrong("the text behind the slash is not a number of bits"))?;
            return Ok(TargetPattern(Pattern::Block { network, prefix, port: None }));
        }
        // Without a port the pattern matches all ports, so the default port of endpoints must not apply.
        let is_address = text.parse::<IpAddr>().is_ok();
        let has_port = !is_address && text.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(':');
        let endpoint: Endpoint = match has_port {
            true => text.parse().map_err(|error: super::endpoint::EndpointError| wrong(error.problem()))?,
            false => {
                let host = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
                Endpoint::new(host, 1).map_err(|error| wrong(error.problem()))?
            }
        };
        let port = has_port.then(|| endpoint.port());
        Ok(TargetPattern(match (endpoint.socket_addr(), endpoint.server_name()) {
            (Some(address), _) => {
                let network = address.ip().to_canonical();
                Pattern::Block { network, prefix: if network.is_ipv4() { 32 } else { 128 }, port }
            }
            (None, Some(name)) => Pattern::Name { name: name.to_owned(), port },
            (None, None) => return Err(wrong("it has no host")),
        }))
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Targets::SameReach => f.write_str("same-reach"),
            Targets::Any => f.write_str("any"),
            Targets::Only(patterns) => {
                let texts: Vec<_> = patterns.iter().map(TargetPattern::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Block { network, port: Some(port), .. } => SocketAddr::new(*network, *port).fmt(f),
            Pattern::Block { network, prefix, port: None } => write!(f, "{network}/{prefix}"),
            Pattern::Name { name, port: Some(port) } => write!(f, "{name}:{port}"),
            Pattern::Name { name, port: None } => f.write_str(name),
            Pattern::Suffix(suffix) => f.write_str(suffix),
        }
    }
}

fn wrong(text: &str, problem: &'static str) -> TargetsError {
    TargetsError { text: text.to_owned(), problem }
}

/// Whether both addresses are of the same family and have the same first `prefix` bits.
fn is_within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let same = |one: u128, other: u128, bits: u32| {
        let rest = bits.saturating_sub(u32::from(prefix));
        one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            same(u32::from(address).into(), u32::from(network).into(), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => same(address.into(), network.into(), 128),
        _ => false,
    }
}

/// Whether the name is longer than the suffix and ends with it, in any case.
fn ends_with(name: &str, suffix: &str) -> bool {
    let end = name.len().checked_sub(suffix.len()).filter(|length| *length > 0);
    end.and_then(|from| name.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, target: &str, address: &str) -> bool {
        let pattern: TargetPattern = pattern.parse().unwrap();
        pattern.allows(&target.parse().unwrap(), address.parse().unwrap())
    }

    #[test]
    fn patterns_match_their_targets() {
        for (pattern, target, address, allowed) in [
            ("10.0.0.0/8", "10.1.2.3:1", "10.1.2.3:1", true),
            ("10.0.0.0/8", "11.1.2.3:1", "11.1.2.3:1", false),
            ("10.0.0.0/8", "node.example.com:1", "10.1.2.3:1", true),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:1", "[::ffff:10.1.2.3]:1", true),
            ("0.0.0.0/0", "8.8.8.8:1", "8.8.8.8:1", true),
            ("0.0.0.0/0", "[::1]:1", "[::1]:1", false),
            ("10.0.0.7", "10.0.0.7:9", "10.0.0.7:9", true),
            ("10.0.0.7:6379", "10.0.0.7:9", "10.0.0.7:9", false),
            ("10.0.0.7:6379", "any.name:6379", "10.0.0.7:6379", true),
            ("fd00::/8", "[fd12::1]:1", "[fd12::1]:1", true),
            ("fd00::/8", "[fe12::1]:1", "[fe12::1]:1", false),
            ("[2001:db8::7]:12", "[2001:db8::7]:12", "[2001:db8::7]:12", true),
            ("2001:db8::7", "[2001:db8::7]:12", "[2001:db8::7]:12", true),
            ("node.example.com:1", "NODE.example.com.:1", "10.0.0.1:1", true),
            ("node.example.com:1", "node.example.com:2", "10.0.0.1:2", false),
            ("node.example.com", "node.example.com:2", "10.0.0.1:2", true),
            (".example.com", "node.Example.com.:2", "127.0.0.1:2", true),
            ("*.example.com", "node.example.com:2", "10.0.0.1:2", true),
            (".example.com", "example.com:2", "10.0.0.1:2", false),
            (".example.com", "node.example.com.evil:2", "10.0.0.1:2", false),
            (".example.com", "nodeexample.com:2", "10.0.0.1:2", false),
        ] {
            assert_eq!(allows(pattern, target, address), allowed, "{pattern} {target} {address}");
        }
    }

    #[test]
    fn printed_targets_are_the_parsed_ones() {
        for text in ["same-reach", "any", "10.0.0.0/8,.example.com,node.example.com:1,[fd00::1]:6379,node"] {
            let targets: Targets = text.parse().unwrap();
            assert_eq!(targets.to_string(), text);
            assert_eq!(targets.to_string().parse(), Ok(targets));
        }
        assert_eq!("10.0.0.7".parse::<TargetPattern>().unwrap().to_string(), "10.0.0.7/32");
    }

    #[test]
    fn malformed_pattern_is_refused_with_a_reason() {
        for text in [
            "",
            " ",
            ",",
            "10.0.0.0/33",
            "10.0.0/8",
            "a/8",
            "a b",
            ".",
            "*.",
            ".10.0.0.1",
            "host:0",
            "host:99999",
        ] {
            assert!(text.parse::<Targets>().is_err(), "{text:?}");
        }
        assert!(Targets::only(Vec::<String>::new()).is_err());
    }
}
