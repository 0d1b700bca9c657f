//! [`Deadlines`]: the commands whose callers set a timeout for the one call.
//!
//! All other commands share one timer, that of the oldest in each queue.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ids::EntryId;
use crate::proto::connection::{Position, Ticket};
use crate::proto::time::Instant;

/// The name of one deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeadlineId {
    at: Instant,
    number: u64,
}

/// The command that a deadline belongs to, and the timeout that its caller set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallDeadline {
    pub(crate) entry: EntryId,
    pub(crate) position: Position,
    pub(crate) ticket: Ticket,
    pub(crate) after: Duration,
}

/// The deadlines of single calls. There are never more of them than open calls, since each call clears its own.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    table: BTreeMap<DeadlineId, CallDeadline>,
    next: u64,
}

impl Deadlines {
    pub(crate) fn set(&mut self, at: Instant, call: CallDeadline) -> DeadlineId {
        let id = DeadlineId { at, number: self.next };
        self.next += 1;
        self.table.insert(id, call);
        id
    }

    pub(crate) fn clear(&mut self, id: DeadlineId) {
        self.table.remove(&id);
    }

    /// Takes out a deadline that has passed.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<CallDeadline> {
        let first = self.table.first_entry()?;
        (first.key().at <= now).then(|| first.remove())
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.table.first_key_value().map(|(id, _)| id.at)
    }
}
