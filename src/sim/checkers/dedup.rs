//! A notification with a sequence number is reported once, however many copies arrive.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::proto::maint::event::Event;
use crate::sim::violation::Violation;

/// The notifications that a shard reported. Pools remember a sequence number for longer than a simulation lasts.
#[derive(Debug, Default)]
pub(in crate::sim) struct Dedup(BTreeSet<(SocketAddr, String)>);

impl Dedup {
    pub(in crate::sim) fn check(&mut self, event: &Event) -> Result<(), Violation> {
        let Event::Announced { peer, notification } = event else { return Ok(()) };
        let Some(seq) = notification.seq() else { return Ok(()) };
        let target = match notification {
            crate::proto::maint::notification::Notification::Moving { target, .. } => target.clone(),
            _ => None,
        };
        let name = format!("{} {seq} {target:?}", notification.kind());
        if !self.0.insert((*peer, name.clone())) {
            return Err(Violation::new(
                "a notification is reported once",
                format!("{name} of {peer} was reported twice"),
            ));
        }
        Ok(())
    }
}
