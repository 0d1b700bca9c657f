//! [`Source`]: what the reactor knows of one socket.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;

/// One registered socket, and what epoll said of it.
///
/// The socket is edge-triggered: epoll tells of a change once. So `readable` and `writable` stay set until a system call finds
/// the socket empty or full. Clearing one of them earlier would lose the wake-up for what is left.
pub(super) struct Source {
    pub(super) descriptor: OwnedFd,
    /// The task that uses it; there is one.
    waker: Option<Waker>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// It has ended, or is broken. Reading says so once everything else was read.
    pub(super) ended: bool,
}

impl Source {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Source { descriptor, waker: None, readable: false, writable: false, ended: false }
    }

    pub(super) fn handle_event(&mut self, flags: EventFlags) {
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.ended |= ended;
        self.readable |= ended || flags.contains(EventFlags::IN);
        self.writable |= ended || flags.contains(EventFlags::OUT);
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Has this task woken by the next event.
    #[inline]
    pub(super) fn wait<T>(&mut self, context: &Context<'_>) -> Poll<io::Result<T>> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}
