//! Each handoff that starts also ends once, and is reported once.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::proto::maint::event::{Event, HandoffResult};
use crate::sim::violation::Violation;

/// The number of open handoffs by the peer that they leave.
#[derive(Debug, Default)]
pub(in crate::sim) struct HandoffEnds(BTreeMap<SocketAddr, u64>);

impl HandoffEnds {
    pub(in crate::sim) fn check(&mut self, event: &Event) -> Result<(), Violation> {
        match event {
            Event::HandoffStarted { from, .. } => *self.0.entry(*from).or_default() += 1,
            // A handoff that was never dialed has no start event.
            Event::HandoffEnded { result: HandoffResult::BreakerOpen, attempts: 0, .. } => {}
            Event::HandoffEnded { from, result, .. } => match self.0.get_mut(from) {
                Some(count) if *count > 0 => *count -= 1,
                _ => {
                    let what = format!("a handoff from {from} ended ({result}) and had not started");
                    return Err(Violation::new("each handoff ends once", what));
                }
            },
            _ => {}
        }
        Ok(())
    }
}
