//! [`ClientReply`]: the future, on any thread, of a reply from a shard.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(feature = "tokio")]
use super::backend::Backend;
#[cfg(feature = "glommio")]
use super::mailed_call::MailedCall;
#[cfg(feature = "tokio")]
use super::pooled_call::PooledCall;
use super::route::RouteGuard;
use super::state::{ClientState, HandleState};
use crate::command::{CommandName, FromReply, TransactionReply};
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;

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
    pub(super) shared: Arc<HandleState>,
    pub(super) call: Call,
    pub(super) name: CommandName,
    /// Keeps later calls of a handle that chooses its route from going elsewhere.
    pub(super) guard: Option<RouteGuard>,
    kind: PhantomData<fn() -> T>,
}

pub(super) enum Call {
    /// The shard has a thread of its own.
    #[cfg(feature = "glommio")]
    Mailed(MailedCall),
    /// The shard runs in tokio.
    #[cfg(feature = "tokio")]
    Pooled(PooledCall),
    /// The result was known before anything was sent.
    Settled(Result<Frame>),
    Taken,
}

impl<T> ClientReply<T> {
    pub(super) fn begin(
        shared: Arc<HandleState>,
        call: Result<Call>,
        name: CommandName,
        guard: Option<RouteGuard>,
    ) -> Self {
        let call = call.unwrap_or_else(|error| Call::Settled(Err(error)));
        ClientReply { shared, call, name, guard, kind: PhantomData }
    }

    pub(super) fn settled(shared: Arc<HandleState>, result: Result<Frame>, name: CommandName) -> Self {
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
        match &mut self.call {
            #[cfg(feature = "glommio")]
            Call::Mailed(call) => call.set_deadline(time),
            #[cfg(feature = "tokio")]
            Call::Pooled(call) => call.set_deadline(&self.shared, time),
            Call::Settled(_) | Call::Taken => {}
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
    /// As awaiting it; and [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) where the thread is one that the reply needs: a
    /// thread that runs shards of this or another client, or tasks of the tokio runtime that the client runs in.
    pub fn wait(self) -> Result<T> {
        if let Some(detail) = why_not_wait(&self.shared) {
            let error = Error::misuse(Outcome::Ambiguous, detail);
            return Err(error.of(self.name).at(self.shared.config.endpoint()));
        }
        futures_lite::future::block_on(self)
    }

    /// Stops waiting, and returns what the command has taken by then, so that nothing is lost. A command that is still queued is
    /// never sent, which gives `None`. A [blocking command](crate::manual::queues) ends its wait on the server: `None` if
    /// nothing came. Any other command that was sent runs, and its reply is returned when it comes.
    ///
    /// ```no_run
    /// # async fn example(client: &hitless::Client, stop: impl Future<Output = ()>) -> hitless::Result<()> {
    /// use std::pin::pin;
    /// use futures_lite::future::poll_once;
    ///
    /// let mut job = client.blpop::<Option<(String, String)>>(&["jobs"], 0);
    /// // The service stops, and must not lose a job that is on its way.
    /// let done = poll_once(&mut job).await;
    /// let last = match done {
    ///     Some(job) => job?,
    ///     None => job.cancel().await?.flatten(),
    /// };
    /// # let _ = (last, pin!(stop));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As awaiting it. If the connection is lost, the command may have taken something.
    pub async fn cancel(mut self) -> Result<Option<T>> {
        let is_unsent = match &mut self.call {
            #[cfg(feature = "glommio")]
            Call::Mailed(call) => call.take(&self.shared).await,
            #[cfg(feature = "tokio")]
            Call::Pooled(call) => {
                call.take(&self.shared);
                false
            }
            Call::Settled(_) | Call::Taken => false,
        };
        if is_unsent {
            return Ok(None);
        }
        let call = std::mem::replace(&mut self.call, Call::Taken);
        let (shared, name, guard) = (self.shared.clone(), self.name, self.guard.take());
        let reply = ClientReply::<Frame>::begin(shared, Ok(call), name, guard).await?;
        if reply == Frame::Null {
            return Ok(None);
        }
        let taken =
            T::from_reply(reply).map_err(|error| error.of(self.name).at(self.shared.config.endpoint()));
        taken.map(Some)
    }

    /// Does without the reply: the command runs as if it were awaited, within the command timeout and in the order of its
    /// handle's calls. Its outcome is only counted, in [`Client::stats`](super::Client::stats). A deadline that was set no
    /// longer applies.
    ///
    /// ```no_run
    /// # fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// client.incr("visits").fire_and_forget()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the command was refused at once: the client is [overloaded](crate::ErrorKind::Overloaded) or shut down, or a shared
    /// connection cannot carry the command.
    pub fn fire_and_forget(mut self) -> Result<()> {
        // A handle that chooses its route must not do so before this command is answered.
        let guard = self.guard.take().map(|guard| Box::new(guard) as Box<dyn Send + Sync>);
        match std::mem::replace(&mut self.call, Call::Taken) {
            #[cfg(feature = "glommio")]
            Call::Mailed(call) => call.forget(&self.shared, guard),
            #[cfg(feature = "tokio")]
            Call::Pooled(call) => call.forget(&self.shared, guard),
            Call::Settled(Err(error)) => return Err(error.of(self.name).at(self.shared.config.endpoint())),
            Call::Settled(Ok(_)) | Call::Taken => {}
        }
        Ok(())
    }
}

impl<T: FromReply> Future for ClientReply<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let result = match &mut this.call {
            #[cfg(feature = "glommio")]
            Call::Mailed(call) => std::task::ready!(call.poll(&this.shared, context)),
            #[cfg(feature = "tokio")]
            Call::Pooled(call) => std::task::ready!(call.poll(&this.shared, context)),
            Call::Settled(result) => result.clone(),
            Call::Taken => Err(Error::already_taken()),
        };
        let _ended = std::mem::replace(&mut this.call, Call::Taken);
        #[cfg(feature = "glommio")]
        if let Call::Mailed(call) = _ended {
            call.end();
        }
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
            #[cfg(feature = "glommio")]
            Call::Mailed(_) => "waiting",
            #[cfg(feature = "tokio")]
            Call::Pooled(_) => "waiting",
            Call::Settled(_) => "settled",
            Call::Taken => "taken",
        };
        f.debug_struct("ClientReply").field("command", &self.name.as_str()).field("state", &state).finish()
    }
}

impl<T> Drop for ClientReply<T> {
    fn drop(&mut self) {
        match &self.call {
            #[cfg(feature = "glommio")]
            Call::Mailed(call) => call.leave(&self.shared),
            #[cfg(feature = "tokio")]
            Call::Pooled(call) => call.leave(&self.shared),
            Call::Settled(_) | Call::Taken => {}
        }
    }
}

/// Why this thread must not be blocked until a reply has come, if it must not.
fn why_not_wait(shared: &ClientState) -> Option<&'static str> {
    #[cfg(feature = "glommio")]
    if crate::shard::thread::current().is_some() {
        return Some(
            "wait() would block the thread of a shard, which its connections need: await the reply instead",
        );
    }
    #[cfg(feature = "tokio")]
    if matches!(shared.backend, Backend::Tokio(_)) && crate::tokio::is_current() {
        return Some(
            "wait() would block a thread of the tokio runtime, which the connections need: await the reply instead",
        );
    }
    let _ = shared;
    None
}
