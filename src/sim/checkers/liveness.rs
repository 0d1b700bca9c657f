//! When the faults end, every command resolves in bounded time and every connection is ready again.

use crate::proto::pool::Pool;
use crate::sim::outcomes::{Call, End, Outcomes};
use crate::sim::violation::Violation;

/// Runs long after the last fault and the last submission.
pub(in crate::sim) fn check_recovered(pool: &mut Pool, outcomes: &Outcomes) -> Result<(), Violation> {
    let violated = |what: String| Err(Violation::new(LIVENESS, what));
    let is_due = |call: &Call| call.end == End::Open && !call.is_endless();
    if let Some((ticket, call)) = outcomes.calls.iter().find(|(_, call)| is_due(call)) {
        return violated(format!("ticket {ticket} is still open: {call:?}"));
    }
    let (ready, wanted) = pool.entries().ready();
    if ready < wanted {
        return violated(format!(
            "{ready} of {wanted} connections are ready: {:?}",
            pool.entries().last_error()
        ));
    }
    let stats = pool.maintenance();
    let left = [stats.draining, stats.permits_in_use, stats.handoffs_queued, stats.windows_open];
    if left != [0; 4] {
        return violated(format!("[draining, permits, queued, windows] are {left:?}"));
    }
    let ended = stats.handoffs_succeeded + stats.handoffs_failed + stats.handoffs_superseded;
    if stats.handoffs_started > ended {
        return violated(format!("{} handoffs started, and {ended} ended", stats.handoffs_started));
    }
    Ok(())
}

/// Runs after a shutdown and its grace.
pub(in crate::sim) fn check_shut_down(pool: &mut Pool, outcomes: &Outcomes) -> Result<(), Violation> {
    if !pool.is_shut_down() {
        return Err(Violation::new(LIVENESS, "the pool has not shut down within the grace".to_owned()));
    }
    match outcomes.calls.iter().find(|(_, call)| call.end == End::Open) {
        Some((ticket, _)) => {
            Err(Violation::new(LIVENESS, format!("ticket {ticket} is open after the shutdown")))
        }
        None => Ok(()),
    }
}

const LIVENESS: &str = "everything resolves after the last fault";
