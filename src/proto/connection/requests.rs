//! What the pool asks of a connection beside the commands of callers: to log in again, and to end the wait of another one.

use std::sync::Arc;

use bytes::Bytes;

use super::command::EntryId;
use super::{Connection, Credentials};
use crate::proto::time::Instant;

impl Connection {
    /// Logs in again between two commands, if the connection is ready.
    pub(crate) fn log_in(&mut self, credentials: Arc<Credentials>) {
        if !self.draining && self.ready_since().is_some() {
            self.internal.log_in(credentials);
        }
    }

    /// Holds back what the connection sends for itself while a transaction is open on it.
    pub(crate) fn hold_internal(&mut self, is_held: bool) {
        self.internal.hold(is_held);
    }

    /// Asks the server, if the connection is ready, to end the wait of a blocking command of this entry on another
    /// connection, which the server knows by this id. A connection that drains does it as well.
    pub(crate) fn unblock(&mut self, entry: EntryId, client: u64) {
        if self.ready_since().is_some() {
            self.internal.unblock(entry, client);
        }
    }

    /// The entries whose waits this connection was to end, and of which it has no answer.
    pub(crate) fn unanswered_unblocks(&self) -> impl Iterator<Item = EntryId> {
        self.internal.unanswered_unblocks()
    }

    /// Subscribes or unsubscribes, if the connection is ready. A connection that drains does it as well.
    pub(crate) fn subscribe(&mut self, verb: &'static str, names: Vec<Bytes>) {
        if self.ready_since().is_some() {
            self.decoder.accept_large_pushes();
            self.internal.subscribe(verb, names);
        }
    }

    /// How many commands are written and not answered that take no place in flight: those that end the waits of other connections,
    /// and those for subscriptions.
    #[cfg(feature = "cli")]
    pub(crate) fn without_places(&self) -> usize {
        self.internal.without_places()
    }

    /// Whether a login is due or awaits its reply.
    pub(crate) fn is_logging_in(&self) -> bool {
        self.internal.is_logging_in()
    }

    /// Whether an internal command is due. The owner has to wake the driver for it.
    pub(crate) fn has_internal(&self) -> bool {
        self.internal.is_due()
    }

    /// The bytes to write next on a connection that takes no commands out of the queue: only internal ones.
    pub(crate) fn poll_internal(&mut self, now: Instant) -> &[u8] {
        if self.outgoing.is_written() && self.internal.is_due() && self.ready_since().is_some() {
            self.internal.write(now, self.outgoing.cleared(), &mut self.in_flight);
        }
        self.outgoing.unwritten()
    }
}
