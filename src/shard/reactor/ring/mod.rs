//! [`Ring`]: sockets whose bytes an io_uring of the shard's own receives and sends. Linux 6.1 and later.

mod buffers;
mod queue;
mod source;

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use io_uring::{opcode, types};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use slab::Slab;
use socket2::SockRef;

use self::buffers::{Buffers, GROUP};
use self::queue::{Completed, Queue};
use self::source::{Connect, End, Receive, Send, Source};
use super::notifier::Notifier;
use super::waiter::{again, gone};

/// All sockets of a reactor on one io_uring.
///
/// Each socket has one receive in the kernel, which goes on by itself and fills the next of the ring's [`Buffers`] whenever bytes
/// come. What tasks write is copied, and the next [`poll`](Ring::poll) submits it, for all sockets with one system call. That
/// call also takes what was received.
///
/// Written bytes count as sent once they are accepted, as with the buffer that the kernel has for each socket: they are never
/// given back. A send that fails is told by the next write, and by the end that reading finds.
///
/// No memory that the kernel may use is freed: not that of an operation before its last completion, and not the buffers before
/// every receive has ended.
///
/// A dropped socket is shut down. It is closed, and its key free, when its last operation has completed.
pub(super) struct Ring {
    queue: Queue,
    /// `None` only while the ring is dropped.
    buffers: Option<Buffers>,
    sources: Slab<Source>,
    /// The sources that have accepted something while nothing was being sent.
    due: Vec<usize>,
    notifier: RawFd,
    completed: Vec<Completed>,
}

impl Ring {
    /// # Errors
    /// If the kernel is older than 6.1, or forbids it.
    pub(super) fn new(notifier: &Notifier) -> io::Result<Ring> {
        let queue = Queue::new(notifier.bell()?.try_clone()?)?;
        let buffers = Some(Buffers::register(&queue.submitter())?);
        let (sources, notifier) = (Slab::new(), notifier.descriptor()?.as_raw_fd());
        let mut ring = Ring { queue, buffers, sources, due: Vec::new(), notifier, completed: Vec::new() };
        ring.watch_notifier();
        Ok(ring)
    }

    pub(super) fn watch(&mut self, descriptor: OwnedFd) -> io::Result<usize> {
        // The ring reports a non-blocking socket as empty or full instead of waiting for it.
        SockRef::from(&descriptor).set_nonblocking(false)?;
        Ok(self.sources.insert(Source::new(descriptor)))
    }

    pub(super) fn remove(&mut self, key: usize) -> Option<Waker> {
        if self.sources.get(key)?.send == Send::Submitted {
            // It has been sent by now, unless the socket is full.
            self.poll(Duration::ZERO);
        }
        let source = self.sources.get_mut(key)?;
        source.is_dropped = true;
        let waker = source.waiter.take();
        for filled in source.received.drain(..) {
            self.buffers.iter_mut().for_each(|buffers| buffers.give_back(filled));
        }
        if source.send == Send::Due {
            // Bytes of this turn, such as a farewell. A task that drops a socket has given up what it has no room for.
            let _ = source.send_now(&source.accepted);
            source.send = Send::Idle;
            self.due.retain(|due| *due != key);
        }
        if source.open == 0 {
            self.sources.remove(key);
        } else {
            // Every operation ends by that.
            let _ = SockRef::from(&source.descriptor).shutdown(Shutdown::Both);
        }
        waker
    }

    pub(super) fn poll(&mut self, time: Duration) -> bool {
        let sends = self.submit_sends();
        if !time.is_zero() {
            // Each send completes as well, most of them at once.
            self.queue.enter(sends + 1, Some(time));
        } else if self.queue.has_work() {
            self.queue.enter(0, None);
        }
        let mut completed = std::mem::take(&mut self.completed);
        self.queue.take_completed(&mut completed);
        let mut found = false;
        for completed in completed.drain(..) {
            found |= self.handle(completed);
        }
        self.completed = completed;
        found
    }

    #[inline]
    pub(super) fn poll_read(
        &mut self,
        key: usize,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (Some(source), Some(buffers)) = (self.sources.get_mut(key), &mut self.buffers) else {
            return Poll::Ready(Err(gone()));
        };
        let mut count = 0;
        while let Some(filled) = source.received.front_mut() {
            let (copied, is_empty) = buffers.copy(filled, buffer.get_mut(count..).unwrap_or_default());
            count += copied;
            if !is_empty {
                break;
            }
            let filled = *filled;
            source.received.pop_front();
            buffers.give_back(filled);
        }
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        match source.end {
            Some(End::Closed) => return Poll::Ready(Ok(0)),
            Some(End::Broken(error)) => return Poll::Ready(Err(error.into())),
            None => {}
        }
        if source.receive == Receive::Starved {
            match rustix::net::recv(&source.descriptor, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => source.receive = Receive::None,
                Err(Errno::INTR) => return again(context),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let polled = source.waiter.wait(context);
        if source.receive == Receive::None {
            self.receive(key);
        }
        polled
    }

    #[inline]
    pub(super) fn poll_write(
        &mut self,
        key: usize,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(source) = self.sources.get_mut(key) else { return Poll::Ready(Err(gone())) };
        if let Some(error) = source.broken {
            return Poll::Ready(Err(error.into()));
        }
        if source.end.is_some() {
            // The server would never read it. So it is not accepted, and stays unsent.
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.len() >= DIRECT_MIN && source.send == Send::Idle {
            match source.send_now(bytes) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::INTR) => return again(context),
                // The ring waits for room.
                Err(Errno::AGAIN) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        let room = ACCEPTED_MAX.saturating_sub(source.accepted.len());
        let accepted = bytes.get(..room).unwrap_or(bytes);
        if accepted.is_empty() {
            source.wants_room = true;
            return source.waiter.wait(context);
        }
        source.accepted.extend_from_slice(accepted);
        let count = accepted.len();
        if source.send == Send::Idle {
            source.send = Send::Due;
            self.due.push(key);
        }
        Poll::Ready(Ok(count))
    }

    #[expect(unsafe_code, reason = "an operation of the ring")]
    pub(super) fn poll_connected(&mut self, key: usize, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(source) = self.sources.get_mut(key) else { return Poll::Ready(Err(gone())) };
        match source.connect {
            Connect::Done => {
                let error = SockRef::from(&source.descriptor).take_error();
                return Poll::Ready(error.and_then(|error| error.map_or(Ok(()), Err)));
            }
            Connect::Asked => {}
            Connect::Unasked => {
                source.connect = Connect::Asked;
                source.open += 1;
                let socket = types::Fd(source.descriptor.as_raw_fd());
                let poll = opcode::PollAdd::new(socket, libc::POLLOUT as u32).build();
                // SAFETY: it names no memory.
                unsafe { self.queue.push(poll.user_data(number(key, CONNECT))) };
            }
        }
        source.waiter.wait(context)
    }

    pub(super) fn socket(&self, key: usize) -> Option<SockRef<'_>> {
        self.sources.get(key).map(|source| SockRef::from(&source.descriptor))
    }

    #[inline]
    pub(super) fn has_unsubmitted(&self) -> bool {
        !self.due.is_empty() || self.queue.has_unsubmitted()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    pub(super) fn begin_park(&mut self) -> io::Result<OwnedFd> {
        let bell = self.queue.silent_bell()?;
        self.submit_in_park();
        Ok(bell)
    }

    pub(super) fn submit_in_park(&mut self) {
        self.queue.ring_bell(false);
        self.poll(Duration::ZERO);
        self.queue.ring_bell(true);
        // What the kernel had before it was asked to ring. It rings for everything after this.
        self.poll(Duration::ZERO);
    }

    pub(super) fn end_park(&mut self) {
        self.queue.ring_bell(false);
    }

    /// Submits what tasks have written; how many sends that are.
    fn submit_sends(&mut self) -> u32 {
        let mut due = std::mem::take(&mut self.due);
        let mut sends = 0;
        for key in due.drain(..) {
            if let Some(source) = self.sources.get_mut(key).filter(|source| source.send == Send::Due) {
                std::mem::swap(&mut source.accepted, &mut source.sending);
                source.sent = 0;
                self.send(key);
                sends += 1;
            }
        }
        self.due = due;
        sends
    }

    /// Sends the rest of `sending`.
    #[expect(unsafe_code, reason = "an operation of the ring")]
    fn send(&mut self, key: usize) {
        let Some(source) = self.sources.get_mut(key) else { return };
        source.send = Send::Submitted;
        source.open += 1;
        let rest = source.sending.get(source.sent..).unwrap_or_default();
        let socket = types::Fd(source.descriptor.as_raw_fd());
        let send = opcode::Send::new(socket, rest.as_ptr(), rest.len() as u32);
        let send = send.flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL).build();
        // SAFETY: `sending` is not changed, and its source not removed, before the completion. A ring that is dropped earlier
        // leaks it.
        unsafe { self.queue.push(send.user_data(number(key, SEND))) };
    }

    /// Has the kernel receive whatever comes.
    #[expect(unsafe_code, reason = "an operation of the ring")]
    fn receive(&mut self, key: usize) {
        let Some(source) = self.sources.get_mut(key) else { return };
        source.receive = Receive::Armed;
        source.open += 1;
        let receive = opcode::RecvMulti::new(types::Fd(source.descriptor.as_raw_fd()), GROUP).build();
        // SAFETY: the buffers outlive the ring's operations. A ring that is dropped earlier leaks them.
        unsafe { self.queue.push(receive.user_data(number(key, RECEIVE))) };
    }

    /// Ends a receive.
    #[expect(unsafe_code, reason = "an operation of the ring")]
    fn end_receive(&mut self, key: usize) {
        let cancel = opcode::AsyncCancel::new(number(key, RECEIVE)).build();
        // SAFETY: it names no memory.
        unsafe { self.queue.push(cancel.user_data(CANCEL)) };
    }

    #[expect(unsafe_code, reason = "an operation of the ring")]
    fn watch_notifier(&mut self) {
        let poll = opcode::PollAdd::new(types::Fd(self.notifier), libc::POLLIN as u32).multi(true).build();
        // SAFETY: it names no memory.
        unsafe { self.queue.push(poll.user_data(NOTIFIER)) };
    }

    /// Handles a completion; true if a task was woken by it, or another thread has notified.
    fn handle(&mut self, completed: Completed) -> bool {
        let Completed { number, result, buffer, has_more } = completed;
        if !has_more {
            self.queue.open -= 1;
        }
        if number == NOTIFIER {
            if !has_more && result >= 0 {
                self.watch_notifier();
            }
            return true;
        }
        let key = (number >> KEY_SHIFT) as usize;
        let Some(source) = self.sources.get_mut(key).filter(|_| number != CANCEL) else { return false };
        if !has_more {
            source.open -= 1;
        }
        let found = match number & OPERATION {
            SEND => self.handle_sent(key, result),
            RECEIVE => self.handle_received(key, result, buffer, has_more),
            _ => {
                source.connect = Connect::Done;
                source.waiter.wake();
                true
            }
        };
        if self.sources.get(key).is_some_and(|source| source.is_dropped && source.open == 0) {
            self.sources.remove(key);
        }
        found
    }

    fn handle_sent(&mut self, key: usize, result: i32) -> bool {
        let Some(source) = self.sources.get_mut(key) else { return false };
        match usize::try_from(result) {
            Ok(count) => source.sent += count,
            Err(_) if is_interrupted(result) => {}
            Err(_) => {
                source.broken = Some(Errno::from_raw_os_error(-result));
                source.accepted = Vec::new();
                source.sent = source.sending.len();
            }
        }
        if source.is_dropped {
            return false;
        }
        if source.sent < source.sending.len() {
            self.send(key);
            return false;
        }
        source.sending.clear();
        source.send = Send::Idle;
        if !source.accepted.is_empty() {
            source.send = Send::Due;
            self.due.push(key);
        }
        let found = source.wants_room || source.broken.is_some();
        if found {
            source.wants_room = false;
            source.waiter.wake();
        }
        found
    }

    fn handle_received(&mut self, key: usize, result: i32, buffer: Option<u16>, has_more: bool) -> bool {
        let (Some(source), Some(buffers)) = (self.sources.get_mut(key), &mut self.buffers) else {
            return false;
        };
        if !has_more {
            source.receive = Receive::None;
        }
        if let Some(buffer) = buffer {
            let filled = buffers.take(buffer, usize::try_from(result).unwrap_or(0));
            if source.is_dropped || result <= 0 {
                buffers.give_back(filled);
            } else {
                source.received.push_back(filled);
            }
        }
        match result {
            1.. => {}
            0 => source.end = Some(End::Closed),
            _ if Errno::from_raw_os_error(-result) == Errno::NOBUFS => {
                source.receive = Receive::Starved;
                buffers.list_more();
            }
            _ if is_interrupted(result) => {}
            _ => source.end = Some(End::Broken(Errno::from_raw_os_error(-result))),
        }
        source.waiter.wake();
        if source.receive == Receive::Armed && source.received.len() >= UNREAD_MAX {
            source.receive = Receive::Ending;
            self.end_receive(key);
        }
        true
    }
}

/// Ends every operation first. Memory that the kernel may still use is leaked.
impl Drop for Ring {
    fn drop(&mut self) {
        let wakers: Vec<_> = self.sources.iter_mut().map(|(_, source)| source.waiter.take()).collect();
        self.sources.iter_mut().for_each(|(_, source)| source.is_dropped = true);
        for _ in 0..CANCELS_MAX {
            if self.queue.open == 0 {
                break;
            }
            self.queue.enter(0, None);
            self.queue.cancel_all();
            self.poll(Duration::ZERO);
        }
        if self.queue.open > 0 {
            std::mem::forget(self.buffers.take());
            std::mem::take(&mut self.sources)
                .into_iter()
                .for_each(|(_, source)| std::mem::forget(source.sending));
        }
        drop(wakers);
    }
}

fn is_interrupted(result: i32) -> bool {
    matches!(Errno::from_raw_os_error(-result), Errno::INTR | Errno::AGAIN | Errno::CANCELED)
}

fn number(key: usize, operation: u64) -> u64 {
    (key as u64) << KEY_SHIFT | operation
}

/// A number of an operation: the key of its socket, and which of the socket's operations it is.
const KEY_SHIFT: u32 = 2;
const OPERATION: u64 = 3;
const RECEIVE: u64 = 0;
const SEND: u64 = 1;
const CONNECT: u64 = 2;
/// Operations without a socket.
const NOTIFIER: u64 = u64::MAX;
const CANCEL: u64 = u64::MAX - 1;
/// So much may be accepted while a send is under way.
const ACCEPTED_MAX: usize = 64 << 10;
/// From this size on, copying bytes costs more than a system call.
const DIRECT_MIN: usize = 16 << 10;
/// So many filled buffers of one socket may wait for its task. The kernel fills up to 32 more before it stops.
const UNREAD_MAX: usize = 8;
const CANCELS_MAX: usize = 16;

#[cfg(test)]
mod tests;
