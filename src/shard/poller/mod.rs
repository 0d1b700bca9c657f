//! [`Poller`]: which of a shard's sockets can be read or written, learned for all of them with one system call.
//!
//! The runtime would watch each socket with an entry of its ring, and goes into the kernel nine times to sleep and to
//! wake up once. So a shard's sockets are in one epoll instance, which is asked directly for as long as there is
//! something to do; when there is not, but replies are due, the thread sleeps in there for a moment; and only then the
//! runtime is left to sleep, with one entry of its ring for all sockets. What else the runtime looks after, such as
//! timers, is seen to in between, at least every [`RING_EVERY`].

mod bell;
mod socket;

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

pub(super) use self::bell::Bell;
pub(super) use self::socket::Socket;
use self::socket::Source;

/// All sockets of a shard. They are its own, so that those of an executor that has died can be closed.
#[derive(Default)]
pub(super) struct Poller {
    epoll: RefCell<Option<OwnedFd>>,
    sources: RefCell<Slab<Source>>,
    bell: Arc<Bell>,
    /// The task that asks, while it waits.
    waker: Cell<Option<Waker>>,
    /// Tasks that have had their share of a turn, and have more to read.
    backlog: RefCell<Vec<Waker>>,
    /// Somebody does, or is about to do, what a socket is used for: it is not asked again before that is done.
    is_busy: Cell<bool>,
    is_retired: Cell<bool>,
}

/// What is done when there is nothing to do, before the runtime is left to sleep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idling {
    /// Asks again and again for so long.
    pub(super) spin: Duration,
    /// Sleeps for up to [`NAP`] while replies are due, as nobody but a socket or the [`Bell`] can wake it.
    pub(super) naps: bool,
}

thread_local! {
    static POLLERS: RefCell<Vec<Weak<Poller>>> = const { RefCell::new(Vec::new()) };
}

/// Closes every socket that a dead executor of this thread has left. It never drops the tasks that waited for something,
/// and so their sockets would stay open: the server would keep their connections, and what was asked on them would go on.
pub(super) fn end_all() {
    for poller in POLLERS.take().iter().filter_map(Weak::upgrade) {
        poller.end();
    }
}

/// Whether this thread has one poller only. A nap of one hears nothing of the sockets of another.
fn is_alone() -> bool {
    let is_in_use = |poller: &Weak<Poller>| poller.upgrade().is_some_and(|poller| !poller.is_retired.get());
    POLLERS.with_borrow(|pollers| pollers.iter().filter(|poller| is_in_use(poller)).count() <= 1)
}

impl Poller {
    pub(super) fn new() -> Rc<Poller> {
        let poller = Rc::new(Poller::default());
        POLLERS.with_borrow_mut(|pollers| {
            pollers.retain(|poller| poller.strong_count() > 0);
            pollers.push(Rc::downgrade(&poller));
        });
        poller
    }

    /// Takes a socket in, which must not block.
    ///
    /// # Errors
    /// If the system has nothing left to watch it with.
    pub(super) fn register(self: &Rc<Self>, descriptor: OwnedFd) -> io::Result<Socket> {
        let mut epoll = self.epoll.borrow_mut();
        let epoll = match &mut *epoll {
            Some(epoll) => epoll,
            none => {
                let made = epoll::create(CreateFlags::CLOEXEC)?;
                epoll::add(
                    &made,
                    self.bell.descriptor()?,
                    EventData::new_u64(BELL),
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
        Ok(Socket::new(self.clone(), key))
    }

    /// Has a task that has more to read run again after the next look at all sockets.
    ///
    /// A task that woke itself instead would keep the run queue from ever being empty. The runtime then sees to its
    /// ring, which this poller waits in, and to its timers once in 100 ms only: under a flood on one connection, the
    /// commands on all others were measured to wait for as long.
    pub(super) fn run_later(&self, context: &Context<'_>) {
        self.backlog.borrow_mut().push(context.waker().clone());
        self.wake();
    }

    /// Learns of what has come while the thread was blocked.
    pub(super) fn catch_up(&self) {
        self.look(&mut Vec::with_capacity(EVENTS_MAX), Duration::ZERO);
    }

    /// What other threads ring when they have something for this one.
    pub(super) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// A command was submitted: whoever writes it is about to run.
    #[inline]
    pub(super) fn stir(&self) {
        self.is_busy.set(true);
    }

    /// Wakes whoever has something to read or to write, until the poller is [retired](Poller::retire).
    /// `blocked` is told how long a turn took that took far too long.
    pub(super) async fn attend(
        self: Rc<Self>,
        idling: Idling,
        replies_are_due: impl Fn() -> bool,
        blocked: impl Fn(Duration),
    ) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut naps = Naps::default();
        while self.wait().await {
            let ring = Instant::now();
            let (mut last, mut turn, mut is_quiet, mut is_crowded) = (ring, ring, false, false);
            loop {
                let is_idle = is_quiet && last.elapsed() >= idling.spin;
                let may_nap = is_idle && idling.naps && is_alone() && self.backlog.borrow().is_empty();
                // A task that stands back reads without end: calls of other threads must not wait for it.
                is_crowded |= !self.backlog.borrow().is_empty();
                let found = match may_nap && replies_are_due() && naps.may_begin() {
                    true => self.nap(&mut events, &mut naps),
                    false => self.look(&mut events, Duration::ZERO),
                };
                let now = Instant::now();
                if found {
                    last = now;
                }
                if now - turn >= TURN_MAX {
                    blocked(now - turn);
                }
                turn = now;
                let ring_every = if is_crowded { RING_EVERY_CROWDED } else { RING_EVERY };
                if is_idle && !found || now - ring >= ring_every {
                    break;
                }
                is_quiet = self.let_others_act().await;
            }
        }
    }

    /// Has [`Poller::attend`] return when no socket is left.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.wake();
    }

    fn end(&self) {
        self.retire();
        let sources = self.sources.take();
        self.epoll.take();
        // Wakers may run code when they are dropped.
        drop(sources);
    }

    fn is_over(&self) -> bool {
        self.is_retired.get() && self.sources.borrow().is_empty()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Asks once, and wakes the tasks whose sockets have something. Whether there was anything.
    #[cfg(test)]
    pub(super) fn ask(&self) -> bool {
        self.look(&mut Vec::with_capacity(EVENTS_MAX), Duration::ZERO)
    }

    /// Asks once, and waits for so long if there is nothing; whether there was anything. The backlog runs after it.
    fn look(&self, events: &mut Vec<Event>, time: Duration) -> bool {
        events.clear();
        let had_backlog = self.wake_backlog();
        {
            let epoll = self.epoll.borrow();
            let Some(epoll) = &*epoll else { return had_backlog };
            let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
            // Interrupted, it is asked again.
            let _ = epoll::wait(epoll, spare_capacity(events), Some(&time));
        }
        for event in &*events {
            if let Some(source) = self.sources.borrow_mut().get_mut(event.data.u64() as usize) {
                source.handle_event(event.flags);
            }
        }
        had_backlog || !events.is_empty()
    }

    /// Wakes the tasks that had to stand back; whether there were any.
    fn wake_backlog(&self) -> bool {
        if self.backlog.borrow().is_empty() {
            return false;
        }
        self.backlog.take().into_iter().for_each(Waker::wake);
        true
    }

    /// Asks once, and sleeps until there is something; false as well if other threads have something, of which one
    /// hears through the ring.
    fn nap(&self, events: &mut Vec<Event>, naps: &mut Naps) -> bool {
        if !self.bell.begin_nap() {
            return false;
        }
        let found = self.look(events, NAP);
        naps.note(found);
        !self.bell.end_nap() && found
    }

    /// Lets those who were woken read, their callers act on it, and what those want be written. Whether nobody on this
    /// thread has anything left to do, as far as one can tell from here: the last turn took no time.
    async fn let_others_act(&self) -> bool {
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

    /// Waits through the runtime's ring; false when all is over.
    async fn wait(&self) -> bool {
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
            // Without a descriptor to spare it is asked directly, for as long as that lasts.
            yield_now().await;
            return !self.is_over();
        };
        let mut stream = as_a_stream(copy);
        // The backlog waits for the ring to be seen to, and no longer.
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
            // That it cannot be read like a socket is how the runtime says that there is something to ask about.
            Pin::new(&mut stream).poll_read(context, &mut [0]).map(drop)
        })
        .await;
        !self.is_over()
    }
}

/// Whether naps are worth their while: where replies take longer, all that they do is to delay other things.
#[derive(Default)]
struct Naps {
    /// How many of the last ended without a reply.
    missed: u32,
    skipped: u32,
}

impl Naps {
    fn may_begin(&mut self) -> bool {
        self.skipped += 1;
        self.skipped > (1 << self.missed.min(MISSED_MAX)) >> 1
    }

    fn note(&mut self, found: bool) {
        self.skipped = 0;
        self.missed = if found { self.missed / 2 } else { (self.missed + 1).min(MISSED_MAX) };
    }
}

#[expect(unsafe_code, reason = "the runtime waits for streams only, which it takes as bare numbers")]
fn as_a_stream(descriptor: OwnedFd) -> TcpStream {
    // SAFETY: it is open, and nobody else's from here on.
    unsafe { TcpStream::from_raw_fd(descriptor.into_raw_fd()) }
}

/// No socket's key.
const BELL: u64 = u64::MAX;
/// How many sockets are learned of at once; the next time, of others.
const EVENTS_MAX: usize = 256;
/// Reading, calling, writing, and nothing: after so many turns of the run queue all that one reply leads to is on its
/// way.
const TURNS_MAX: usize = 4;
/// A turn of the run queue in which nobody else runs takes less.
const TURN_ALONE_MAX: Duration = Duration::from_micros(2);
/// A turn that takes longer is worth asking why.
const TURN_MAX: Duration = Duration::from_millis(50);
/// The runtime's timers are late by no more than this, however busy the sockets are.
const RING_EVERY: Duration = Duration::from_millis(1);
/// The same while a connection floods the shard. The runtime's ring is also how calls of other threads, and the sockets of
/// other clients on this thread, are heard: at 1 ms a call took 2.5 ms beside a flood, in place of 0.15 ms.
const RING_EVERY_CROWDED: Duration = Duration::from_micros(100);
/// Long enough for the runtime to find nothing to run and see to its ring, and short beside a share of a turn.
const BACKLOG_PAUSE: Duration = Duration::from_micros(20);
/// The shortest sleep that every kernel knows.
const NAP: Duration = Duration::from_millis(1);
/// Where replies always take longer, one in 128 naps is tried.
const MISSED_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many chances to nap are taken.
    fn taken(naps: &mut Naps, chances: usize, found: bool) -> usize {
        (0..chances)
            .filter(|_| {
                naps.may_begin() && {
                    naps.note(found);
                    true
                }
            })
            .count()
    }

    #[test]
    fn naps_that_end_without_a_reply_become_rare_and_those_that_do_not_bring_them_back() {
        let mut naps = Naps::default();
        assert_eq!(taken(&mut naps, 100, true), 100);
        let few = taken(&mut naps, 10_000, false);
        assert!((50..120).contains(&few), "{few}");
        taken(&mut naps, 2_000, true);
        assert_eq!(taken(&mut naps, 100, true), 100);
    }

    #[test]
    fn poller_whose_executor_died_keeps_no_descriptor() {
        let poller = Poller::new();
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = poller.register(near.into()).unwrap();
        end_all();
        assert!(poller.epoll.borrow().is_none() && poller.sources.borrow().is_empty());
        assert_eq!(std::io::Read::read(&mut far, &mut [0]).unwrap(), 0, "the other end sees it");
        assert!(socket.with(|_| Ok(())).is_err());
    }

    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn last_socket_of_a_retired_poller_ends_its_task() {
        let (poller, count) = (Poller::new(), Arc::new(Count::default()));
        let sockets = [(); 2].map(|()| {
            let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
            poller.register(near.into()).unwrap()
        });
        poller.retire();
        for (socket, wakes) in sockets.into_iter().zip([0, 1]) {
            poller.waker.set(Some(Waker::from(count.clone())));
            drop(socket);
            assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), wakes);
        }
        assert!(poller.is_over());
    }
}
