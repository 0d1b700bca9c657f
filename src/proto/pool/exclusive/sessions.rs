//! The sessions of a pool, and what their handoffs have to respect.
//!
//! - A session whose connection has no state moves as all others do.
//! - One with an open `MULTI`, or with commands of a watch or a transaction on the way, moves when these are answered.
//! - One that watches keys moves, and its watch stays behind. Its next `EXEC` fails before a byte of it is written.
//! - One that has changed its connection (`SELECT`, `CLIENT TRACKING`, …) does not move: no other connection has that state. It
//!   ends when the server closes the connection.

use std::time::Duration;

use super::command::BlockingCommand;
use super::session::{Opening, Session, SessionState};
use super::step::Step;
use super::{Exclusive, LeaseState};
use crate::proto::connection::{Deliver, HandleId, InternalCommand, Position, Recipient, Submission, Ticket};
use crate::proto::error::{Failure, Outcome, Stale};
use crate::proto::pool::action::Action;
use crate::proto::pool::context::Context;
use crate::proto::pool::effects::Effect;
use crate::proto::pool::entries::Entries;
use crate::proto::pool::entry::Entry;
use crate::proto::pool::ids::EntryId;
use crate::proto::resp::{Encoder, Frame};
use crate::proto::role::ConnectionRole;

impl Exclusive {
    /// A session gets this entry.
    pub(super) fn open_session(
        &mut self,
        Opening { ticket, session }: Opening,
        id: EntryId,
        entries: &mut Entries,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) {
        let Some(entry) = entries.get_mut(id) else { return };
        entry.lease(ConnectionRole::Session, Duration::ZERO);
        if entry.active.is_none() {
            ctx.effects.push(Effect::ConnectionWanted(id));
        }
        if let Some(lease) = self.leases.get_mut(id) {
            lease.state = LeaseState::Session(session);
        }
        let opened = Session { entry: id, state: SessionState::default(), is_bound: false, has_state: false };
        self.sessions.insert(session, opened);
        deliver.reply(ticket, Frame::Null, true);
    }

    /// A command of a session, or a batch.
    ///
    /// # Errors
    /// If the watch, the transaction, or the connection that it needs is gone. Nothing of it is written.
    pub(super) fn submit_to_session(
        &mut self,
        number: u32,
        submission: Submission,
        bytes: &[u8],
        entries: &mut Entries,
        ctx: &mut Context,
    ) -> Result<Position, Failure> {
        let gone = || Failure::ShutDown(Outcome::Unsent);
        let session = self.sessions.get_mut(&number).ok_or_else(gone)?;
        let entry = entries.get_mut(session.entry).ok_or_else(gone)?;
        let before = session.state;
        let mut state = before;
        let steps = Step::of_all(bytes);
        for step in &steps {
            if let Err(stale) = state.take(*step) {
                session.state = state;
                entry.hold_internal(state.in_transaction);
                if before.in_transaction && before.stale.is_none_or(|stale| stale == Stale::Watch) {
                    // The server still queues commands for the EXEC that is not sent.
                    send_internally(entry, b"DISCARD");
                    wake(entry, ctx);
                }
                return Err(Failure::Stale(stale));
            }
        }
        if entry.awaits_nothing() && !before.watches && !before.in_transaction {
            session.is_bound = false;
            entry.lease(ConnectionRole::Session, Duration::ZERO);
        }
        if let Some(limit) = BlockingCommand::new(bytes.to_vec()).limit() {
            entry.lease(ConnectionRole::Session, limit);
        }
        let position = entry.submit(Submission { entry: session.entry, ..submission }, |out| {
            out.extend_from_slice(bytes);
        })?;
        session.is_bound |= state.watches || state.in_transaction || before.watches || before.in_transaction;
        session.has_state |= steps.contains(&Step::ChangesState);
        session.state = state;
        entry.hold_internal(state.in_transaction);
        wake(entry, ctx);
        Ok(position)
    }

    /// The session ends: its connection is reset and serves others, or is closed if it cannot be reset.
    pub(super) fn close_session(
        &mut self,
        number: u32,
        ticket: Ticket,
        entries: &mut Entries,
        ctx: &mut Context,
    ) {
        self.closed.push(ticket);
        // A caller that has left before the session was open.
        let opening = self.openings.iter().find(|(_, opening)| opening.session == number);
        if let Some(position) = opening.map(|(position, _)| *position) {
            self.forget(position);
        }
        let Some(session) = self.sessions.remove(&number) else { return };
        let Some(entry) = entries.get_mut(session.entry) else { return };
        if session.has_state {
            ctx.effects.push(Effect::EntryUnwanted(session.entry));
        } else if session.state.stale.is_none_or(|stale| stale == Stale::Watch)
            && session.state.in_transaction
        {
            send_internally(entry, b"DISCARD");
            wake(entry, ctx);
        } else if session.state.watches {
            send_internally(entry, b"UNWATCH");
            wake(entry, ctx);
        }
        ctx.effects.push(Effect::SuccessorMayServe(session.entry));
        self.release(session.entry, entries, ctx);
    }

    /// The caller of a session's command leaves. Returns how far the command had come, or will, if it was still here.
    pub(super) fn abandon_in_session(
        &mut self,
        number: u32,
        position: Position,
        entries: &mut Entries,
        ctx: &mut Context,
    ) -> Option<Outcome> {
        let session = self.sessions.get_mut(&number)?;
        let entry = entries.get_mut(session.entry)?;
        if !session.is_bound {
            return entry.abandon(position);
        }
        let Some(outcome) = entry.queue.leave(position) else { return entry.abandon(position) };
        if outcome == Outcome::Unsent {
            break_off(session, entry, ctx);
        }
        Some(outcome)
    }

    /// Commands of this entry were not sent in time. What depends on them in a session is not sent either.
    pub(in crate::proto::pool) fn handle_expired(
        &mut self,
        id: EntryId,
        entries: &mut Entries,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) {
        let Some(entry) = entries.get_mut(id) else { return };
        if entry.active.is_none() && !entry.queue.awaits_caller() {
            entry.queue.drop_resets();
        }
        let LeaseState::Session(number) = self.leases.state(id) else { return };
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if session.is_bound {
            entry.queue.clear(|ticket| deliver.fail(ticket, Failure::Stale(Stale::Transaction)));
            break_off(session, entry, ctx);
        }
    }

    /// Tells the callers that their sessions are closed.
    pub(super) fn report_closed(&mut self, deliver: &mut impl Deliver) {
        for ticket in self.closed.drain(..) {
            deliver.reply(ticket, Frame::Null, true);
        }
    }

    /// Whether this entry stays where it is as long as its connection lives.
    pub(in crate::proto::pool) fn is_pinned(&self, id: EntryId) -> bool {
        self.session(id).is_some_and(|session| session.has_state)
    }

    /// Whether the session on this entry must not move now: `MULTI` and `EXEC` belong on one connection, and so do a watch and
    /// what depends on it.
    pub(in crate::proto::pool) fn holds(&mut self, id: EntryId, entries: &Entries) -> bool {
        let is_quiet = entries.get(id).is_some_and(|entry| entry.awaits_nothing());
        let LeaseState::Session(number) = self.leases.state(id) else { return false };
        let Some(session) = self.sessions.get_mut(&number) else { return false };
        let SessionState { watches, in_transaction, .. } = session.state;
        session.is_bound &= watches || in_transaction || !is_quiet;
        session.has_state || in_transaction || (session.is_bound && !is_quiet)
    }

    /// The session on this entry has another connection: what it watches is watched no more.
    pub(in crate::proto::pool) fn handle_cut_over(&mut self, id: EntryId, entries: &mut Entries) {
        if let Some(entry) = entries.get_mut(id).filter(|_| self.leases.has(id)) {
            entry.queue.drop_resets();
        }
        let LeaseState::Session(number) = self.leases.state(id) else { return };
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if session.state.lose() {
            self.counts.stale += 1;
        }
    }

    /// The active connection of this entry is lost. Commands of a session that depend on it are not written on the next one.
    pub(in crate::proto::pool) fn handle_lost(
        &mut self,
        id: EntryId,
        entries: &mut Entries,
        deliver: &mut impl Deliver,
    ) {
        if let Some(entry) = entries.get_mut(id) {
            entry.queue.drop_resets();
        }
        let LeaseState::Session(number) = self.leases.state(id) else { return };
        let (Some(session), Some(entry)) = (self.sessions.get_mut(&number), entries.get_mut(id)) else {
            return;
        };
        entry.hold_internal(false);
        if !session.is_bound && !session.has_state {
            return;
        }
        session.is_bound = false;
        let lost = session.state.lose();
        if session.has_state {
            session.state.stale = Some(Stale::Connection);
        }
        self.counts.stale += u64::from(lost || session.has_state);
        let stale = session.state.stale.unwrap_or(Stale::Watch);
        entry.queue.clear(|ticket| deliver.fail(ticket, Failure::Stale(stale)));
    }

    fn session(&self, id: EntryId) -> Option<&Session> {
        match self.leases.state(id) {
            LeaseState::Session(number) => self.sessions.get(&number),
            _ => None,
        }
    }
}

/// A command is dropped on which others may depend: whatever the session has begun ends, as if its connection were lost.
fn break_off(session: &mut Session, entry: &mut Entry, ctx: &mut Context) {
    session.state.lose();
    entry.hold_internal(false);
    // The connection may be in a transaction or not. One of these ends the watch.
    send_internally(entry, b"DISCARD");
    send_internally(entry, b"UNWATCH");
    wake(entry, ctx);
}

/// Queues a command without a caller, unless there is no connection that it could concern.
fn send_internally(entry: &mut Entry, command: &[u8]) {
    if entry.active.is_none() && entry.queue.is_empty() {
        return;
    }
    let reset = Recipient::Connection(InternalCommand::Reset);
    let before = std::mem::replace(&mut entry.queue.recipient, reset);
    let ticket = Ticket(u32::MAX);
    let submission = Submission { entry: entry.id, handle: HandleId(0), ticket, replies: 1 };
    // An entry that is rejected has no connection that is to be reset.
    let _ = entry.submit(submission, |out| Encoder::command(out, 1).bytes(command));
    entry.queue.recipient = before;
}

fn wake(entry: &Entry, ctx: &mut Context) {
    match &entry.active {
        Some(active) => ctx.effects.act(Action::Wake { id: active.id }),
        None => ctx.effects.push(Effect::ConnectionWanted(entry.id)),
    }
}
