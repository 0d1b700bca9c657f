//! The few calls of epoll that a readiness loop needs, level-triggered.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

pub struct Epoll {
    descriptor: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> Epoll {
        // SAFETY: it takes a flag and gives a new descriptor, or -1.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(descriptor >= 0, "{}", io::Error::last_os_error());
        // SAFETY: it was just opened, and no other value owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Epoll { descriptor, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] }
    }

    /// Registers this descriptor: `wait` returns `token` whenever it can be read.
    pub fn add(&self, of: &impl AsRawFd, token: u64) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open, and the event outlives the call.
        let result = unsafe {
            libc::epoll_ctl(self.descriptor.as_raw_fd(), libc::EPOLL_CTL_ADD, of.as_raw_fd(), &mut event)
        };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
    }

    /// Waits a tenth of a second at most, and returns the tokens of the readable descriptors.
    pub fn wait(&mut self) -> impl Iterator<Item = u64> + use<'_> {
        let (events, room) = (self.events.as_mut_ptr(), self.events.len() as i32);
        // SAFETY: there is room for as many events as it says, and nothing else refers to it.
        let count = unsafe { libc::epoll_wait(self.descriptor.as_raw_fd(), events, room, 100) };
        self.events.iter().take(count.max(0) as usize).map(|event| event.u64)
    }
}

const EVENTS: usize = 64;
