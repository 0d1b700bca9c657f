//! [`Clock`]: the time of the sans-IO core, which takes time as an argument.

use std::sync::OnceLock;

use crate::proto::time::Instant;

/// Counts from one origin on all shards of the process, because shards send each other announcements with times in them.
#[derive(Clone, Copy)]
pub(super) struct Clock(std::time::Instant);

impl Clock {
    pub(super) fn of_process() -> Self {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        Clock(*ORIGIN.get_or_init(std::time::Instant::now))
    }

    pub(super) fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
