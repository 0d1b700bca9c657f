//! [`ReadBudget`]: how much of one connection a driver reads before other tasks of its shard run.
//!
//! The connections of a shard take turns. A server that sends nothing but pushes, or one endless reply, must not make
//! the commands on other connections wait: a turn is bounded in time, and so is each read within it, by its size. What
//! a byte costs is not known before it is read; it is measured, by the times at which the driver looks at its clock
//! anyway.

use std::time::Duration;

use crate::proto::time::Instant;

/// What one connection may be read, turn by turn.
#[derive(Debug)]
pub(crate) struct ReadBudget {
    /// When this turn began, and when the last read of it was handled.
    began: Instant,
    handled: Instant,
    reads: usize,
    read_max: usize,
}

impl Default for ReadBudget {
    fn default() -> Self {
        ReadBudget { began: Instant::default(), handled: Instant::default(), reads: 0, read_max: READ_MAX }
    }
}

impl ReadBudget {
    /// A turn begins.
    pub(crate) fn begin(&mut self) {
        self.reads = 0;
    }

    /// Whether the driver may read now, in this turn: what was read before is handled.
    #[inline]
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        if self.reads == 0 {
            self.began = now;
        } else {
            self.note_cost(now.since(self.handled));
            if self.reads >= READS_MAX || now.since(self.began) >= TURN_TIME_MAX {
                return false;
            }
        }
        self.handled = now;
        self.reads += 1;
        true
    }

    /// How many bytes may be read at once.
    #[inline]
    pub(crate) fn read_max(&self) -> usize {
        self.read_max
    }

    /// Costly reads become smaller, and cheap ones larger again.
    #[inline]
    fn note_cost(&mut self, cost: Duration) {
        if cost > READ_TIME_MAX {
            self.read_max = (self.read_max / 2).max(READ_MIN);
        } else if cost < READ_TIME_MAX / 4 {
            self.read_max = (self.read_max * 2).min(READ_MAX);
        }
    }
}

/// How much is read at once, at the most. Larger values are received straight into their own memory.
pub(crate) const READ_MAX: usize = 32 << 10;
/// The least that a read shrinks to: some dozens of pushes.
const READ_MIN: usize = 1 << 10;
/// So long may what was read at once take to be handled.
const READ_TIME_MAX: Duration = Duration::from_micros(50);
/// After this time, or so many reads, other tasks run, however much there is to read.
const TURN_TIME_MAX: Duration = Duration::from_micros(100);
const READS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection on which there is always more to read, at so much a byte: the longest of so many turns, after the
    /// first few.
    fn longest_turn(share: &mut ReadBudget, nanos_per_byte: u64, turns: usize) -> Duration {
        let (mut now, mut longest) = (Instant::from_nanos(1), Duration::ZERO);
        for turn in 0..turns {
            share.begin();
            let began = now;
            while share.allows(now) {
                now = now.after(Duration::from_nanos(nanos_per_byte * share.read_max() as u64 + 1_000));
            }
            if turn >= 10 {
                longest = longest.max(now.since(began));
            }
            // Others run.
            now = now.after(Duration::from_micros(10));
        }
        longest
    }

    #[test]
    fn sc_push_flood_other_connections_unharmed() {
        // From what kernels copy to what the costliest pushes take to be understood.
        for nanos_per_byte in [0, 1, 6, 30, 60] {
            let longest = longest_turn(&mut ReadBudget::default(), nanos_per_byte, 1_000);
            assert!(longest <= TURN_TIME_MAX + READ_TIME_MAX * 2, "{nanos_per_byte} ns a byte: {longest:?}");
        }
    }

    #[test]
    fn what_is_cheap_is_read_in_large_pieces_again() {
        let mut share = ReadBudget::default();
        longest_turn(&mut share, 60, 100);
        assert!(share.read_max() <= 2 * READ_MIN);
        longest_turn(&mut share, 0, 20);
        assert_eq!(share.read_max(), READ_MAX);
        // A machine that pauses for a second costs one halving.
        share.begin();
        assert!(share.allows(Instant::from_nanos(1)) && !share.allows(Instant::from_nanos(1_000_000_001)));
        assert_eq!(share.read_max(), READ_MAX / 2);
    }

    #[test]
    fn a_turn_reads_at_least_once_and_never_without_end() {
        let mut share = ReadBudget::default();
        for _ in 0..3 {
            share.begin();
            let same = Instant::from_nanos(7);
            assert_eq!((0..100).take_while(|_| share.allows(same)).count(), READS_MAX);
        }
    }
}
