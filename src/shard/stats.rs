//! [`ShardStats`]: what happened on a shard, as plain numbers.

use std::collections::{BTreeMap, HashMap};

use super::Core;
use crate::observe::CommandStats;
use crate::proto::maint::event::MaintenanceStats;
use crate::proto::pool::ConnectionId;

/// A snapshot of one shard's counters and gauges. Counters begin at 0 with the shard and never go down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardStats {
    /// Connected sockets by the address of their peer.
    pub connections: BTreeMap<String, usize>,
    /// Connections on which commands can be sent.
    pub ready: usize,
    /// Calls that wait for a reply, or whose reply nobody has taken yet.
    pub calls: usize,
    /// Commands that are queued, unsent; a pipeline counts as one.
    pub queued: usize,
    /// Commands that are written, unanswered.
    pub in_flight: usize,
    /// Connections that became ready.
    pub connected: u64,
    /// Connections that were lost after they had been ready.
    pub lost: u64,
    /// Attempts to connect that failed.
    pub dial_failures: u64,
    /// Pushes received.
    pub pushes: u64,
    /// Connections that were closed because their server flooded them with pushes, see
    /// [`Event::Flooded`](crate::observe::Event::Flooded).
    pub floods: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Announcements for other shards that those had no room for; they hear them from their server, too.
    pub broadcasts_dropped: u64,
    /// What became of commands, and how long they took.
    pub commands: CommandStats,
    /// What maintenance did.
    pub maintenance: MaintenanceStats,
}

/// Who is at the other end of each socket.
#[derive(Default)]
pub(super) struct Peers(HashMap<ConnectionId, String>);

impl Peers {
    pub(super) fn insert(&mut self, id: ConnectionId, peer: String) {
        self.0.insert(id, peer);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.0.remove(&id);
    }
}

pub(super) fn collect(core: &mut Core) -> ShardStats {
    let mut connections = BTreeMap::new();
    for peer in core.peers.0.values() {
        *connections.entry(peer.clone()).or_default() += 1;
    }
    let counters = core.pool.counters();
    let (queued, in_flight) = core.pool.depth();
    ShardStats {
        connections,
        ready: core.pool.ready().0,
        calls: core.calls.len(),
        queued,
        in_flight,
        connected: counters.connected,
        lost: counters.lost,
        dial_failures: counters.dial_failures,
        pushes: counters.pushes,
        floods: counters.floods,
        bytes_received: counters.bytes_received,
        bytes_sent: counters.bytes_sent,
        broadcasts_dropped: core.broadcasts_dropped,
        commands: core.calls.counts.clone(),
        maintenance: core.pool.maintenance(),
    }
}
