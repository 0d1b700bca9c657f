//! [`ReadBudget`]: how much of one connection a driver reads before other tasks of its shard run.

use std::time::Duration;

use crate::proto::time::Instant;

/// The read budget of one connection.
///
/// The connections of a shard share one thread. A server that only sends pushes, or one endless reply, must not delay the
/// commands on other connections. So each turn of a driver is bounded in time, and each read within it in size. The cost
/// of a byte is unknown before it is read; the budget measures it from the clock reads that the driver makes anyway.
///
/// The driver calls [`ReadBudget::begin`] once per turn, and [`ReadBudget::allows`] before each read, after it has handled
/// the bytes of the read before.
#[derive(Debug)]
pub(crate) struct ReadBudget {
    /// The beginning of this turn.
    began: Instant,
    /// When the bytes of the last read were handled.
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
    /// Begins a turn.
    pub(crate) fn begin(&mut self) {
        self.reads = 0;
    }

    /// Whether the driver may read once more in this turn. All bytes of earlier reads are handled.
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

    /// How many bytes one read may take.
    #[inline]
    pub(crate) fn read_max(&self) -> usize {
        self.read_max
    }

    /// Halves the size of reads that took long to handle, and doubles it again when they are cheap.
    #[inline]
    fn note_cost(&mut self, cost: Duration) {
        if cost > READ_TIME_MAX {
            self.read_max = (self.read_max / 2).max(READ_MIN);
        } else if cost < READ_TIME_MAX / 4 {
            self.read_max = (self.read_max * 2).min(READ_MAX);
        }
    }
}

/// The largest read. The rest of a larger value is received directly into the memory of that value.
pub(crate) const READ_MAX: usize = 32 << 10;
/// The smallest read: some dozens of pushes.
const READ_MIN: usize = 1 << 10;
/// How long the bytes of one read may take to be handled.
const READ_TIME_MAX: Duration = Duration::from_micros(50);
/// After this time, or [`READS_MAX`] reads, other tasks run.
const TURN_TIME_MAX: Duration = Duration::from_micros(100);
const READS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a connection that always has more to read, at this cost per byte. Returns the longest turn after the first
    /// few.
    fn longest_turn(budget: &mut ReadBudget, nanos_per_byte: u64, turns: usize) -> Duration {
        let (mut now, mut longest) = (Instant::from_nanos(1), Duration::ZERO);
        for turn in 0..turns {
            budget.begin();
            let began = now;
            while budget.allows(now) {
                now = now.after(Duration::from_nanos(nanos_per_byte * budget.read_max() as u64 + 1_000));
            }
            if turn >= 10 {
                longest = longest.max(now.since(began));
            }
            // Other tasks run.
            now = now.after(Duration::from_micros(10));
        }
        longest
    }

    #[test]
    fn sc_push_flood_other_connections_unharmed() {
        // From the speed at which kernels copy to the cost of parsing the most expensive pushes.
        for nanos_per_byte in [0, 1, 6, 30, 60] {
            let longest = longest_turn(&mut ReadBudget::default(), nanos_per_byte, 1_000);
            assert!(longest <= TURN_TIME_MAX + READ_TIME_MAX * 2, "{nanos_per_byte} ns a byte: {longest:?}");
        }
    }

    #[test]
    fn cheap_reads_grow_again() {
        let mut budget = ReadBudget::default();
        longest_turn(&mut budget, 60, 100);
        assert!(budget.read_max() <= 2 * READ_MIN);
        longest_turn(&mut budget, 0, 20);
        assert_eq!(budget.read_max(), READ_MAX);
        // A machine that pauses for a second halves the size once.
        budget.begin();
        assert!(budget.allows(Instant::from_nanos(1)) && !budget.allows(Instant::from_nanos(1_000_000_001)));
        assert_eq!(budget.read_max(), READ_MAX / 2);
    }

    #[test]
    fn turn_reads_at_least_once_and_never_forever() {
        let mut budget = ReadBudget::default();
        for _ in 0..3 {
            budget.begin();
            let same = Instant::from_nanos(7);
            assert_eq!((0..100).take_while(|_| budget.allows(same)).count(), READS_MAX);
        }
    }
}
