//! [`PushMeter`]: a token bucket that limits the pushes that one server may send without use.
//!
//! A push costs its server almost no time. It costs its reader a frame that is decoded, parsed and dropped. The bucket
//! does not count pushes that the application handles: their rate is the application's decision.

use std::time::Duration;

use crate::proto::time::Instant;

/// The cost of one push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushUse {
    /// The application handles it.
    Handled,
    /// The push announced a new move. It costs more, because connections may be dialed for it.
    Move,
    /// Another announcement, a duplicate, a malformed push, or one without a handler.
    None,
}

/// The token bucket of one connection.
#[derive(Debug)]
pub(crate) struct PushMeter {
    /// The tokens that were left at `at`, in billionths of a push.
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
    /// Counts one push; false if the connection has sent too many.
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

    /// How many pushes the connection has sent in total, without the handled ones.
    pub(crate) fn useless(&self) -> u64 {
        self.useless
    }
}

/// How many pushes a connection may send per second.
pub(crate) const PER_SECOND: u64 = 500;
/// How many pushes a connection may send at once. Servers were seen to send some thousand copies of one announcement.
pub(crate) const BURST: u64 = 5_000;
/// How many pushes one new move counts for.
const MOVE_COST: u64 = 16;
/// Nanoseconds per second. Tokens are counted in this unit, so that no division is needed to refill the bucket.
const SCALE: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// How many of these pushes the meter admits at once.
    fn most(meter: &mut PushMeter, push: PushUse, now: Instant) -> u64 {
        (0..100_000).take_while(|_| meter.note(push, now)).count() as u64
    }

    #[test]
    fn bucket_is_used_up_and_refills_with_time() {
        let mut meter = PushMeter::default();
        assert_eq!(most(&mut meter, PushUse::None, at(0)), BURST);
        assert_eq!(most(&mut meter, PushUse::None, at(1_000)), PER_SECOND);
        assert_eq!(most(&mut meter, PushUse::None, at(1_002)), 1);
        assert_eq!(
            most(&mut meter, PushUse::None, at(10_000_000)),
            BURST,
            "the bucket never holds more than at first"
        );
        assert!(meter.useless() > BURST * 2);
    }

    #[test]
    fn slow_or_handled_pushes_never_end_a_connection() {
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
