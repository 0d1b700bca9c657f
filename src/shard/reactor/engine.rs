//! [`Engine`]: how a reactor learns what its sockets have, and how bytes get into and out of them.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::SockRef;

use super::epoll::Epoll;
use super::notifier::Notifier;
use super::ring::Ring;
use crate::config::Sockets;

/// The sockets of a reactor, and the kernel interface that serves them. A key names one of them.
///
/// A task that gets `Pending` is woken by a later [`poll`](Engine::poll), which is the only method that wakes tasks.
pub(super) enum Engine {
    Epoll(Epoll),
    Ring(Box<Ring>),
}

impl Engine {
    /// The notifier's descriptors are watched beside the sockets.
    ///
    /// # Errors
    /// If the system refuses it.
    pub(super) fn new(sockets: Sockets, notifier: &Notifier) -> io::Result<Engine> {
        Engine::with_ring(sockets, notifier, Ring::new)
    }

    /// The same, with another way to make a ring.
    fn with_ring(
        sockets: Sockets,
        notifier: &Notifier,
        ring: impl FnOnce(&Notifier) -> io::Result<Ring>,
    ) -> io::Result<Engine> {
        if sockets == Sockets::IoUring {
            match ring(notifier) {
                Ok(ring) => return Ok(Engine::Ring(Box::new(ring))),
                Err(error) => tracing::debug!(
                    target: "hitless::shard", %error,
                    "this kernel refuses an io_uring for sockets, which needs Linux 6.1: the shard uses epoll"
                ),
            }
        }
        Epoll::new(notifier).map(Engine::Epoll)
    }

    /// Adds a socket, which must be non-blocking, and returns its key.
    pub(super) fn watch(&mut self, descriptor: OwnedFd) -> io::Result<usize> {
        match self {
            Engine::Epoll(epoll) => epoll.watch(descriptor),
            Engine::Ring(ring) => ring.watch(descriptor),
        }
    }

    /// The task of this socket is gone. The waker of that task is returned, because dropping it may run code.
    pub(super) fn remove(&mut self, key: usize) -> Option<Waker> {
        match self {
            Engine::Epoll(epoll) => epoll.remove(key),
            Engine::Ring(ring) => ring.remove(key),
        }
    }

    /// Wakes the tasks whose sockets can be used, and waits for up to `time` if there are none; true if there were any, or if
    /// another thread has notified.
    pub(super) fn poll(&mut self, time: Duration) -> bool {
        match self {
            Engine::Epoll(epoll) => epoll.poll(time),
            Engine::Ring(ring) => ring.poll(time),
        }
    }

    #[inline]
    pub(super) fn poll_read(
        &mut self,
        key: usize,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Engine::Epoll(epoll) => epoll.poll_read(key, context, buffer),
            Engine::Ring(ring) => ring.poll_read(key, context, buffer),
        }
    }

    #[inline]
    pub(super) fn poll_write(
        &mut self,
        key: usize,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Engine::Epoll(epoll) => epoll.poll_write(key, context, bytes),
            Engine::Ring(ring) => ring.poll_write(key, context, bytes),
        }
    }

    pub(super) fn poll_connected(&mut self, key: usize, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Engine::Epoll(epoll) => epoll.poll_connected(key, context),
            Engine::Ring(ring) => ring.poll_connected(key, context),
        }
    }

    /// The socket itself, for its options.
    pub(super) fn socket(&self, key: usize) -> Option<SockRef<'_>> {
        match self {
            Engine::Epoll(epoll) => epoll.socket(key),
            Engine::Ring(ring) => ring.socket(key),
        }
    }

    /// Whether the kernel learns of something only by the next [`poll`](Engine::poll), which then has to come before the thread
    /// sleeps.
    #[inline]
    pub(super) fn has_unsubmitted(&self) -> bool {
        match self {
            Engine::Epoll(_) => false,
            Engine::Ring(ring) => ring.has_unsubmitted(),
        }
    }

    /// Whether no socket is left.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Engine::Epoll(epoll) => epoll.is_empty(),
            Engine::Ring(ring) => ring.is_empty(),
        }
    }

    /// The thread is about to sleep elsewhere. Returns a copy of the descriptor that becomes readable as soon as a poll would find
    /// something, until [`end_park`](Engine::end_park).
    pub(super) fn begin_park(&mut self) -> io::Result<OwnedFd> {
        match self {
            Engine::Epoll(epoll) => epoll.descriptor(),
            Engine::Ring(ring) => ring.begin_park(),
        }
    }

    /// Submits what tasks have left to submit during a park.
    pub(super) fn submit_in_park(&mut self) {
        if let Engine::Ring(ring) = self {
            ring.submit_in_park();
        }
    }

    pub(super) fn end_park(&mut self) {
        if let Engine::Ring(ring) = self {
            ring.end_park();
        }
    }

    /// Whether notifications during a park have to ring the notifier's bell.
    pub(super) fn rings_bell(&self) -> bool {
        matches!(self, Engine::Ring(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_that_is_refused_is_replaced_by_epoll() {
        let notifier = Notifier::default();
        let refused = |_: &Notifier| Err(io::Error::from_raw_os_error(libc::EINVAL));
        let engine = Engine::with_ring(Sockets::IoUring, &notifier, refused).unwrap();
        assert!(matches!(engine, Engine::Epoll(_)));
        let engine = Engine::new(Sockets::IoUring, &notifier).unwrap();
        assert!(matches!(engine, Engine::Ring(_)), "these tests run where sockets on io_uring do");
    }
}
