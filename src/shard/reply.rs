//! [`Reply`]: the wait for a command's reply.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Inner;
use crate::command::{CommandName, FromReply};
use crate::error::{Error, Result};
use crate::proto::connection::{Position, Ticket};
use crate::proto::pool::{DeadlineId, EntryId};
use crate::proto::resp::Frame;

/// The reply to a command that was called on a [`Shard`](super::Shard).
///
/// The command was queued when the method was called; this future only waits. Dropping it cancels: a command that
/// is still queued is never sent, and the reply to one that was sent is dropped when it comes. So `let _ = shard.incr(…)`
/// may execute nothing: [`fire_and_forget`](Reply::fire_and_forget) does without the reply. It lives on its shard's
/// thread.
#[must_use = "dropping a reply cancels its command: await it, or call fire_and_forget"]
pub struct Reply<T> {
    call: Call,
    name: CommandName,
    kind: PhantomData<fn() -> T>,
}

enum Call {
    Open {
        inner: Rc<Inner>,
        ticket: Ticket,
        entry: EntryId,
        position: Position,
        /// The caller's own, if it set one.
        deadline: Option<DeadlineId>,
    },
    /// It was decided before it was queued.
    Settled(Result<Frame>),
    Taken,
}

impl<T> Reply<T> {
    #[inline]
    pub(super) fn open(
        inner: Rc<Inner>,
        ticket: Ticket,
        entry: EntryId,
        position: Position,
        name: CommandName,
    ) -> Self {
        Reply { call: Call::Open { inner, ticket, entry, position, deadline: None }, name, kind: PhantomData }
    }

    pub(super) fn settled(result: Result<Frame>, name: CommandName) -> Self {
        Reply { call: Call::Settled(result), name, kind: PhantomData }
    }

    /// The same reply, but no later than this from now: then the call fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout), and is cancelled.
    ///
    /// The command timeout goes on to apply, and is relaxed while a server announces maintenance. This deadline is the
    /// caller's own and never relaxed. A later one takes its place.
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
        if let Call::Open { inner, ticket, entry, position, deadline } = &mut self.call {
            *deadline = inner.set_deadline((*ticket, *entry, *position), time, deadline.take());
        }
        self
    }

    /// Does without the reply: the command runs as if it were awaited, within the command timeout, and what comes of it is
    /// only counted, in [`Shard::stats`](super::Shard::stats). A deadline that was set does not apply any more.
    ///
    /// ```no_run
    /// # fn example(shard: &hitless::Shard) -> hitless::Result<()> {
    /// shard.incr("visits").fire_and_forget()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the command was refused at once: it is [overloaded](crate::ErrorKind::Overloaded), shut down, or none for a
    /// shared connection.
    pub fn fire_and_forget(mut self) -> Result<()> {
        match std::mem::replace(&mut self.call, Call::Taken) {
            Call::Open { inner, ticket, deadline, .. } => {
                inner.forget(ticket, deadline);
                Ok(())
            }
            Call::Settled(Err(error)) => Err(error.of(self.name)),
            Call::Settled(Ok(_)) | Call::Taken => Ok(()),
        }
    }
}

impl<T: FromReply> Future for Reply<T> {
    type Output = Result<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let result = match &this.call {
            Call::Open { inner, ticket, deadline, .. } => {
                let (polled, _old_waker) = inner.core.borrow_mut().calls.poll(*ticket, context);
                let answer = std::task::ready!(polled);
                if let Some(deadline) = *deadline {
                    inner.core.borrow_mut().pool.clear_deadline(deadline);
                }
                let result = answer.map_err(Error::from).and_then(T::from_reply);
                result.map_err(|error| error.of(this.name).at(inner.config.endpoint()))
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

/// The command and how far it is; no values.
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
        if let Call::Open { inner, ticket, entry, position, deadline } = &self.call {
            inner.cancel(*ticket, *entry, *position, *deadline);
        }
    }
}
