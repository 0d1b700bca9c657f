//! [`Agenda`]: what happens next.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::network::WireId;
use crate::proto::maint::notification::Announcement;
use crate::proto::pool::LookupId;
use crate::proto::time::Instant;

/// Something that happens at some time.
#[derive(Debug)]
pub(super) enum Happening {
    /// The timer of a shard's pool goes off.
    Timer { shard: usize },
    /// A socket has room again.
    Writable { wire: WireId },
    /// A dial is over.
    Dialed { wire: WireId },
    /// Bytes, or an end, arrive at a server.
    ToServer { wire: WireId },
    /// Bytes, or an end, arrive at a client.
    ToClient { wire: WireId },
    /// The servers have something to do at this time.
    ServerTimer,
    /// A step of the plan.
    Deed { index: usize },
    /// A caller does something.
    Caller { caller: usize },
    /// A name is looked up.
    Resolved { shard: usize, lookup: LookupId },
    /// A shard learns of the newest password.
    Renewed { shard: usize },
    /// One shard has told another.
    Told { shard: usize, announcement: Box<Announcement> },
}

/// Ordered by time, and among equals by when they were planned.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    number: u64,
    happening: Happening,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Instant, happening: Happening) {
        self.planned += 1;
        self.heap.push(Reverse(Entry { at, number: self.planned, happening }));
    }

    pub(super) fn pop(&mut self) -> Option<(Instant, Happening)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.happening))
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}
