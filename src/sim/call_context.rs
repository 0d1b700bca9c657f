//! [`CallContext`]: what a caller needs to submit commands on one shard, and to leave them.

use std::time::Duration;

use super::outcomes::{Call, CallKind, End, Outcomes};
use crate::proto::connection::{HandleId, Position, Submission, Ticket};
use crate::proto::pool::{EntryId, Pool};
use crate::proto::resp::Encoder;
use crate::proto::time::Instant;

/// The pool of one shard and what its callers have asked of it.
pub(super) struct CallContext<'a> {
    pub(super) pool: &'a mut Pool,
    pub(super) outcomes: &'a mut Outcomes,
    pub(super) next_ticket: &'a mut u32,
    pub(super) random: &'a mut fastrand::Rng,
    pub(super) now: Instant,
}

/// Which parts of a shard have work after a caller has acted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    /// This shared entry has a new command.
    pub(super) shared: Option<EntryId>,
    /// A call that needs a connection for itself was submitted, cancelled or left.
    pub(super) exclusive: bool,
}

impl CallContext<'_> {
    /// Submits commands, whose words are separated by spaces, as one call. A call that the pool refuses has ended.
    pub(super) fn submit(
        &mut self,
        entry: EntryId,
        handle: HandleId,
        kind: CallKind,
        commands: &[String],
    ) -> u32 {
        let ticket = *self.next_ticket;
        *self.next_ticket += 1;
        let count = u32::try_from(commands.len().max(1)).unwrap_or(1);
        let submission = Submission { entry, handle, ticket: Ticket(ticket), replies: count };
        let submitted = self.pool.submit(submission, |out| {
            for command in commands {
                let mut encoder = Encoder::command(out, command.split(' ').count());
                command.split(' ').for_each(|word| encoder.bytes(word.as_bytes()));
            }
        });
        let (position, end) = match submitted {
            Ok(position) => (position, End::Open),
            Err(failure) => (Position(u64::MAX), End::Failed(failure.outcome())),
        };
        let own = (end == End::Open && self.random.u32(..OWN_DEADLINES) == 0)
            .then(|| Duration::from_millis(self.random.u64(1..800)));
        let deadline = own.map(|time| {
            let deadline = self.pool.set_deadline(entry, position, Ticket(ticket), time, self.now);
            (deadline, self.now.after(time))
        });
        let (commands, replies, submitted) = (count, Vec::new(), self.now);
        let call = Call { kind, handle, entry, position, submitted, deadline, commands, replies, end };
        self.outcomes.calls.insert(ticket, call);
        ticket
    }

    /// The ticket of the next call.
    pub(super) fn ticket(&self) -> u32 {
        *self.next_ticket
    }

    pub(super) fn is_open(&self, ticket: u32) -> bool {
        self.call(ticket).is_some_and(|call| call.end == End::Open)
    }

    pub(super) fn call(&self, ticket: u32) -> Option<&Call> {
        self.outcomes.calls.get(&ticket)
    }

    /// The caller wants what its command has taken, and no more.
    pub(super) fn cancel(&mut self, ticket: u32) {
        let Some(call) = self.outcomes.calls.get_mut(&ticket).filter(|call| call.end == End::Open) else {
            return;
        };
        if let CallKind::Take(take) = &mut call.kind {
            take.is_cancelled = true;
        }
        let (entry, name) = (call.entry, (call.position, Ticket(ticket)));
        self.pool.cancel(entry, name, self.now, self.outcomes);
    }

    /// The caller drops its call.
    pub(super) fn leave(&mut self, ticket: u32) {
        let Some(call) = self.outcomes.calls.get_mut(&ticket).filter(|call| call.end == End::Open) else {
            return;
        };
        call.end = End::Cancelled;
        self.pool.abandon(call.entry, call.position);
        if let Some((deadline, _)) = call.deadline {
            self.pool.clear_deadline(deadline);
        }
    }
}

/// One of so many calls has a deadline of its own.
const OWN_DEADLINES: u32 = 12;
