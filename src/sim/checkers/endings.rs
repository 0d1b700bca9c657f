//! Each handoff that is begun ends once, and is told once.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Violation;
use crate::proto::maint::event::{Event, HandoffResult};

/// The handoffs that were begun from each peer, and have not ended.
#[derive(Debug, Default)]
pub(in crate::sim) struct Endings(BTreeMap<SocketAddr, u64>);

impl Endings {
    pub(in crate::sim) fn check(&mut self, event: &Event) -> Result<(), Violation> {
        match event {
            Event::HandoffStarted { from, .. } => *self.0.entry(*from).or_default() += 1,
            // One that was never dialed has no beginning.
            Event::HandoffEnded { result: HandoffResult::BreakerOpen, attempts: 0, .. } => {}
            Event::HandoffEnded { from, result, .. } => match self.0.get_mut(from) {
                Some(count) if *count > 0 => *count -= 1,
                _ => {
                    let what = format!("a handoff from {from} ended ({result}) that had not begun");
                    return Err(Violation::new("each handoff ends once", what));
                }
            },
            _ => {}
        }
        Ok(())
    }
}
