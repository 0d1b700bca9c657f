//! [`ShardStats`]: the counters and gauges of a shard.

use std::collections::BTreeMap;

use super::runtime::Runtime;
use super::state::State;
use crate::observe::CommandStats;
use crate::proto::maint::event::MaintenanceStats;
use crate::proto::role::ConnectionRole;
use crate::proto::subscriptions::SubscriptionStats;

/// A snapshot of one shard's counters and gauges. Counters begin at 0 with the shard and never go down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardStats {
    /// Connected sockets by the address of their peer.
    pub connections: BTreeMap<String, usize>,
    /// Shared connections that can carry commands.
    pub ready: usize,
    /// Ready connections by what they are used for, exclusive ones included.
    pub roles: BTreeMap<ConnectionRole, usize>,
    /// Blocking commands and sessions that wait for an exclusive connection.
    pub exclusive_waiting: usize,
    /// Blocking commands that were issued again on a successor, after a handoff.
    pub blocking_reissued: u64,
    /// Results of blocking commands whose callers had left, see [`Event::Orphaned`](crate::observe::Event::Orphaned).
    pub blocking_orphaned: u64,
    /// Sessions whose watch, or transaction, ended with their connection.
    pub sessions_stale: u64,
    /// Times when the server refused `CLIENT UNBLOCK`, which ends the wait of a blocking command.
    pub unblocks_refused: u64,
    /// Calls that wait for a reply, or whose reply the caller has not taken yet.
    pub calls: usize,
    /// Commands that are queued and unsent. A pipeline counts as one.
    pub queued: usize,
    /// Commands that are written and unanswered.
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
    /// What happened to subscriptions.
    pub subscriptions: SubscriptionStats,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Announcements for other shards that found no room there. Those shards hear them from their own server as well.
    pub broadcasts_dropped: u64,
    /// The outcomes of commands, and how long they took.
    pub commands: CommandStats,
    /// The counts of maintenance.
    pub maintenance: MaintenanceStats,
}

pub(crate) fn collect<R: Runtime>(state: &mut State<R>) -> ShardStats {
    let mut connections = BTreeMap::new();
    for peer in state.peers.values() {
        *connections.entry(peer.clone()).or_default() += 1;
    }
    let counters = state.pool.counters();
    let exclusive = state.pool.exclusive();
    let (queued, in_flight) = state.pool.depth();
    ShardStats {
        connections,
        ready: state.pool.ready().0,
        roles: state.pool.ready_by_role(),
        exclusive_waiting: exclusive.waiting,
        blocking_reissued: exclusive.reissued,
        blocking_orphaned: exclusive.orphaned,
        sessions_stale: exclusive.stale,
        unblocks_refused: exclusive.unblocks_refused,
        calls: state.calls.len(),
        queued,
        in_flight,
        connected: counters.connected,
        lost: counters.lost,
        dial_failures: counters.dial_failures,
        pushes: counters.pushes,
        floods: counters.floods,
        subscriptions: state.pool.subscriptions(),
        bytes_received: counters.bytes_received,
        bytes_sent: counters.bytes_sent,
        broadcasts_dropped: state.broadcasts_dropped,
        commands: state.calls.counts.clone(),
        maintenance: state.pool.maintenance(),
    }
}
