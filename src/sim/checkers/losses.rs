//! A handoff loses no command: commands are lost with a connection that the server or the network ended, never with a
//! connection that the client replaced.

use crate::proto::error::{CloseReason, Failure};
use crate::sim::violation::Violation;

pub(in crate::sim) fn check(ticket: u32, failure: &Failure) -> Result<(), Violation> {
    let Failure::Lost { reason, .. } = failure else { return Ok(()) };
    if matches!(**reason, CloseReason::Replaced | CloseReason::LeadsBack | CloseReason::Local) {
        let what = format!("ticket {ticket} was lost: {reason}");
        return Err(Violation::new("a handoff loses no command", what));
    }
    Ok(())
}
