//! Models of `concurrent_queue` and `atomic_waker`, which loom can follow.
//!
//! Each operation is one step here, behind a lock. The crate relies on these properties of the originals:
//! - A queue is linearizable: a push, a pop, a close and a length each take effect at one moment, and what happened before a
//!   push is visible to the thread that pops the item. A pop that comes in the middle of a push waits for its
//!   end, and so does not miss it. A push fails only if the queue is full or closed, and a pop only if it is empty; an
//!   empty one that is closed says so.
//! - These moments have one order over several queues and wakers: of two threads that each write to one and then look
//!   into the other's, one at least sees what the other wrote. (The originals use sequentially consistent exchanges and
//!   fences. With acquire and release alone, each could miss the other, and a wake-up would be lost.)
//! - A waker that is registered is woken by the next wake, once, on whichever side of the registration the two meet;
//!   the one that was registered last counts.

use std::collections::VecDeque;
use std::task::Waker;

use loom::sync::{Mutex, MutexGuard};

/// As `concurrent_queue::ConcurrentQueue`.
pub struct ConcurrentQueue<T> {
    state: Mutex<State<T>>,
    room: usize,
}

struct State<T> {
    items: VecDeque<T>,
    is_closed: bool,
}

/// As `concurrent_queue::PushError`.
#[derive(Debug)]
pub enum PushError<T> {
    Full(T),
    Closed(T),
}

/// As `concurrent_queue::PopError`.
#[derive(Debug)]
pub enum PopError {
    Empty,
    Closed,
}

impl<T> ConcurrentQueue<T> {
    pub fn bounded(room: usize) -> Self {
        let state = Mutex::new(State { items: VecDeque::new(), is_closed: false });
        ConcurrentQueue { state, room }
    }

    pub fn push(&self, item: T) -> Result<(), PushError<T>> {
        let mut state = self.state();
        if state.is_closed {
            return Err(PushError::Closed(item));
        }
        if state.items.len() == self.room {
            return Err(PushError::Full(item));
        }
        state.items.push_back(item);
        Ok(())
    }

    pub fn pop(&self) -> Result<T, PopError> {
        let mut state = self.state();
        let why = if state.is_closed { PopError::Closed } else { PopError::Empty };
        state.items.pop_front().ok_or(why)
    }

    /// True unless it was closed already.
    pub fn close(&self) -> bool {
        !std::mem::replace(&mut self.state().is_closed, true)
    }

    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    pub fn len(&self) -> usize {
        self.state().items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap()
    }
}

/// As `atomic_waker::AtomicWaker`.
#[derive(Default)]
pub struct AtomicWaker(Mutex<Option<Waker>>);

impl AtomicWaker {
    pub fn new() -> Self {
        AtomicWaker::default()
    }

    pub fn register(&self, waker: &Waker) {
        *self.0.lock().unwrap() = Some(waker.clone());
    }

    pub fn wake(&self) {
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }

    pub fn take(&self) -> Option<Waker> {
        self.0.lock().unwrap().take()
    }
}
