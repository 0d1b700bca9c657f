//! [`ClientReply`]: the wait, on any thread, for a reply from a shard.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Shared;
use super::deadline::Deadline;
use super::overflow::{Overflow, Sent};
use super::route::Stay;
use crate::command::{CommandName, FromReply};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::connection::Ticket;
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;
use crate::shard::mailbox::Letter;
use crate::shard::{self, Departure};

/// The reply to a command that was called on a [`Client`](super::Client).
///
/// The command was put into its shard's mailbox when the method was called, if there was room; if not, it is put there,
/// behind those that its handle called before, as soon as one of that handle's replies is polled and there is room.
/// Dropping the future cancels: a command that the shard has not taken up is never sent, and the reply to one that was
/// sent is dropped when it comes. So `let _ = client.incr(…)` may execute nothing (clippy's `let_underscore_future` finds
/// it); [`fire_and_forget`](ClientReply::fire_and_forget) does without the reply. It may be awaited in any runtime, and
/// [waited](ClientReply::wait) for without one.
#[must_use = "dropping a reply cancels its command: await it, wait for it, or call fire_and_forget"]
pub struct ClientReply<T> {
    pub(super) shared: Arc<Shared>,
    pub(super) call: Call,
    pub(super) name: CommandName,
    /// What keeps a handle's later calls from going elsewhere, if it may choose.
    pub(super) stay: Option<Stay>,
    kind: PhantomData<fn() -> T>,
}

pub(super) enum Call {
    Open(Open),
    /// It was decided before anything was sent.
    Settled(Result<Frame>),
    Taken,
}

pub(super) struct Open {
    pub(super) call: shard::Call,
    shard: usize,
    /// Where it waits, if there was no room for it, and for how long it may.
    pub(super) waiting: Option<(Arc<Overflow>, Option<Box<Deadline>>)>,
    /// The caller's own, if it set one.
    deadline: Option<Box<Deadline>>,
}

impl<T> ClientReply<T> {
    pub(super) fn begin(
        shared: Arc<Shared>,
        overflow: &Arc<Overflow>,
        sent: Sent,
        (call, shard): (shard::Call, usize),
        name: CommandName,
        stay: Option<Stay>,
    ) -> Self {
        let call = match sent {
            Sent::InTheMailbox => Call::Open(Open { call, shard, waiting: None, deadline: None }),
            Sent::Waiting => {
                // Time begins to count on a shard when that takes a command up.
                let until = Deadline::after(shared.config.command_timeout());
                Call::Open(Open { call, shard, waiting: Some((overflow.clone(), until)), deadline: None })
            }
            Sent::Gone => Call::Settled(Err(Error::shut_down(Outcome::Unsent))),
            Sent::Refused => {
                let most = shared.config.waiting_max();
                let detail =
                    format!("its shard's mailbox is full, and {most} calls wait for room (waiting_max)");
                let error = Error::overloaded(detail);
                shared.count_unserved(shard, &error);
                Call::Settled(Err(error))
            }
        };
        ClientReply { shared, call, name, stay, kind: PhantomData }
    }

    pub(super) fn settled(shared: Arc<Shared>, result: Result<Frame>, name: CommandName) -> Self {
        ClientReply { shared, call: Call::Settled(result), name, stay: None, kind: PhantomData }
    }

    /// The same reply, but no later than this from now: then the call fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and is cancelled. Its error says whether the command may have
    /// been executed.
    ///
    /// It holds in any runtime and in [`wait`](ClientReply::wait), also while the call waits for room. The command timeout
    /// goes on to apply, and is relaxed while a server announces maintenance. This deadline is the caller's own and never
    /// relaxed. A later one takes its place. A shard that is blocked by a task may make it late by up to 100 ms.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// let price: Option<i64> = client.get("price").timeout(Duration::from_millis(20)).await?;
    /// # let _ = price;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, time: Duration) -> Self {
        if let Call::Open(open) = &mut self.call {
            open.deadline = Deadline::after(time);
        }
        self
    }
}

impl Open {
    fn poll(&mut self, shared: &Shared, context: &Context<'_>) -> Poll<Result<Frame>> {
        if let Err(forked) = shared.threads.check_process(Outcome::Ambiguous) {
            return Poll::Ready(Err(forked));
        }
        if let Some((overflow, _)) = &self.waiting
            && overflow.poll_flush(&shared.threads, context).is_ready()
        {
            // If it still waits, another reply of the handle may have been polled before, and have sent it.
            self.waiting = None;
        }
        match self.call.poll(context) {
            Poll::Ready(Some(answer)) => return Poll::Ready(answer.map_err(Error::from)),
            Poll::Ready(None) => return Poll::Ready(Err(lost())),
            Poll::Pending => {}
        }
        let Some(mailbox) = shared.threads.mailbox(self.shard) else { return Poll::Ready(Err(lost())) };
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

    /// The caller has stopped waiting. The shard need not keep a slot for it.
    fn leave(&self, shared: &Shared) {
        let Err(ticket) = self.call.leave() else {
            return self.leave_overflow();
        };
        if self.call.is_decided() {
            return;
        }
        if let Some(mailbox) = shared.threads.mailbox(self.shard) {
            let departure = Departure { ticket: Ticket(ticket), call: self.call.id(), after: None };
            // Where there is no room, the slot is given back when the reply comes, or the command timeout has passed.
            let _ = mailbox.send(Letter::Depart(departure));
        }
    }
}

impl<T: FromReply> ClientReply<T> {
    /// Blocks this thread until the reply is there. Not for use where other tasks run on the thread, such as in tokio.
    ///
    /// ```no_run
    /// # fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// let visits = client.incr("visits").wait()?;
    /// # let _ = visits;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As awaiting it; and [`ErrorKind::Misuse`] on a thread that runs a client's shards, this one's or another's: the
    /// connections there could not run until the reply came, which may be the one that is waited for.
    pub fn wait(self) -> Result<T> {
        if crate::shard::thread::current().is_some() {
            let detail = "wait() would block the thread of a shard, which its connections need: await the reply instead";
            let error = Error::misuse(Outcome::Ambiguous, detail);
            return Err(error.of(self.name).at(self.shared.config.endpoint()));
        }
        futures_lite::future::block_on(self)
    }
}

impl<T: FromReply> Future for ClientReply<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let result = match &mut this.call {
            Call::Open(open) => std::task::ready!(open.poll(&this.shared, context)),
            Call::Settled(result) => result.clone(),
            Call::Taken => Err(Error::already_taken()),
        };
        this.call = Call::Taken;
        this.stay = None;
        let endpoint = this.shared.config.endpoint();
        let result = result.and_then(T::from_reply);
        Poll::Ready(result.map_err(|error| error.of(this.name).at(endpoint)))
    }
}

/// The command and how far it is; no values.
impl<T> fmt::Debug for ClientReply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.call {
            Call::Open(_) => "waiting",
            Call::Settled(_) => "settled",
            Call::Taken => "taken",
        };
        f.debug_struct("ClientReply").field("command", &self.name.as_str()).field("state", &state).finish()
    }
}

impl<T> Drop for ClientReply<T> {
    fn drop(&mut self) {
        if let Call::Open(open) = &self.call {
            open.leave(&self.shared);
        }
    }
}

/// Nobody will answer. Whatever was not sent was refused by an answer.
fn lost() -> Error {
    let detail = "the shard ended before there was a reply: it was shut down, or a task on it panicked";
    Error::new(ErrorKind::ShutDown, Outcome::Ambiguous, detail)
}
