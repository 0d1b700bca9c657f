//! [`Unserved`]: what became of calls that no shard has seen. It is touched where calls fail only.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind};
use crate::observe::CommandStats;

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
            // A shard that has ended counts nothing, and has no statistics to add to.
            _ => 0,
        };
    }

    pub(super) fn add_to(&self, stats: &mut CommandStats) {
        stats.add_errors(ErrorKind::Overloaded, self.overloaded.load(Ordering::Relaxed));
        stats.add_errors(ErrorKind::Timeout, self.timeouts.load(Ordering::Relaxed));
    }
}
