//! Make before break: nothing is closed for a successor's sake before the successor has served.

use std::collections::BTreeMap;

use super::Violation;
use crate::proto::error::CloseReason;
use crate::proto::pool::ConnectionId;

/// The newest connection of each entry that was ready.
#[derive(Debug, Default)]
pub(in crate::sim) struct Handoffs(BTreeMap<u32, u32>);

impl Handoffs {
    pub(in crate::sim) fn note_ready(&mut self, id: ConnectionId) {
        let newest = self.0.entry(id.entry.0).or_default();
        *newest = id.generation.max(*newest);
    }

    /// A pool closes a connection: may it?
    pub(in crate::sim) fn check_close(
        &self,
        id: ConnectionId,
        reason: &CloseReason,
    ) -> Result<(), Violation> {
        let has_served = self.0.get(&id.entry.0).is_some_and(|newest| *newest > id.generation);
        if matches!(reason, CloseReason::Replaced) && !has_served {
            let what = format!("{id:?} was closed as replaced, and no newer connection was ready");
            return Err(Violation::new("make before break", what));
        }
        Ok(())
    }
}
