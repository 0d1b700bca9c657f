//! [`Leases`]: what each exclusive entry of a pool is used for.

use crate::proto::connection::Position;
use crate::proto::pool::config::PoolConfig;
use crate::proto::pool::entries::Entries;
use crate::proto::pool::ids::EntryId;
use crate::proto::time::Instant;

/// What each exclusive entry of a pool is used for. Entries are made on demand, up to a bound, and used again.
#[derive(Debug)]
pub(super) struct Leases {
    /// The number of the first exclusive entry: those before it are shared.
    first: usize,
    most: usize,
    list: Vec<Lease>,
}

/// What an exclusive entry is used for.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) state: LeaseState,
    /// The connection whose wait the server was asked to end, until it has answered. It must not wait for anything else
    /// meanwhile, or that wait would end.
    pub(super) unblocking: Option<u32>,
    /// The answer of the server will not come. The connection is closed after its command.
    pub(super) spoiled: Option<u32>,
}

/// ```text
///           a caller needs it               its command is over, or its session
/// Closed ──────────────────────▶ Blocking, Session ──────────────────────▶ Idle ──┐
///   ▲                               ▲────────── a caller needs it ─────────┘      │
///   └──────────────────── unused for a while, or lost ────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseState {
    Closed,
    Idle {
        since: Instant,
    },
    /// The command of this call runs on it.
    Blocking(Position),
    /// The session with this number has it.
    Session(u32),
    /// It carries the subscriptions of the shard.
    Subscriber,
}

impl Leases {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Leases { first: config.connections, most: config.exclusive_connections_max, list: Vec::new() }
    }

    /// Whether this entry is one of the exclusive ones.
    pub(super) fn has(&self, id: EntryId) -> bool {
        id.index() >= self.first
    }

    /// How many entries there may be.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn get(&self, id: EntryId) -> Option<&Lease> {
        self.list.get(id.index().checked_sub(self.first)?)
    }

    pub(super) fn get_mut(&mut self, id: EntryId) -> Option<&mut Lease> {
        self.list.get_mut(id.index().checked_sub(self.first)?)
    }

    pub(super) fn state(&self, id: EntryId) -> LeaseState {
        self.get(id).map_or(LeaseState::Closed, |lease| lease.state)
    }

    /// The call whose command this entry runs.
    pub(super) fn blocking(&self, id: EntryId) -> Option<Position> {
        match self.state(id) {
            LeaseState::Blocking(position) => Some(position),
            _ => None,
        }
    }

    /// The entries without use, and since when.
    pub(super) fn idle(&self) -> impl Iterator<Item = (EntryId, Instant)> {
        self.list.iter().enumerate().filter_map(|(index, lease)| match lease.state {
            LeaseState::Idle { since } => Some((EntryId::of(self.first + index), since)),
            _ => None,
        })
    }

    /// An entry for the next caller: one with a connection, or a closed one, or a new one.
    pub(super) fn free_entry(&mut self, entries: &mut Entries) -> Option<EntryId> {
        let is_free = |(id, _): &(EntryId, Instant)| {
            let entry = entries.get(*id).filter(|entry| entry.is_ready() && entry.awaits_nothing());
            let active = entry.and_then(|entry| entry.active_generation());
            let lease = self.get(*id);
            active.is_some()
                && lease.is_some_and(|lease| lease.unblocking != active && lease.spoiled != active)
        };
        if let Some((id, _)) = self.idle().find(is_free) {
            return Some(id);
        }
        let closed = self.list.iter().enumerate().filter(|(_, lease)| lease.state == LeaseState::Closed);
        let mut closed = closed.map(|(index, _)| EntryId::of(self.first + index));
        // A session may have left commands behind whose replies it does not await.
        if let Some(id) = closed.find(|id| entries.get(*id).is_some_and(|entry| entry.queue.is_empty())) {
            return Some(id);
        }
        if self.list.len() >= self.most {
            return None;
        }
        self.list.push(Lease::closed());
        Some(entries.add())
    }

    /// The pool is given up: nothing is used any more.
    pub(super) fn close_all(&mut self) {
        self.list.iter_mut().for_each(|lease| *lease = Lease::closed());
    }
}

impl Lease {
    pub(super) fn closed() -> Self {
        Lease { state: LeaseState::Closed, unblocking: None, spoiled: None }
    }
}
