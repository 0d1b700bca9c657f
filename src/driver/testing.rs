//! What the tests of the driver, of the shard, of the client and of the pieces between threads share.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Pending, pending};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::pushes::SharedFunction;
use super::runtime::{Runtime, Socket, StateCell};
use crate::proto::resp::Frame;

/// Counts how often a task was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    /// How often since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A runtime without tasks, for tests that run every turn themselves.
pub(crate) struct NoRuntime;

/// The socket of a runtime that has none.
pub(crate) struct NoSocket;

impl Runtime for NoRuntime {
    type Pointer<T: 'static> = Rc<T>;
    type Cell<T: 'static> = RefCell<T>;
    type Socket = NoSocket;
    type Timer = Pending<()>;
    type PushFunction = RefCell<Box<dyn FnMut(&[Frame])>>;

    const IS_SHARED: bool = false;

    fn pointer<T: 'static>(value: T) -> Rc<T> {
        Rc::new(value)
    }

    fn timer(&self, _time: Duration) -> Pending<()> {
        pending()
    }

    fn register(&self, _descriptor: OwnedFd) -> io::Result<NoSocket> {
        Ok(NoSocket)
    }

    fn call(function: &Self::PushFunction, items: &[Frame]) {
        (function.borrow_mut())(items);
    }

    fn run_later(&self, context: &Context<'_>) {
        context.waker().wake_by_ref();
    }
}

impl Socket for NoSocket {
    fn poll_read(&self, _context: &mut Context<'_>, _buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_write(&self, _context: &mut Context<'_>, _bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_connected(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    #[cfg(feature = "tls")]
    fn run_later(&self, context: &Context<'_>) {
        context.waker().wake_by_ref();
    }

    fn with<T>(&self, _see: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

/// A runtime that runs the tasks of one shard on several threads, as far as the driver can tell. The test runs every turn.
pub(crate) struct SharedRuntime;

impl Runtime for SharedRuntime {
    type Pointer<T: 'static> = Arc<T>;
    type Cell<T: 'static> = Locked<T>;
    type Socket = PipeSocket;
    type Timer = Pending<()>;
    type PushFunction = SharedFunction;

    const IS_SHARED: bool = true;

    fn pointer<T: 'static>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn timer(&self, _time: Duration) -> Pending<()> {
        pending()
    }

    fn register(&self, _descriptor: OwnedFd) -> io::Result<PipeSocket> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn call(function: &Self::PushFunction, items: &[Frame]) {
        function(items);
    }

    fn run_later(&self, context: &Context<'_>) {
        context.waker().wake_by_ref();
    }
}

/// A lock that fails the test, instead of hanging, if the thread that holds it locks it again.
pub(crate) struct Locked<T>(Mutex<T>);

impl<T> StateCell<T> for Locked<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Locked(Mutex::new(value))
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.try_lock().expect("the state is not locked")
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// A socket in memory: what comes in, how much room there is, and what breaks is up to the test.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) incoming: VecDeque<u8>,
    /// The other end sends no more.
    pub(crate) is_ended: bool,
    pub(crate) outgoing: Vec<u8>,
    /// How many more bytes fit.
    pub(crate) room: usize,
    pub(crate) write_error: Option<io::ErrorKind>,
    /// How many writes were tried, and how large the largest read was.
    pub(crate) writes: usize,
    pub(crate) largest_read: usize,
    /// Runs at the beginning of the next write: what other threads do meanwhile.
    pub(crate) meanwhile: Option<Box<dyn FnOnce()>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The near end of a [`Pipe`].
#[derive(Clone)]
pub(crate) struct PipeSocket(Rc<Mutex<Pipe>>);

impl PipeSocket {
    /// A pipe with so much room.
    pub(crate) fn with_room(room: usize) -> Self {
        PipeSocket(Rc::new(Mutex::new(Pipe { room, ..Pipe::default() })))
    }

    pub(crate) fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap()
    }

    /// The other end sends these bytes.
    pub(crate) fn say(&self, bytes: &[u8]) {
        self.pipe().incoming.extend(bytes);
        let reader = self.pipe().reader.take();
        reader.into_iter().for_each(Waker::wake);
    }

    /// The other end closes.
    pub(crate) fn hang_up(&self) {
        self.pipe().is_ended = true;
        self.say(b"");
    }

    /// The other end has read something, so that so many more bytes fit.
    pub(crate) fn make_room(&self, bytes: usize) {
        self.pipe().room += bytes;
        let writer = self.pipe().writer.take();
        writer.into_iter().for_each(Waker::wake);
    }

    /// What was written since the last call.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.pipe().outgoing)).unwrap()
    }
}

impl Socket for PipeSocket {
    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = self.pipe();
        pipe.largest_read = pipe.largest_read.max(buffer.len());
        if pipe.incoming.is_empty() && !pipe.is_ended {
            pipe.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut pipe.incoming, buffer))
    }

    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let meanwhile = self.pipe().meanwhile.take();
        if let Some(run) = meanwhile {
            run();
        }
        let mut pipe = self.pipe();
        pipe.writes += 1;
        if let Some(error) = pipe.write_error {
            return Poll::Ready(Err(error.into()));
        }
        let count = pipe.room.min(bytes.len());
        if count == 0 {
            pipe.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        pipe.room -= count;
        pipe.outgoing.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_connected(&self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    #[cfg(feature = "tls")]
    fn run_later(&self, context: &Context<'_>) {
        context.waker().wake_by_ref();
    }

    fn with<T>(&self, _see: impl FnOnce(SockRef<'_>) -> io::Result<T>) -> io::Result<T> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

/// Runs a test many times, each time in another interleaving. It fails, instead of hanging, if a thread waits forever.
pub(crate) fn in_all_orders(test: impl Fn() + Send + 'static) {
    or_fails_in_time(move || (0..ROUNDS).for_each(|_| test()));
}

/// Runs a test, which fails, instead of hanging, if it waits forever.
pub(crate) fn or_fails_in_time(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let test = thread::spawn(move || {
        let _done = done;
        test();
    });
    assert_ne!(ended.recv_timeout(LONG), Err(RecvTimeoutError::Timeout), "a thread waits forever");
    test.join().unwrap();
}

/// Miri runs the test once for each of its seeds, and is slow.
const ROUNDS: usize = if cfg!(miri) { 8 } else { 100 };
const LONG: Duration = Duration::from_secs(120);
