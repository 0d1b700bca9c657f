//! [`Runtime`]: what a driver gets from the runtime that it runs on, and how it keeps what it shares there.

use std::cell::{RefCell, RefMut};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;

use crate::proto::resp::Frame;

/// A runtime, and what of it belongs to one shard.
///
/// All that a driver does is written once, in this folder. A runtime adds timers, sockets, and the kinds of pointer and
/// cell that suit its threads: tasks of a glommio executor never leave their thread, and tasks of tokio may run on several.
pub(crate) trait Runtime: Sized + 'static {
    /// A shared pointer.
    type Pointer<T: 'static>: Clone + Deref<Target = T>;
    /// Holds what changes.
    type Cell<T: 'static>: StateCell<T>;
    type Socket: Socket;
    type Timer: Future + Unpin;
    /// A function of the application that handles pushes.
    type PushFunction: 'static;

    /// Whether tasks of one shard run on several threads at a time. A driver then uses its socket while the state is free, and
    /// lets the callers that it has woken run before it writes again.
    const IS_SHARED: bool;

    fn pointer<T: 'static>(value: T) -> Self::Pointer<T>;

    /// A future that is ready after this time.
    fn timer(&self, time: Duration) -> Self::Timer;

    /// Watches a socket, which must be non-blocking.
    ///
    /// # Errors
    /// If the system has no room left to watch it.
    fn register(&self, descriptor: OwnedFd) -> io::Result<Self::Socket>;

    /// Calls it with what follows the name of a push.
    fn call(function: &Self::PushFunction, items: &[Frame]);

    /// Runs this task again after other tasks: it has more to read.
    fn run_later(&self, context: &Context<'_>);

    /// A command was queued: tasks are about to run that lead to I/O.
    fn mark_busy(&self) {}

    /// Learns of what has come while the thread was blocked.
    fn catch_up(&self) {}

    /// The shard has ended.
    fn close(&self) {}
}

/// Holds a value that several tasks change. Only one at a time has access, for a few lines, and never across an `await`.
pub(crate) trait StateCell<T> {
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    fn new(value: T) -> Self;

    fn lock(&self) -> Self::Guard<'_>;

    /// Access, unless a task has it.
    fn try_lock(&self) -> Option<Self::Guard<'_>>;
}

/// A socket that its runtime watches. One task uses it.
pub(crate) trait Socket: Sized {
    /// Reads what has come; 0 bytes are the end.
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes what the socket has room for; pending if it has none.
    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Waits until a connection that was begun is established, or has failed.
    fn poll_connected(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Runs the task again after other tasks: there is more to read.
    #[cfg(feature = "tls")]
    fn run_later(&self, context: &Context<'_>);

    /// Reads or sets options of the socket.
    fn with<T>(&self, see: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T>;
}

impl<T> StateCell<T> for RefCell<T> {
    type Guard<'a>
        = RefMut<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        RefCell::new(value)
    }

    #[inline]
    fn lock(&self) -> RefMut<'_, T> {
        self.borrow_mut()
    }

    fn try_lock(&self) -> Option<RefMut<'_, T>> {
        self.try_borrow_mut().ok()
    }
}
