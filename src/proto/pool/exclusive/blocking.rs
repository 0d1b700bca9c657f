//! Blocking commands: issued on an entry, issued again on its next connection, and ended.
//!
//! - At a handoff the command is written on the predecessor. The server is asked to end its wait (`CLIENT UNBLOCK`), through
//!   another connection to the same server. A null reply says that the command took nothing. It is then issued again on the
//!   successor, for the time that is left. Any other reply is the caller's.
//! - A caller that leaves has the wait ended as well. What its command had taken by then is counted, and reported as an event.
//!
//! No command is issued again unless the server has said that it took nothing.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Ending, Issued};
use super::{Exclusive, LeaseState};
use crate::proto::connection::{Deliver, HandleId, Position, Submission};
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::maint::event::Event;
use crate::proto::pool::action::Action;
use crate::proto::pool::context::Context;
use crate::proto::pool::effects::Effect;
use crate::proto::pool::entries::Entries;
use crate::proto::pool::ids::EntryId;
use crate::proto::resp::Frame;
use crate::proto::role::ConnectionRole;
use crate::proto::time::Instant;

impl Exclusive {
    /// The caller wants no more than what its command has taken already. It gets null if that is nothing.
    pub(in crate::proto::pool) fn cancel(
        &mut self,
        position: Position,
        entries: &mut Entries,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) {
        let Some(call) = self.calls.get_mut(&position).filter(|call| call.is_wanted) else { return };
        let (ticket, issued) = (call.ticket, call.issued);
        let queued = issued.and_then(|issued| Some((issued, entries.get_mut(issued.entry)?)));
        let is_unsent = match queued {
            None => true,
            Some((issued, entry)) => entry.queue.abandon(issued.position),
        };
        if !is_unsent {
            call.end(Ending::Cancelled, ctx.now);
            return self.unblock(entries, ctx);
        }
        call.is_wanted = false;
        match issued {
            None => self.forget(position),
            Some(issued) => ctx.effects.push(Effect::LeaseChanged(issued.entry)),
        }
        deliver.reply(ticket, Frame::Null, true);
    }

    /// A command of this entry is answered.
    pub(in crate::proto::pool) fn handle_reply(
        &mut self,
        id: EntryId,
        reply: Frame,
        entries: &mut Entries,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) {
        // Connections that drain may have been kept to end this wait.
        ctx.effects.extend(entries.predecessors().map(Effect::Drained));
        let Some(position) = self.leases.blocking(id) else { return };
        let Some(call) = self.calls.get_mut(&position) else { return };
        let is_empty = call.command.ends_with_null() && reply.clone().without_attributes() == Frame::Null;
        if is_empty
            && ctx.closing.is_none()
            && let Some(rest) = call.rest(ctx.now)
        {
            self.counts.reissued += 1;
            return self.issue(position, id, Some(rest), entries, ctx, deliver);
        }
        let is_ended = call.ending == Some(Ending::ShutDown) && is_empty;
        match call.is_wanted {
            true if is_ended => deliver.fail(call.ticket, Failure::ShutDown(Outcome::Unsent)),
            true => deliver.reply(call.ticket, reply, true),
            false if is_empty || matches!(reply, Frame::Error(_)) => {}
            false => {
                self.counts.orphaned += 1;
                let command = call.command.name();
                ctx.effects.report_bounded(|| Event::Orphaned { command, reply });
            }
        }
        self.release(id, entries, ctx);
    }

    /// Another connection of this entry is active: a command that waits on the one before it has to go on here.
    pub(in crate::proto::pool) fn handle_moved(
        &mut self,
        id: EntryId,
        entries: &mut Entries,
        ctx: &mut Context,
    ) {
        let Some(position) = self.leases.blocking(id) else { return };
        let is_behind = entries.get(id).is_some_and(|entry| {
            entry.predecessors.iter().any(|known| !known.connection.is_idle()) && entry.queue.is_empty()
        });
        let call = self.calls.get_mut(&position);
        if let Some(call) = call.filter(|call| is_behind && call.ending.is_none()) {
            call.end(Ending::Moved, ctx.now);
            self.unblock(entries, ctx);
        }
    }

    /// Queues the command of a call on this entry, for the rest of its time if it is issued again.
    pub(super) fn issue(
        &mut self,
        position: Position,
        id: EntryId,
        rest: Option<Duration>,
        entries: &mut Entries,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) {
        let (Some(call), Some(entry)) = (self.calls.get_mut(&position), entries.get_mut(id)) else { return };
        let limit = rest.or(call.command.timeout());
        entry.lease(ConnectionRole::Blocking, limit.unwrap_or(Duration::MAX));
        let submission = Submission { entry: id, handle: HandleId(0), ticket: call.ticket, replies: 1 };
        let again = rest.map(|rest| call.command.with_timeout(rest));
        let bytes = again.as_deref().unwrap_or(call.command.bytes());
        match entry.submit(submission, |out| out.extend_from_slice(bytes)) {
            Ok(queued) => {
                let until = limit.map_or(Instant::END, |limit| ctx.now.after(limit));
                call.issued = Some(Issued { entry: id, position: queued, until });
                (call.ending, call.unblock_at, call.unblocks) = (None, None, 0);
                match &entry.active {
                    Some(active) => ctx.effects.act(Action::Wake { id: active.id }),
                    None => ctx.effects.push(Effect::ConnectionWanted(id)),
                }
                if let Some(lease) = self.leases.get_mut(id) {
                    lease.state = LeaseState::Blocking(position);
                }
            }
            Err(failure) => {
                deliver.fail(call.ticket, failure);
                self.calls.remove(&position);
                self.release(id, entries, ctx);
            }
        }
    }

    pub(super) fn abandon_blocking(
        &mut self,
        position: Position,
        entries: &mut Entries,
        ctx: &mut Context,
    ) -> Option<(Outcome, Option<Arc<CloseReason>>)> {
        let call = self.calls.get_mut(&position).filter(|call| call.is_wanted)?;
        let Some(Issued { entry: id, position: queued, .. }) = call.issued else {
            self.forget(position);
            return Some((Outcome::Unsent, Some(self.bound())));
        };
        call.is_wanted = false;
        call.end(Ending::Cancelled, ctx.now);
        let entry = entries.get_mut(id)?;
        let outcome = entry.abandon(queued)?;
        ctx.effects.push(Effect::LeaseChanged(id));
        Some((outcome, entry.last_error.clone().filter(|_| outcome == Outcome::Unsent)))
    }

    /// The pool shuts down: commands that are not written fail, and the waits of the others end.
    pub(super) fn shut_down_blocking(
        &mut self,
        entries: &mut Entries,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) {
        let mut unsent = Vec::new();
        for (position, call) in &mut self.calls {
            let entry =
                call.issued.and_then(|issued| Some((entries.get_mut(issued.entry)?, issued.position)));
            match entry.is_none_or(|(entry, queued)| entry.queue.abandon(queued)) {
                true => unsent.push(*position),
                false => call.end(Ending::ShutDown, ctx.now),
            }
        }
        for position in unsent {
            let Some(call) = self.calls.remove(&position) else { continue };
            if call.is_wanted {
                deliver.fail(call.ticket, Failure::ShutDown(Outcome::Unsent));
            }
            if let Some(issued) = call.issued {
                self.release(issued.entry, entries, ctx);
            }
        }
        self.unblock(entries, ctx);
    }
}
