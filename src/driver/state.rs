//! [`ShardState`]: what the handles and tasks of one shard share, and the way of a command into its pool.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use super::broadcast::Member;
use super::calls::{Answer, Calls};
use super::clock::Clock;
use super::due::Due;
use super::pushes::Handler;
use super::resolve::lookups::Lookups;
use super::runtime::{Runtime, StateCell};
use super::stalls::Stalls;
use super::subscriptions::SubscriptionHub;
use super::wakers::{DriverWakers, Notify, SupervisorWaker};
use crate::config::ResolvedConfig;
use crate::error::{Error, Result};
use crate::proto::connection::{Credentials, HandleId, Position, READ_MAX, Submission, Ticket};
use crate::proto::error::{Failure, Outcome};
use crate::proto::pool::{Action, ConnectionId, DeadlineId, EntryId};
use crate::proto::root::Root;
use crate::proto::time::Instant;

/// What the handles and tasks of one shard share.
///
/// One [`RefCell`] holds everything that changes. The rule that keeps it sound: borrow it for a few lines, and neither wake
/// a task, nor drop a waker, nor call the application within them. Each of these may run code that submits or cancels, which
/// borrows the state again and would panic. So the methods here collect what is due ([`Due`]), end the borrow, and wake
/// after it. No borrow crosses an `await`.
pub(crate) struct ShardState<R: Runtime> {
    pub(crate) state: R::Cell<State<R>>,
    pub(crate) config: ResolvedConfig,
    pub(crate) clock: Clock,
    pub(crate) lookups: Lookups<R>,
    pub(crate) stalls: R::Cell<Stalls>,
    pub(crate) runtime: R,
    pub(crate) member: Arc<Member>,
    pub(crate) hub: Arc<SubscriptionHub>,
    pub(crate) pinned_to: Option<usize>,
}

/// A pointer to the state of a shard, for its tasks and handles.
pub(crate) struct Shared<R: Runtime>(pub(crate) R::Pointer<ShardState<R>>);

impl<R: Runtime> Clone for Shared<R> {
    #[inline]
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<R: Runtime> Deref for Shared<R> {
    type Target = ShardState<R>;

    #[inline]
    fn deref(&self) -> &ShardState<R> {
        &self.0
    }
}

/// The part of a shard that changes: its pool, its callers, and the wakers of its tasks.
pub(crate) struct State<R: Runtime> {
    pub(crate) pool: Root,
    pub(crate) calls: Calls<R>,
    pub(crate) drivers: DriverWakers,
    pub(crate) supervisor: SupervisorWaker,
    /// The most bytes of one read.
    pub(crate) read_max: usize,
    /// Tasks that wait for the pool to become ready, to log in again, or to shut down.
    pub(crate) watchers: Vec<Waker>,
    /// Connected sockets, with the address at the other end.
    pub(crate) peers: HashMap<ConnectionId, String>,
    pub(crate) broadcasts_dropped: u64,
    /// How many handles exist. The pool shuts down with the last one.
    handles: usize,
    next_handle_id: u32,
}

/// A command that the pool has accepted: the ticket of its call, and its place in the queue of its entry.
#[derive(Clone, Copy)]
pub(crate) struct Submitted {
    pub(crate) ticket: Ticket,
    pub(crate) entry: EntryId,
    pub(crate) position: Position,
}

impl<R: Runtime> ShardState<R> {
    /// The state of a shard whose tasks do not run yet.
    pub(crate) fn new(
        runtime: R,
        config: ResolvedConfig,
        member: Arc<Member>,
        hub: Arc<SubscriptionHub>,
        pinned_to: Option<usize>,
    ) -> Self {
        let clock = Clock::of_process();
        let state = State {
            pool: Root::new(config.root(fastrand::u64(..)), clock.now()),
            calls: Calls::with_waiting(config.waiting_max()),
            drivers: DriverWakers::new(config.entries_max()),
            supervisor: SupervisorWaker::default(),
            read_max: READ_MAX,
            watchers: Vec::new(),
            peers: HashMap::new(),
            broadcasts_dropped: 0,
            handles: 0,
            next_handle_id: 0,
        };
        ShardState {
            state: R::Cell::new(state),
            lookups: Lookups::new(&config, clock),
            config,
            clock,
            stalls: R::Cell::new(Stalls::default()),
            runtime,
            member,
            hub,
            pinned_to,
        }
    }

    /// Opens a call and queues its command, or its batch with so many replies.
    #[inline(always)]
    pub(crate) fn submit(
        &self,
        entry: EntryId,
        handle: HandleId,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Submitted> {
        self.runtime.mark_busy();
        let (submitted, driver) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let ticket = state.calls.open(batch)?;
            match state.queue(Submission { entry, handle, ticket, replies: batch.unwrap_or(1) }, encode) {
                Ok((position, driver)) => (Submitted { ticket, entry, position }, driver),
                Err(failure) => {
                    state.calls.withdraw(ticket, &failure);
                    return Err(failure.into());
                }
            }
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(submitted)
    }

    /// The caller leaves: a command that is still queued is never sent.
    pub(crate) fn cancel(&self, call: Submitted, deadline: Option<DeadlineId>) {
        // The slot may hold a waker, which drops after the borrow.
        let _left = {
            let mut state = self.state.lock();
            if let Some(deadline) = deadline {
                state.pool.clear_deadline(deadline);
            }
            let (open, left) = state.calls.leave(call.ticket);
            if open {
                state.pool.abandon(call.entry, call.position);
                state.abandoned(call.entry);
            }
            left
        };
    }

    /// The caller wants no more than what its command has taken already: it is answered soon.
    pub(crate) fn take(&self, call: Submitted) {
        let due = {
            let mut state = self.state.lock();
            let state = &mut *state;
            if state.calls.is_open(call.ticket) {
                let (place, now) = ((call.position, call.ticket), self.clock.now());
                state.pool.cancel(call.entry, place, now, &mut state.calls);
                state.abandoned(call.entry);
            }
            state.calls.take_due()
        };
        self.wake(due);
    }

    /// The answer to a call, if it has come. It gives the call's slot back.
    #[inline(always)]
    pub(crate) fn poll_call(
        &self,
        call: Submitted,
        deadline: Option<DeadlineId>,
        context: &mut Context<'_>,
    ) -> Poll<Answer> {
        let (polled, _old_waker) = self.state.lock().calls.poll(call.ticket, context);
        let answer = ready!(polled);
        if let Some(deadline) = deadline {
            self.state.lock().pool.clear_deadline(deadline);
        }
        Poll::Ready(answer)
    }

    /// The caller wants no answer: the command runs, and its reply is dropped, together with `guard`.
    pub(crate) fn forget(
        &self,
        call: Submitted,
        deadline: Option<DeadlineId>,
        guard: Option<Box<dyn Send + Sync>>,
    ) {
        // The slot may hold a waker, which drops after the borrow.
        let _left = {
            let mut state = self.state.lock();
            if let Some(deadline) = deadline {
                state.pool.clear_deadline(deadline);
            }
            state.calls.forget(call.ticket, guard)
        };
    }

    /// Gives an open call a deadline of its own, which replaces `earlier`.
    pub(crate) fn set_deadline(
        &self,
        call: Submitted,
        time: Duration,
        earlier: Option<DeadlineId>,
    ) -> Option<DeadlineId> {
        let now = self.clock.now();
        let mut state = self.state.lock();
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
    pub(crate) fn add_handle(&self) -> (EntryId, HandleId) {
        let mut state = self.state.lock();
        state.handles += 1;
        let handle = HandleId(state.next_handle_id);
        state.next_handle_id = (state.next_handle_id + 1) & !FOREIGN_HANDLES;
        (state.pool.assign(), handle)
    }

    /// One handle is gone; true if it was the last.
    pub(crate) fn remove_handle(&self) -> bool {
        let mut state = self.state.lock();
        state.handles -= 1;
        state.handles == 0
    }

    /// Passes new credentials to the pool, which logs every live connection in with them.
    pub(crate) fn renew(&self, credentials: Credentials) {
        let mut state = self.state.lock();
        state.pool.renew(credentials, self.clock.now());
        state.supervisor.wake();
    }

    /// What the pool asks for next.
    pub(crate) fn next_action(&self) -> Option<Action> {
        self.state.lock().pool.poll_action()
    }

    /// Wakes the callers whose calls are answered, then hands the pushes out. Call it without a borrow.
    #[inline]
    pub(crate) fn wake(&self, due: Option<Due<R>>) {
        if let Some(mut due) = due {
            due.settle();
            let _left = self.state.lock().calls.reuse(due);
        }
    }

    /// Has `function` called for each push of this name, in place of an earlier one.
    ///
    /// # Errors
    /// If the application cannot handle pushes of this name, too many names have a handler, or the shard is shut down.
    pub(crate) fn on_push(&self, name: &str, function: R::PushFunction) -> Result<()> {
        let handler = Handler::<R>::new(name, function)?;
        let mut state = self.state.lock();
        let inserted = match state.supervisor.finished {
            true => Err(Error::shut_down(Outcome::Unsent)),
            false => state.calls.pushes.insert(handler.clone()),
        };
        // Dropping a handler may run code of the application: end the borrow first. The result holds the replaced handler.
        drop(state);
        inserted.map(drop)
    }

    /// Something ran for `time` until now. The supervisor reports it if that is long enough to be a stall. Call it without
    /// a borrow.
    #[inline]
    pub(crate) fn note_stall(&self, time: Duration, by: Option<&'static str>) {
        if self.stalls.lock().note(time, by, self.clock.now()) {
            self.state.lock().supervisor.wake();
        }
    }

    /// Ends the shard, if it is not shut down: its runtime runs its tasks no more. Every open call fails, and later ones do.
    pub(crate) fn end(&self) {
        let now = self.clock.now();
        self.member.leave();
        self.hub.close();
        let (due, watchers) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            state.pool.shut_down(now, now, &mut state.calls);
            state.calls.fail_all(&Failure::ShutDown(Outcome::Ambiguous));
            state.supervisor.finished = true;
            (state.calls.take_due(), std::mem::take(&mut state.watchers))
        };
        self.wake(due);
        watchers.into_iter().for_each(Waker::wake);
    }

    /// The executor has died, and will poll no task of this shard again: the callers learn of it, and the shard leaves its
    /// group.
    pub(crate) fn die(&self) {
        self.member.leave();
        let calls = self.state.try_lock().map(|mut state| std::mem::take(&mut state.calls));
        // Dropping them tells the callers on other threads.
        drop(calls);
    }
}

impl<R: Runtime> State<R> {
    /// Hands a submission to the pool, and wakes the task that has to act on it. Where other threads wait for the state, it returns
    /// the waker of that task, because a wake-up may take a system call.
    #[inline]
    pub(crate) fn queue(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> std::result::Result<(Position, Option<Waker>), Failure> {
        let (position, entry) = self.pool.submit(submission, encode)?;
        // No connection has the generation 0: without a connection the supervisor notes the time of the command.
        let generation = self.pool.active_generation(entry).unwrap_or(0);
        let driver = match self.drivers.notify(entry, generation) {
            Notify::Driver(waker) if R::IS_SHARED => Some(waker.clone()),
            Notify::Driver(waker) => {
                waker.wake_by_ref();
                None
            }
            Notify::Supervisor => {
                self.supervisor.wake();
                None
            }
            Notify::NoTask => None,
        };
        Ok((position, driver))
    }

    /// A driver has written: the supervisor wakes when the next deadline passes.
    #[inline(always)]
    pub(super) fn written(&mut self, id: ConnectionId, now: Instant) {
        let deadline = self.pool.connection(id).next_timeout();
        self.supervisor.arm(deadline, now);
        self.supervisor.arm(self.calls.forget_at(), now);
        self.wake_supervisor();
    }

    /// The pool has handled what was read: the callers to wake.
    #[inline]
    pub(super) fn take_due(&mut self) -> Option<Due<R>> {
        self.wake_supervisor();
        self.calls.take_due()
    }

    /// A command of this entry was abandoned. The supervisor ends the wait of a blocking one.
    pub(crate) fn abandoned(&mut self, entry: EntryId) {
        match entry.is_exclusive() {
            true => self.supervisor.wake(),
            false => self.wake_supervisor(),
        }
    }

    /// Wakes the supervisor if the pool asks for something.
    #[inline]
    pub(crate) fn wake_supervisor(&mut self) {
        if self.pool.has_actions() {
            self.supervisor.wake();
        }
    }
}

/// The number of the session that has this handle for itself. Handles on other threads have the highest bit, which the entries
/// of sessions have no room for, so it becomes the lowest.
pub(crate) fn session_number(handle: HandleId) -> u32 {
    handle.0.rotate_left(1)
}

/// Ordering keys with this bit belong to handles on other threads. Two handles with the same key are harmless: at a cut-over
/// each of them waits for the other's replies as well.
pub(crate) const FOREIGN_HANDLES: u32 = 1 << 31;
