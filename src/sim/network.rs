//! [`Network`]: what lies between pools and servers. Every connection is a pair of byte streams that keep their order
//! and nothing else: bytes arrive late, in pieces, in lumps, or never.

use std::collections::{BTreeMap, VecDeque};

use crate::proto::error::CloseReason;
use crate::proto::pool::ConnectionId;
use crate::proto::time::Instant;
use crate::rehearsal::SessionId;
use crate::sim::checkers::floods::Floods;
use crate::sim::checkers::logins::Sent;
use crate::sim::checkers::own_words::OwnWords;

/// A connection of one shard.
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
        ConnectionId { entry: crate::proto::pool::EntryId(self.entry), generation: self.generation }
    }
}

#[derive(Debug)]
pub(super) struct Wire {
    /// Where it leads, if anybody is there.
    pub(super) node: Option<usize>,
    /// Why no client goes there.
    pub(super) refused: Option<CloseReason>,
    pub(super) session: Option<SessionId>,
    pub(super) connected: bool,
    /// The client has closed its end.
    pub(super) client_gone: bool,
    /// Nothing arrives any more, in either direction, and nobody is told.
    pub(super) vanished: bool,
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,
    pub(super) passwords: Sent,
    pub(super) own: OwnWords,
    pub(super) floods: Floods,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Pipe {
    chunks: VecDeque<(Instant, Chunk)>,
    /// Nothing that is sent later arrives earlier.
    last: Instant,
}

#[derive(Debug)]
pub(super) enum Chunk {
    Bytes(Vec<u8>),
    /// So many pushes without a use.
    Pushes(u32),
    /// The beginning of a reply without an end.
    Endless,
    /// The other side has closed in order,
    Fin,
    /// or has not.
    Reset,
}

impl Pipe {
    fn new(now: Instant) -> Self {
        Pipe { chunks: VecDeque::new(), last: now }
    }

    /// Sends something that arrives no earlier than at `at`; when it will.
    pub(super) fn send(&mut self, chunk: Chunk, at: Instant) -> Instant {
        self.last = self.last.max(at);
        self.chunks.push_back((self.last, chunk));
        self.last
    }

    /// What has arrived, the oldest of it.
    pub(super) fn receive(&mut self, now: Instant) -> Option<Chunk> {
        let (at, _) = self.chunks.front()?;
        if *at <= now { self.chunks.pop_front().map(|(_, chunk)| chunk) } else { None }
    }

    /// Nothing arrives before this.
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
    /// Somebody whose credentials were renewed so often dials.
    pub(super) fn dial(&mut self, id: WireId, node: Option<usize>, renewals: u64, now: Instant) {
        let wire = Wire {
            node,
            refused: None,
            session: None,
            connected: false,
            client_gone: false,
            vanished: false,
            to_server: Pipe::new(now),
            to_client: Pipe::new(now),
            passwords: Sent::default(),
            own: OwnWords::new(renewals, now),
            floods: Floods::default(),
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

    /// Forgets a connection; the session at its other end, if there is one.
    pub(super) fn remove(&mut self, id: WireId) -> Option<SessionId> {
        let session = self.wires.remove(&id)?.session?;
        self.by_session.remove(&session);
        Some(session)
    }
}
