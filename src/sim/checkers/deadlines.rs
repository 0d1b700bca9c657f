//! No command times out early: neither relaxed timeouts nor anything else shortens a deadline.

use std::time::Duration;

use crate::proto::error::Failure;
use crate::proto::resp::Frame;
use crate::proto::time::Instant;
use crate::sim::outcomes::{Call, CallKind};
use crate::sim::violation::Violation;

/// Checks an answered call: a blocking command that took nothing has waited for its time.
pub(in crate::sim) fn check_wait(call: &Call, now: Instant) -> Result<(), Violation> {
    let CallKind::Take(take) = call.kind else { return Ok(()) };
    let (waited, is_empty) = (now.since(call.submitted), call.replies == [Frame::Null]);
    if is_empty && !take.is_cancelled && (waited < take.limit || take.limit.is_zero()) {
        let what = format!("a wait of {:?} ended without a result after {waited:?}", take.limit);
        return Err(Violation::new("no wait is shortened", what));
    }
    Ok(())
}

/// Checks a failed call: a timeout must come after the command timeout or after the caller's own deadline.
pub(in crate::sim) fn check(
    call: &Call,
    failure: &Failure,
    now: Instant,
    command_timeout: Duration,
) -> Result<(), Violation> {
    let Failure::TimedOut(_) = failure else { return Ok(()) };
    let waited = now.since(call.submitted);
    let by_caller = call.deadline.is_some_and(|(_, at)| now >= at);
    if waited < command_timeout && !by_caller {
        let what =
            format!("a command timed out after {waited:?}, and the command timeout is {command_timeout:?}");
        return Err(Violation::new("no deadline is shortened", what));
    }
    Ok(())
}
