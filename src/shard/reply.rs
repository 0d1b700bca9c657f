//! [`Reply`]: the future of a command's reply.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::runtime::Glommio;
use crate::command::{CommandName, FromReply, TransactionReply};
use crate::driver::state::{Shared, Submitted};
use crate::error::{Error, Result};
use crate::proto::pool::DeadlineId;
use crate::proto::resp::Frame;

/// The reply to a command that was called on a [`Shard`](super::Shard).
///
/// The command was queued when the method was called; this future only waits. Dropping it cancels: a command that is still
/// queued is never sent, and the reply to one that was sent is dropped when it comes. So `let _ = shard.incr(…)` may execute
/// nothing. To do without the reply, call [`fire_and_forget`](Reply::fire_and_forget). A reply lives on its shard's thread.
#[must_use = "dropping a reply cancels its command: await it, or call fire_and_forget"]
pub struct Reply<T> {
    call: Call,
    name: CommandName,
    kind: PhantomData<fn() -> T>,
}

enum Call {
    Open {
        shared: Shared<Glommio>,
        call: Submitted,
        /// The deadline that the caller has set, if any.
        deadline: Option<DeadlineId>,
    },
    /// The result was known before anything was queued.
    Settled(Result<Frame>),
    Taken,
}

impl<T> Reply<T> {
    #[inline]
    pub(super) fn open(shared: Shared<Glommio>, call: Submitted, name: CommandName) -> Self {
        Reply { call: Call::Open { shared, call, deadline: None }, name, kind: PhantomData }
    }

    pub(super) fn settled(result: Result<Frame>, name: CommandName) -> Self {
        Reply { call: Call::Settled(result), name, kind: PhantomData }
    }

    /// The same reply with a deadline, counted from now. When it passes, the call fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and is cancelled.
    ///
    /// The command timeout still applies, and is relaxed while a server announces maintenance. This deadline is the caller's
    /// own and is never relaxed. A later call replaces it.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn example(shard: &hitless::Shard) -> hitless::Result<()> {
    /// let price: Option<i64> = shard.get("price").timeout(Duration::from_millis(20)).await?;
    /// # let _ = price;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, time: Duration) -> Self {
        if let Call::Open { shared, call, deadline } = &mut self.call {
            *deadline = shared.set_deadline(*call, time, deadline.take());
        }
        self
    }

    /// Stops waiting, and returns what the command has taken by then: as
    /// [`ClientReply::cancel`](crate::ClientReply::cancel).
    ///
    /// # Errors
    /// As awaiting it. If the connection is lost, the command may have taken something.
    pub async fn cancel(mut self) -> Result<Option<T>>
    where
        T: FromReply,
    {
        if let Call::Open { shared, call, .. } = &self.call {
            shared.take(*call);
        }
        let (call, name) = (std::mem::replace(&mut self.call, Call::Taken), self.name);
        let reply = Reply::<Frame> { call, name, kind: PhantomData }.await?;
        match reply {
            Frame::Null => Ok(None),
            reply => T::from_reply(reply).map(Some).map_err(|error| error.of(name)),
        }
    }

    /// Does without the reply: the command runs as if it were awaited, within the command timeout. Its outcome is only
    /// counted, in [`Shard::stats`](super::Shard::stats). A deadline that was set no longer applies.
    ///
    /// ```no_run
    /// # fn example(shard: &hitless::Shard) -> hitless::Result<()> {
    /// shard.incr("visits").fire_and_forget()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the command was refused at once: the shard is [overloaded](crate::ErrorKind::Overloaded) or shut down, or a shared
    /// connection cannot carry the command.
    pub fn fire_and_forget(mut self) -> Result<()> {
        match std::mem::replace(&mut self.call, Call::Taken) {
            Call::Open { shared, call, deadline } => {
                shared.forget(call, deadline, None);
                Ok(())
            }
            Call::Settled(Err(error)) => Err(error.of(self.name)),
            Call::Settled(Ok(_)) | Call::Taken => Ok(()),
        }
    }
}

impl<T> TransactionReply<Reply<Vec<Frame>>, T> {
    /// As [`Reply::timeout`].
    pub fn timeout(mut self, time: Duration) -> Self {
        self.reply = self.reply.timeout(time);
        self
    }

    /// As [`Reply::fire_and_forget`].
    ///
    /// # Errors
    /// As there.
    pub fn fire_and_forget(self) -> Result<()> {
        self.reply.fire_and_forget()
    }
}

impl<T: FromReply> Future for Reply<T> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let result = match &this.call {
            Call::Open { shared, call, deadline } => {
                let answer = std::task::ready!(shared.poll_call(*call, *deadline, context));
                let result = answer.map_err(Error::from).and_then(T::from_reply);
                result.map_err(|error| error.of(this.name).at(shared.config.endpoint()))
            }
            Call::Settled(result) => {
                result.clone().and_then(T::from_reply).map_err(|error| error.of(this.name))
            }
            Call::Taken => Err(Error::already_taken().of(this.name)),
        };
        this.call = Call::Taken;
        Poll::Ready(result)
    }
}

/// The command, and whether its reply has come; no values.
impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.call {
            Call::Open { .. } => "waiting",
            Call::Settled(_) => "settled",
            Call::Taken => "taken",
        };
        f.debug_struct("Reply").field("command", &self.name.as_str()).field("state", &state).finish()
    }
}

impl<T> Drop for Reply<T> {
    #[inline]
    fn drop(&mut self) {
        if let Call::Open { shared, call, deadline } = &self.call {
            shared.cancel(*call, *deadline);
        }
    }
}
