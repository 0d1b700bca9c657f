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
    }
}
