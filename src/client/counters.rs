//! [`Unserved`]: the errors of calls that no shard has accepted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};
use crate::observe::CommandStats;

/// Counts the errors of calls that no shard has accepted. Calls that succeed do not touch it.
#[derive(Default)]
pub(super) struct Unserved {
    overloaded: AtomicU64,
    timeouts: AtomicU64,
}

impl Unserved {
    pub(super) fn count(&self, error: &Error) {
        match error.kind() {
            ErrorKind::Overloaded => self.overloaded.fetch_add(1, Ordering::Relaxed),
            ErrorKind::Timeout => self.timeouts.fetch_add(1, Ordering::Relaxed),
            // A shard that has ended has no statistics to add these to.
            _ => 0,
        };
    }

    pub(super) fn add_to(&self, stats: &mut CommandStats) {
        stats.add_errors(ErrorKind::Overloaded, self.overloaded.load(Ordering::Relaxed));
        stats.add_errors(ErrorKind::Timeout, self.timeouts.load(Ordering::Relaxed));
    }
}
