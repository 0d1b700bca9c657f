//! [`Tally`]: the totals of one simulation, or of many.

use std::time::Duration;

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) virtual_time: Duration,
    pub(crate) events: u64,
    pub(crate) commands: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) notifications: u64,
    pub(crate) handoffs: u64,
    pub(crate) handoffs_succeeded: u64,
    pub(crate) faults: u64,
    pub(crate) connections: u64,
    /// Blocking commands that took something, and those that were issued again.
    pub(crate) taken: u64,
    pub(crate) reissued: u64,
    pub(crate) orphaned: u64,
    /// Transactions of sessions that ran.
    pub(crate) transactions: u64,
    /// Watches and transactions that ended with their connection.
    pub(crate) stale: u64,
    /// Calls that subscribed to names, and what the subscriptions of all shards got and missed.
    pub(crate) subscribed: u64,
    pub(crate) messages: u64,
    pub(crate) gaps: u64,
    /// Messages that both connections of a handoff carried.
    pub(crate) duplicates: u64,
    /// Overlaps of handoffs that a bound has ended.
    pub(crate) bounded: u64,
    /// Messages that full buffers dropped.
    pub(crate) lagged: u64,
    /// Writes of bytes that were taken out of the pool.
    pub(crate) writes_taken: u64,
    /// How many of them did not fit, and were given back in part.
    pub(crate) writes_returned: u64,
    /// How many of them ended after another connection had taken over.
    pub(crate) written_across_cut_overs: u64,
    /// How many of them ended after the pool had closed the connection.
    pub(crate) written_across_closes: u64,
}

impl Tally {
    /// Adds the totals of another simulation.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.virtual_time += other.virtual_time;
        self.events += other.events;
        self.commands += other.commands;
        self.answered += other.answered;
        self.failed += other.failed;
        self.notifications += other.notifications;
        self.handoffs += other.handoffs;
        self.handoffs_succeeded += other.handoffs_succeeded;
        self.faults += other.faults;
        self.connections += other.connections;
        self.taken += other.taken;
        self.reissued += other.reissued;
        self.orphaned += other.orphaned;
        self.transactions += other.transactions;
        self.stale += other.stale;
        self.subscribed += other.subscribed;
        self.messages += other.messages;
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.bounded += other.bounded;
        self.lagged += other.lagged;
        self.writes_taken += other.writes_taken;
        self.writes_returned += other.writes_returned;
        self.written_across_cut_overs += other.written_across_cut_overs;
        self.written_across_closes += other.written_across_closes;
    }
}
