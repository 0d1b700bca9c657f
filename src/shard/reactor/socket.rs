//! [`Socket`]: reading and writing without blocking, and a wake-up when either can go on.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use socket2::SockRef;

use super::Reactor;
use super::waiter::gone;
use crate::driver::runtime;

/// A socket that its shard's reactor watches.
pub(crate) struct Socket {
    reactor: Rc<Reactor>,
    key: usize,
}

impl Socket {
    /// Has the reactor watch a socket, which must be non-blocking.
    ///
    /// # Errors
    /// If the system has no room left to watch it.
    pub(crate) fn register(reactor: &Rc<Reactor>, descriptor: OwnedFd) -> io::Result<Self> {
        let key = reactor.watch(descriptor)?;
        Ok(Socket { reactor: reactor.clone(), key })
    }
}

impl runtime::Socket for Socket {
    /// Has its task run again after the next poll of all sockets.
    #[cfg(feature = "tls")]
    fn run_later(&self, context: &Context<'_>) {
        self.reactor.run_later(context);
    }

    #[inline]
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reactor.use_engine(|engine| engine.poll_read(self.key, context, buffer))
    }

    #[inline]
    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.reactor.use_engine(|engine| engine.poll_write(self.key, context, bytes))
    }

    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reactor.use_engine(|engine| engine.poll_connected(self.key, context))
    }

    fn with<T>(&self, see: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        let engine = self.reactor.engine.borrow();
        see(engine.as_ref().and_then(|engine| engine.socket(self.key)).ok_or_else(gone)?)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Dropping its waker may run code: end the borrow of the engine first.
        let waker = self.reactor.engine.borrow_mut().as_mut().and_then(|engine| engine.remove(self.key));
        drop(waker);
        self.reactor.wake_if_needed();
    }
}
