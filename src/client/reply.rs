//! [`ClientReply`]: the future, on any thread, of a reply from a shard.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::deadline::Deadline;
use super::overflow::{Overflow, Sent};
use super::route::RouteGuard;
use super::state::ClientState;
use crate::command::{CommandName, FromReply, TransactionReply};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::connection::Ticket;
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;
use crate::shard::mailbox::Request;
use crate::shard::{self, Cancellation};

/// The reply to a command that was called on a [`Client`](super::Client).
///
/// The command was put into its shard's mailbox when the method was called, if the mailbox had room. If not, it follows the
/// earlier commands of its handle as soon as one of that handle's replies is polled and there is room.
///
/// Dropping the future cancels: a command that the shard has not accepted is never sent, and the reply to one that was sent is
/// dropped when it comes. So `let _ = client.incr(…)` may execute nothing (clippy's `let_underscore_future` finds it). To do
/// without the reply, call [`fire_and_forget`](ClientReply::fire_and_forget). Any runtime can await the future, and a thread
/// without one can [wait](ClientReply::wait) for it.
#[must_use = "dropping a reply cancels its command: await it, wait for it, or call fire_and_forget"]
pub struct ClientReply<T> {
    pub(super) shared: Arc<ClientState>,
    pub(super) call: Call,
    pub(super) name: CommandName,
    /// Keeps later calls of a handle that chooses its route from going elsewhere.
    pub(super) guard: Option<RouteGuard>,
    kind: PhantomData<fn() -> T>,
}

pub(super) enum Call {
    Open(Open),
    /// The result was known before anything was sent.
    Settled(Result<Frame>),
    Taken,
}

pub(super) struct Open {
    pub(super) call: shard::Call,
    shard: usize,
    /// Where it waits for room, if it does, and until when it may.
    pub(super) waiting: Option<(Arc<Overflow>, Option<Box<Deadline>>)>,
    /// The deadline that the caller has set, if any.
    deadline: Option<Box<Deadline>>,
}

impl<T> ClientReply<T> {
    pub(super) fn begin(
        shared: Arc<ClientState>,
        overflow: &Arc<Overflow>,
        sent: Sent,
        (call, shard): (shard::Call, usize),
        name: CommandName,
        guard: Option<RouteGuard>,
    ) -> Self {
        let call = match sent {
            Sent::InTheMailbox => Call::Open(Open { call, shard, waiting: None, deadline: None }),
            Sent::Waiting => {
                // The command timeout of the shard begins when the shard accepts the command. This is for the time before.
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
        ClientReply { shared, call, name, guard, kind: PhantomData }
    }

    pub(super) fn settled(shared: Arc<ClientState>, result: Result<Frame>, name: CommandName) -> Self {
        ClientReply { shared, call: Call::Settled(result), name, guard: None, kind: PhantomData }
    }

    /// The same reply with a deadline, counted from now. When it passes, the call fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and is cancelled. The error says whether the command may have been
    /// executed.
    ///
    /// It applies in any runtime and in [`wait`](ClientReply::wait), also while the call waits for room. The command timeout
    /// still applies, and is relaxed while a server announces maintenance. This deadline is the caller's own and is never
    /// relaxed. A later call replaces it. A task that blocks the shard may delay it by up to 100 ms.
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

impl<T> TransactionReply<ClientReply<Vec<Frame>>, T> {
    /// As [`ClientReply::timeout`].
    pub fn timeout(mut self, time: Duration) -> Self {
        self.reply = self.reply.timeout(time);
        self
    }

    /// As [`ClientReply::fire_and_forget`].
    ///
    /// # Errors
    /// As there.
    pub fn fire_and_forget(self) -> Result<()> {
        self.reply.fire_and_forget()
    }
}

impl Open {
    fn poll(&mut self, shared: &ClientState, context: &Context<'_>) -> Poll<Result<Frame>> {
        if let Err(forked) = shared.threads.check_process(Outcome::Ambiguous) {
            return Poll::Ready(Err(forked));
        }
        if let Some((overflow, _)) = &self.waiting
            && overflow.poll_flush(&shared.threads, context).is_ready()
        {
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

    /// The caller has stopped waiting, so the shard need not keep a slot for it.
    fn leave(&self, shared: &ClientState) {
        let Err(ticket) = self.call.leave() else {
            return self.leave_overflow();
        };
        if self.call.is_decided() {
            return;
        }
        if let Some(mailbox) = shared.threads.mailbox(self.shard) {
            let cancellation = Cancellation { ticket: Ticket(ticket), call: self.call.id(), after: None };
            // If the mailbox has no room, the slot is given back with the reply, or when the command timeout has passed.
            let _ = mailbox.send(Request::Cancel(cancellation));
        }
    }
}

impl<T: FromReply> ClientReply<T> {
    /// Blocks this thread until the reply has come. Do not use it where other tasks run on the thread, such as in tokio.
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
    /// As awaiting it; and [`ErrorKind::Misuse`] on a thread that runs the shards of this or another client. The connections
    /// there could not run until the reply came, and one of them may have to receive it.
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
        this.guard = None;
        let endpoint = this.shared.config.endpoint();
        let result = result.and_then(T::from_reply);
        Poll::Ready(result.map_err(|error| error.of(this.name).at(endpoint)))
    }
}

/// The command, and whether its reply has come; no values.
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

/// The shard ended without an answer. It answers calls whose commands were not sent, so this one may have been executed.
fn lost() -> Error {
    let detail = "the shard ended before there was a reply: it was shut down, or a task on it panicked";
    Error::new(ErrorKind::ShutDown, Outcome::Ambiguous, detail)
}
