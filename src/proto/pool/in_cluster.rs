//! What a cluster asks of the pool of one of its nodes.

use std::net::SocketAddr;
use std::time::Duration;

use super::Pool;
use super::ids::EntryId;
use crate::proto::connection::{Deliver, Position};
use crate::proto::maint::notification::{Announcement, Notification};
use crate::proto::time::Instant;

impl Pool {
    /// Takes back a command that is not written, so that it can be sent elsewhere; false if it may be written. Nothing is delivered
    /// for it.
    pub(crate) fn withdraw(&mut self, entry: EntryId, position: Position) -> bool {
        self.parts.entries.get_mut(entry).is_some_and(|entry| entry.queue.abandon(position))
    }

    /// The address at the other end of one of its connections.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.parts.entries.peer()
    }

    /// The configured address leads to another server than the connections do. They are handed off to it, as after a `MOVING`
    /// that names no target.
    pub(crate) fn dial_again(&mut self, now: Instant, deliver: &mut impl Deliver) {
        if let Some(peer) = self.peer() {
            let notification = Notification::Moving { seq: None, grace: Duration::ZERO, target: None };
            self.handle_announcement(Announcement { peer, notification, received: now }, now, deliver);
        }
    }
}
