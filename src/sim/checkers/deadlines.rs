//! No command is given up before its time: relaxing never shortens a deadline, and neither does anything else.

use std::time::Duration;

use super::Violation;
use crate::proto::error::Failure;
use crate::proto::time::Instant;
use crate::sim::outcomes::Case;

/// A command that failed for being late: was it?
pub(in crate::sim) fn check(
    case: &Case,
    failure: &Failure,
    now: Instant,
    command_timeout: Duration,
) -> Result<(), Violation> {
    let Failure::TimedOut { .. } = failure else { return Ok(()) };
    let waited = now.since(case.submitted);
    let by_caller = case.deadline.is_some_and(|(_, at)| now >= at);
    if waited < command_timeout && !by_caller {
        let what = format!("a command timed out after {waited:?}, and it was given {command_timeout:?}");
        return Err(Violation::new("no deadline is shortened", what));
    }
    Ok(())
}
