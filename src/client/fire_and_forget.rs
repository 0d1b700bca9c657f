//! [`ClientReply::fire_and_forget`]: commands whose callers do not wait for the reply.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::alarm;
use super::overflow::Overflow;
use super::reply::{Call, ClientReply};
use super::state::ClientState;
use crate::error::Result;

impl<T> ClientReply<T> {
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
        match std::mem::replace(&mut self.call, Call::Taken) {
            Call::Open(open) => {
                // A handle that chooses its route must not do so before this command is answered.
                let guard = self.guard.take().map(|guard| Box::new(guard) as Box<dyn Send + Sync>);
                open.call.forget(guard);
                if let Some((overflow, _)) = open.waiting {
                    Arc::new(Flusher { overflow, shared: self.shared.clone() }).flush();
                }
                Ok(())
            }
            Call::Settled(Err(error)) => Err(error.of(self.name).at(self.shared.config.endpoint())),
            Call::Settled(Ok(_)) | Call::Taken => Ok(()),
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
        // If it is pending, the mailbox keeps the waker.
        let _: Poll<()> = self.overflow.poll_flush(&self.shared.threads, &Context::from_waker(&waker));
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
