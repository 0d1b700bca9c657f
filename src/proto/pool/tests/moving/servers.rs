//! [`Server`]: a server of a [`World`](super::world::World); and [`Socket`]: a connection to it.

use super::*;

/// A server at one address.
#[derive(Default)]
pub(super) struct Server {
    pub(super) reachability: Reachability,
    /// Pushes that come with its reply to HELLO, and with its reply to the request for notifications.
    pub(super) with_hello: String,
    pub(super) with_opt_in: String,
    /// It reads commands and holds its replies back.
    pub(super) is_stalled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reachability {
    #[default]
    Open,
    Refusing,
    /// Its certificate does not verify.
    Untrusted,
    /// Dials get no answer.
    Silent,
}

pub(super) struct Socket {
    pub(super) id: ConnectionId,
    pub(super) peer: SocketAddr,
    /// Neither side has closed it.
    pub(super) is_open: bool,
    pub(super) opted_in: bool,
    /// Its handshake, each command as its words.
    pub(super) greeting: Vec<String>,
    /// How many bytes it takes from the client.
    pub(super) takes: usize,
    pub(super) inbox: Vec<u8>,
    pub(super) held: Vec<u8>,
}

/// The words of the first command, if it is complete, and the rest.
pub(super) fn parse(input: &str) -> Option<(Vec<&str>, &str)> {
    let (count, mut rest) = input.strip_prefix('*')?.split_once("\r\n")?;
    let mut words = Vec::new();
    for _ in 0..count.parse().unwrap() {
        let (length, after) = rest.strip_prefix('$')?.split_once("\r\n")?;
        let length: usize = length.parse().unwrap();
        words.push(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
    Some((words, rest))
}
