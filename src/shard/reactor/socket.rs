//! [`Socket`]: reading and writing without blocking, and a wake-up when either can go on.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

use super::Reactor;

/// A socket that its shard's reactor watches.
pub(in crate::shard) struct Socket {
    reactor: Rc<Reactor>,
    key: usize,
}

impl Socket {
    /// Has the reactor watch a socket, which must be non-blocking.
    ///
    /// # Errors
    /// If the system has no room left to watch it.
    pub(in crate::shard) fn register(reactor: &Rc<Reactor>, descriptor: OwnedFd) -> io::Result<Self> {
        let key = reactor.watch(descriptor)?;
        Ok(Socket { reactor: reactor.clone(), key })
    }

    /// Has its task run again after the next poll of all sockets: there is more to read, and other tasks have to run as well.
    #[cfg(feature = "tls")]
    pub(in crate::shard) fn run_later(&self, context: &Context<'_>) {
        self.reactor.run_later(context);
    }

    /// Reads what has come; 0 bytes are the end.
    #[inline]
    pub(in crate::shard) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut sources = self.reactor.sources.borrow_mut();
        let Some(source) = sources.get_mut(self.key) else { return Poll::Ready(Err(gone())) };
        if !source.readable {
            return source.wait(context);
        }
        match rustix::net::recv(&source.descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, count)) => {
                // A read that did not fill the buffer has emptied the socket. That saves the system call that would say so.
                source.readable = source.ended || count == buffer.len();
                self.reactor.mark_busy();
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

    /// Writes what the socket has room for; pending if it has none.
    #[inline]
    pub(in crate::shard) fn poll_write(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut sources = self.reactor.sources.borrow_mut();
        let Some(source) = sources.get_mut(self.key) else { return Poll::Ready(Err(gone())) };
        if !source.writable {
            return source.wait(context);
        }
        match rustix::net::send(&source.descriptor, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => {
                self.reactor.mark_busy();
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

    /// Waits until a connection that was begun is established, or has failed.
    pub(in crate::shard) fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sources = self.reactor.sources.borrow_mut();
        let Some(source) = sources.get_mut(self.key) else { return Poll::Ready(Err(gone())) };
        if !source.writable {
            return source.wait(context);
        }
        let error = SockRef::from(&source.descriptor).take_error();
        Poll::Ready(error.and_then(|error| error.map_or(Ok(()), Err)))
    }

    /// Reads or sets options of the socket.
    pub(in crate::shard) fn with<T>(&self, see: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        let sources = self.reactor.sources.borrow();
        let source = sources.get(self.key).ok_or_else(gone)?;
        see(SockRef::from(&source.descriptor))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Dropping its waker may run code: end the borrow of the sources first.
        let source = self.reactor.sources.borrow_mut().try_remove(self.key);
        drop(source);
        if self.reactor.is_over() {
            self.reactor.wake();
        }
    }
}

fn again<T>(context: &Context<'_>) -> Poll<io::Result<T>> {
    context.waker().wake_by_ref();
    Poll::Pending
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the shard's executor has ended")
}
