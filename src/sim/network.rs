//! [`Network`]: the connections between pools and servers. Each is a pair of ordered byte streams whose bytes arrive
//! late, split, merged, or never.

use std::collections::{BTreeMap, VecDeque};

use crate::proto::error::CloseReason;
use crate::proto::pool::{ConnectionId, EntryId};
use crate::proto::time::Instant;
use crate::rehearsal::SessionId;

/// The identity of a connection of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WireId {
    pub(super) shard: usize,
    pub(super) entry: u32,
    pub(super) generation: u32,
}

impl WireId {
    pub(super) fn new(shard: usize, id: ConnectionId) -> Self {
        WireId { shard, entry: id.entry.0, generation: id.generation }
    }

    pub(super) fn id(self) -> ConnectionId {
        ConnectionId { entry: EntryId(self.entry), generation: self.generation }
    }
}

#[derive(Debug)]
pub(super) struct Wire {
    /// The node at the other end, if there is one.
    pub(super) node: Option<usize>,
    /// Why the pool refused to connect to this address.
    pub(super) refused: Option<CloseReason>,
    pub(super) session: Option<SessionId>,
    pub(super) connected: bool,
    /// The client has closed its end.
    pub(super) client_closed: bool,
    /// No byte arrives any more, in either direction, and neither end is told.
    pub(super) silent: bool,
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    chunks: VecDeque<(Instant, Chunk)>,
    /// The arrival time of the newest chunk; later chunks arrive no earlier.
    last: Instant,
}

#[derive(Debug)]
pub(super) enum Chunk {
    Bytes(Vec<u8>),
    /// This many pushes that the client does not know.
    Pushes(u32),
    /// The beginning of a reply that never ends.
    Endless,
    /// The other side closed cleanly.
    Fin,
    /// The other side reset the connection.
    Reset,
}

impl Pipe {
    fn new(now: Instant) -> Self {
        Pipe { chunks: VecDeque::new(), last: now }
    }

    /// Sends a chunk that arrives no earlier than at `at`, and returns its arrival time.
    pub(super) fn send(&mut self, chunk: Chunk, at: Instant) -> Instant {
        self.last = self.last.max(at);
        self.chunks.push_back((self.last, chunk));
        self.last
    }

    /// The oldest chunk that has arrived.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Chunk> {
        let (at, _) = self.chunks.front()?;
        if *at <= now { self.chunks.pop_front().map(|(_, chunk)| chunk) } else { None }
    }

    /// Delays all chunks until this time.
    pub(super) fn hold_until(&mut self, until: Instant) {
        self.last = self.last.max(until);
        for (at, _) in &mut self.chunks {
            *at = (*at).max(until);
        }
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
    }
}

#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) wires: BTreeMap<WireId, Wire>,
    by_session: BTreeMap<SessionId, WireId>,
}

impl Network {
    /// A client starts to connect to this node.
    pub(super) fn dial(&mut self, id: WireId, node: Option<usize>, now: Instant) {
        let wire = Wire {
            node,
            refused: None,
            session: None,
            connected: false,
            client_closed: false,
            silent: false,
            to_server: Pipe::new(now),
            to_client: Pipe::new(now),
        };
        self.wires.insert(id, wire);
    }

    pub(super) fn open(&mut self, id: WireId, session: SessionId) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.session = Some(session);
            self.by_session.insert(session, id);
        }
    }

    pub(super) fn get(&mut self, id: WireId) -> Option<&mut Wire> {
        self.wires.get_mut(&id)
    }

    pub(super) fn of_session(&self, session: SessionId) -> Option<WireId> {
        self.by_session.get(&session).copied()
    }

    /// Removes a connection and returns the session at its other end, if there is one.
    pub(super) fn remove(&mut self, id: WireId) -> Option<SessionId> {
        let session = self.wires.remove(&id)?.session?;
        self.by_session.remove(&session);
        Some(session)
    }
}
