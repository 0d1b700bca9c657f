//! [`Overflow`]: what a handle could not put into a full mailbox, in the order of its calls.
//!
//! The way of a command is lock-free for as long as there is room. Where there is none, a handle's later calls must not
//! pass its earlier ones: they line up here, behind a lock that only this handle's callers know of, and whichever of
//! them is polled sends what is in front.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::task::{Context, Poll};

use concurrent_queue::PushError;

// By way of the module above: `tests/loom` gives it others.
use super::sync::atomic::{AtomicBool, Ordering};
use super::sync::{Mutex, MutexGuard};
use super::threads::Threads;
use crate::shard::mailbox::Letter;

#[derive(Default)]
pub(super) struct Overflow {
    is_used: AtomicBool,
    letters: Mutex<VecDeque<(usize, Letter)>>,
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
        if letters.len() >= OVERFLOW_MAX {
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
            if letter.is_unwanted() {
                continue;
            }
            let Some(mailbox) = threads.mailbox(shard) else { continue };
            let mut unsent = Some(letter);
            let sent = mailbox.poll_send(&mut unsent, context);
            match (sent, unsent) {
                (Poll::Pending, Some(letter)) => {
                    letters.push_front((shard, letter));
                    return Poll::Pending;
                }
                (_, Some(letter)) => letter.refuse(),
                (_, None) => {}
            }
        }
        self.is_used.store(false, Ordering::Release);
        Poll::Ready(())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(usize, Letter)>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many letters of one handle may wait for room in mailboxes: more than a shard has calls open.
const OVERFLOW_MAX: usize = 32 << 10;
