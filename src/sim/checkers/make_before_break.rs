//! Make before break: no connection is closed in favor of a successor that was never ready.

use std::collections::BTreeMap;

use crate::proto::error::CloseReason;
use crate::proto::pool::ConnectionId;
use crate::sim::violation::Violation;

/// The newest generation of each entry that became ready.
#[derive(Debug, Default)]
pub(in crate::sim) struct MakeBeforeBreak(BTreeMap<u32, u32>);

impl MakeBeforeBreak {
    pub(in crate::sim) fn note_ready(&mut self, id: ConnectionId) {
        let newest = self.0.entry(id.entry.0).or_default();
        *newest = id.generation.max(*newest);
    }

    /// Checks a connection that the pool closes: a replaced one needs a newer ready connection.
    pub(in crate::sim) fn check_close(
        &self,
        id: ConnectionId,
        reason: &CloseReason,
    ) -> Result<(), Violation> {
        let has_successor = self.0.get(&id.entry.0).is_some_and(|newest| *newest > id.generation);
        if matches!(reason, CloseReason::Replaced) && !has_successor {
            let what = format!("{id:?} was closed as replaced, and no newer connection was ready");
            return Err(Violation::new("make before break", what));
        }
        Ok(())
    }
}
