//! [`Reach`]: from how far away an address can be reached, which decides which servers may redirect a client there.
//!
//! With [`Targets::SameReach`](super::Targets::SameReach), a server may name an address whose class is at least as wide
//! as its own. Without that rule, a public server could make the client connect to the client's own machine or private
//! network. A block that is missing here counts as public, so that any server may name it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The class of an address, from the narrowest to the widest. The filter compares classes by this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// This machine.
    Loopback,
    /// This link. The metadata services of clouds belong here as well, whatever their address: they give credentials to
    /// any process on the machine.
    LinkLocal,
    /// This organization.
    Private,
    /// The internet.
    Public,
}

impl Reach {
    /// The class of this address; `None` if no server can have it, so that the client must not dial it. An IPv4 address
    /// within an IPv6 address counts as the IPv4 address, because a translator on the path unwraps it as well.
    pub(crate) fn of(address: IpAddr) -> Option<Reach> {
        match address {
            IpAddr::V4(address) => Reach::of_v4(address),
            IpAddr::V6(address) => match wrapped(address) {
                Some(address) => Reach::of_v4(address),
                None => Reach::of_v6(address),
            },
        }
    }

    fn of_v4(address: Ipv4Addr) -> Option<Reach> {
        if METADATA_V4.contains(&address) {
            return Some(Reach::LinkLocal);
        }
        match address.octets() {
            // "This network" (RFC 1122). Linux connects to the machine itself if a client dials 0.0.0.0.
            [0, ..] => None,
            [127, ..] => Some(Reach::Loopback),
            [169, 254, ..] => Some(Reach::LinkLocal),
            // RFC 1918, and RFC 6598 for carrier-grade NAT.
            [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Some(Reach::Private),
            // Protocol assignments (RFC 6890) and benchmarks (RFC 2544).
            [192, 0, 0, _] | [198, 18..=19, ..] => Some(Reach::Private),
            // Multicast and broadcast.
            [224..=239, ..] | [255, 255, 255, 255] => None,
            // Reserved, but some clouds use it inside.
            [240..=255, ..] => Some(Reach::Private),
            _ => Some(Reach::Public),
        }
    }

    fn of_v6(address: Ipv6Addr) -> Option<Reach> {
        if METADATA_V6.contains(&address) {
            return Some(Reach::LinkLocal);
        }
        match address.segments() {
            // Unspecified, and multicast.
            [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => None,
            [0, 0, 0, 0, 0, 0, 0, 1] => Some(Reach::Loopback),
            [0xfe80..=0xfebf, ..] => Some(Reach::LinkLocal),
            // Unique local, the deprecated site-local, and NAT64 within a network (RFC 8215). The last is not
            // unwrapped: each network chooses where its prefix ends and the IPv4 address begins.
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Some(Reach::Private),
            _ => Some(Reach::Public),
        }
    }
}

/// The word in the error for a refused target.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reach::Loopback => "loopback",
            Reach::LinkLocal => "link-local",
            Reach::Private => "private",
            Reach::Public => "public",
        })
    }
}

/// The IPv4 address within an IPv6 address: mapped, compatible, 6to4, or with the well-known prefix of NAT64.
fn wrapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // Unspecified and loopback have the shape of compatible addresses, and are addresses of IPv6.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Metadata services without a link-local address: those of Alibaba Cloud and Oracle.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
/// The same for IPv6: those of Amazon and Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_its_class() {
        for (class, addresses) in [
            (
                Some(Reach::Loopback),
                "127.0.0.1 127.66.6.6 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1",
            ),
            (
                Some(Reach::LinkLocal),
                "169.254.169.254 fe80::1 fd00:ec2::254 fd20:ce::254 100.100.100.200 192.0.0.192",
            ),
            (Some(Reach::LinkLocal), "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe"),
            (
                Some(Reach::Private),
                "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fdff::1",
            ),
            (Some(Reach::Private), "::ffff:10.0.0.1 198.18.0.1 240.0.0.1 64:ff9b:1::1 fec0::1"),
            (
                Some(Reach::Public),
                "8.8.8.8 172.32.0.1 172.15.0.1 100.128.0.1 192.0.1.1 2001:db8::7 ::ffff:8.8.8.8",
            ),
            (None, "0.0.0.0 0.1.2.3 :: ::ffff:0.0.0.0 224.0.0.1 239.1.1.1 255.255.255.255 ff02::1"),
        ] {
            for address in addresses.split(' ') {
                assert_eq!(Reach::of(address.parse().unwrap()), class, "{address}");
            }
        }
    }
}
