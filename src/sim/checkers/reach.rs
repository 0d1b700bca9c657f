//! No server sends a client to its own machine, to its cloud's metadata, or to where no host can be: all nodes of a world
//! have private addresses.

use std::net::{IpAddr, SocketAddr};

use super::Violation;

/// What is about to be dialed.
pub(in crate::sim) fn check(addresses: &[SocketAddr]) -> Result<(), Violation> {
    let is_narrow = |address: &&SocketAddr| match address.ip().to_canonical() {
        IpAddr::V4(address) => matches!(address.octets(), [0 | 127 | 224.., ..] | [169, 254, ..]),
        IpAddr::V6(_) => true,
    };
    match addresses.iter().find(is_narrow) {
        Some(address) => {
            Err(Violation::new("no server sends a client where it may not go", address.to_string()))
        }
        None => Ok(()),
    }
}
