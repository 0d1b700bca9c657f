//! [`TimeoutWindow`]: how long commands may take. The only place that computes a deadline.

use std::time::Duration;

use crate::proto::time::Instant;

/// The timeout of all commands on a connection: `normal`, or `relaxed` while a maintenance window is open.
///
/// No command has a timer of its own. Opening or closing a window changes one value for all of them, and the owner finds
/// the expired ones when the timer of the oldest fires.
///
/// Relaxing never shortens a deadline. [`Duration::MAX`] stands for no timeout: its deadline is the end of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeoutWindow {
    normal: Duration,
    /// At least `normal`.
    relaxed: Duration,
    until: Option<Instant>,
}

impl TimeoutWindow {
    /// A timeout of `normal`, and before `until` of `relaxed` if that is longer.
    pub(crate) fn relaxed(normal: Duration, relaxed: Duration, until: Option<Instant>) -> Self {
        TimeoutWindow { normal, relaxed: normal.max(relaxed), until }
    }

    /// The same window for commands that the server may answer later by `time`, because they wait there.
    #[inline]
    pub(crate) fn longer_by(self, time: Duration) -> Self {
        if time.is_zero() {
            return self;
        }
        let (normal, relaxed) = (self.normal.saturating_add(time), self.relaxed.saturating_add(time));
        TimeoutWindow { normal, relaxed, until: self.until }
    }

    /// The timeout in effect at `now`.
    pub(crate) fn at(&self, now: Instant) -> Duration {
        if self.until.is_some_and(|until| now < until) { self.relaxed } else { self.normal }
    }

    /// Whether a command that expires at `now` was submitted while the window was open. At `until` those commands expire
    /// whose normal timeout the window had extended.
    pub(crate) fn was_relaxed(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until.after(self.normal))
    }

    /// When a command that was submitted at `from` expires. When the window closes, a command that has used up its normal
    /// timeout expires at once; before, a command expires after the relaxed timeout.
    pub(crate) fn deadline(&self, from: Instant) -> Instant {
        let normal = from.after(self.normal);
        self.until.map_or(normal, |until| normal.max(until.min(from.after(self.relaxed))))
    }

    /// Commands that were submitted no later than this have expired at `now`; `None` if no command can have expired.
    ///
    /// This is the inverse of [`TimeoutWindow::deadline`]: a command has expired if and only if its deadline is not after
    /// `now`.
    pub(crate) fn expired_until(&self, now: Instant) -> Option<Instant> {
        if now == Instant::END {
            return Some(Instant::END);
        }
        let timeout = u64::try_from(self.at(now).as_nanos()).ok()?;
        now.as_nanos().checked_sub(timeout).map(Instant::from_nanos)
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
    fn window_extends_deadlines_and_never_shortens_them() {
        let window = TimeoutWindow::relaxed(seconds(1), seconds(10), Some(at(60)));
        assert_eq!(window.deadline(at(0)), at(10));
        assert_eq!(window.deadline(at(55)), at(60), "the command expires with the window");
        assert_eq!(window.deadline(at(59)), at(60), "and a new command gets its normal timeout");
        assert_eq!(window.deadline(Instant::from_nanos(59_500_000_000)), Instant::from_nanos(60_500_000_000));
        assert_eq!((window.at(at(59)), window.at(at(60))), (seconds(10), seconds(1)));
        assert_eq!(
            (window.expired_until(at(59)), window.expired_until(at(60))),
            (Some(at(49)), Some(at(59)))
        );
        assert!(window.was_relaxed(at(60)), "a command that expires now began at 59 or before");
        assert!(!window.was_relaxed(at(61)), "a command that began at 60 did not use the window");
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
        fn deadlines_and_expiry_agree(
            normal in durations(),
            relaxed in durations(),
            until in proptest::option::of(nanos()),
            from in nanos(),
            now in nanos(),
        ) {
            let (from, now) = (Instant::from_nanos(from), Instant::from_nanos(now));
            let window = TimeoutWindow::relaxed(normal, relaxed, until.map(Instant::from_nanos));
            let deadline = window.deadline(from);
            prop_assert_eq!(window.expired_until(now).is_some_and(|until| from <= until), deadline <= now);
            prop_assert!(deadline >= TimeoutWindow::relaxed(normal, normal, None).deadline(from), "relaxing never shortens");
        }
    }
}
