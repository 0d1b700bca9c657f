//! When a shard's callers may send, and when they must stop.
//!
//! One gate for each thread of callers, of plain cells: a caller compares a time that it has read
//! anyway with the deadline, and takes its commands from the thread's own share.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::pacer::Pacer;
use super::workload::{Limit, Workload};

/// A run without a time limit ends long before this.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Debug)]
pub(crate) struct Gate {
    begin: Instant,
    deadline: Cell<Instant>,
    left: Cell<u64>,
    pacer: Option<RefCell<Pacer>>,
}

impl Gate {
    /// The gate of thread `part` of `parts`.
    pub(crate) fn new(workload: &Workload, begin: Instant, part: usize, parts: usize) -> Gate {
        let (length, left) = match workload.limit {
            Limit::Duration(duration) => (duration.min(FOREVER), u64::MAX),
            Limit::Requests(requests) => (FOREVER, share(requests, part, parts)),
        };
        let pacer = |rate| RefCell::new(Pacer::new(rate, workload.pipeline, part, parts));
        Gate {
            begin,
            deadline: Cell::new(begin + length),
            left: Cell::new(left),
            pacer: workload.rate.map(pacer),
        }
    }

    pub(crate) fn begin(&self) -> Instant {
        self.begin
    }

    pub(crate) fn is_closed(&self, now: Instant) -> bool {
        now >= self.deadline.get()
    }

    /// Lets nobody pass any more.
    pub(crate) fn close(&self) {
        self.deadline.set(self.begin);
    }

    /// Takes up to `wanted` commands from what is left of the thread's share.
    pub(crate) fn take(&self, wanted: usize) -> usize {
        let left = self.left.get();
        let taken = left.min(wanted as u64);
        self.left.set(left - taken);
        // Not above `wanted`, so it fits.
        taken as usize
    }

    /// The intended time of the next batch in an open loop, whenever that is.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let due = self.pacer.as_ref()?.borrow_mut().next();
        Some(self.begin + due.min(FOREVER))
    }
}

/// The share of `part` of `parts`: all shares add up, and differ by one at most.
fn share(whole: u64, part: usize, parts: usize) -> u64 {
    let (part, parts) = (part as u64, parts.max(1) as u64);
    whole / parts + u64::from(part < whole % parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (whole, parts) in [(10, 3), (2, 5), (0, 1), (1_000_000, 7)] {
            let sum: u64 = (0..parts).map(|part| share(whole, part, parts)).sum();
            assert_eq!(sum, whole);
        }
    }

    #[test]
    fn a_gate_gives_out_its_share_and_no_more() {
        let workload = Workload { limit: Limit::Requests(10), ..Workload::default() };
        let begin = Instant::now();
        let gate = Gate::new(&workload, begin, 0, 1);
        assert_eq!([gate.take(4), gate.take(4), gate.take(4), gate.take(4)], [4, 4, 2, 0]);
        assert!(!gate.is_closed(begin + Duration::from_secs(1 << 20)));
        assert_eq!(gate.next_arrival(), None);
    }

    #[test]
    fn a_gate_closes_at_its_time_or_when_told() {
        let limit = Limit::Duration(Duration::from_secs(3));
        let workload = Workload { limit, rate: Some(10), ..Workload::default() };
        let begin = Instant::now();
        let gate = Gate::new(&workload, begin, 1, 2);
        assert!(!gate.is_closed(begin + Duration::from_millis(2999)));
        assert!(gate.is_closed(begin + Duration::from_secs(3)));
        assert_eq!(gate.next_arrival(), Some(begin + Duration::from_millis(100)));
        gate.close();
        assert!(gate.is_closed(begin));
    }
}
