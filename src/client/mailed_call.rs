//! [`MailedCall`]: a call that reaches its shard through the mailbox of the shard's thread.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::alarm;
use super::backend::Backend;
use super::deadline::Deadline;
use super::overflow::{Overflow, Sent};
use super::route::Destination;
use super::spares;
use super::state::{ClientState, HandleState};
use super::threads::Threads;
use crate::driver::calls::{Call, CancelReason, Cancellation};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::connection::Ticket;
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;
use crate::shard::mailbox::Request;

/// An open call of a client whose shards have threads of their own.
///
/// The command timeout of the shard begins when the shard accepts the command. A call that waits for room in the mailbox has a
/// deadline of its own for the time before.
pub(super) struct MailedCall {
    call: Call,
    shard: usize,
    /// Where it waits for room, if it does, and until when it may.
    waiting: Option<(Arc<Overflow>, Option<Box<Deadline>>)>,
    /// The deadline that the caller has set, if any.
    deadline: Option<Box<Deadline>>,
}

impl MailedCall {
    /// Puts an encoded command, or a batch with so many replies, into the mailbox, or has it wait for room there.
    ///
    /// # Errors
    /// If the shard is gone, or no room is left to wait in.
    pub(super) fn begin(
        shared: &ClientState,
        threads: &Threads,
        overflow: &Arc<Overflow>,
        Destination { shard, entry, handle }: Destination,
        (bytes, batch): (Vec<u8>, Option<u32>),
    ) -> Result<Self> {
        let (caller, call) = spares::call();
        let waiting =
            match overflow.send(threads, shard, Request::Call { bytes, batch, entry, handle, caller }) {
                Sent::InTheMailbox => None,
                Sent::Waiting => Some((overflow.clone(), Deadline::after(shared.config.command_timeout()))),
                Sent::Gone => return Err(Error::shut_down(Outcome::Unsent)),
                Sent::Refused => {
                    let most = shared.config.waiting_max();
                    let detail =
                        format!("its shard's mailbox is full, and {most} calls wait for room (waiting_max)");
                    let error = Error::overloaded(detail);
                    shared.count_unserved(shard, &error);
                    return Err(error);
                }
            };
        Ok(MailedCall { call, shard, waiting, deadline: None })
    }

    pub(super) fn set_deadline(&mut self, time: Duration) {
        self.deadline = Deadline::after(time);
    }

    pub(super) fn poll(&mut self, shared: &ClientState, context: &Context<'_>) -> Poll<Result<Frame>> {
        let Some(threads) = threads(shared) else { return Poll::Ready(Err(lost())) };
        if let Err(forked) = threads.check_process(Outcome::Ambiguous) {
            return Poll::Ready(Err(forked));
        }
        if let Some((overflow, _)) = &self.waiting
            && overflow.poll_flush(threads, context).is_ready()
        {
            self.waiting = None;
        }
        match self.call.poll(context) {
            Poll::Ready(Some(answer)) => return Poll::Ready(answer.map_err(Error::from)),
            Poll::Ready(None) => return Poll::Ready(Err(lost())),
            Poll::Pending => {}
        }
        let Some(mailbox) = threads.mailbox(self.shard) else { return Poll::Ready(Err(lost())) };
        let until = self.waiting.iter_mut().filter_map(|(_, until)| until.as_mut());
        for deadline in until.chain(&mut self.deadline) {
            if let Poll::Ready(error) = deadline.poll(&self.call, mailbox, context) {
                if error.outcome() == Outcome::Unsent {
                    shared.count_unserved(self.shard, &error);
                    self.leave_overflow();
                }
                return Poll::Ready(Err(error));
            }
        }
        Poll::Pending
    }

    fn leave_overflow(&self) {
        if let Some((overflow, _)) = &self.waiting {
            overflow.trim();
        }
    }

    /// The caller has stopped waiting, so the shard need not keep a slot for it.
    pub(super) fn leave(&self, shared: &ClientState) {
        let Err(ticket) = self.call.leave() else {
            return self.leave_overflow();
        };
        if self.call.is_decided() {
            return;
        }
        if let Some(mailbox) = threads(shared).and_then(|threads| threads.mailbox(self.shard)) {
            let cancellation = self.cancellation(ticket, CancelReason::CallerLeft);
            // If the mailbox has no room, the slot is given back with the reply, or when the command timeout has passed.
            let _ = mailbox.send(Request::Cancel(cancellation));
        }
    }

    /// The caller wants no more than what its command has taken already; true if that is nothing, as it was not sent.
    /// The borrow is exclusive: the future is `Send` then, though a mailed call is not `Sync`.
    pub(super) async fn take(&mut self, shared: &ClientState) -> bool {
        let Err(ticket) = self.call.leave() else {
            self.leave_overflow();
            return true;
        };
        if let Some(threads) = threads(shared).filter(|_| !self.call.is_decided()) {
            let cancellation = self.cancellation(ticket, CancelReason::ResultWanted);
            // If the shard is gone, so is the call, which tells that.
            let _ = threads.post(self.shard, Request::Cancel(cancellation)).await;
        }
        false
    }

    fn cancellation(&self, ticket: u32, reason: CancelReason) -> Cancellation {
        Cancellation { ticket: Ticket(ticket), call: self.call.id(), reason }
    }

    /// The caller has taken the answer, or the error in its place.
    pub(super) fn end(self) {
        if self.call.is_decided() {
            spares::keep(self.call);
        }
    }

    /// The command runs, and `guard` is dropped with its answer.
    pub(super) fn forget(self, shared: &HandleState, guard: Option<Box<dyn Send + Sync>>) {
        self.call.forget(guard);
        if let Some((overflow, _)) = self.waiting {
            Arc::new(Flusher { overflow, shared: shared.client() }).flush();
        }
    }
}

/// Sends the requests that wait for room, where no reply is polled that would do it.
struct Flusher {
    overflow: Arc<Overflow>,
    shared: Arc<ClientState>,
}

impl Flusher {
    fn flush(self: Arc<Self>) {
        let waker = Waker::from(Arc::new(RoomMade(self.clone())));
        if let Some(threads) = threads(&self.shared) {
            // If it is pending, the mailbox keeps the waker.
            let _: Poll<()> = self.overflow.poll_flush(threads, &Context::from_waker(&waker));
        }
    }
}

impl Wake for Flusher {
    fn wake(self: Arc<Self>) {
        self.flush();
    }
}

/// The waker that a mailbox wakes when it has room. It wakes on the thread of the shard, which must not wait for the lock of a
/// handle.
struct RoomMade(Arc<Flusher>);

impl Wake for RoomMade {
    fn wake(self: Arc<Self>) {
        alarm::wake_soon(Waker::from(self.0.clone()));
    }
}

/// The threads of the client, which has some if a call went through a mailbox.
fn threads(shared: &ClientState) -> Option<&Threads> {
    match &shared.backend {
        Backend::Threads(threads) => Some(threads),
        #[cfg(feature = "tokio")]
        Backend::Tokio(_) => None,
    }
}

/// The shard ended without an answer. It answers calls whose commands were not sent, so this one may have been executed.
fn lost() -> Error {
    let detail = "the shard ended before there was a reply: it was shut down, or a task on it panicked";
    Error::new(ErrorKind::ShutDown, Outcome::Ambiguous, detail)
}
