//! [`Reactor`]: has one engine serve all sockets of a shard, and wakes their tasks.

mod engine;
mod epoll;
mod notifier;
mod ring;
mod short_waits;
mod socket;
mod waiter;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::AsyncRead;
use futures_lite::future::yield_now;
use glommio::net::TcpStream;
use glommio::timer::Timer;

use self::engine::Engine;
use self::notifier::Notifier;
use self::short_waits::ShortWaits;
pub(crate) use self::socket::Socket;
use self::waiter::gone;
use crate::config::Sockets;

/// All sockets of a shard, and the task that learns which of them can be used.
///
/// The runtime would watch each socket with an entry of its io_uring, and makes nine system calls to sleep and to wake up
/// once. So one [`Engine`] serves all sockets: an epoll instance, or an io_uring of the shard's own. [`run`](Reactor::run) goes
/// through three stages:
///
/// ```text
///  poll: one call of the engine without a timeout, between the turns of other tasks, while there is something to do
///    │ nothing to do for IdleConfig::spin
///    ▼
///  wait: the same for up to SHORT_WAIT; a socket or another thread ends it
///    │ nothing to do, or such waits have not paid off
///    ▼
///  park: the runtime sleeps, with one entry of its ring for the whole engine
/// ```
///
/// It parks at least every [`PARK_EVERY`] (or [`PARK_EVERY_CROWDED`]), so that the timers of the runtime fire in time however busy
/// the sockets are.
///
/// Other threads are heard in every stage: the [`Notifier`] is watched like a socket, and looked at between the turns of other
/// tasks. The runtime would hear them when it visits its ring, and would wake its thread with ten more system calls.
///
/// The reactor owns the descriptors, and [`close_all`] closes them when an executor dies. A [`Socket`] is a key to one of
/// them. Sockets wake their tasks while the engine is borrowed. That is safe, because these wakers belong to tasks of the
/// executor, and only queue them.
#[derive(Default)]
pub(crate) struct Reactor {
    sockets: Sockets,
    /// Made for the first socket.
    engine: RefCell<Option<Engine>>,
    notifier: Arc<Notifier>,
    /// The task that serves other threads, if there is one. It is woken when the notifier was notified.
    server: RefCell<Option<Waker>>,
    /// The waker of [`Reactor::run`], while that is parked.
    waker: Cell<Option<Waker>>,
    /// Tasks that have had their share of a turn, and have more to read.
    backlog: RefCell<Vec<Waker>>,
    /// A task uses a socket, or is about to: the reactor polls again only after that.
    is_busy: Cell<bool>,
    is_closed: Cell<bool>,
}

/// What the reactor does when there is nothing to do, before it parks.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleConfig {
    /// For how long it goes on polling.
    pub(super) spin: Duration,
    /// Whether it waits for up to [`SHORT_WAIT`] for replies, or for what other threads ask. Only a socket or the [`Notifier`]
    /// can end that wait.
    pub(super) wait_before_park: bool,
}

thread_local! {
    static REACTORS: RefCell<Vec<Weak<Reactor>>> = const { RefCell::new(Vec::new()) };
}

/// Closes every socket that a dead executor of this thread has left.
///
/// An executor that dies never drops the tasks that waited for something, nor the sockets in them. The server would keep
/// their connections, and go on executing what was sent on them.
pub(super) fn close_all() {
    for reactor in REACTORS.take().iter().filter_map(Weak::upgrade) {
        reactor.close_sockets();
    }
}

impl Reactor {
    pub(crate) fn new(sockets: Sockets) -> Rc<Reactor> {
        let reactor = Rc::new(Reactor { sockets, ..Reactor::default() });
        REACTORS.with_borrow_mut(|reactors| {
            reactors.retain(|reactor| reactor.strong_count() > 0);
            reactors.push(Rc::downgrade(&reactor));
        });
        reactor
    }

    /// Has a task that has more to read run again after the next poll of all sockets.
    ///
    /// A task that woke itself instead would keep the run queue from ever being empty. The runtime then looks at its ring,
    /// which this reactor parks in, and at its timers only once in 100 ms. Under a flood on one connection, commands on all
    /// others were measured to wait that long.
    pub(super) fn run_later(&self, context: &Context<'_>) {
        self.backlog.borrow_mut().push(context.waker().clone());
        self.wake();
    }

    /// Learns of what has come while the thread was blocked.
    pub(super) fn catch_up(&self) {
        self.poll();
    }

    /// A waker by which other threads wake the one task of this thread that serves them.
    pub(super) fn waker_for_others(&self, task: &Waker) -> Waker {
        self.server.replace(Some(task.clone()));
        self.notifier.waker_for(task)
    }

    /// A command was queued, or a socket was used: tasks are about to run that lead to more I/O.
    #[inline]
    pub(super) fn mark_busy(&self) {
        self.is_busy.set(true);
    }

    /// Wakes every task whose socket can be read or written, until the reactor is [closed](Reactor::close) and its last socket
    /// is gone. `blocked` hears of each turn of the other tasks that took longer than [`TURN_MAX`].
    pub(super) async fn run(
        self: Rc<Self>,
        idle: IdleConfig,
        replies_are_due: impl Fn() -> bool,
        blocked: impl Fn(Duration),
    ) {
        let (mut for_replies, mut for_others) = (ShortWaits::default(), ShortWaits::default());
        while self.park().await {
            let parked = Instant::now();
            let (mut last, mut turn, mut is_quiet, mut is_crowded) = (parked, parked, false, false);
            loop {
                let has_backlog = !self.backlog.borrow().is_empty();
                // A task in the backlog may have data without end. Other clients of the thread must not wait for it.
                is_crowded |= has_backlog && !is_only_reactor();
                let is_idle = is_quiet && last.elapsed() >= idle.spin;
                let may_wait = is_idle && idle.wait_before_park && !has_backlog && is_only_reactor();
                let waits = match may_wait {
                    true if replies_are_due() => Some(&mut for_replies),
                    true if self.server.borrow().is_some() => Some(&mut for_others),
                    _ => None,
                };
                let found = match waits.and_then(|waits| waits.may_begin().then_some(waits)) {
                    Some(waits) => self.wait(waits),
                    None => self.poll(),
                };
                let now = Instant::now();
                if found {
                    last = now;
                }
                if now - turn >= TURN_MAX {
                    blocked(now - turn);
                }
                turn = now;
                let park_every = if is_crowded { PARK_EVERY_CROWDED } else { PARK_EVERY };
                if is_idle && !found || now - parked >= park_every {
                    break;
                }
                is_quiet = self.run_other_tasks().await;
            }
        }
        if self.notifier.leave() {
            self.wake_server();
        }
    }

    /// Has [`Reactor::run`] return once no socket is left.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    /// Polls once, and wakes the tasks whose sockets have something; true if any has.
    #[cfg(test)]
    pub(crate) fn poll_now(&self) -> bool {
        self.poll()
    }

    /// Adds a socket, which must be non-blocking, and returns its key.
    fn watch(&self, descriptor: OwnedFd) -> io::Result<usize> {
        let key = {
            let mut engine = self.engine.borrow_mut();
            let engine = match &mut *engine {
                Some(engine) => engine,
                none => none.insert(Engine::new(self.sockets, &self.notifier)?),
            };
            engine.watch(descriptor)?
        };
        self.wake();
        Ok(key)
    }

    fn close_sockets(&self) {
        self.close();
        // Dropping its wakers may run code, which finds no borrow open.
        let engine = self.engine.take();
        drop(engine);
    }

    fn is_over(&self) -> bool {
        self.is_closed.get() && self.engine.borrow().as_ref().is_none_or(Engine::is_empty)
    }

    /// A socket was dropped: it may have been the last one, or have left something to submit.
    fn wake_if_needed(&self) {
        if self.is_over() || self.has_unsubmitted() {
            self.wake();
        }
    }

    fn has_unsubmitted(&self) -> bool {
        self.engine.borrow().as_ref().is_some_and(Engine::has_unsubmitted)
    }

    /// Uses the engine for a task with a socket.
    #[inline]
    fn use_engine<T>(&self, act: impl FnOnce(&mut Engine) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let mut engine = self.engine.borrow_mut();
        let Some(engine) = &mut *engine else { return Poll::Ready(Err(gone())) };
        let done = act(engine);
        if let Poll::Ready(Ok(_)) = done {
            self.mark_busy();
        }
        if engine.has_unsubmitted() {
            self.wake();
        }
        done
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Looks once at everything that may have come: the sockets, the backlog, and other threads. True if there was anything.
    fn poll(&self) -> bool {
        let had_more = self.wake_backlog() | self.hear();
        self.poll_sockets(Duration::ZERO) || had_more
    }

    /// Wakes the tasks whose sockets can be used, and waits for up to `time` if there are none; true if there were any.
    fn poll_sockets(&self, time: Duration) -> bool {
        self.engine.borrow_mut().as_mut().is_some_and(|engine| engine.poll(time))
    }

    /// Wakes the task that serves other threads, if one of them has notified; true if one has.
    fn hear(&self) -> bool {
        let is_notified = self.notifier.take();
        if is_notified {
            self.wake_server();
        }
        is_notified
    }

    fn wake_server(&self) {
        if let Some(server) = &*self.server.borrow() {
            server.wake_by_ref();
        }
    }

    /// Wakes the tasks that have more to read; true if there were any.
    fn wake_backlog(&self) -> bool {
        if self.backlog.borrow().is_empty() {
            return false;
        }
        self.backlog.take().into_iter().for_each(Waker::wake);
        true
    }

    /// Blocks the thread for up to [`SHORT_WAIT`] until a socket can be used or another thread notifies; true if one does.
    fn wait(&self, waits: &mut ShortWaits) -> bool {
        if !self.notifier.begin_wait() {
            self.wake_server();
            return true;
        }
        let found = self.poll_sockets(SHORT_WAIT);
        let is_notified = self.notifier.end_wait();
        if is_notified {
            self.wake_server();
        }
        waits.note(found || is_notified);
        found || is_notified
    }

    /// Lets the woken tasks read, their callers act on it, and the resulting commands be written. True if no task on this
    /// thread has anything left to do. That is a guess: the last turn of the run queue took no time.
    async fn run_other_tasks(&self) -> bool {
        for _ in 0..TURNS_MAX {
            self.is_busy.set(false);
            let begin = Instant::now();
            yield_now().await;
            if !self.is_busy.get() {
                return begin.elapsed() < TURN_ALONE_MAX;
            }
        }
        false
    }

    /// Waits through the ring of the runtime; false when the reactor is over.
    async fn park(&self) -> bool {
        poll_fn(|context| {
            if self.is_over() || self.engine.borrow().is_some() {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        self.notifier.attend();
        let copy = self.engine.borrow_mut().as_mut().map(Engine::begin_park);
        let Some(Ok(copy)) = copy else {
            // No descriptor is left for the copy: poll epoll directly until one is.
            yield_now().await;
            return !self.is_over();
        };
        let mut stream = as_stream(copy);
        let rings_bell = self.engine.borrow().as_ref().is_some_and(Engine::rings_bell);
        if self.notifier.begin_park(rings_bell) {
            self.wake_server();
        }
        // A backlog waits until the runtime has looked at its ring, and no longer.
        let mut pause = None;
        poll_fn(|context| {
            if self.is_over() {
                return Poll::Ready(());
            }
            if !self.backlog.borrow().is_empty() {
                let pause = pause.get_or_insert_with(|| Timer::new(BACKLOG_PAUSE));
                if Pin::new(pause).poll(context).is_ready() {
                    return Poll::Ready(());
                }
            }
            if self.has_unsubmitted() {
                if let Some(engine) = &mut *self.engine.borrow_mut() {
                    engine.submit_in_park();
                }
                if self.has_unsubmitted() {
                    return Poll::Ready(());
                }
            }
            self.waker.set(Some(context.waker().clone()));
            // The runtime waits until the descriptor is readable, and then fails to read it like a socket. That is the sign.
            Pin::new(&mut stream).poll_read(context, &mut [0]).map(drop)
        })
        .await;
        if let Some(engine) = &mut *self.engine.borrow_mut() {
            engine.end_park();
        }
        if self.notifier.end_wait() {
            self.wake_server();
        }
        !self.is_over()
    }
}

/// Whether this thread has one reactor only. A wait of one of them would not notice the sockets of another.
fn is_only_reactor() -> bool {
    let is_in_use =
        |reactor: &Weak<Reactor>| reactor.upgrade().is_some_and(|reactor| !reactor.is_closed.get());
    REACTORS.with_borrow(|reactors| reactors.iter().filter(|reactor| is_in_use(reactor)).count() <= 1)
}

#[expect(unsafe_code, reason = "the runtime waits for streams only, which it takes as bare numbers")]
fn as_stream(descriptor: OwnedFd) -> TcpStream {
    // SAFETY: the descriptor is open, and this function owns it and passes the ownership on.
    unsafe { TcpStream::from_raw_fd(descriptor.into_raw_fd()) }
}

/// After so many turns of the run queue all that one reply leads to is on its way: reading, calling, writing, and one more.
const TURNS_MAX: usize = 4;
/// A turn of the run queue in which no other task runs takes less.
const TURN_ALONE_MAX: Duration = Duration::from_micros(2);
/// A turn that takes longer may be a stall, and is reported as one.
const TURN_MAX: Duration = Duration::from_millis(50);
/// The timers of the runtime are late by no more than this, however busy the sockets are.
const PARK_EVERY: Duration = Duration::from_millis(1);
/// The same while a connection floods the shard and the thread serves other clients: their sockets are found by way of the ring.
/// With 1 ms a call of theirs took 2.5 ms beside a flood, instead of 0.15 ms.
const PARK_EVERY_CROWDED: Duration = Duration::from_micros(100);
/// Long enough for the runtime to find its run queue empty and look at its ring, and short beside a share of a turn.
const BACKLOG_PAUSE: Duration = Duration::from_micros(20);
/// The shortest timeout that every kernel supports.
const SHORT_WAIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
