//! [`ClientReply`]: the wait, on any thread, for a reply from a shard.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_channel::oneshot;

use super::Shared;
use super::overflow::{Overflow, Sent};
use super::route::Stay;
use crate::command::{CommandName, FromReply};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;
use crate::shard::Answer;

/// The reply to a command that was called on a [`Client`](super::Client).
///
/// The command was put into its shard's mailbox when the method was called, if there was room; if not, it is put there,
/// behind those that its handle called before, as soon as one of that handle's replies is polled and there is room.
/// Dropping the future cancels: a command that the shard has not taken up is never sent, and the reply to one that was
/// sent is dropped when it comes. It may be awaited in any runtime, and [waited](ClientReply::wait) for without one.
#[must_use = "the command was queued, and dropping its reply cancels it"]
pub struct ClientReply<T> {
    shared: Arc<Shared>,
    call: Call,
    name: CommandName,
    /// What keeps a handle's later calls from going elsewhere, if it may choose.
    stay: Option<Stay>,
    kind: PhantomData<fn() -> T>,
}

enum Call {
    Open {
        receiver: oneshot::Receiver<Answer>,
        /// Where it waits, if there was no room for it.
        overflow: Option<Arc<Overflow>>,
    },
    /// It was decided before anything was sent.
    Settled(Result<Frame>),
    Taken,
}

impl<T> ClientReply<T> {
    pub(super) fn begin(
        shared: Arc<Shared>,
        overflow: &Arc<Overflow>,
        sent: Sent,
        receiver: oneshot::Receiver<Answer>,
        name: CommandName,
        stay: Option<Stay>,
    ) -> Self {
        let call = match sent {
            Sent::InTheMailbox => Call::Open { receiver, overflow: None },
            Sent::Waiting => Call::Open { receiver, overflow: Some(overflow.clone()) },
            Sent::Gone => Call::Settled(Err(Error::shut_down(Outcome::Unsent))),
            Sent::Refused => {
                let detail = "too many calls of one handle wait for room in the mailboxes of its shards";
                Call::Settled(Err(Error::overloaded(detail)))
            }
        };
        ClientReply { shared, call, name, stay, kind: PhantomData }
    }

    pub(super) fn settled(shared: Arc<Shared>, result: Result<Frame>, name: CommandName) -> Self {
        ClientReply { shared, call: Call::Settled(result), name, stay: None, kind: PhantomData }
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
            return Err(error.of(self.name).at(self.shared.effective.endpoint()));
        }
        futures_lite::future::block_on(self)
    }
}

impl<T: FromReply> Future for ClientReply<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let result = match &mut this.call {
            Call::Open { receiver, overflow } => {
                if let Some(waiting) = overflow
                    && waiting.poll_flush(&this.shared.threads, context).is_ready()
                {
                    *overflow = None;
                }
                // If it still waits, another reply of the handle may have been polled before, and have sent it.
                match ready!(Pin::new(receiver).poll(context)) {
                    Ok(answer) => answer.map_err(Error::from),
                    Err(oneshot::Canceled) => Err(lost()),
                }
            }
            Call::Settled(result) => result.clone(),
            Call::Taken => Err(Error::already_taken()),
        };
        this.call = Call::Taken;
        this.stay = None;
        let endpoint = this.shared.effective.endpoint();
        let result = result.and_then(T::from_reply);
        Poll::Ready(result.map_err(|error| error.of(this.name).at(endpoint)))
    }
}

/// Nobody will answer. Whatever was not sent was refused by an answer.
fn lost() -> Error {
    let detail = "the shard ended before there was a reply: it was shut down, or a task on it panicked";
    Error::new(ErrorKind::ShutDown, Outcome::Ambiguous, detail)
}
