//! [`Epoll`]: sockets that are read and written with system calls of their own, once epoll says that they can be.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use slab::Slab;
use socket2::SockRef;

use super::notifier::Notifier;
use super::waiter::{Waiter, again, gone};

/// All sockets of a reactor in one epoll instance, which tells of each change once.
pub(super) struct Epoll {
    epoll: OwnedFd,
    sources: Slab<Source>,
    events: Vec<Event>,
}

/// One registered socket, and what epoll said of it.
///
/// The socket is edge-triggered: epoll tells of a change once. So `readable` and `writable` stay set until a system call finds
/// the socket empty or full. Clearing one of them earlier would lose the wake-up for what is left.
struct Source {
    descriptor: OwnedFd,
    waiter: Waiter,
    readable: bool,
    writable: bool,
    /// It has ended, or is broken. Reading says so once everything else was read.
    ended: bool,
}

impl Epoll {
    pub(super) fn new(notifier: &Notifier) -> io::Result<Self> {
        let notifier = notifier.descriptor()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, notifier, EventData::new_u64(NOTIFIER_KEY), EventFlags::IN | EventFlags::ET)?;
        Ok(Epoll { epoll, sources: Slab::new(), events: Vec::with_capacity(EVENTS_MAX) })
    }

    pub(super) fn watch(&mut self, descriptor: OwnedFd) -> io::Result<usize> {
        let entry = self.sources.vacant_entry();
        let key = entry.key();
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &descriptor, EventData::new_u64(key as u64), flags)?;
        let waiter = Waiter::default();
        entry.insert(Source { descriptor, waiter, readable: false, writable: false, ended: false });
        Ok(key)
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Waker> {
        self.sources.try_remove(key)?.waiter.take()
    }

    pub(super) fn poll(&mut self, time: Duration) -> bool {
        self.events.clear();
        let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        // After an interruption the next poll follows anyway.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&time));
        for event in &self.events {
            if let Some(source) = self.sources.get_mut(event.data.u64() as usize) {
                source.handle_event(event.flags);
            }
        }
        !self.events.is_empty()
    }

    #[inline]
    pub(super) fn poll_read(
        &mut self,
        key: usize,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(source) = self.sources.get_mut(key) else { return Poll::Ready(Err(gone())) };
        if !source.readable {
            return source.waiter.wait(context);
        }
        match rustix::net::recv(&source.descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((_, count)) => {
                // A read that did not fill the buffer has emptied the socket. That saves the system call that would say so.
                source.readable = source.ended || count == buffer.len();
                Poll::Ready(Ok(count))
            }
            Err(Errno::AGAIN) => {
                source.readable = false;
                source.waiter.wait(context)
            }
            Err(Errno::INTR) => again(context),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    #[inline]
    pub(super) fn poll_write(
        &mut self,
        key: usize,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(source) = self.sources.get_mut(key) else { return Poll::Ready(Err(gone())) };
        if !source.writable {
            return source.waiter.wait(context);
        }
        match rustix::net::send(&source.descriptor, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(Errno::AGAIN) => {
                source.writable = false;
                source.waiter.wait(context)
            }
            Err(Errno::INTR) => again(context),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    pub(super) fn poll_connected(&mut self, key: usize, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(source) = self.sources.get_mut(key) else { return Poll::Ready(Err(gone())) };
        if !source.writable {
            return source.waiter.wait(context);
        }
        let error = SockRef::from(&source.descriptor).take_error();
        Poll::Ready(error.and_then(|error| error.map_or(Ok(()), Err)))
    }

    pub(super) fn socket(&self, key: usize) -> Option<SockRef<'_>> {
        self.sources.get(key).map(|source| SockRef::from(&source.descriptor))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// A copy of the descriptor, which is readable while a poll would find something.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }
}

impl Source {
    fn handle_event(&mut self, flags: EventFlags) {
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        self.ended |= ended;
        self.readable |= ended || flags.contains(EventFlags::IN);
        self.writable |= ended || flags.contains(EventFlags::OUT);
        self.waiter.wake();
    }
}

/// The key of the notifier; no socket has it.
const NOTIFIER_KEY: u64 = u64::MAX;
/// How many events one poll takes. The next poll takes those of other sockets.
const EVENTS_MAX: usize = 256;
