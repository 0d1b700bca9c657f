//! What the server knows of one listener, and what it asks of the sockets in front of it.

use std::net::SocketAddr;

/// One listener, a "node" in the words of the protocol: the index of its address among those that
/// were given to `Server::new`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Closed, once the output is written.
    AfterOutput,
    /// Closed at once (FIN); output is dropped.
    AtOnce,
    /// Reset at once (RST); output is dropped.
    Reset,
    /// The direction to the client is shut down once the output is written; the connection goes on
    /// reading, and is closed when the client closes.
    HalfClose,
}

/// What a listener does with those who connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// Serves them.
    #[default]
    Serve,
    /// Accepts them, and never reads or writes.
    Stall,
    /// Accepts them, and closes at once.
    Drop,
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) is_listening: bool,
    pub(crate) accept: Accept,
}

impl Node {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, is_listening: true, accept: Accept::Serve }
    }
}
