//! No server makes a client dial its own machine, its cloud's metadata service, or an address without a host. All nodes
//! of a simulation have private addresses.

use std::net::{IpAddr, SocketAddr};

use crate::sim::violation::Violation;

/// Checks the addresses that a shard is about to dial.
pub(in crate::sim) fn check(addresses: &[SocketAddr]) -> Result<(), Violation> {
    let is_forbidden = |address: &&SocketAddr| match address.ip().to_canonical() {
        IpAddr::V4(address) => matches!(address.octets(), [0 | 127 | 224.., ..] | [169, 254, ..]),
        IpAddr::V6(_) => true,
    };
    match addresses.iter().find(is_forbidden) {
        Some(address) => Err(Violation::new("no forbidden target is dialed", address.to_string())),
        None => Ok(()),
    }
}
