//! [`Overflow`]: what a handle could not put into a full mailbox, in the order of its calls.
//!
//! The way of a command is lock-free for as long as there is room. Where there is none, a handle's later calls must not
//! pass its earlier ones: they line up here, behind a lock that only this handle's callers know of, and whichever of
//! them is polled sends what is in front.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use concurrent_queue::PushError;

// By way of the module above: `tests/loom` gives it others.
use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use super::sync::{Mutex, MutexGuard};
use super::threads::Threads;
use crate::shard::mailbox::Letter;

pub(super) struct Overflow {
    is_used: AtomicBool,
    letters: Mutex<VecDeque<(usize, Letter)>>,
    room: Arc<WaitingRoom>,
}

/// How many letters of all handles of a client may wait, and how many do.
pub(super) struct WaitingRoom {
    most: usize,
    taken: AtomicUsize,
}

/// Where a letter went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    InTheMailbox,
    /// It waits; [`Overflow::poll_flush`] sends it.
    Waiting,
    /// There is no shard any more.
    Gone,
    /// So many wait already that it was refused.
    Refused,
}

impl Overflow {
    pub(super) fn new(room: Arc<WaitingRoom>) -> Self {
        Overflow { is_used: AtomicBool::new(false), letters: Mutex::new(VecDeque::new()), room }
    }

    /// Sends a letter to this shard, behind those that wait.
    pub(super) fn send(&self, threads: &Threads, shard: usize, letter: Letter) -> Sent {
        let Some(mailbox) = threads.mailbox(shard) else { return Sent::Gone };
        let letter = match self.is_used.load(Ordering::Acquire) {
            true => letter,
            false => match mailbox.send(letter) {
                Ok(()) => return Sent::InTheMailbox,
                Err(PushError::Closed(_)) => return Sent::Gone,
                Err(PushError::Full(letter)) => letter,
            },
        };
        let mut letters = self.lock();
        if !self.room.enter() {
            return Sent::Refused;
        }
        letters.push_back((shard, letter));
        self.is_used.store(true, Ordering::Release);
        Sent::Waiting
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn poll_flush(&self, threads: &Threads, context: &Context<'_>) -> Poll<()> {
        let mut letters = self.lock();
        while let Some((shard, letter)) = letters.pop_front() {
            self.room.leave(1);
            if letter.is_unwanted() {
                continue;
            }
            let Some(mailbox) = threads.mailbox(shard) else { continue };
            let mut unsent = Some(letter);
            let sent = mailbox.poll_send(&mut unsent, context);
            match (sent, unsent) {
                (Poll::Pending, Some(letter)) => {
                    letters.push_front((shard, letter));
                    self.room.enter_again();
                    return Poll::Pending;
                }
                (_, Some(letter)) => letter.refuse(),
                (_, None) => {}
            }
        }
        self.is_used.store(false, Ordering::Release);
        Poll::Ready(())
    }

    /// Drops letters that are unwanted, as far as they are first: nothing else may poll this handle's replies.
    pub(super) fn trim(&self) {
        let mut letters = self.lock();
        while letters.front().is_some_and(|(_, letter)| letter.is_unwanted()) {
            letters.pop_front();
            self.room.leave(1);
        }
        if letters.is_empty() {
            self.is_used.store(false, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(usize, Letter)>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Overflow {
    fn drop(&mut self) {
        let waiting = self.lock().len();
        self.room.leave(waiting);
    }
}

impl WaitingRoom {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        WaitingRoom { most, taken: AtomicUsize::new(0) }
    }

    fn enter(&self) -> bool {
        let entered = self.taken.fetch_add(1, Ordering::Relaxed) < self.most;
        if !entered {
            self.leave(1);
        }
        entered
    }

    /// For a letter that had just left, and finds no room yet.
    fn enter_again(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self, letters: usize) {
        self.taken.fetch_sub(letters, Ordering::Relaxed);
    }
}
