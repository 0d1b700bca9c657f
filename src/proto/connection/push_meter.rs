//! [`PushMeter`]: how many pushes of no use one connection has sent, and whether those are too many.
//!
//! A push costs its server nothing, and its reader a frame that is built, understood and dropped. Pushes that the
//! application handles are its own affair; all others are counted against an allowance that fills up with time.

use std::time::Duration;

use crate::proto::time::Instant;

/// What one push counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushUse {
    /// The application handles it.
    Handled,
    /// It announced a new move. Connections may be dialed because of it, which costs more than to read it.
    Move,
    /// News of another kind, a copy, rubbish, or what nothing handles.
    None,
}

/// The pushes of one connection.
#[derive(Debug)]
pub(crate) struct PushMeter {
    /// What is left of the allowance, in billionths of a push, as it was at `at`.
    left: u64,
    at: Option<Instant>,
    useless: u64,
}

impl Default for PushMeter {
    fn default() -> Self {
        PushMeter { left: BURST * SCALE, at: None, useless: 0 }
    }
}

impl PushMeter {
    /// Counts one push; false once there were more than a connection may send.
    pub(crate) fn note(&mut self, push: PushUse, now: Instant) -> bool {
        let cost = match push {
            PushUse::Handled => return true,
            PushUse::Move => MOVE_COST,
            PushUse::None => 1,
        };
        self.useless += 1;
        let elapsed = self.at.map_or(Duration::ZERO, |at| now.since(at));
        self.at = Some(now);
        let gained = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX).saturating_mul(PER_SECOND);
        self.left = self.left.saturating_add(gained).min(BURST * SCALE);
        match self.left.checked_sub(cost * SCALE) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// How many pushes were of no use, all in all.
    pub(crate) fn useless(&self) -> u64 {
        self.useless
    }
}

/// So many pushes of no use a connection may send each second,
pub(crate) const PER_SECOND: u64 = 500;
/// and so many at once: some thousands of copies of one announcement were seen.
pub(crate) const BURST: u64 = 5_000;
/// How many of them one push counts for that announces a new move.
const MOVE_COST: u64 = 16;
/// Nanoseconds in a second, so that time needs no division.
const SCALE: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// How many of these a connection may send at once.
    fn most(meter: &mut PushMeter, push: PushUse, now: Instant) -> u64 {
        (0..100_000).take_while(|_| meter.note(push, now)).count() as u64
    }

    #[test]
    fn an_allowance_is_used_up_and_fills_with_time() {
        let mut meter = PushMeter::default();
        assert_eq!(most(&mut meter, PushUse::None, at(0)), BURST);
        assert_eq!(most(&mut meter, PushUse::None, at(1_000)), PER_SECOND);
        assert_eq!(most(&mut meter, PushUse::None, at(1_002)), 1);
        assert_eq!(most(&mut meter, PushUse::None, at(10_000_000)), BURST, "and never more than at first");
        assert!(meter.useless() > BURST * 2);
    }

    #[test]
    fn what_comes_slowly_or_is_handled_never_ends_a_connection() {
        let mut meter = PushMeter::default();
        assert!((0..100_000).all(|number| meter.note(PushUse::None, at(number * 2))));
        assert!((0..100_000).all(|_| meter.note(PushUse::Handled, at(0))));
    }

    #[test]
    fn new_moves_count_for_more_than_copies() {
        let mut meter = PushMeter::default();
        assert_eq!(most(&mut meter, PushUse::Move, at(0)), BURST / MOVE_COST);
    }
}
