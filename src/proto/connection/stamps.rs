//! [`Stamps`]: when commands were submitted.
//!
//! Commands are stamped a batch at a time, when the driver runs: a clock read for each would cost more than encoding
//! it. Positions and times both only grow.

use std::collections::VecDeque;

use super::queue::Position;
use crate::proto::time::Instant;

/// Everything up to `last` was submitted no later than `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    last: Position,
    at: Instant,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamps(VecDeque<Stamp>);

impl Stamps {
    /// Notes the time for everything up to `last` that has no stamp yet.
    pub(crate) fn note(&mut self, last: Position, at: Instant) {
        if self.0.back().is_none_or(|stamp| stamp.last < last) {
            self.0.push_back(Stamp { last, at });
        }
    }

    /// The time of the oldest stamp.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.0.front().map(|stamp| stamp.at)
    }

    /// Removes the stamps that are not younger than `until`; the last position that they cover.
    pub(crate) fn expire(&mut self, until: Instant) -> Option<Position> {
        let mut last = None;
        while let Some(stamp) = self.0.front().filter(|stamp| stamp.at <= until) {
            last = Some(stamp.last);
            self.0.pop_front();
        }
        last
    }

    /// Removes the stamps of everything before `first`.
    pub(crate) fn forget_before(&mut self, first: Position) {
        while self.0.front().is_some_and(|stamp| stamp.last < first) {
            self.0.pop_front();
        }
    }

    /// Moves the stamps of everything up to `last` to the end of `other`; one that reaches further is left here, too.
    pub(crate) fn move_up_to(&mut self, last: Position, other: &mut Stamps) {
        while let Some(&stamp) = self.0.front() {
            other.0.push_back(Stamp { last: stamp.last.min(last), at: stamp.at });
            if stamp.last > last {
                return;
            }
            self.0.pop_front();
            if stamp.last == last {
                return;
            }
        }
    }

    /// A copy of the stamps of everything from `first` on.
    pub(crate) fn copy_from(&self, first: Position) -> Stamps {
        Stamps(self.0.iter().filter(|stamp| stamp.last >= first).copied().collect())
    }

    /// Puts older stamps in front.
    pub(crate) fn put_front(&mut self, mut older: Stamps) {
        older.0.append(&mut self.0);
        self.0 = older.0;
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(pairs: &[(u64, u64)]) -> Stamps {
        let mut stamps = Stamps::default();
        for &(last, at) in pairs {
            stamps.note(Position(last), Instant::from_nanos(at));
        }
        stamps
    }

    #[test]
    fn what_is_stamped_keeps_its_first_time() {
        assert_eq!(stamps(&[(1, 5), (1, 6), (2, 7)]), stamps(&[(1, 5), (2, 7)]));
    }

    #[test]
    fn a_stamp_that_reaches_further_is_left_for_the_rest() {
        let (mut from, mut to) = (stamps(&[(1, 5), (4, 7)]), Stamps::default());
        from.move_up_to(Position(2), &mut to);
        assert_eq!((from.clone(), to.clone()), (stamps(&[(4, 7)]), stamps(&[(1, 5), (2, 7)])));
        from.move_up_to(Position(4), &mut to);
        assert_eq!((from, to), (Stamps::default(), stamps(&[(1, 5), (2, 7), (4, 7)])));
    }

    #[test]
    fn expiry_says_how_far_it_reached() {
        let mut stamps = stamps(&[(1, 5), (3, 7), (9, 8)]);
        assert_eq!(stamps.expire(Instant::from_nanos(4)), None);
        assert_eq!(stamps.expire(Instant::from_nanos(7)), Some(Position(3)));
        assert_eq!(stamps.oldest(), Some(Instant::from_nanos(8)));
    }
}
