//! [`ShardState`]: what the handles and tasks of one shard share, and the way of a command into its pool.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::broadcast::Member;
use super::calls::{Calls, Due};
use super::clock::Clock;
use super::closures::Closures;
use super::reactor::Reactor;
use super::resolve::lookups::Lookups;
use super::stalls::Stalls;
use super::wakers::{DriverWakers, SupervisorWaker};
use crate::config::ResolvedConfig;
use crate::error::Result;
use crate::proto::connection::{Credentials, HandleId, Position, READ_MAX, Submission, Ticket};
use crate::proto::error::Failure;
use crate::proto::pool::{Action, ConnectionId, DeadlineId, EntryId, Pool};

/// What the handles and tasks of one shard share.
///
/// One [`RefCell`] holds everything that changes. The rule that keeps it sound: borrow it for a few lines, and neither wake
/// a task, nor drop a waker, nor call the application within them. Each of these may run code that submits or cancels, which
/// borrows the state again and would panic. So the methods here collect what is due ([`Due`]), end the borrow, and wake
/// after it. No borrow crosses an `await`.
pub(crate) struct ShardState {
    pub(super) state: RefCell<State>,
    pub(super) config: ResolvedConfig,
    pub(super) clock: Clock,
    pub(super) lookups: Lookups,
    pub(super) closures: Rc<Closures>,
    pub(super) stalls: Stalls,
    pub(super) reactor: Rc<Reactor>,
    pub(super) member: Arc<Member>,
    pub(super) pinned_to: Option<usize>,
}

/// The part of a shard that changes: its pool, its callers, and the wakers of its tasks.
pub(super) struct State {
    pub(super) pool: Pool,
    pub(super) calls: Calls,
    pub(super) drivers: DriverWakers,
    pub(super) supervisor: SupervisorWaker,
    /// Where a driver reads to before the pool takes the bytes in. One buffer serves all connections: one driver runs at a time.
    pub(super) read_buffer: Box<[u8]>,
    /// Tasks that wait for the pool to become ready, to log in again, or to shut down.
    pub(super) watchers: Vec<Waker>,
    /// Connected sockets, with the address at the other end.
    pub(super) peers: HashMap<ConnectionId, String>,
    pub(super) broadcasts_dropped: u64,
    /// How many handles exist. The pool shuts down with the last one.
    handles: usize,
    next_handle_id: u32,
}

/// A command that the pool has accepted: the ticket of its call, and its place in the queue of its entry.
#[derive(Clone, Copy)]
pub(super) struct Submitted {
    pub(super) ticket: Ticket,
    pub(super) entry: EntryId,
    pub(super) position: Position,
}

impl ShardState {
    /// The state of a shard whose tasks do not run yet.
    pub(super) fn new(config: ResolvedConfig, member: Arc<Member>, pinned_to: Option<usize>) -> Self {
        let clock = Clock::of_process();
        let state = State {
            pool: Pool::new(config.pool(fastrand::u64(..)), clock.now()),
            calls: Calls::with_waiting(config.waiting_max()),
            drivers: DriverWakers::new(config.connections_per_shard()),
            supervisor: SupervisorWaker::default(),
            read_buffer: vec![0; READ_MAX].into_boxed_slice(),
            watchers: Vec::new(),
            peers: HashMap::new(),
            broadcasts_dropped: 0,
            handles: 0,
            next_handle_id: 0,
        };
        ShardState {
            state: RefCell::new(state),
            lookups: Lookups::new(&config, clock),
            config,
            clock,
            closures: Rc::default(),
            stalls: Stalls::default(),
            reactor: Reactor::new(),
            member,
            pinned_to,
        }
    }

    /// Opens a call and queues its command, or its batch with so many replies.
    #[inline]
    pub(super) fn submit(
        &self,
        entry: EntryId,
        handle: HandleId,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Submitted> {
        self.reactor.mark_busy();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let ticket = state.calls.open(batch)?;
        match state.queue(Submission { entry, handle, ticket, replies: batch.unwrap_or(1) }, encode) {
            Ok(position) => Ok(Submitted { ticket, entry, position }),
            Err(failure) => {
                state.calls.withdraw(ticket, &failure);
                Err(failure.into())
            }
        }
    }

    /// The caller leaves: a command that is still queued is never sent.
    pub(super) fn cancel(&self, call: Submitted, deadline: Option<DeadlineId>) {
        // The slot may hold a waker, which drops after the borrow.
        let _left = {
            let mut state = self.state.borrow_mut();
            if let Some(deadline) = deadline {
                state.pool.clear_deadline(deadline);
            }
            let (open, left) = state.calls.leave(call.ticket);
            if open {
                state.pool.abandon(call.entry, call.position);
                state.wake_supervisor();
            }
            left
        };
    }

    /// The caller wants no answer: the command runs, and its reply is dropped.
    pub(super) fn forget(&self, call: Submitted, deadline: Option<DeadlineId>) {
        // The slot may hold a waker, which drops after the borrow.
        let _left = {
            let mut state = self.state.borrow_mut();
            if let Some(deadline) = deadline {
                state.pool.clear_deadline(deadline);
            }
            state.calls.forget(call.ticket)
        };
    }

    /// Gives an open call a deadline of its own, which replaces `earlier`.
    pub(super) fn set_deadline(
        &self,
        call: Submitted,
        time: Duration,
        earlier: Option<DeadlineId>,
    ) -> Option<DeadlineId> {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        if let Some(earlier) = earlier {
            state.pool.clear_deadline(earlier);
        }
        if !state.calls.is_open(call.ticket) {
            return None;
        }
        let deadline = state.pool.set_deadline(call.entry, call.position, call.ticket, time, now);
        state.supervisor.arm(Some(now.after(time)), now);
        Some(deadline)
    }

    /// Registers one more handle. It is bound to the next entry, and has an ordering key of its own.
    pub(super) fn add_handle(&self) -> (EntryId, HandleId) {
        let mut state = self.state.borrow_mut();
        state.handles += 1;
        let handle = HandleId(state.next_handle_id);
        state.next_handle_id = (state.next_handle_id + 1) & !FOREIGN_HANDLES;
        (state.pool.assign(), handle)
    }

    /// One handle is gone; true if it was the last.
    pub(super) fn remove_handle(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.handles -= 1;
        state.handles == 0
    }

    /// Passes new credentials to the pool, which logs every live connection in with them.
    pub(super) fn renew(&self, credentials: Credentials) {
        let mut state = self.state.borrow_mut();
        state.pool.renew(credentials, self.clock.now());
        state.supervisor.wake();
    }

    /// What the pool asks for next.
    pub(super) fn next_action(&self) -> Option<Action> {
        self.state.borrow_mut().pool.poll_action()
    }

    /// Wakes the callers whose calls are answered, then hands the pushes out. Call it without a borrow.
    #[inline]
    pub(super) fn wake(&self, due: Option<Due>) {
        if let Some(mut due) = due {
            due.settle();
            let _left = self.state.borrow_mut().calls.reuse(due);
        }
    }

    /// Something ran for `time` until now. The supervisor reports it if that is long enough to be a stall. Call it without
    /// a borrow.
    #[inline]
    pub(super) fn note_stall(&self, time: Duration, by: Option<&'static str>) {
        if self.stalls.note(time, by, self.clock.now()) {
            self.state.borrow_mut().supervisor.wake();
        }
    }

    /// The executor has died, and will poll no task of this shard again: the callers learn of it, and the shard leaves its
    /// group.
    pub(super) fn die(&self) {
        self.member.leave();
        let calls = self.state.try_borrow_mut().map(|mut state| std::mem::take(&mut state.calls));
        // Dropping them tells the callers on other threads.
        drop(calls);
        self.closures.end_all();
    }
}

impl State {
    /// Hands a submission to the pool, and wakes the task that has to act on it.
    #[inline]
    pub(super) fn queue(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> std::result::Result<Position, Failure> {
        let entry = submission.entry;
        let position = self.pool.submit(submission, encode)?;
        // No connection has the generation 0: without a connection the supervisor notes the time of the command.
        let generation = self.pool.entries().active_generation(entry).unwrap_or(0);
        if self.drivers.notify(entry, generation) {
            self.supervisor.wake();
        }
        Ok(position)
    }

    /// Wakes the supervisor if the pool asks for something.
    #[inline]
    pub(super) fn wake_supervisor(&mut self) {
        if self.pool.has_actions() {
            self.supervisor.wake();
        }
    }
}

/// Ordering keys with this bit belong to handles on other threads. Two handles with the same key are harmless: at a cut-over
/// each of them waits for the other's replies as well.
pub(crate) const FOREIGN_HANDLES: u32 = 1 << 31;
