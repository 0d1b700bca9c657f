//! [`Entries`]: all entries of a pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::PoolConfig;
use super::connection::PoolConnection;
use super::entry::{Entry, Role};
use super::ids::{ConnectionId, EntryId};
use crate::proto::error::CloseReason;
use crate::proto::maint::relax::Windows;
use crate::proto::time::{Instant, earliest};

/// All entries of a pool. Their number never changes.
#[derive(Debug)]
pub(crate) struct Entries {
    list: Vec<Entry>,
    next: usize,
}

impl Entries {
    pub(super) fn new(config: &PoolConfig) -> Self {
        let list = (0..config.connections).map(|index| Entry::new(EntryId::of(index), config)).collect();
        Entries { list, next: 0 }
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

    /// How many entries have a ready connection, of how many.
    pub(crate) fn ready(&self) -> (usize, usize) {
        (self.list.iter().filter(|entry| entry.is_ready()).count(), self.list.len())
    }

    /// Why an entry is not ready: the error of the first such entry.
    pub(crate) fn last_error(&self) -> Option<Arc<CloseReason>> {
        self.list.iter().filter(|entry| !entry.is_ready()).find_map(|entry| entry.last_error.clone())
    }

    /// Whether the commands of any entry are rejected, because a server refuses this client.
    pub(crate) fn is_any_rejected(&self) -> bool {
        self.list.iter().any(|entry| entry.is_rejected)
    }

    /// Commands queued, and commands in flight.
    pub(crate) fn depth(&self) -> (usize, usize) {
        self.list.iter().fold((0, 0), |(queued, in_flight), entry| {
            let written: usize = entry.connections().map(|known| known.connection.in_flight()).sum();
            (queued + entry.queue.len(), in_flight + written)
        })
    }

    /// The entry that the next handle is bound to: each in turn.
    pub(super) fn assign(&mut self) -> EntryId {
        let id = EntryId::of(self.next);
        self.next = (self.next + 1) % self.list.len().max(1);
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
