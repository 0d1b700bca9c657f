//! [`Socket`]: reading and writing without waiting, and being told when that makes sense again.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

use super::Poller;

/// A socket that its shard's poller watches.
pub(in crate::shard) struct Socket {
    poller: Rc<Poller>,
    key: usize,
}

/// What the poller knows of it.
pub(super) struct Source {
    descriptor: OwnedFd,
    /// Whoever uses it; there is one task for each.
    waker: Option<Waker>,
    readable: bool,
    writable: bool,
    /// It has ended, or is broken; reading says so when everything else was read.
    ended: bool,
}

impl Socket {
    pub(super) fn new(poller: Rc<Poller>, key: usize) -> Self {
        Socket { poller, key }
    }

    /// Has its task run again after the next look at all sockets: there is more to read, and others have to run, too.
    #[cfg(feature = "tls")]
    pub(in crate::shard) fn run_later(&self, context: &Context<'_>) {
        self.poller.run_later(context);
    }

    /// What has come; 0 bytes are the end.
    #[inline]
    pub(in crate::shard) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut sources = self.poller.sources.borrow_mut();
        let Some(source) = sources.get_mut(self.key) else { return Poll::Ready(Err(gone())) };
        if !source.readable {
            return source.wait(context);
        }
        match rustix::net::recv(&source.descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, count)) => {
                // What has not filled the buffer has emptied the socket.
                source.readable = source.ended || count == buffer.len();
                self.poller.stir();
                Poll::Ready(Ok(count))
            }
            Err(Errno::AGAIN) => {
                source.readable = false;
                source.wait(context)
            }
            Err(Errno::INTR) => again(context),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Takes what can be taken at once; pending if that is nothing.
    #[inline]
    pub(in crate::shard) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut sources = self.poller.sources.borrow_mut();
        let Some(source) = sources.get_mut(self.key) else { return Poll::Ready(Err(gone())) };
        if !source.writable {
            return source.wait(context);
        }
        match rustix::net::send(&source.descriptor, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => {
                self.poller.stir();
                Poll::Ready(Ok(count))
            }
            Err(Errno::AGAIN) => {
                source.writable = false;
                source.wait(context)
            }
            Err(Errno::INTR) => again(context),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Waits until a connection that was begun is there, or has failed.
    pub(in crate::shard) fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sources = self.poller.sources.borrow_mut();
        let Some(source) = sources.get_mut(self.key) else { return Poll::Ready(Err(gone())) };
        if !source.writable {
            return source.wait(context);
        }
        let error = SockRef::from(&source.descriptor).take_error();
        Poll::Ready(error.and_then(|error| error.map_or(Ok(()), Err)))
    }

    /// Looks at the socket, or sets something of it.
    pub(in crate::shard) fn with<T>(&self, see: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        let sources = self.poller.sources.borrow();
        let source = sources.get(self.key).ok_or_else(gone)?;
        see(SockRef::from(&source.descriptor))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Its waker may run code when it is dropped: not while all are borrowed.
        let source = self.poller.sources.borrow_mut().try_remove(self.key);
        drop(source);
        if self.poller.is_over() {
            self.poller.wake();
        }
    }
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

    #[inline]
    fn wait<T>(&mut self, context: &Context<'_>) -> Poll<io::Result<T>> {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

fn again<T>(context: &Context<'_>) -> Poll<io::Result<T>> {
    context.waker().wake_by_ref();
    Poll::Pending
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the shard's executor is no more")
}
