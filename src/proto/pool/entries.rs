//! [`Entries`]: all entries of a pool.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::PoolConfig;
use super::connection::PoolConnection;
use super::entry::{Entry, Role};
use super::ids::{ConnectionId, EntryId};
use crate::proto::connection::QueueBounds;
use crate::proto::error::CloseReason;
use crate::proto::maint::relax::Windows;
use crate::proto::role::ConnectionRole;
use crate::proto::time::{Instant, earliest};

/// All entries of a pool: those whose connections are shared, whose number never changes, and behind them the exclusive
/// ones, which are added on demand and stay.
#[derive(Debug)]
pub(crate) struct Entries {
    list: Vec<Entry>,
    shared: usize,
    next: usize,
    queue: QueueBounds,
    backoff: (Duration, Duration),
    generation: u32,
}

impl Entries {
    pub(super) fn new(config: &PoolConfig) -> Self {
        let backoff = (config.backoff_first, config.backoff_max);
        let shared = config.connections;
        let mut entries = Entries {
            list: Vec::with_capacity(shared),
            shared,
            next: 0,
            queue: config.queue,
            backoff,
            generation: config.generation,
        };
        for _ in 0..shared {
            let id = entries.add();
            if let Some(entry) = entries.get_mut(id) {
                entry.is_used = true;
            }
        }
        entries
    }

    /// A further entry, without a connection.
    pub(super) fn add(&mut self) -> EntryId {
        let id = EntryId::of(self.list.len());
        self.list.push(Entry::new(id, self.queue, self.backoff, self.generation));
        id
    }

    /// Whether a command submitted now would be queued at once, rather than wait for room.
    pub(crate) fn has_room(&self, id: EntryId) -> bool {
        self.list.get(id.index()).is_some_and(|entry| entry.queue.has_room())
    }

    /// The generation of the connection that an entry's commands are written to.
    #[inline]
    pub(crate) fn active_generation(&self, id: EntryId) -> Option<u32> {
        self.list.get(id.index())?.active_generation()
    }

    /// How many shared entries have a ready connection, of how many.
    pub(crate) fn ready(&self) -> (usize, usize) {
        (self.shared().filter(|entry| entry.is_ready()).count(), self.shared)
    }

    /// How many connections are ready, by their roles.
    pub(crate) fn ready_by_role(&self) -> BTreeMap<ConnectionRole, usize> {
        let mut ready = BTreeMap::new();
        for entry in self.list.iter().filter(|entry| entry.is_ready()) {
            *ready.entry(entry.role).or_default() += 1;
        }
        ready
    }

    /// Why a shared entry is not ready: the error of the first such entry.
    pub(crate) fn last_error(&self) -> Option<Arc<CloseReason>> {
        self.shared().filter(|entry| !entry.is_ready()).find_map(|entry| entry.last_error.clone())
    }

    /// Whether the commands of any shared entry are rejected, because a server refuses this client.
    pub(crate) fn is_any_rejected(&self) -> bool {
        self.shared().any(|entry| entry.is_rejected)
    }

    /// Commands queued, and commands in flight.
    pub(crate) fn depth(&self) -> (usize, usize) {
        self.list.iter().fold((0, 0), |(queued, in_flight), entry| {
            let written: usize = entry.connections().map(|known| known.connection.in_flight()).sum();
            (queued + entry.queue.len(), in_flight + written)
        })
    }

    /// Commands in flight on shared connections. Those that block wait on others.
    pub(crate) fn shared_in_flight(&self) -> usize {
        self.shared().flat_map(Entry::connections).map(|known| known.connection.in_flight()).sum()
    }

    /// The address at the other end of a connection, if one is ready.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        let ready = self.list.iter().flat_map(Entry::connections).filter(|known| known.is_ready());
        ready.filter_map(|known| known.peer).next()
    }

    /// The entry that the next handle is bound to: each in turn.
    pub(super) fn assign(&mut self) -> EntryId {
        let id = EntryId::of(self.next);
        self.next = (self.next + 1) % self.shared.max(1);
        id
    }

    #[inline]
    pub(super) fn get(&self, id: EntryId) -> Option<&Entry> {
        self.list.get(id.index())
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.list.get_mut(id.index())
    }

    #[inline]
    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut PoolConnection> {
        self.list.get_mut(id.entry.index())?.connection(id.generation)
    }

    #[inline]
    pub(super) fn role(&self, id: ConnectionId) -> Option<Role> {
        self.list.get(id.entry.index())?.role(id.generation)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = EntryId> + use<> {
        (0..self.list.len()).map(EntryId::of)
    }

    /// The connections that drain.
    pub(super) fn predecessors(&self) -> impl Iterator<Item = ConnectionId> {
        self.list.iter().flat_map(|entry| &entry.predecessors).map(|known| known.id)
    }

    fn shared(&self) -> impl Iterator<Item = &Entry> {
        self.list.iter().take(self.shared)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.list.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.list.iter_mut()
    }

    /// The connections to this peer.
    pub(super) fn connected_to(&mut self, peer: SocketAddr) -> impl Iterator<Item = &mut PoolConnection> {
        let all = self.list.iter_mut().flat_map(Entry::connections_mut);
        all.filter(move |known| known.peer == Some(peer))
    }

    /// The timeouts of the connections to this peer follow its windows.
    pub(super) fn relax(&mut self, peer: SocketAddr, windows: &Windows, now: Instant) {
        self.connected_to(peer).for_each(|known| known.relax(windows, now));
    }

    /// Every command is resolved and every connection closed.
    pub(super) fn are_done(&self) -> bool {
        self.list.iter().all(Entry::is_done)
    }

    pub(super) fn next_timeout(&self, config: &PoolConfig) -> Option<Instant> {
        self.list.iter().fold(None, |next, entry| earliest(next, entry.next_timeout(config)))
    }

    /// How many predecessors wait for replies.
    pub(super) fn draining(&self) -> usize {
        self.list.iter().map(|entry| entry.predecessors.len()).sum()
    }

    /// For how long commands were held at most to keep their order.
    pub(super) fn longest_hold(&self) -> Duration {
        self.list.iter().map(|entry| entry.barrier.longest()).max().unwrap_or_default()
    }

    /// Bytes received and sent on the connections that exist.
    pub(super) fn traffic(&self) -> (u64, u64) {
        let all = self.list.iter().flat_map(Entry::connections).map(|known| known.connection.traffic());
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}
