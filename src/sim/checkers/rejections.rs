//! Commands are rejected only for a refusal of the configured endpoint, never for one of a move's target.

use std::collections::BTreeMap;

use crate::proto::endpoint::Endpoint;
use crate::proto::error::Failure;
use crate::proto::pool::{ConnectionId, EntryId};
use crate::sim::violation::Violation;

/// The endpoint of each entry's last dial.
#[derive(Debug, Default)]
pub(in crate::sim) struct Rejections(BTreeMap<u32, Endpoint>);

impl Rejections {
    pub(in crate::sim) fn note_dial(&mut self, id: ConnectionId, endpoint: &Endpoint) {
        self.0.insert(id.entry.0, endpoint.clone());
    }

    /// Checks a failed command. Its entry has not dialed again since the refusal, so the last dial names the endpoint.
    pub(in crate::sim) fn check(
        &self,
        entry: EntryId,
        failure: &Failure,
        configured: &Endpoint,
    ) -> Result<(), Violation> {
        let (Failure::Refused(reason), Some(dialed)) = (failure, self.0.get(&entry.0)) else {
            return Ok(());
        };
        if !dialed.is_same(configured) {
            let what = format!("{dialed} is not {configured}, and it rejected commands: {reason}");
            return Err(Violation::new("a move target rejects no command", what));
        }
        Ok(())
    }
}
