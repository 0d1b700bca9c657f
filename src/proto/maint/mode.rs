//! [`Mode`] and [`EndpointType`]: whether to ask for notifications, and in which form servers name targets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// Whether connections ask for maintenance notifications. It never changes: a server's refusal holds for one connection
/// and its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    Disabled,
    #[default]
    Auto,
    Enabled,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Disabled => "disabled",
            Mode::Auto => "auto",
            Mode::Enabled => "enabled",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Mode::Disabled, Mode::Auto, Mode::Enabled].into_iter().find(|mode| mode.name() == text).ok_or(())
    }
}

/// The form in which a server has to name the new endpoint when it announces a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointType {
    /// Chosen for each connection: internal or external by the address of its peer, a name with TLS and an address
    /// without. Makes no DNS request.
    #[default]
    Auto,
    /// An address inside the server's network.
    InternalIp,
    /// A name that resolves inside the server's network.
    InternalFqdn,
    /// A public address.
    ExternalIp,
    /// A public name.
    ExternalFqdn,
    /// No endpoint: connections move to the configured one, once it resolves to another address.
    None,
    /// The server decides: the request names no type.
    ServerDefault,
}

impl EndpointType {
    const ALL: [EndpointType; 7] = [
        EndpointType::Auto,
        EndpointType::InternalIp,
        EndpointType::InternalFqdn,
        EndpointType::ExternalIp,
        EndpointType::ExternalFqdn,
        EndpointType::None,
        EndpointType::ServerDefault,
    ];

    /// The type as you write it in settings: `internal-ip`, `none`, … All but `auto` and `server-default` are the words
    /// of the wire as well.
    pub fn name(self) -> &'static str {
        match self {
            EndpointType::Auto => "auto",
            EndpointType::InternalIp => "internal-ip",
            EndpointType::InternalFqdn => "internal-fqdn",
            EndpointType::ExternalIp => "external-ip",
            EndpointType::ExternalFqdn => "external-fqdn",
            EndpointType::None => "none",
            EndpointType::ServerDefault => "server-default",
        }
    }

    /// The type to ask for on a connection to this peer. Only [`EndpointType::Auto`] depends on the peer.
    pub(crate) fn resolve(self, peer: Option<IpAddr>, tls: bool) -> EndpointType {
        match (self, peer.map(is_internal), tls) {
            (EndpointType::Auto, Some(true), false) => EndpointType::InternalIp,
            (EndpointType::Auto, Some(true), true) => EndpointType::InternalFqdn,
            (EndpointType::Auto, Some(false), false) => EndpointType::ExternalIp,
            (EndpointType::Auto, Some(false), true) => EndpointType::ExternalFqdn,
            // The client of a unix socket cannot know which addresses it can reach.
            (EndpointType::Auto, None, _) => EndpointType::None,
            (chosen, ..) => chosen,
        }
    }

    /// The type in the request; `None` if it names no type.
    pub(crate) fn requested(self) -> Option<&'static str> {
        match self {
            EndpointType::Auto | EndpointType::ServerDefault => None,
            named => Some(named.name()),
        }
    }
}

impl fmt::Display for EndpointType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EndpointType {
    type Err = UnknownEndpointType;

    fn from_str(text: &str) -> Result<Self, UnknownEndpointType> {
        let found = EndpointType::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| UnknownEndpointType(text.to_owned()))
    }
}

/// The text names no [`EndpointType`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown endpoint type {0:?}; use auto, internal-ip, internal-fqdn, external-ip, external-fqdn, none, or \
     server-default"
)]
pub struct UnknownEndpointType(String);

/// Whether only the own network or machine can reach an address: RFC 1918, loopback, link-local, RFC 6598
/// (carrier-grade NAT), and the corresponding ranges of IPv6.
fn is_internal(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local() || is_shared(address)
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// 100.64.0.0/10.
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hs_endpoint_type_matrix() {
        for (peer, internal) in [
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("192.168.1.1", true),
            ("127.0.0.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("54.78.247.156", false),
            ("172.32.0.1", false),
            ("::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8::7", false),
            ("::ffff:10.0.0.1", true),
            ("::ffff:54.78.247.156", false),
        ] {
            let peer = Some(peer.parse().unwrap());
            let (plain, tls) = match internal {
                true => (EndpointType::InternalIp, EndpointType::InternalFqdn),
                false => (EndpointType::ExternalIp, EndpointType::ExternalFqdn),
            };
            assert_eq!(EndpointType::Auto.resolve(peer, false), plain, "{peer:?}");
            assert_eq!(EndpointType::Auto.resolve(peer, true), tls, "{peer:?}");
        }
        for tls in [false, true] {
            assert_eq!(EndpointType::Auto.resolve(None, tls), EndpointType::None);
            assert_eq!(EndpointType::ExternalFqdn.resolve(None, tls), EndpointType::ExternalFqdn);
        }
    }

    #[test]
    fn names_parse_back() {
        for kind in EndpointType::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "internal".parse::<EndpointType>().unwrap_err();
        assert!(error.to_string().contains("internal-ip"), "{error}");
        assert_eq!("enabled".parse(), Ok(Mode::Enabled));
        assert_eq!("on".parse::<Mode>(), Err(()));
    }
}
