//! [`EventQueue`]: the future events of a simulation, in the order of their time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::network::WireId;
use crate::proto::maint::notification::Announcement;
use crate::proto::pool::LookupId;
use crate::proto::time::Instant;

/// An event with a time at which it is due.
#[derive(Debug)]
pub(super) enum SimEvent {
    /// The timer of a shard's pool is due.
    Timer { shard: usize },
    /// A socket has room again.
    Writable { wire: WireId },
    /// A driver that holds taken bytes writes, or one that has let its callers run goes on.
    Write { wire: WireId },
    /// A dial ends.
    Dialed { wire: WireId },
    /// Bytes or a close arrive at a server.
    ToServer { wire: WireId },
    /// Bytes or a close arrive at a client.
    ToClient { wire: WireId },
    /// The servers have a timer due.
    ServerTimer,
    /// A fault of the plan.
    Fault { index: usize },
    /// The next action of a caller.
    Caller { caller: usize },
    /// The next action of a caller that blocks.
    Blocker { number: usize },
    /// The next action of a caller with a session.
    Session { number: usize },
    /// The next action of a caller with a subscription.
    Subscription { number: usize },
    /// A woken caller reads what its subscription has.
    Read { number: usize },
    /// The next messages of a publisher.
    Publish { publisher: usize },
    /// The supervisor of a shard runs because a caller needs a connection for itself.
    Turn { shard: usize },
    /// A look-up ends.
    Resolved { shard: usize, lookup: LookupId },
    /// A shard gets the newest password.
    Renewed { shard: usize },
    /// The announcement of another shard arrives.
    Broadcast { shard: usize, announcement: Box<Announcement> },
}

/// Events are ordered by their time; events at the same time keep the order in which they were scheduled.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    heap: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
}

#[derive(Debug)]
struct Scheduled {
    at: Instant,
    number: u64,
    event: SimEvent,
}

impl EventQueue {
    pub(super) fn schedule(&mut self, at: Instant, event: SimEvent) {
        self.scheduled += 1;
        self.heap.push(Reverse(Scheduled { at, number: self.scheduled, event }));
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, SimEvent)> {
        self.heap.pop().map(|Reverse(next)| (next.at, next.event))
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(next)| next.at)
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}
