//! What the queue of a session does differently: its commands may depend on each other.

use super::command::{InternalCommand, PendingCommand, Position, Recipient};
use super::queue::Queue;
use crate::proto::error::Outcome;

impl Queue {
    /// The caller of a command leaves on which others may depend. The last one is dropped. One that is followed by others is
    /// written without a caller: it may be the `MULTI` of a transaction, or its watch. Returns how far it will have come, if it is
    /// here.
    pub(crate) fn leave(&mut self, position: Position) -> Option<Outcome> {
        let is_later = |item: &PendingCommand| item.position > position && item.is_awaited();
        let is_followed = self.all_mut().any(|item| is_later(item));
        let found = self.all_mut().find(|item| item.position == position && item.is_awaited())?;
        if is_followed {
            found.recipient = Recipient::Connection(InternalCommand::Reset);
            return Some(Outcome::Ambiguous);
        }
        self.abandon(position).then_some(Outcome::Unsent)
    }

    /// Whether a caller awaits any command here.
    pub(crate) fn awaits_caller(&mut self) -> bool {
        self.all_mut().any(|item| item.is_awaited())
    }

    /// The connection is gone that was to be reset.
    pub(crate) fn drop_resets(&mut self) {
        let resets = self.all_mut().filter(|item| !item.abandoned && item.recipient.is_internal());
        let resets: Vec<_> = resets.map(|item| item.position).collect();
        for position in resets {
            self.abandon(position);
        }
    }
}
