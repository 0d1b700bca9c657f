//! [`Waiter`]: the task that waits for a socket, and what engines tell it in the same way.

use std::io;
use std::task::{Context, Poll, Waker};

/// The waker of the task that uses a socket; there is one.
#[derive(Default)]
pub(super) struct Waiter(Option<Waker>);

impl Waiter {
    /// Has this task woken by the next event.
    #[inline]
    pub(super) fn wait<T>(&mut self, context: &Context<'_>) -> Poll<io::Result<T>> {
        match &mut self.0 {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    #[inline]
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.0 {
            waker.wake_by_ref();
        }
    }

    pub(super) fn take(&mut self) -> Option<Waker> {
        self.0.take()
    }
}

/// A signal has interrupted the system call: the task tries again.
pub(super) fn again<T>(context: &Context<'_>) -> Poll<io::Result<T>> {
    context.waker().wake_by_ref();
    Poll::Pending
}

/// The error of a socket whose reactor has closed it.
pub(super) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the shard's executor has ended")
}
