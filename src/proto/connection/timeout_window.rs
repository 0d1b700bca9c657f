//! [`TimeoutWindow`]: how long something may take. The only place that computes a deadline.
//!
//! A window that opens or closes changes one value for all commands at once: none of them has a timer of its own, and
//! what has expired is worked out when the timer of the oldest fires.

use std::time::Duration;

use crate::proto::time::Instant;

/// How long something may take: `normal`, or `relaxed` for as long as a window is open.
///
/// Relaxing never shortens a deadline. [`Duration::MAX`] stands for ever: a deadline at the end of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeoutWindow {
    normal: Duration,
    /// Never less than `normal`.
    relaxed: Duration,
    until: Option<Instant>,
}

impl TimeoutWindow {
    /// `relaxed`, if that is longer, before `until`.
    pub(crate) fn relaxed(normal: Duration, relaxed: Duration, until: Option<Instant>) -> Self {
        TimeoutWindow { normal, relaxed: normal.max(relaxed), until }
    }

    /// What is in effect at `now`.
    pub(crate) fn at(&self, now: Instant) -> Duration {
        if self.until.is_some_and(|until| now < until) { self.relaxed } else { self.normal }
    }

    /// Whether what expires at `now` had begun before the window was over: at `until` expires what the window had kept.
    pub(crate) fn was_relaxed(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until.after(self.normal))
    }

    /// When something begun at `from` expires, if nothing changes: after the window what has had its normal time
    /// expires at once, and within it what has had its relaxed time.
    pub(crate) fn deadline(&self, from: Instant) -> Instant {
        let normal = from.after(self.normal);
        self.until.map_or(normal, |until| normal.max(until.min(from.after(self.relaxed))))
    }

    /// What began at or before this has expired at `now`; `None` if nothing can have.
    ///
    /// It is [`TimeoutWindow::deadline`] turned around: begun at `from`, something has expired if and only if its deadline
    /// is not after `now`.
    pub(crate) fn expired_until(&self, now: Instant) -> Option<Instant> {
        if now == Instant::END {
            return Some(Instant::END);
        }
        let allowed = u64::try_from(self.at(now).as_nanos()).ok()?;
        now.as_nanos().checked_sub(allowed).map(Instant::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn rt_max_merge() {
        let longer = TimeoutWindow::relaxed(seconds(30), seconds(10), Some(at(100)));
        assert_eq!((longer.at(at(0)), longer.deadline(at(0))), (seconds(30), at(30)));
        assert_eq!(longer.deadline(at(95)), at(125));
        let endless = TimeoutWindow::relaxed(Duration::MAX, seconds(10), Some(at(100)));
        assert_eq!(endless.at(at(0)), Duration::MAX);
        assert_eq!(endless.expired_until(at(10_000)), None, "infinite stays infinite");
        assert_eq!(endless.deadline(at(1)), Instant::from_nanos(u64::MAX));
    }

    #[test]
    fn a_window_gives_time_and_takes_none() {
        let allowance = TimeoutWindow::relaxed(seconds(1), seconds(10), Some(at(60)));
        assert_eq!(allowance.deadline(at(0)), at(10));
        assert_eq!(allowance.deadline(at(55)), at(60), "the end of the window ends the patience");
        assert_eq!(allowance.deadline(at(59)), at(60), "but what is new gets its normal time");
        assert_eq!(
            allowance.deadline(Instant::from_nanos(59_500_000_000)),
            Instant::from_nanos(60_500_000_000)
        );
        assert_eq!((allowance.at(at(59)), allowance.at(at(60))), (seconds(10), seconds(1)));
        assert_eq!(
            (allowance.expired_until(at(59)), allowance.expired_until(at(60))),
            (Some(at(49)), Some(at(59)))
        );
        assert!(allowance.was_relaxed(at(60)), "what expires now began at 59 or before");
        assert!(!allowance.was_relaxed(at(61)), "what began at 60 owes it nothing");
        let strict = TimeoutWindow::relaxed(seconds(1), seconds(1), None);
        assert_eq!((strict.at(at(0)), strict.deadline(at(5))), (seconds(1), at(6)));
        assert_eq!(strict.expired_until(Instant::from_nanos(5)), None);
    }

    fn nanos() -> impl Strategy<Value = u64> {
        prop_oneof![8 => 0..100_u64, 1 => u64::MAX - 100..=u64::MAX, 1 => Just(u64::MAX / 2)]
    }

    fn durations() -> impl Strategy<Value = Duration> {
        prop_oneof![9 => nanos().prop_map(Duration::from_nanos), 1 => Just(Duration::MAX)]
    }

    proptest! {
        #[test]
        fn deadlines_and_what_has_expired_agree(
            normal in durations(),
            relaxed in durations(),
            until in proptest::option::of(nanos()),
            from in nanos(),
            now in nanos(),
        ) {
            let (from, now) = (Instant::from_nanos(from), Instant::from_nanos(now));
            let allowance = TimeoutWindow::relaxed(normal, relaxed, until.map(Instant::from_nanos));
            let deadline = allowance.deadline(from);
            prop_assert_eq!(allowance.expired_until(now).is_some_and(|until| from <= until), deadline <= now);
            prop_assert!(deadline >= TimeoutWindow::relaxed(normal, normal, None).deadline(from), "relaxing never shortens");
        }
    }
}
