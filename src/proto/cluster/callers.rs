//! What callers do with a command after they have submitted it: they leave, cancel it, or set a timeout.

use super::Cluster;
use super::calls::{CallPlace, Recipient};
use super::submit::gather_of;
use crate::proto::connection::{Deliver, Position, Ticket};
use crate::proto::error::{Failure, Outcome};
use crate::proto::pool::{CallDeadline, DeadlineId};
use crate::proto::resp::Frame;
use crate::proto::time::Instant;

impl Cluster {
    /// The caller of this command is gone.
    pub(crate) fn abandon(&mut self, position: Position) {
        if let Some(id) = gather_of(position) {
            for part in self.outstanding.gathers.abandon(id) {
                self.abandon_call(part);
            }
        } else if let Some(ticket) = self.outstanding.calls.at(position) {
            self.abandon_call(ticket);
        }
    }

    fn abandon_call(&mut self, ticket: Ticket) {
        if let Some(call) = self.outstanding.calls.get(ticket)
            && let CallPlace::Node(id, position) = call.place
            && let Some(node) = self.nodes.get_mut(id)
        {
            node.pool.abandon(call.entry, position);
            self.touch(id);
        }
        if let Some(Recipient::Gather(id, _)) = self.outstanding.calls.get(ticket).map(|call| call.recipient)
        {
            for part in self.outstanding.gathers.abandon(id) {
                self.outstanding.forget(part);
            }
        }
        self.outstanding.forget(ticket);
    }

    /// The caller wants no more than what its command has taken already.
    pub(crate) fn cancel(
        &mut self,
        (position, caller): (Position, Ticket),
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.outstanding.now = now;
        let Some(ticket) = self.outstanding.calls.at(position) else { return };
        let Some(call) = self.outstanding.calls.get(ticket) else { return };
        match call.place {
            CallPlace::Node(id, position) => {
                let entry = call.entry;
                self.with_pool(id, deliver, |pool, intake| {
                    pool.cancel(entry, (position, ticket), now, intake)
                });
            }
            CallPlace::Waits => {
                self.outstanding.forget(ticket);
                deliver.reply(caller, Frame::Null, true);
            }
        }
        self.settle(deliver);
    }

    /// Sets a timeout for one command.
    pub(crate) fn set_deadline(&mut self, call: CallDeadline, now: Instant) -> DeadlineId {
        self.deadlines.set(now.after(call.after), call)
    }

    /// The command is answered, or abandoned.
    pub(crate) fn clear_deadline(&mut self, deadline: DeadlineId) {
        self.deadlines.clear(deadline);
    }

    /// Fails a command whose own timeout is over, unless it is answered.
    pub(crate) fn expire(&mut self, call: CallDeadline, now: Instant, deliver: &mut impl Deliver) {
        self.outstanding.now = now;
        let CallDeadline { position, ticket: caller, after, .. } = call;
        if let Some(id) = gather_of(position) {
            // Some of its parts may have been executed.
            if self.outstanding.gathers.is_open(id) {
                self.abandon(position);
                deliver.fail(caller, Failure::timed_out(Outcome::Ambiguous, after, None, None));
            }
            return;
        }
        let Some(ticket) = self.outstanding.calls.at(position) else { return };
        let Some(call) = self.outstanding.calls.get(ticket) else { return };
        match call.place {
            CallPlace::Node(id, position) => {
                let deadline = CallDeadline { entry: call.entry, position, ticket, after };
                self.with_pool(id, deliver, |pool, intake| pool.expire(deadline, now, intake));
            }
            CallPlace::Waits => {
                self.outstanding.fail(
                    ticket,
                    Failure::timed_out(Outcome::Unsent, after, None, None),
                    deliver,
                );
            }
        }
        self.settle(deliver);
    }
}
