//! An [`Entry`] that one caller has for itself: its beginning, its end, and whether anything is left of it.

use std::time::Duration;

use super::entry::Entry;
use crate::proto::connection::Recipient;
use crate::proto::role::ConnectionRole;

impl Entry {
    /// A caller has the entry for itself. The server may wait so long before it answers.
    pub(super) fn lease(&mut self, role: ConnectionRole, blocks_for: Duration) {
        self.role = role;
        self.is_used = true;
        self.queue.recipient = match role {
            ConnectionRole::Blocking => Recipient::Pool,
            _ => Recipient::Caller,
        };
        self.block_for(blocks_for);
    }

    /// No command needs the entry. It is not dialed again.
    pub(super) fn release(&mut self) {
        self.is_used = false;
        if !self.is_rejected {
            self.redial_at = None;
        }
        self.block_for(Duration::ZERO);
        self.hold_internal(false);
    }

    fn block_for(&mut self, time: Duration) {
        self.blocks_for = time;
        self.connections_mut().for_each(|known| known.blocks_for = time);
    }

    /// A transaction begins, or its end is queued.
    pub(super) fn hold_internal(&mut self, in_transaction: bool) {
        if self.in_transaction != in_transaction {
            self.in_transaction = in_transaction;
            self.connections_mut().for_each(|known| known.connection.hold_internal(in_transaction));
        }
    }

    /// A server that refused this client may be asked again.
    pub(super) fn forgive(&mut self) {
        (self.is_rejected, self.redial_at) = (false, None);
    }

    /// Whether no command is queued or waits for its reply.
    pub(super) fn awaits_nothing(&self) -> bool {
        self.queue.is_empty()
            && self.connections().all(|known| known.connection.is_idle() || !known.is_ready())
    }

    /// Whether a caller awaits a command that is queued or written.
    pub(super) fn awaits_caller(&self) -> bool {
        !self.queue.is_empty() || self.connections().any(|known| known.connection.awaits_caller())
    }
}
