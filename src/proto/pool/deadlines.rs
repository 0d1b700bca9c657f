//! [`Deadlines`]: the few commands whose callers have set a limit of their own.
//!
//! All others share one timer, which looks at the oldest only.

use std::collections::BTreeMap;
use std::time::Duration;

use super::EntryId;
use crate::proto::connection::{Position, Ticket};
use crate::proto::time::Instant;

/// The name of one deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeadlineId {
    at: Instant,
    number: u64,
}

/// Which command it is of, and how long its caller was ready to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limited {
    pub(crate) entry: EntryId,
    pub(crate) position: Position,
    pub(crate) ticket: Ticket,
    pub(crate) after: Duration,
}

/// There are never more of them than open calls: whoever set one clears it.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    table: BTreeMap<DeadlineId, Limited>,
    next: u64,
}

impl Deadlines {
    pub(super) fn set(&mut self, at: Instant, limited: Limited) -> DeadlineId {
        let id = DeadlineId { at, number: self.next };
        self.next += 1;
        self.table.insert(id, limited);
        id
    }

    pub(super) fn clear(&mut self, id: DeadlineId) {
        self.table.remove(&id);
    }

    /// Takes out one that is over.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Limited> {
        let first = self.table.first_entry()?;
        (first.key().at <= now).then(|| first.remove())
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.table.first_key_value().map(|(id, _)| id.at)
    }
}
