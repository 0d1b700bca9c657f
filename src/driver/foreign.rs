//! [`ForeignCall`] and [`ForeignCaller`]: the two ends of a call that another thread makes on a shard.
//!
//! This file uses nothing of this crate but its [`sync`](super::sync), so that `tests/loom` can try every interleaving.

use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

use super::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use super::sync::{Mutex, MutexGuard};

/// The end of the thread. Dropping it leaves: a command that is still queued is never sent.
///
/// The thread keeps the call. The [`ForeignCaller`] travels with the command, into the mailbox and then into a slot of the
/// shard, and carries the answer back. One word says how far the command has come:
///
/// ```text
///  QUEUED ── the shard accepts the command ──▶ its ticket ──▶ the answer, or the end of the shard
///     └───── the thread leaves before that ──▶ LEFT: the command is never sent
/// ```
///
/// Either exchange of that word excludes the other. So a thread that leaves knows whether its command can still be executed,
/// and a shard never sends a command whose thread has left.
pub(crate) struct ForeignCall<T> {
    state: Arc<State<T>>,
    /// The thread wants no answer, and the command is sent all the same.
    is_forgotten: bool,
}

/// The end of the shard. Dropping it tells the thread that no answer will come.
pub(crate) struct ForeignCaller<T>(Option<Arc<State<T>>>);

/// The identity of a call, by which the shard that has accepted it finds it.
pub(crate) struct ForeignCallId<T>(Arc<State<T>>);

struct State<T> {
    progress: AtomicU64,
    /// [`OPEN`], [`ANSWERED`] or [`GONE`].
    end: AtomicU8,
    /// The shard locks it before it stores [`ANSWERED`], and the thread after it has seen that: neither waits for the other.
    returned: Mutex<Returned<T>>,
    thread: AtomicWaker,
    /// What the thread has left with the call, to be dropped together with the answer.
    guard: OnceLock<Box<dyn Send + Sync>>,
}

/// What the shard returns to the thread.
struct Returned<T> {
    answer: Option<T>,
    /// The buffer in which the command came, for the next one.
    buffer: Vec<u8>,
}

/// A call that no shard has accepted yet.
pub(crate) fn foreign_call<T>() -> (ForeignCaller<T>, ForeignCall<T>) {
    let (progress, end) = (AtomicU64::new(QUEUED), AtomicU8::new(OPEN));
    let returned = Mutex::new(Returned { answer: None, buffer: Vec::new() });
    let state =
        Arc::new(State { progress, end, returned, thread: AtomicWaker::new(), guard: OnceLock::new() });
    (ForeignCaller(Some(state.clone())), ForeignCall { state, is_forgotten: false })
}

impl<T> ForeignCall<T> {
    /// The answer; `None` if the shard has ended without one.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Option<T>> {
        // The second attempt finds an answer that came before the waker was registered.
        for attempt in 0..2 {
            match self.state.end.load(Ordering::Acquire) {
                ANSWERED => return Poll::Ready(self.state.returned().answer.take()),
                GONE => return Poll::Ready(None),
                _ if attempt == 0 => self.state.thread.register(context.waker()),
                _ => {}
            }
        }
        Poll::Pending
    }

    /// Leaves, if the shard has not accepted the command yet.
    ///
    /// # Errors
    /// If the shard has accepted it: its ticket there.
    pub(crate) fn leave(&self) -> Result<(), u32> {
        match self.state.progress.compare_exchange(QUEUED, LEFT, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(LEFT) => Ok(()),
            // Any value but the two marks is a ticket.
            Err(ticket) => Err(u32::try_from(ticket).unwrap_or(u32::MAX)),
        }
    }

    /// Whether the answer has come, or never will.
    pub(crate) fn is_decided(&self) -> bool {
        self.state.end.load(Ordering::Acquire) != OPEN
    }

    /// Has the command run, and its answer dropped when it comes, together with `guard`.
    pub(crate) fn forget(mut self, guard: Option<Box<dyn Send + Sync>>) {
        self.is_forgotten = true;
        if let Some(guard) = guard {
            // It was empty: only this line sets it.
            let _ = self.state.guard.set(guard);
        }
    }

    /// Makes a call that is over a new one, without an allocation. `None` if anything else still has a part of the old one.
    pub(crate) fn begin_again(&mut self) -> Option<ForeignCaller<T>> {
        let state = Arc::get_mut(&mut self.state)?;
        state.guard.take();
        state.thread.take();
        state.returned().answer = None;
        state.progress.store(QUEUED, Ordering::Relaxed);
        state.end.store(OPEN, Ordering::Relaxed);
        self.is_forgotten = false;
        Some(ForeignCaller(Some(self.state.clone())))
    }

    /// The buffer that the shard has returned, or an empty one.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        std::mem::take(&mut self.state.returned().buffer)
    }

    pub(crate) fn id(&self) -> ForeignCallId<T> {
        ForeignCallId(self.state.clone())
    }
}

impl<T> ForeignCaller<T> {
    /// The shard accepts the command; false if the thread has left.
    pub(crate) fn accept(&self, ticket: u32) -> bool {
        let Some(state) = &self.0 else { return false };
        let ticket = u64::from(ticket);
        state.progress.compare_exchange(QUEUED, ticket, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether the thread has left before the shard accepted the command.
    pub(crate) fn has_left(&self) -> bool {
        self.0.as_ref().is_none_or(|state| state.progress.load(Ordering::Acquire) == LEFT)
    }

    pub(crate) fn is_of(&self, call: &ForeignCallId<T>) -> bool {
        self.0.as_ref().is_some_and(|state| Arc::ptr_eq(state, &call.0))
    }

    /// Returns the buffer in which the command came, unless it is so large that it would keep much memory.
    pub(crate) fn return_buffer(&self, mut buffer: Vec<u8>) {
        if let Some(state) = self.0.as_ref().filter(|_| buffer.capacity() <= BUFFER_MAX) {
            buffer.clear();
            state.returned().buffer = buffer;
        }
    }

    pub(crate) fn answer(mut self, answer: T) {
        if let Some(state) = self.0.take() {
            state.returned().answer = Some(answer);
            state.end_with(ANSWERED);
        }
    }
}

impl<T> State<T> {
    fn returned(&self) -> MutexGuard<'_, Returned<T>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard's part is over. It lets go of the call before it wakes the thread, which may begin the next one at once.
    fn end_with(self: Arc<Self>, end: u8) {
        self.end.store(end, Ordering::Release);
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            thread.wake();
        }
    }
}

impl<T> Drop for ForeignCall<T> {
    fn drop(&mut self) {
        if !self.is_forgotten {
            // If the shard has accepted it, the answer is dropped when it comes.
            let _ = self.leave();
        }
    }
}

impl<T> Drop for ForeignCaller<T> {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            state.end_with(GONE);
        }
    }
}

const QUEUED: u64 = u64::MAX;
const LEFT: u64 = u64::MAX - 1;

const OPEN: u8 = 0;
const ANSWERED: u8 = 1;
/// The end of the shard was dropped.
const GONE: u8 = 2;

/// The largest buffer that is kept for the next command.
const BUFFER_MAX: usize = 4 << 10;
