//! The callers that need connections for themselves: those that block, and those with sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{SimShard, Simulation};
use crate::proto::resp::Frame;
use crate::rehearsal::SessionId;
use crate::sim::blockers::{self, Blocker};
use crate::sim::call_context::Touched;
use crate::sim::checkers::{exclusive_use, transactions};
use crate::sim::event_queue::SimEvent;
use crate::sim::network::WireId;
use crate::sim::outcomes::{CallKind, End, Outcomes};
use crate::sim::session_caller::{self, SessionCaller};
use crate::sim::transactions::TransactionEnd;
use crate::sim::violation::Violation;

impl Simulation<'_> {
    pub(super) fn add_exclusive_callers(&mut self) {
        let parameters = &self.plan.parameters;
        let (callers, exclusive) = (parameters.callers, &parameters.exclusive);
        for (shard, state) in self.shards.iter_mut().enumerate() {
            for number in 0..exclusive.blockers {
                self.events.schedule(self.now, SimEvent::Blocker { number: self.blockers.len() });
                self.blockers.push(Blocker::new(shard, callers + number, &mut state.pool));
            }
            for number in 0..exclusive.sessions {
                self.events.schedule(self.now, SimEvent::Session { number: self.sessions.len() });
                let number = callers + exclusive.blockers + number;
                self.sessions.push(SessionCaller::new(shard, number, &mut state.pool));
            }
        }
        if exclusive.sessions > 0 {
            let _ = self.ask_server(&["SET", session_caller::HOME, "1"]);
        }
    }

    pub(super) fn run_blocker(&mut self, number: usize) -> Result<(), Violation> {
        let Some(blocker) = self.blockers.get_mut(number) else { return Ok(()) };
        let Some(state) = self.shards.get_mut(blocker.shard) else { return Ok(()) };
        let first = state.next_ticket;
        let (shard, mut context) = (blocker.shard, state.context(&mut self.exclusive_random, self.now));
        let touched = if self.is_recovering {
            blocker.wind_up(&mut context)
        } else {
            let (time, touched) = blocker.act(&mut context);
            self.events.schedule(self.now.after(time), SimEvent::Blocker { number });
            touched
        };
        self.note_calls(shard, first);
        self.follow(shard, touched)
    }

    pub(super) fn run_session(&mut self, number: usize) -> Result<(), Violation> {
        let Some(caller) = self.sessions.get_mut(number) else { return Ok(()) };
        let Some(state) = self.shards.get_mut(caller.shard) else { return Ok(()) };
        let first = state.next_ticket;
        let (shard, mut book) = (caller.shard, std::mem::take(&mut state.transactions));
        let mut context = state.context(&mut self.exclusive_random, self.now);
        let touched = if self.is_recovering {
            caller.wind_up(&mut context)
        } else {
            let (time, touched) = caller.act(&mut book, &mut context);
            self.events.schedule(self.now.after(time), SimEvent::Session { number });
            touched
        };
        state.transactions = book;
        self.note_calls(shard, first);
        self.follow(shard, touched)
    }

    /// Records what a caller has submitted.
    fn note_calls(&mut self, shard: usize, first: u32) {
        let Some(state) = self.shards.get(shard) else { return };
        for (ticket, call) in state.outcomes.calls.range(first..) {
            self.trace.note(self.now, &[7, shard as u64, u64::from(*ticket)], |line| {
                let (kind, entry) = (call.kind, call.entry.0);
                line.push_str(&format!(
                    "shard {shard}: ticket {ticket} at {entry:x}: {kind:?} {:?}",
                    call.end
                ));
            });
        }
    }

    /// A turn of the supervisor.
    pub(super) fn turn(&mut self, shard: usize) -> Result<(), Violation> {
        if let Some(state) = self.shards.get_mut(shard) {
            state.pool.handle_timeout(self.now, &mut state.outcomes);
        }
        self.drive(shard)
    }

    /// Wakes the tasks of a shard after a caller has acted. The supervisor may run a little later.
    fn follow(&mut self, shard: usize, touched: Touched) -> Result<(), Violation> {
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let mut needs_turn = touched.exclusive;
        if let Some(entry) = touched.shared {
            match state.pool.entries().active_generation(entry) {
                Some(generation) => {
                    state.runnable.insert(WireId { shard, entry: entry.0, generation });
                }
                None => needs_turn = true,
            }
        }
        if needs_turn {
            let most_us = if self.exclusive_random.u32(..4) == 0 { 1_000 } else { 20 };
            let time = Duration::from_micros(self.exclusive_random.u64(..most_us));
            self.events.schedule(self.now.after(time), SimEvent::Turn { shard });
        }
        self.drive(shard)
    }

    /// Checks the bytes that arrive at a server for blocking commands, and for the ends of their waits.
    pub(super) fn check_blocking(
        &mut self,
        id: WireId,
        session: SessionId,
        bytes: &[u8],
    ) -> Result<(), Violation> {
        let is_shared = (id.entry as usize) < self.plan.parameters.connections;
        let (Some(checks), Some(state)) = (self.checks.get_mut(&id), self.shards.get_mut(id.shard)) else {
            return Ok(());
        };
        let mut before = checks.arrivals.newest();
        for ticket in checks.arrivals.note(bytes) {
            let call = before.and_then(|before| state.outcomes.calls.get(&before));
            exclusive_use::check_arrival(ticket, call, is_shared, self.server.is_blocked(session))?;
            if let Some(before) = before.replace(ticket) {
                state.elements.note_answered(before);
            }
        }
        unblocked(bytes).try_for_each(|session| self.check_unblock(id, session))
    }

    /// The server is asked to end the wait of this session, on another connection.
    fn check_unblock(&mut self, id: WireId, session: SessionId) -> Result<(), Violation> {
        let Some(blocked) = self.network.of_session(session) else { return Ok(()) };
        let node = |wire: Option<&mut crate::sim::network::Wire>| wire.and_then(|wire| wire.node);
        let (here, there) = (node(self.network.get(id)), node(self.network.get(blocked)));
        if blocked.shard != id.shard || here != there {
            let what = format!("{id:?} of node {here:?} ends the wait of {blocked:?} of node {there:?}");
            return Err(Violation::new("only waits that are to end are ended", what));
        }
        let (Some(checks), Some(state)) = (self.checks.get(&blocked), self.shards.get(id.shard)) else {
            return Ok(());
        };
        let active = state.pool.entries().active_generation(blocked.id().entry);
        let is_left = active != Some(blocked.generation) || state.is_shutting_down;
        match self.server.is_blocked(session) {
            true => exclusive_use::check_unblock(checks.arrivals.newest(), &state.outcomes, is_left),
            false => Ok(()),
        }
    }

    /// Compares what the blocking commands and transactions of a shard got with what the server has.
    pub(super) fn check_exclusive(&mut self, shard: usize) -> Result<(), Violation> {
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let (book, elements) = (std::mem::take(&mut state.transactions), std::mem::take(&mut state.elements));
        let moves = state.outcomes.calls.iter().filter(|(_, call)| match call.kind {
            CallKind::Take(take) => take.is_move,
            _ => false,
        });
        let moves: Vec<u32> = moves.map(|(ticket, _)| *ticket).collect();
        let queue = self.read_list(&blockers::queue(shard));
        let moved: BTreeMap<u32, Vec<u64>> = moves
            .into_iter()
            .map(|ticket| (ticket, self.read_list(&blockers::mark(shard, ticket))))
            .collect();
        let log = self.read_list(&session_caller::log(shard));
        let twin = self.read_list(&session_caller::twin(shard));
        let Some(SimShard { outcomes, .. }) = self.shards.get(shard) else { return Ok(()) };
        self.tally.orphaned += elements.orphans() as u64;
        self.tally.taken += taken(outcomes);
        let done = book.list.iter().map(|transaction| transaction.end(outcomes));
        self.tally.transactions += done.filter(|end| matches!(end, TransactionEnd::Done(_))).count() as u64;
        elements.check(outcomes, &queue, &moved)?;
        transactions::check(&book, outcomes, &log, &twin)
    }
}

/// How many blocking commands have taken something.
fn taken(outcomes: &Outcomes) -> u64 {
    let calls = outcomes.calls.values().filter(|call| matches!(call.kind, CallKind::Take(_)));
    let answered = calls.filter(|call| call.end == End::Answered);
    answered.filter(|call| call.replies.iter().any(|reply| *reply != Frame::Null)).count() as u64
}

/// The sessions whose waits these bytes end.
fn unblocked(bytes: &[u8]) -> impl Iterator<Item = SessionId> {
    memchr::memmem::find_iter(bytes, UNBLOCK).filter_map(|at| {
        let mut lines = bytes.get(at + UNBLOCK.len()..)?.split(|byte| *byte == b'\r');
        // The length of the number, and the number behind its line's end. A number in two pieces is not read.
        let number = lines.nth(1)?.strip_prefix(b"\n")?;
        lines.next()?;
        Some(SessionId(std::str::from_utf8(number).ok()?.parse().ok()?))
    })
}

const UNBLOCK: &[u8] = b"UNBLOCK\r\n";
