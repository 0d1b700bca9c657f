//! Time in the sans-IO core: instants that the driver passes in, and backoff.

use std::time::Duration;

/// A point in time: nanoseconds since an origin. The driver of a shard chooses the origin once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant(u64);

impl Instant {
    /// The end of time. No clock reaches it.
    pub(crate) const END: Instant = Instant(u64::MAX);

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Instant(nanos)
    }

    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The instant that is `duration` later, or the end of time.
    pub(crate) fn after(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(duration.as_nanos().try_into().unwrap_or(u64::MAX)))
    }
}

/// The earlier of two deadlines, either of which may be absent.
pub(crate) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Exponential backoff with full jitter, so that clients which lost their server together do not return together.
///
/// The `n`th delay is uniform in `(0, min(first × 2ⁿ, most)]`.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Backoff { first, most, failures: 0 }
    }

    /// Counts one more failure, and returns how long to wait.
    pub(crate) fn next_delay(&mut self, random: &mut fastrand::Rng) -> Duration {
        let longest = self.first.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random.u64(0..=nanos).max(nanos / JITTER_FLOOR))
    }

    /// Forgets all failures.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Enough doublings to reach any sensible maximum without an overflow.
const DOUBLINGS_MAX: u32 = 20;
/// The shortest delay is this fraction of the longest. Without it, an unlucky random number would make the client dial a
/// server that refuses at once in a tight loop.
const JITTER_FLOOR: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_do_not_wrap() {
        let late = Instant::from_nanos(u64::MAX - 1);
        assert_eq!(late.after(Duration::from_secs(1)), Instant::from_nanos(u64::MAX));
        assert_eq!(Instant::from_nanos(1).since(late), Duration::ZERO);
    }

    #[test]
    fn backoff_doubles_to_its_maximum_with_jitter() {
        let (first, most) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut random = fastrand::Rng::with_seed(7);
        for (failures, longest_ms) in [50, 100, 200, 400, 800, 1000, 1000].into_iter().enumerate() {
            for _ in 0..100 {
                let mut backoff = Backoff { first, most, failures: u32::try_from(failures).unwrap() };
                let delay = backoff.next_delay(&mut random);
                assert!(delay <= Duration::from_millis(longest_ms), "{failures}: {delay:?}");
                assert!(delay >= Duration::from_millis(longest_ms) / 10, "{failures}: {delay:?}");
            }
        }
        let mut backoff = Backoff { first, most, failures: u32::MAX };
        assert!(backoff.next_delay(&mut random) <= most);
        backoff.reset();
        assert!(backoff.next_delay(&mut random) <= first);
    }
}
