//! [`Stalls`]: when something blocked a shard's thread, and what, where that is known.
//!
//! No thread watches from outside. The tasks of the shard measure: each poll of a closure from another thread is timed, the
//! reactor knows how long its last turn took, and the supervisor by how much its timer was late. The first of them to notice a
//! stall has it reported.

use std::time::Duration;

use crate::proto::time::Instant;

#[derive(Default)]
pub(crate) struct Stalls {
    /// Not reported to the application yet.
    unreported: Option<Stall>,
    last: Option<(Instant, Stall)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) duration: Duration,
    /// What ran during that time.
    pub(crate) by: Option<&'static str>,
}

impl Stalls {
    /// Something ran for `duration` until now. True if that is a stall that was not noticed before.
    pub(crate) fn note(&mut self, duration: Duration, by: Option<&'static str>, now: Instant) -> bool {
        if duration < STALL_MIN {
            return false;
        }
        // Several may notice one stall: if the last one ended after this one began, they are the same.
        let is_known = self.last.is_some_and(|(end, _)| now.since(end) < duration);
        if is_known {
            return false;
        }
        let stall = Stall { duration, by };
        self.last = Some((now, stall));
        self.unreported = Some(stall);
        true
    }

    /// Takes the stall that was not reported to the application.
    pub(crate) fn take(&mut self) -> Option<Stall> {
        self.unreported.take()
    }

    /// How long the stall took that has just ended, if one has.
    pub(crate) fn just_over(&self, now: Instant) -> Option<Duration> {
        self.last.filter(|(end, _)| now.since(*end) < JUST_OVER_MAX).map(|(_, stall)| stall.duration)
    }
}

/// A shorter time is not reported: tasks may use the thread for some milliseconds each.
const STALL_MIN: Duration = Duration::from_millis(100);
/// The supervisor acts on deadlines that passed during a stall within this time.
const JUST_OVER_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn stall_that_several_notice_is_reported_once() {
        let mut stalls = Stalls::default();
        assert!(!stalls.note(millis(99), None, at(1000)));
        assert!(stalls.note(millis(400), Some("a closure"), at(1000)));
        assert!(!stalls.note(millis(405), None, at(1003)));
        assert!(!stalls.note(millis(300), None, at(1001)));
        assert_eq!(stalls.take(), Some(Stall { duration: millis(400), by: Some("a closure") }));
        assert_eq!(stalls.take(), None);
        assert!(stalls.note(millis(150), None, at(1160)), "it began after the other had ended");
        assert_eq!(stalls.take(), Some(Stall { duration: millis(150), by: None }));
    }

    #[test]
    fn deadlines_learn_of_a_stall_for_a_moment() {
        let mut stalls = Stalls::default();
        assert_eq!(stalls.just_over(at(1000)), None);
        assert!(stalls.note(millis(400), None, at(1000)));
        assert_eq!(stalls.just_over(at(1010)), Some(millis(400)));
        assert_eq!(stalls.just_over(at(1200)), None);
    }
}
