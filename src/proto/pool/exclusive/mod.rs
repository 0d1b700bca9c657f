//! [`Exclusive`]: connections that one caller has for itself, for a blocking command or a session.

mod blocking;
mod call;
mod command;
mod leases;
mod session;
mod sessions;
mod step;
mod unblock;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use self::call::{BlockingCall, Ending};
use self::leases::{Lease, LeaseState, Leases};
use self::session::{Opening, Session};
use super::config::PoolConfig;
use super::context::Context;
use super::effects::Effect;
use super::entries::Entries;
use super::ids::{ConnectionId, EntryId, Exclusivity};
use crate::proto::connection::{Deliver, Position, Submission, Ticket};
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::role::ConnectionRole;
use crate::proto::time::{Instant, earliest};

/// The exclusive connections of a pool, and the blocking commands and sessions that have them.
///
/// A blocking command, or a session, has an entry for itself meanwhile: no caller waits for the wait of another, and none
/// changes the state of another's connection. Entries are made on demand, up to a bound, and are used again. A connection
/// without use is closed after a while. Callers beyond the bound wait, and get a connection in the order of their calls.
///
/// The entries are ordinary ones: handshake, handoff, drain, windows and credentials are those of all connections. These
/// things differ. An entry without use is not dialed. The timeouts of a blocking command are longer by the time for which the
/// server may wait, and its reply comes here, because the command may have to go on elsewhere. A session may hold a handoff up.
#[derive(Debug)]
pub(super) struct Exclusive {
    leases: Leases,
    idle_max: Duration,
    /// How long the end of a wait may take that has no other limit.
    patience: Duration,
    calls: BTreeMap<Position, BlockingCall>,
    openings: BTreeMap<Position, Opening>,
    sessions: BTreeMap<u32, Session>,
    /// The callers that closed a session and do not know yet that it is closed.
    closed: Vec<Ticket>,
    /// The calls and openings without a connection, in order.
    waiting: VecDeque<Position>,
    /// Until when each of them may wait for one.
    waits_until: BTreeSet<(Instant, Position)>,
    /// The first call that has not been seen since it was submitted.
    unseen: Position,
    next: Position,
    counts: ExclusiveCounts,
}

/// What happened on the exclusive connections of a pool since it was made, and what waits now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExclusiveCounts {
    /// Callers that wait for a connection.
    pub(crate) waiting: usize,
    /// Commands that were issued again on a successor.
    pub(crate) reissued: u64,
    /// Replies with a result whose caller had left.
    pub(crate) orphaned: u64,
    /// Times when the server refused to end a wait.
    pub(crate) unblocks_refused: u64,
    /// Sessions whose watch or transaction ended with their connection.
    pub(crate) stale: u64,
}

impl ExclusiveCounts {
    /// Adds the counts of another pool.
    pub(crate) fn add(&mut self, other: &ExclusiveCounts) {
        self.waiting += other.waiting;
        self.reissued += other.reissued;
        self.orphaned += other.orphaned;
        self.unblocks_refused += other.unblocks_refused;
        self.stale += other.stale;
    }
}

impl Exclusive {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Exclusive {
            leases: Leases::new(config),
            idle_max: config.exclusive_idle,
            patience: config.connection.command_timeout.max(config.maint.relaxed_timeout),
            calls: BTreeMap::new(),
            openings: BTreeMap::new(),
            sessions: BTreeMap::new(),
            closed: Vec::new(),
            waiting: VecDeque::new(),
            waits_until: BTreeSet::new(),
            unseen: Position(0),
            next: Position(0),
            counts: ExclusiveCounts::default(),
        }
    }

    /// Accepts what a caller asks for that needs a connection for itself. If it has to wait for one, [`Exclusive::dispatch`]
    /// finds it.
    ///
    /// # Errors
    /// If it cannot run on the connection of its session any more.
    pub(super) fn submit(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
        entries: &mut Entries,
        ctx: &mut Context,
    ) -> Result<Position, Failure> {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        let position = self.next;
        match submission.entry.exclusivity() {
            Some(Exclusivity::Command(session)) => {
                return self.submit_to_session(session, submission, &bytes, entries, ctx);
            }
            Some(Exclusivity::Closing(session)) => {
                self.close_session(session, submission.ticket, entries, ctx)
            }
            Some(Exclusivity::Opening(session)) => {
                self.openings.insert(position, Opening { ticket: submission.ticket, session });
                self.waiting.push_back(position);
            }
            Some(Exclusivity::Blocking) | None => {
                self.calls.insert(position, BlockingCall::new(submission.ticket, bytes));
                self.waiting.push_back(position);
            }
        }
        self.next.0 += 1;
        Ok(position)
    }

    /// Gives connections to the callers that wait, in order, as far as there are any.
    pub(super) fn dispatch(&mut self, entries: &mut Entries, ctx: &mut Context, deliver: &mut impl Deliver) {
        self.report_closed(deliver);
        while let Some(position) = self.waiting.front().copied() {
            let Some(id) = self.leases.free_entry(entries) else { break };
            self.waiting.pop_front();
            self.waits_until.retain(|(_, waiting)| *waiting != position);
            match self.openings.remove(&position) {
                Some(opening) => self.open_session(opening, id, entries, ctx, deliver),
                None => self.issue(position, id, None, entries, ctx, deliver),
            }
        }
        let unseen = self.waiting.iter().rev().take_while(|position| **position >= self.unseen);
        for position in unseen {
            let longest = self.longest_wait(*position, ctx);
            if longest < Duration::MAX {
                self.waits_until.insert((ctx.now.after(longest), *position));
            }
        }
        self.unseen = self.next;
    }

    /// The caller leaves: a command that is not written is never sent, and the wait of a written one ends at the next
    /// [`Exclusive::handle_timeout`]. Returns how far the command had come, and why it was not sent, if it was still here.
    pub(super) fn abandon(
        &mut self,
        (entry, position): (EntryId, Position),
        entries: &mut Entries,
        ctx: &mut Context,
    ) -> Option<(Outcome, Option<Arc<CloseReason>>)> {
        match entry.exclusivity()? {
            Exclusivity::Command(session) => {
                Some((self.abandon_in_session(session, position, entries, ctx)?, None))
            }
            Exclusivity::Opening(_) => {
                self.openings.remove(&position)?;
                self.forget(position);
                Some((Outcome::Unsent, Some(self.bound())))
            }
            Exclusivity::Closing(_) => None,
            Exclusivity::Blocking => self.abandon_blocking(position, entries, ctx),
        }
    }

    /// The connection or the command of this entry may be gone.
    pub(super) fn settle(&mut self, id: EntryId, entries: &mut Entries, ctx: &mut Context) {
        let Some(entry) = entries.get_mut(id) else { return };
        match self.leases.state(id) {
            LeaseState::Blocking(position) if entry.awaits_nothing() => {
                // Its caller has an error, or has left.
                self.calls.remove(&position);
                self.release(id, entries, ctx);
            }
            LeaseState::Blocking(position) if !entry.awaits_caller() => {
                // Its caller has an error, and the command may still wait on the server.
                if let Some(call) = self.calls.get_mut(&position).filter(|call| call.is_wanted) {
                    call.is_wanted = false;
                    call.end(Ending::Cancelled, ctx.now);
                }
                self.unblock(entries, ctx);
            }
            LeaseState::Idle { .. } if entry.active.is_none() => {
                entry.release();
                if let Some(lease) = self.leases.get_mut(id) {
                    *lease = Lease::closed();
                }
            }
            _ => {}
        }
    }

    /// Ends what has waited for too long, asks for the ends of waits that are due, and closes what is unused.
    pub(super) fn handle_timeout(
        &mut self,
        entries: &mut Entries,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) {
        while let Some((until, position)) =
            self.waits_until.first().copied().filter(|(until, _)| ctx.now >= *until)
        {
            self.waits_until.remove(&(until, position));
            let after = self.longest_wait(position, ctx);
            let call = self.calls.get(&position).map(|call| call.ticket);
            if let Some(ticket) = call.or(self.openings.get(&position).map(|opening| opening.ticket)) {
                deliver.fail(ticket, Failure::timed_out(Outcome::Unsent, after, Some(self.bound()), None));
            }
            self.forget(position);
        }
        self.unblock(entries, ctx);
        self.end_overdue(entries, ctx);
        for (id, since) in self.leases.idle() {
            let active = entries.get(id).and_then(|entry| entry.active.as_ref());
            if let Some(active) = active.filter(|_| ctx.now >= since.after(self.idle_max)) {
                ctx.effects.push(Effect::End { id: active.id, reason: CloseReason::Local });
            }
        }
        self.dispatch(entries, ctx, deliver);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let waiting = self.waits_until.first().map(|(until, _)| *until);
        let unblocks = self.calls.values().filter_map(|call| call.unblock_at).min();
        let overdue = self.calls.values().filter_map(|call| call.overdue_at(self.patience)).min();
        let unblocks = earliest(unblocks, overdue);
        let idle = self.leases.idle().map(|(_, since)| since.after(self.idle_max)).min();
        earliest(waiting, earliest(unblocks, idle.filter(|at| *at < Instant::END)))
    }

    /// The pool shuts down: callers that wait for a connection fail, and so do commands that are not written. The waits of the
    /// others end. Sessions go on with what they have submitted.
    pub(super) fn shut_down(&mut self, entries: &mut Entries, ctx: &mut Context, deliver: &mut impl Deliver) {
        self.fail_waiting(deliver);
        self.shut_down_blocking(entries, ctx, deliver);
    }

    /// The time to shut down is over: fails the callers that wait for a connection, and returns how many they were. The
    /// entries have failed the others.
    pub(super) fn give_up(&mut self, deliver: &mut impl Deliver) -> u64 {
        let count = self.fail_waiting(deliver);
        self.calls.clear();
        self.sessions.clear();
        self.leases.close_all();
        count
    }

    /// An entry for the subscriptions of the shard, if there is one. They go before the callers that wait.
    pub(super) fn lease_to_subscriber(&mut self, entries: &mut Entries) -> Option<EntryId> {
        let id = self.leases.free_entry(entries)?;
        entries.get_mut(id)?.lease(ConnectionRole::Subscriber, Duration::ZERO);
        self.leases.get_mut(id)?.state = LeaseState::Subscriber;
        Some(id)
    }

    /// The subscriptions need their entry no more.
    pub(super) fn release_subscriber(&mut self, id: EntryId, entries: &mut Entries, ctx: &mut Context) {
        self.release(id, entries, ctx);
    }

    /// Whether no blocking command waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn counts(&self) -> ExclusiveCounts {
        ExclusiveCounts { waiting: self.waiting.len(), ..self.counts }
    }

    /// Whether this entry is one of the exclusive ones.
    pub(super) fn has(&self, id: EntryId) -> bool {
        self.leases.has(id)
    }

    /// The error of callers that get no connection.
    fn bound(&self) -> Arc<CloseReason> {
        Arc::new(CloseReason::ExclusiveInUse(self.leases.most()))
    }

    /// For how long a caller may wait for a connection: as long as its command may wait on the server, and the command
    /// timeout.
    fn longest_wait(&self, position: Position, ctx: &Context) -> Duration {
        let timeout = match self.calls.get(&position) {
            Some(call) => call.command.timeout().unwrap_or(Duration::MAX),
            None => Duration::ZERO,
        };
        timeout.saturating_add(ctx.config.connection.command_timeout)
    }

    /// The entry has no user any more.
    fn release(&mut self, id: EntryId, entries: &mut Entries, ctx: &mut Context) {
        if let Some(position) = self.leases.blocking(id) {
            self.calls.remove(&position);
        }
        let (Some(lease), Some(entry)) = (self.leases.get_mut(id), entries.get_mut(id)) else { return };
        entry.release();
        lease.state = LeaseState::Idle { since: ctx.now };
        match entry.active_generation() {
            None => {
                *lease = Lease::closed();
                if !entry.queue.awaits_caller() {
                    entry.queue.drop_resets();
                }
            }
            Some(active) if lease.spoiled == Some(active) => {
                let id = ConnectionId { entry: id, generation: active };
                ctx.effects.push(Effect::End { id, reason: CloseReason::Local });
            }
            Some(_) => {}
        }
        ctx.effects.push(Effect::LeaseFree);
    }

    /// Forgets a call that has no connection.
    fn forget(&mut self, position: Position) {
        self.calls.remove(&position);
        self.openings.remove(&position);
        self.waiting.retain(|waiting| *waiting != position);
        self.waits_until.retain(|(_, waiting)| *waiting != position);
    }

    /// Fails every caller that waits for a connection, and returns how many they were.
    fn fail_waiting(&mut self, deliver: &mut impl Deliver) -> u64 {
        self.waits_until.clear();
        let mut count = 0;
        for position in std::mem::take(&mut self.waiting) {
            let call = self.calls.remove(&position).map(|call| call.ticket);
            let opening = self.openings.remove(&position).map(|opening| opening.ticket);
            if let Some(ticket) = call.or(opening) {
                count += 1;
                deliver.fail(ticket, Failure::ShutDown(Outcome::Unsent));
            }
        }
        self.report_closed(deliver);
        count
    }
}
