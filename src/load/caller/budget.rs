//! The send budget of one group of callers: when they may send, from when on commands are measured, and when the
//! callers stop.
//!
//! Each group has its own budget. A caller compares the deadline with a clock reading that it needs anyway, and takes
//! its commands from the group's own share. A closed loop that is limited by time takes no lock and counts nothing.
//! Callers in tokio share the budget across threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::pacer::Pacer;
use crate::load::workload::{Limit, Workload};

/// The phases of one group of callers, and the commands that its callers may still send.
///
/// ```text
/// begin ──── warm-up ────▶ measured_from ──── measured ────▶ deadline, or stop()
///            take() is free               take() deducts      is_over()
/// ```
///
/// A caller calls [`next_arrival`](SendBudget::next_arrival) and [`take`](SendBudget::take) once for each batch, before
/// it waits for the intended time. A command of the warm-up that ends in the measured time must be reported through
/// [`carried_over`](SendBudget::carried_over); otherwise a run that is limited by a number of commands measures too many.
#[derive(Debug)]
pub(crate) struct SendBudget {
    begin: Instant,
    measured_from: Instant,
    deadline: Instant,
    /// When the user stopped the run, if that was before its end.
    stopped: OnceLock<Instant>,
    /// Commands that may still be sent, if the run is limited by their number.
    left: Option<AtomicU64>,
    pacer: Option<Mutex<Pacer>>,
}

impl SendBudget {
    /// The budget of group `part` of `parts`. Its callers begin at `begin`, with the warm-up if there is one.
    pub(crate) fn new(workload: &Workload, begin: Instant, part: usize, parts: usize) -> SendBudget {
        let (length, left) = match workload.limit {
            Limit::Duration(duration) => (duration.min(FOREVER), None),
            Limit::Requests(requests) => (FOREVER, Some(AtomicU64::new(share(requests, part, parts)))),
        };
        let Workload { arrivals, pipeline, seed, .. } = *workload;
        let pacer = |rate| Mutex::new(Pacer::new(arrivals, rate, pipeline, (part, parts), seed));
        let measured_from = begin + workload.warm_up.min(FOREVER);
        SendBudget {
            begin,
            measured_from,
            deadline: measured_from + length,
            stopped: OnceLock::new(),
            left,
            pacer: workload.rate.map(pacer),
        }
    }

    pub(crate) fn begin(&self) -> Instant {
        self.begin
    }

    /// A command that ends before this time belongs to the warm-up. One that ends later is measured, even if it was
    /// sent before.
    pub(crate) fn measured_from(&self) -> Instant {
        self.measured_from
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline || self.stopped.get().is_some()
    }

    /// Stops the callers: no command is sent any more.
    pub(crate) fn stop(&self) {
        // A second stop does not change the time of the first one.
        let _ = self.stopped.set(Instant::now());
    }

    /// Takes up to `wanted` commands from the rest of the group's share, to be sent at `at`. Commands that are sent
    /// during the warm-up are not part of the share, unless they end after it.
    pub(crate) fn take(&self, wanted: usize, at: Instant) -> usize {
        match &self.left {
            Some(left) if at >= self.measured_from => {
                // Not above `wanted`, so it fits.
                deduct(left, wanted as u64) as usize
            }
            _ => wanted,
        }
    }

    /// Deducts commands that were sent during the warm-up and ended after it: they are measured, so they are part of
    /// the share.
    pub(crate) fn carried_over(&self, commands: u64) {
        if let Some(left) = &self.left {
            deduct(left, commands);
        }
    }

    /// The intended time of the next batch of an open loop; `None` in a closed loop.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let due = lock(self.pacer.as_ref()?).next();
        Some(self.begin + due.min(FOREVER))
    }

    /// Commands of an open loop that were due in the measured time and that no caller was free to send.
    pub(crate) fn unsent(&self) -> u64 {
        let Some(pacer) = &self.pacer else { return 0 };
        let end = self.stopped.get().copied().unwrap_or(self.deadline);
        let due = |until: Instant| lock(pacer).left_before(until.saturating_duration_since(self.begin));
        let left = self.left.as_ref().map_or(u64::MAX, |left| left.load(Ordering::Relaxed));
        due(end).saturating_sub(due(self.measured_from)).min(left)
    }
}

fn lock(pacer: &Mutex<Pacer>) -> MutexGuard<'_, Pacer> {
    pacer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes up to this many from what is left, and returns how many it took.
fn deduct(left: &AtomicU64, wanted: u64) -> u64 {
    let rest = |left: u64| Some(left.saturating_sub(wanted));
    // The closure always returns a value, so both cases hold the number before.
    let (Ok(before) | Err(before)) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    before.min(wanted)
}

/// The share of `part` of `parts`. All shares add up to the whole, and differ by one at most.
fn share(whole: u64, part: usize, parts: usize) -> u64 {
    let (part, parts) = (part as u64, parts.max(1) as u64);
    whole / parts + u64::from(part < whole % parts)
}

/// A run that is limited by a number of commands ends long before this.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn shares_add_up() {
        for (whole, parts) in [(10, 3), (2, 5), (0, 1), (1_000_000, 7)] {
            let sum: u64 = (0..parts).map(|part| share(whole, part, parts)).sum();
            assert_eq!(sum, whole);
        }
    }

    #[test]
    fn a_budget_hands_out_its_share_only() {
        let workload = Workload { limit: Limit::Requests(10), warm_up: SECOND, ..Workload::default() };
        let begin = Instant::now();
        let budget = SendBudget::new(&workload, begin, 0, 1);
        let warming = begin + SECOND / 2;
        assert_eq!(
            [budget.take(40, begin), budget.take(40, warming)],
            [40, 40],
            "the warm-up does not count"
        );
        let measured = budget.measured_from();
        assert_eq!(measured, begin + SECOND);
        budget.carried_over(1);
        let taken = [4, 4, 4, 4].map(|wanted| budget.take(wanted, measured));
        assert_eq!(taken, [4, 4, 1, 0], "one was in flight, and counts");
        budget.carried_over(5);
        assert_eq!(budget.take(1, measured), 0);
        assert!(!budget.is_over(begin + SECOND * (1 << 20)));
        assert_eq!((budget.next_arrival(), budget.unsent()), (None, 0));
    }

    #[test]
    fn a_budget_ends_at_its_deadline_or_when_stopped() {
        let limit = Limit::Duration(SECOND * 3);
        let workload = Workload { limit, warm_up: SECOND * 2, rate: Some(10), ..Workload::default() };
        let begin = Instant::now();
        let budget = SendBudget::new(&workload, begin, 1, 2);
        assert!(!budget.is_over(begin + Duration::from_millis(4999)));
        assert!(budget.is_over(begin + SECOND * 5));
        assert_eq!(budget.next_arrival(), Some(begin + Duration::from_millis(100)));
        budget.stop();
        assert!(budget.is_over(begin));
    }

    #[test]
    fn unsent_commands_count_in_the_measured_time_only() {
        let limit = Limit::Duration(SECOND * 3);
        let workload = Workload { limit, warm_up: SECOND * 2, rate: Some(10), ..Workload::default() };
        let budget = SendBudget::new(&workload, Instant::now(), 0, 1);
        assert_eq!(budget.unsent(), 30);
        let taken = |count: usize| assert!((0..count).all(|_| budget.next_arrival().is_some()));
        taken(20);
        assert_eq!(budget.unsent(), 30, "these were part of the warm-up");
        taken(29);
        assert_eq!(budget.unsent(), 1);
        taken(5);
        assert_eq!(budget.unsent(), 0, "the rest is due after the end");
        let requests = Workload { limit: Limit::Requests(7), ..workload };
        let budget = SendBudget::new(&requests, Instant::now(), 0, 1);
        assert_eq!(budget.unsent(), 7);
        assert_eq!(budget.take(7, budget.measured_from()), 7);
        assert_eq!(budget.unsent(), 0);
    }
}
