//! Nobody pays for a handoff: commands are lost with a connection that the server or the network ended, and never with
//! one that was replaced.

use super::Violation;
use crate::proto::error::{CloseReason, Failure};

pub(in crate::sim) fn check(ticket: u32, failure: &Failure) -> Result<(), Violation> {
    let Failure::Lost { reason, .. } = failure else { return Ok(()) };
    if matches!(**reason, CloseReason::Replaced | CloseReason::LeadsBack | CloseReason::Local) {
        return Err(Violation::new(
            "nobody pays for a handoff",
            format!("ticket {ticket} was lost: {reason}"),
        ));
    }
    Ok(())
}
