//! [`Source`]: one socket of a ring, and the bytes that are on their way through it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;

use super::buffers::Filled;
use crate::shard::reactor::waiter::Waiter;

/// One socket, and what the ring does for it.
///
/// ```text
///  receive: none ── the task finds nothing to read ──▶ armed ── buffers run out, or too many wait ──▶ none
///                                                        └── the socket ended or broke ──▶ `end`
///
///  send: the task writes to `accepted` ── poll: nothing is being sent ──▶ `sending` ── completed in full ──▶ the next
/// ```
///
/// One send at a time is under way, so bytes cannot overtake each other. The kernel reads `sending` until it has completed: it is
/// not changed meanwhile, and a source is not removed before its last operation has completed.
pub(super) struct Source {
    pub(super) descriptor: OwnedFd,
    pub(super) waiter: Waiter,
    /// The operations that have not completed.
    pub(super) open: u32,

    pub(super) received: VecDeque<Filled>,
    pub(super) receive: Receive,
    /// Follows everything that was received.
    pub(super) end: Option<End>,

    pub(super) accepted: Vec<u8>,
    pub(super) sending: Vec<u8>,
    /// How much of `sending` is sent.
    pub(super) sent: usize,
    pub(super) send: Send,
    /// A task waits for room in `accepted`.
    pub(super) wants_room: bool,
    /// The error that ended sending.
    pub(super) broken: Option<Errno>,

    pub(super) connect: Connect,
    /// Its task has dropped it.
    pub(super) is_dropped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receive {
    None,
    Armed,
    /// Armed, and asked to end because its task does not keep up.
    Ending,
    /// No buffer was left: the task reads directly what has come meanwhile.
    Starved,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Send {
    Idle,
    /// The next poll submits what was accepted.
    Due,
    Submitted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Connect {
    Unasked,
    Asked,
    Done,
}

#[derive(Clone, Copy)]
pub(super) enum End {
    Closed,
    Broken(Errno),
}

impl Source {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Source {
            descriptor,
            waiter: Waiter::default(),
            open: 0,
            received: VecDeque::new(),
            receive: Receive::None,
            end: None,
            accepted: Vec::new(),
            sending: Vec::new(),
            sent: 0,
            send: Send::Idle,
            wants_room: false,
            broken: None,
            connect: Connect::Unasked,
            is_dropped: false,
        }
    }

    /// Sends without blocking, and without the ring.
    pub(super) fn send_now(&self, bytes: &[u8]) -> Result<usize, Errno> {
        rustix::net::send(&self.descriptor, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
    }
}
