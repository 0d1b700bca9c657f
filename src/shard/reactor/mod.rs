//! [`Reactor`]: which of a shard's sockets can be read or written, learned for all of them with one system call.

mod notifier;
mod socket;
mod source;

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
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use slab::Slab;

use self::notifier::Notifier;
pub(super) use self::socket::Socket;
use self::source::Source;

/// All sockets of a shard, and the task that learns which of them can be used.
///
/// The runtime would watch each socket with an entry of its io_uring, and makes nine system calls to sleep and to wake up
/// once. So the sockets are in one epoll instance, and [`run`](Reactor::run) goes through three stages:
///
/// ```text
///  poll: epoll_wait without a timeout, between the turns of other tasks, while there is something to do
///    │ nothing to do for IdleConfig::spin, and replies are due
///    ▼
///  wait: epoll_wait for up to SHORT_WAIT; a socket or the notifier ends it
///    │ nothing to do
///    ▼
///  park: the runtime sleeps, with one entry of its ring for the whole epoll instance
/// ```
///
/// It parks at least every [`PARK_EVERY`] (or [`PARK_EVERY_CROWDED`]), so that the timers of the runtime fire in time however busy the sockets are.
///
/// The reactor owns the descriptors, and [`close_all`] closes them when an executor dies. A [`Socket`] is a key to one of
/// them. Sources wake their tasks while `sources` is borrowed. That is safe, because these wakers belong to tasks of the
/// executor, and only queue them.
#[derive(Default)]
pub(super) struct Reactor {
    epoll: RefCell<Option<OwnedFd>>,
    sources: RefCell<Slab<Source>>,
    notifier: Arc<Notifier>,
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
    /// Whether it waits for up to [`SHORT_WAIT`] while replies are due. Only a socket or the [`Notifier`] can end that wait.
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
    pub(super) fn new() -> Rc<Reactor> {
        let reactor = Rc::new(Reactor::default());
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
        self.poll(&mut Vec::with_capacity(EVENTS_MAX), Duration::ZERO);
    }

    /// What other threads notify when they have something for this one.
    pub(super) fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
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
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut waits = ShortWaits::default();
        while self.park().await {
            let parked = Instant::now();
            let (mut last, mut turn, mut is_quiet, mut is_crowded) = (parked, parked, false, false);
            loop {
                // A task in the backlog may have data without end. Calls of other threads must not wait for it.
                is_crowded |= !self.backlog.borrow().is_empty();
                let is_idle = is_quiet && last.elapsed() >= idle.spin;
                let may_wait =
                    is_idle && idle.wait_before_park && is_only_reactor() && self.backlog.borrow().is_empty();
                let found = match may_wait && replies_are_due() && waits.may_begin() {
                    true => self.wait(&mut events, &mut waits),
                    false => self.poll(&mut events, Duration::ZERO),
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
    }

    /// Has [`Reactor::run`] return once no socket is left.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    /// Polls once, and wakes the tasks whose sockets have something; true if any has.
    #[cfg(test)]
    pub(super) fn poll_now(&self) -> bool {
        self.poll(&mut Vec::with_capacity(EVENTS_MAX), Duration::ZERO)
    }

    /// Adds a socket, which must be non-blocking, and returns its key.
    fn watch(&self, descriptor: OwnedFd) -> io::Result<usize> {
        let mut epoll = self.epoll.borrow_mut();
        let epoll = match &mut *epoll {
            Some(epoll) => epoll,
            none => {
                let made = epoll::create(CreateFlags::CLOEXEC)?;
                epoll::add(
                    &made,
                    self.notifier.descriptor()?,
                    EventData::new_u64(NOTIFIER_KEY),
                    EventFlags::IN | EventFlags::ET,
                )?;
                none.insert(made)
            }
        };
        let mut sources = self.sources.borrow_mut();
        let entry = sources.vacant_entry();
        let key = entry.key();
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &descriptor, EventData::new_u64(key as u64), flags)?;
        entry.insert(Source::new(descriptor));
        self.wake();
        Ok(key)
    }

    fn close_sockets(&self) {
        self.close();
        let sources = self.sources.take();
        self.epoll.take();
        // Dropping their wakers may run code, which finds no borrow open.
        drop(sources);
    }

    fn is_over(&self) -> bool {
        self.is_closed.get() && self.sources.borrow().is_empty()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Polls once, and waits for up to `time` if there is nothing; true if there was anything. The backlog is woken as well.
    fn poll(&self, events: &mut Vec<Event>, time: Duration) -> bool {
        events.clear();
        let had_backlog = self.wake_backlog();
        {
            let epoll = self.epoll.borrow();
            let Some(epoll) = &*epoll else { return had_backlog };
            let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
            // After an interruption the next poll follows anyway.
            let _ = epoll::wait(epoll, spare_capacity(events), Some(&time));
        }
        for event in &*events {
            if let Some(source) = self.sources.borrow_mut().get_mut(event.data.u64() as usize) {
                source.handle_event(event.flags);
            }
        }
        had_backlog || !events.is_empty()
    }

    /// Wakes the tasks that have more to read; true if there were any.
    fn wake_backlog(&self) -> bool {
        if self.backlog.borrow().is_empty() {
            return false;
        }
        self.backlog.take().into_iter().for_each(Waker::wake);
        true
    }

    /// Polls once, and blocks the thread for up to [`SHORT_WAIT`] until there is something. False as well if another thread has
    /// notified: what that thread has sent is found by way of the ring.
    fn wait(&self, events: &mut Vec<Event>, waits: &mut ShortWaits) -> bool {
        if !self.notifier.begin_wait() {
            return false;
        }
        let found = self.poll(events, SHORT_WAIT);
        waits.note(found);
        !self.notifier.end_wait() && found
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
            if self.is_over() || self.epoll.borrow().is_some() {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        let copy = self.epoll.borrow().as_ref().map(OwnedFd::try_clone);
        let Some(Ok(copy)) = copy else {
            // No descriptor is left for the copy: poll epoll directly until one is.
            yield_now().await;
            return !self.is_over();
        };
        let mut stream = as_stream(copy);
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
            self.waker.set(Some(context.waker().clone()));
            // The runtime waits until the descriptor is readable, and then fails to read it like a socket. That is the sign.
            Pin::new(&mut stream).poll_read(context, &mut [0]).map(drop)
        })
        .await;
        !self.is_over()
    }
}

/// Whether short waits pay off. Where replies take longer than a wait, all that a wait does is to delay other tasks.
#[derive(Default)]
struct ShortWaits {
    /// How many of the last waits ended without a reply; one that found a reply halves it.
    missed: u32,
    skipped: u32,
}

impl ShortWaits {
    fn may_begin(&mut self) -> bool {
        self.skipped += 1;
        self.skipped > (1 << self.missed.min(MISSED_MAX)) >> 1
    }

    fn note(&mut self, found: bool) {
        self.skipped = 0;
        self.missed = if found { self.missed / 2 } else { (self.missed + 1).min(MISSED_MAX) };
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

/// The key of the notifier; no socket has it.
const NOTIFIER_KEY: u64 = u64::MAX;
/// How many events one poll takes. The next poll takes those of other sockets.
const EVENTS_MAX: usize = 256;
/// After so many turns of the run queue all that one reply leads to is on its way: reading, calling, writing, and one more.
const TURNS_MAX: usize = 4;
/// A turn of the run queue in which no other task runs takes less.
const TURN_ALONE_MAX: Duration = Duration::from_micros(2);
/// A turn that takes longer may be a stall, and is reported as one.
const TURN_MAX: Duration = Duration::from_millis(50);
/// The timers of the runtime are late by no more than this, however busy the sockets are.
const PARK_EVERY: Duration = Duration::from_millis(1);
/// The same while a connection floods the shard. Calls of other threads, and the sockets of other clients on this thread, are
/// found by way of the ring as well. With 1 ms a call took 2.5 ms beside a flood, instead of 0.15 ms.
const PARK_EVERY_CROWDED: Duration = Duration::from_micros(100);
/// Long enough for the runtime to find its run queue empty and look at its ring, and short beside a share of a turn.
const BACKLOG_PAUSE: Duration = Duration::from_micros(20);
/// The shortest timeout that every kernel supports.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// Where replies always take longer, one in 128 waits is tried.
const MISSED_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::shard::testing::Wakes;

    /// How many of so many chances to wait are taken.
    fn taken(waits: &mut ShortWaits, chances: usize, found: bool) -> usize {
        (0..chances)
            .filter(|_| {
                waits.may_begin() && {
                    waits.note(found);
                    true
                }
            })
            .count()
    }

    #[test]
    fn waits_without_replies_become_rare() {
        let mut waits = ShortWaits::default();
        assert_eq!(taken(&mut waits, 100, true), 100);
        let few = taken(&mut waits, 10_000, false);
        assert!((50..120).contains(&few), "{few}");
        taken(&mut waits, 2_000, true);
        assert_eq!(taken(&mut waits, 100, true), 100);
    }

    #[test]
    fn reactor_whose_executor_died_keeps_no_descriptor() {
        let reactor = Reactor::new();
        let (near, mut far) = UnixStream::pair().unwrap();
        let socket = Socket::register(&reactor, near.into()).unwrap();
        close_all();
        assert!(reactor.epoll.borrow().is_none() && reactor.sources.borrow().is_empty());
        assert_eq!(far.read(&mut [0]).unwrap(), 0, "the other end sees it");
        assert!(socket.with(|_| Ok(())).is_err());
    }

    #[test]
    fn last_socket_of_a_closed_reactor_ends_its_task() {
        let (reactor, wakes) = (Reactor::new(), Arc::<Wakes>::default());
        let sockets = [(); 2].map(|()| {
            let (near, _far) = UnixStream::pair().unwrap();
            Socket::register(&reactor, near.into()).unwrap()
        });
        reactor.close();
        for (socket, expected) in sockets.into_iter().zip([0, 1]) {
            reactor.waker.set(Some(wakes.waker()));
            drop(socket);
            assert_eq!(wakes.take(), expected);
        }
        assert!(reactor.is_over());
    }
}
