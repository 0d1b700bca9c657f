//! When faults stop, everything comes to its end in bounded time.

use super::Violation;
use crate::proto::pool::Pool;
use crate::sim::outcomes::{End, Outcomes};

const LIVENESS: &str = "everything comes to its end";

/// A while after the last fault, with nobody submitting any more.
pub(in crate::sim) fn check_calm(pool: &mut Pool, outcomes: &Outcomes) -> Result<(), Violation> {
    let violated = |what: String| Err(Violation::new(LIVENESS, what));
    if let Some((ticket, _)) = outcomes.cases.iter().find(|(_, case)| case.end == End::Open) {
        return violated(format!("ticket {ticket} is still open"));
    }
    let (ready, wanted) = pool.ready();
    if ready < wanted {
        return violated(format!("{ready} of {wanted} connections are ready: {:?}", pool.last_error()));
    }
    let stats = pool.maintenance();
    let left = [stats.draining, stats.permits_in_use, stats.handoffs_queued, stats.windows_open];
    if left != [0; 4] {
        return violated(format!("[draining, permits, queued, windows] are {left:?}"));
    }
    let ended = stats.handoffs_succeeded + stats.handoffs_failed + stats.handoffs_superseded;
    if stats.handoffs_started > ended {
        return violated(format!("{} handoffs began, and {ended} ended", stats.handoffs_started));
    }
    Ok(())
}

/// After a shutdown and its grace.
pub(in crate::sim) fn check_shut_down(pool: &mut Pool, outcomes: &Outcomes) -> Result<(), Violation> {
    if !pool.is_shut_down() {
        return Err(Violation::new(LIVENESS, "the pool was told to shut down, and has not".to_owned()));
    }
    match outcomes.cases.iter().find(|(_, case)| case.end == End::Open) {
        Some((ticket, _)) => {
            Err(Violation::new(LIVENESS, format!("ticket {ticket} is open after the shutdown")))
        }
        None => Ok(()),
    }
}
