//! [`Clock`]: the time of the sans-IO core, which takes time as an argument.

use std::sync::OnceLock;

use crate::proto::time::Instant;

/// Counts from one origin on all shards of the process, because shards send each other announcements with times in them.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: std::time::Instant,
    #[cfg(test)]
    stands_at: Option<Instant>,
}

impl Clock {
    pub(crate) fn of_process() -> Self {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(std::time::Instant::now);
        Clock {
            origin,
            #[cfg(test)]
            stands_at: None,
        }
    }

    /// Stands at this moment, so that no turn ends earlier because the machine pauses.
    #[cfg(test)]
    pub(super) fn standing() -> Self {
        let clock = Clock::of_process();
        Clock { stands_at: Some(clock.now()), ..clock }
    }

    /// The moment of the standard library's clock.
    pub(crate) fn std(self, at: Instant) -> std::time::Instant {
        self.origin + std::time::Duration::from_nanos(at.as_nanos().min(FAR))
    }

    pub(crate) fn now(self) -> Instant {
        #[cfg(test)]
        if let Some(now) = self.stands_at {
            return now;
        }
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A century: no instant that was ever read is later, and every clock can represent it.
const FAR: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;
