//! [`Bell`]: wakes a shard's thread out of a nap, in which its runtime does not hear other threads.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, eventfd};

#[derive(Default)]
pub(in crate::shard) struct Bell {
    state: AtomicU8,
    descriptor: OnceLock<OwnedFd>,
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const RUNG: u8 = 2;

impl Bell {
    /// What can be read when the bell was rung during a nap.
    pub(super) fn descriptor(&self) -> io::Result<&OwnedFd> {
        if self.descriptor.get().is_none() {
            let _ = self.descriptor.set(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        }
        self.descriptor.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// A nap begins, unless the bell was rung since the last one.
    pub(super) fn begin_nap(&self) -> bool {
        let is_silent = self.state.swap(ASLEEP, Ordering::SeqCst) != RUNG;
        if !is_silent {
            self.state.store(AWAKE, Ordering::SeqCst);
        }
        is_silent
    }

    /// A nap has ended; whether the bell was rung.
    pub(super) fn end_nap(&self) -> bool {
        self.state.swap(AWAKE, Ordering::SeqCst) == RUNG
    }

    fn ring(&self) {
        if self.state.swap(RUNG, Ordering::SeqCst) == ASLEEP
            && let Some(descriptor) = self.descriptor.get()
        {
            // It is full only if nobody has listened for 2^64 - 1 rings.
            let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
        }
    }

    /// A waker that wakes a task of the bell's thread from another one, and rings.
    pub(in crate::shard) fn on(self: &Arc<Self>, waker: &Waker) -> Waker {
        Waker::from(Arc::new(Ringing { bell: self.clone(), waker: waker.clone() }))
    }
}

struct Ringing {
    bell: Arc<Bell>,
    waker: Waker,
}

impl Wake for Ringing {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever hears the bell finds the task woken.
        self.waker.wake_by_ref();
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(bell: &Bell) -> bool {
        rustix::io::read(bell.descriptor().unwrap(), &mut [0; 8]).is_ok()
    }

    #[test]
    fn whoever_rings_ends_the_nap_or_keeps_it_from_beginning() {
        let bell = Arc::new(Bell::default());
        bell.descriptor().unwrap();
        let waker = bell.on(Waker::noop());
        waker.wake_by_ref();
        assert!(!rung(&bell), "nobody sleeps");
        assert!(!bell.begin_nap());
        assert!(bell.begin_nap());
        waker.wake_by_ref();
        waker.wake();
        assert!(rung(&bell) && bell.end_nap());
        assert!(bell.begin_nap() && !bell.end_nap());
    }
}
