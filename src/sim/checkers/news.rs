//! What has a number is told once, however many copies of it are read.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::Violation;
use crate::proto::maint::event::Event;

/// What a shard has told of. No world lasts as long as a number is remembered.
#[derive(Debug, Default)]
pub(in crate::sim) struct Told(BTreeSet<(SocketAddr, String)>);

impl Told {
    pub(in crate::sim) fn check(&mut self, event: &Event) -> Result<(), Violation> {
        let Event::Announced { peer, notification } = event else { return Ok(()) };
        let Some(seq) = notification.seq() else { return Ok(()) };
        let target = match notification {
            crate::proto::maint::notification::Notification::Moving { target, .. } => target.clone(),
            _ => None,
        };
        let name = format!("{} {seq} {target:?}", notification.kind());
        if !self.0.insert((*peer, name.clone())) {
            return Err(Violation::new("one event is told once", format!("{name} of {peer} was told twice")));
        }
        Ok(())
    }
}
