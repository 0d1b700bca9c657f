//! [`Overflow`]: the requests of a handle that found its mailbox full, in the order of the calls.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use concurrent_queue::PushError;

use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use super::sync::{Mutex, MutexGuard};
use super::threads::Threads;
use crate::shard::mailbox::Request;

/// The requests of one handle that found the mailbox full.
///
/// Sending is lock-free while the mailbox has room. When it has none, later calls of the handle must not overtake earlier ones.
/// So they queue here, behind a lock that only the callers of this handle use. `is_used` sends every call here until the queue is
/// empty again.
///
/// A reply that waits calls [`poll_flush`](Overflow::poll_flush), which sends what is in front, for all replies of the handle. A
/// reply that is dropped calls [`trim`](Overflow::trim). Each request leaves the queue once: into the mailbox, refused, or
/// unwanted.
pub(super) struct Overflow {
    is_used: AtomicBool,
    requests: Mutex<VecDeque<(usize, Request)>>,
    room: Arc<WaitingRoom>,
}

/// How many requests of all handles of a client may wait, and how many wait now.
pub(super) struct WaitingRoom {
    most: usize,
    taken: AtomicUsize,
}

/// Where a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    InTheMailbox,
    /// It waits; [`Overflow::poll_flush`] sends it.
    Waiting,
    /// The shard is gone.
    Gone,
    /// It was refused, because the waiting room is full.
    Refused,
}

impl Overflow {
    pub(super) fn new(room: Arc<WaitingRoom>) -> Self {
        Overflow { is_used: AtomicBool::new(false), requests: Mutex::new(VecDeque::new()), room }
    }

    /// Sends a request to this shard, behind those that wait already.
    pub(super) fn send(&self, threads: &Threads, shard: usize, request: Request) -> Sent {
        let Some(mailbox) = threads.mailbox(shard) else { return Sent::Gone };
        let request = match self.is_used.load(Ordering::Acquire) {
            true => request,
            false => match mailbox.send(request) {
                Ok(()) => return Sent::InTheMailbox,
                Err(PushError::Closed(_)) => return Sent::Gone,
                Err(PushError::Full(request)) => request,
            },
        };
        let mut requests = self.lock();
        if !self.room.enter() {
            return Sent::Refused;
        }
        requests.push_back((shard, request));
        self.is_used.store(true, Ordering::Release);
        Sent::Waiting
    }

    /// Sends the requests that wait, as far as there is room.
    pub(super) fn poll_flush(&self, threads: &Threads, context: &Context<'_>) -> Poll<()> {
        let mut requests = self.lock();
        while let Some((shard, request)) = requests.pop_front() {
            self.room.leave(1);
            if request.is_unwanted() {
                continue;
            }
            let Some(mailbox) = threads.mailbox(shard) else { continue };
            let mut unsent = Some(request);
            let sent = mailbox.poll_send(&mut unsent, context);
            match (sent, unsent) {
                (Poll::Pending, Some(request)) => {
                    requests.push_front((shard, request));
                    self.room.enter_again();
                    return Poll::Pending;
                }
                (_, Some(request)) => request.refuse(),
                (_, None) => {}
            }
        }
        self.is_used.store(false, Ordering::Release);
        Poll::Ready(())
    }

    /// Drops unwanted requests at the front. No other reply of this handle may be polled, which would do it.
    pub(super) fn trim(&self) {
        let mut requests = self.lock();
        while requests.front().is_some_and(|(_, request)| request.is_unwanted()) {
            requests.pop_front();
            self.room.leave(1);
        }
        if requests.is_empty() {
            self.is_used.store(false, Ordering::Release);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(usize, Request)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Overflow {
    fn drop(&mut self) {
        let waiting = self.lock().len();
        self.room.leave(waiting);
    }
}

impl WaitingRoom {
    /// Room for so many requests.
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

    /// For a request that has just left, and found no room in the mailbox.
    fn enter_again(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self, requests: usize) {
        self.taken.fetch_sub(requests, Ordering::Relaxed);
    }
}
