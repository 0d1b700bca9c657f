//! Commands are refused for what the configured endpoint says, and never for what a server's word led to.

use std::collections::BTreeMap;

use super::Violation;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Failure;
use crate::proto::pool::{ConnectionId, EntryId};

/// Where each entry dialed last.
#[derive(Debug, Default)]
pub(in crate::sim) struct Refusals(BTreeMap<u32, Endpoint>);

impl Refusals {
    pub(in crate::sim) fn note_dial(&mut self, id: ConnectionId, endpoint: &Endpoint) {
        self.0.insert(id.entry.0, endpoint.clone());
    }

    /// A command failed: nothing was dialed since what it may have been refused for.
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
            let what = format!("{dialed} is not {configured}, and commands were refused for it: {reason}");
            return Err(Violation::new("no target of a move refuses commands", what));
        }
        Ok(())
    }
}
