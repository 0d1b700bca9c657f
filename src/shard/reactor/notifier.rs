//! [`Notifier`]: how other threads tell a shard's reactor that they have something for its thread.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd that the reactor watches beside its sockets, and whether its thread has to be woken by it.
///
/// ```text
///            attend               begin_wait, begin_park            notify: writes the eventfd
///  ABSENT ───────────▶ RUNNING ───────────────────────▶ WAITING ──────────────────────────────▶ NOTIFIED
///    ▲                  │ │ ▲ ▲                            │                                      │ ▲
///    └───── leave ──────┘ │ │ └────────── end_wait ────────┘                                      │ │
///                         │ └─────────── end_wait, take, begin_wait (which then is no wait) ──────┘ │
///                         └─────────────────────────────── notify ──────────────────────────────────┘
/// ```
///
/// PARKED is WAITING where a park asked for the bell: then `notify` writes another eventfd.
///
/// Only a thread that waits costs the notifying thread a system call. A notification between two waits keeps the next one from
/// beginning, so none is lost. While the reactor does not run, it hears no notification: the notifying thread has to wake
/// the task by way of the runtime.
#[derive(Default)]
pub(in crate::shard) struct Notifier {
    state: AtomicU8,
    descriptor: OnceLock<OwnedFd>,
    bell: OnceLock<OwnedFd>,
}

impl Notifier {
    /// The eventfd, which becomes readable when the notifier is notified during a wait.
    pub(super) fn descriptor(&self) -> io::Result<&OwnedFd> {
        made(&self.descriptor)
    }

    /// Another eventfd, which becomes readable in its place during a [park](Notifier::begin_park) that asks for it.
    pub(super) fn bell(&self) -> io::Result<&OwnedFd> {
        made(&self.bell)
    }

    /// The reactor runs, and watches the descriptor.
    pub(super) fn attend(&self) {
        let _ = self.state.compare_exchange(ABSENT, RUNNING, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The reactor does not run any more; true if it was notified before.
    pub(super) fn leave(&self) -> bool {
        self.state.swap(ABSENT, Ordering::SeqCst) == NOTIFIED
    }

    /// True if it was notified since the last time.
    #[inline]
    pub(super) fn take(&self) -> bool {
        self.state.load(Ordering::Relaxed) == NOTIFIED
            && self.state.swap(RUNNING, Ordering::SeqCst) == NOTIFIED
    }

    /// A wait begins; false if a notification since the last one forbids it.
    pub(super) fn begin_wait(&self) -> bool {
        let may_wait = self.state.swap(WAITING, Ordering::SeqCst) != NOTIFIED;
        if !may_wait {
            self.state.store(RUNNING, Ordering::SeqCst);
        }
        may_wait
    }

    /// A wait begins during which other tasks of the thread run. True if it was notified before: the caller wakes the task
    /// concerned, which then runs before the thread sleeps.
    pub(super) fn begin_park(&self, rings_bell: bool) -> bool {
        self.state.swap(if rings_bell { PARKED } else { WAITING }, Ordering::SeqCst) == NOTIFIED
    }

    /// A wait has ended; true if it was notified.
    pub(super) fn end_wait(&self) -> bool {
        self.state.swap(RUNNING, Ordering::SeqCst) == NOTIFIED
    }

    /// False if the reactor does not hear it.
    fn notify(&self) -> bool {
        let notified = |state| (state != ABSENT).then_some(NOTIFIED);
        let before = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, notified);
        let descriptor = match before {
            Ok(WAITING) => self.descriptor.get(),
            Ok(PARKED) => self.bell.get(),
            _ => None,
        };
        if let Some(descriptor) = descriptor {
            // The write fails only after 2^64 - 1 notifications that were not read.
            let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
        }
        before.is_ok()
    }

    /// A waker for other threads. It notifies; or wakes a task of the notifier's thread, if the reactor would not hear that.
    pub(super) fn waker_for(self: &Arc<Self>, waker: &Waker) -> Waker {
        Waker::from(Arc::new(NotifyingWaker { notifier: self.clone(), waker: waker.clone() }))
    }
}

struct NotifyingWaker {
    notifier: Arc<Notifier>,
    waker: Waker,
}

impl Wake for NotifyingWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.notifier.notify() {
            self.waker.wake_by_ref();
        }
    }
}

fn made(descriptor: &OnceLock<OwnedFd>) -> io::Result<&OwnedFd> {
    if descriptor.get().is_none() {
        let _ = descriptor.set(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    }
    descriptor.get().ok_or_else(|| io::ErrorKind::NotFound.into())
}

const ABSENT: u8 = 0;
const RUNNING: u8 = 1;
const WAITING: u8 = 2;
const NOTIFIED: u8 = 3;
const PARKED: u8 = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;
    use std::thread;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::driver::testing::{Wakes, in_all_orders};

    fn was_written(notifier: &Notifier) -> bool {
        rustix::io::read(notifier.descriptor().unwrap(), &mut [0; 8]).is_ok()
    }

    fn attended() -> Arc<Notifier> {
        let notifier = Arc::new(Notifier::default());
        notifier.descriptor().unwrap();
        notifier.attend();
        notifier
    }

    #[test]
    fn notification_ends_the_wait_or_keeps_it_from_beginning() {
        let notifier = attended();
        let waker = notifier.waker_for(Waker::noop());
        waker.wake_by_ref();
        assert!(!was_written(&notifier), "the thread does not wait");
        assert!(!notifier.begin_wait());
        assert!(notifier.begin_wait());
        waker.wake_by_ref();
        waker.wake();
        assert!(was_written(&notifier) && notifier.end_wait());
        assert!(notifier.begin_wait() && !notifier.end_wait());
    }

    #[test]
    fn park_is_told_of_earlier_notifications_and_ends_at_later_ones() {
        let notifier = attended();
        let waker = notifier.waker_for(Waker::noop());
        waker.wake_by_ref();
        assert!(notifier.begin_park(false) && !was_written(&notifier));
        waker.wake_by_ref();
        assert!(was_written(&notifier) && notifier.end_wait());
        assert!(!notifier.begin_park(false) && !notifier.end_wait());
    }

    #[test]
    fn notification_within_a_park_rings_the_bell_that_it_asked_for() {
        let notifier = attended();
        let was_rung = || rustix::io::read(notifier.bell().unwrap(), &mut [0; 8]).is_ok();
        assert!(!was_rung() && !notifier.begin_park(true));
        notifier.waker_for(Waker::noop()).wake();
        assert!(was_rung() && !was_written(&notifier) && notifier.end_wait());
    }

    #[test]
    fn notification_while_the_reactor_runs_is_taken_once() {
        let notifier = attended();
        notifier.waker_for(Waker::noop()).wake();
        assert!(notifier.take() && !notifier.take() && !was_written(&notifier));
    }

    /// No other notification comes that could end a wait by chance.
    #[test]
    fn lone_notification_is_heard_in_every_stage() {
        const COUNT: usize = 4;
        in_all_orders(|| {
            let (notifier, sent) = (attended(), AtomicUsize::new(0));
            let (heard, hear) = mpsc::channel();
            thread::scope(|scope| {
                let (notifier, sent) = (&notifier, &sent);
                scope.spawn(move || {
                    let waker = notifier.waker_for(Waker::noop());
                    for count in 1..=COUNT {
                        sent.store(count, Ordering::Relaxed);
                        waker.wake_by_ref();
                        assert_eq!(hear.recv(), Ok(count));
                    }
                });
                let mut count = 0;
                while count < COUNT {
                    let is_notified = notifier.take() || !notifier.begin_wait() || {
                        let mut ready = [PollFd::new(notifier.descriptor().unwrap(), PollFlags::IN)];
                        poll(&mut ready, None).unwrap();
                        was_written(notifier) && notifier.end_wait()
                    };
                    if is_notified {
                        count = sent.load(Ordering::Relaxed);
                        heard.send(count).unwrap();
                    }
                }
            });
        });
    }

    /// Before the first socket is watched, and after the last one is gone.
    #[test]
    fn task_is_woken_by_the_runtime_while_no_reactor_runs() {
        let (notifier, wakes) = (Arc::new(Notifier::default()), Arc::<Wakes>::default());
        let waker = notifier.waker_for(&wakes.waker());
        waker.wake_by_ref();
        assert_eq!(wakes.take(), 1);
        notifier.attend();
        waker.wake_by_ref();
        assert_eq!(wakes.take(), 0, "the reactor hears it");
        assert!(notifier.leave(), "it had not heard it yet");
        waker.wake_by_ref();
        assert_eq!(wakes.take(), 1);
        assert!(!notifier.leave());
    }
}
