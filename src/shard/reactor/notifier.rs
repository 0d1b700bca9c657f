//! [`Notifier`]: wakes a shard's thread out of a short wait of its reactor, in which the runtime cannot wake it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd that the reactor watches, and whether its thread has to be woken by it.
///
/// ```text
///            begin_wait                 notify: writes the eventfd
///  RUNNING ─────────────▶ WAITING ──────────────────────────────────▶ NOTIFIED
///     ▲ │                    │                                           │
///     │ │                    └────────────── end_wait ──▶ RUNNING ◀──────┘
///     │ └── notify ──▶ NOTIFIED ── begin_wait: no wait ──▶ RUNNING
/// ```
///
/// Only a wait costs the notifying thread a system call. A notification between two waits keeps the next one from beginning,
/// so none is lost.
#[derive(Default)]
pub(in crate::shard) struct Notifier {
    state: AtomicU8,
    descriptor: OnceLock<OwnedFd>,
}

impl Notifier {
    /// The eventfd, which becomes readable when the notifier is notified during a wait.
    pub(super) fn descriptor(&self) -> io::Result<&OwnedFd> {
        if self.descriptor.get().is_none() {
            let _ = self.descriptor.set(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        }
        self.descriptor.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A wait begins; false if a notification since the last one forbids it.
    pub(super) fn begin_wait(&self) -> bool {
        let may_wait = self.state.swap(WAITING, Ordering::SeqCst) != NOTIFIED;
        if !may_wait {
            self.state.store(RUNNING, Ordering::SeqCst);
        }
        may_wait
    }

    /// A wait has ended; true if it was notified.
    pub(super) fn end_wait(&self) -> bool {
        self.state.swap(RUNNING, Ordering::SeqCst) == NOTIFIED
    }

    fn notify(&self) {
        if self.state.swap(NOTIFIED, Ordering::SeqCst) == WAITING
            && let Some(descriptor) = self.descriptor.get()
        {
            // The write fails only after 2^64 - 1 notifications that were not read.
            let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
        }
    }

    /// A waker for other threads: it wakes a task of the notifier's thread, and notifies.
    pub(in crate::shard) fn waker_for(self: &Arc<Self>, waker: &Waker) -> Waker {
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
        // In this order: a thread that the notifier wakes finds the task in its run queue.
        self.waker.wake_by_ref();
        self.notifier.notify();
    }
}

const RUNNING: u8 = 0;
const WAITING: u8 = 1;
const NOTIFIED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn was_written(notifier: &Notifier) -> bool {
        rustix::io::read(notifier.descriptor().unwrap(), &mut [0; 8]).is_ok()
    }

    #[test]
    fn notification_ends_the_wait_or_keeps_it_from_beginning() {
        let notifier = Arc::new(Notifier::default());
        notifier.descriptor().unwrap();
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
}
