//! [`ClientReply::fire_and_forget`]: commands without a caller that waits for the reply.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::overflow::Overflow;
use super::reply::Call;
use super::{ClientReply, Shared, alarm};
use crate::error::Result;

impl<T> ClientReply<T> {
    /// Does without the reply: the command runs as if it were awaited, within the command timeout and in the order of its
    /// handle's calls, and what comes of it is only counted, in [`Client::stats`](super::Client::stats). A deadline that
    /// was set does not apply any more.
    ///
    /// ```no_run
    /// # fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// client.incr("visits").fire_and_forget()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the command was refused at once: it is [overloaded](crate::ErrorKind::Overloaded), shut down, or none for a
    /// shared connection.
    pub fn fire_and_forget(mut self) -> Result<()> {
        match std::mem::replace(&mut self.call, Call::Taken) {
            Call::Open(open) => {
                // A handle that may choose its place must not do so before this command is through.
                let stay = self.stay.take().map(|stay| Box::new(stay) as Box<dyn Send + Sync>);
                open.call.forget(stay);
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

/// Sends what waits for room where no reply is polled that would.
struct Flusher {
    overflow: Arc<Overflow>,
    shared: Arc<Shared>,
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

/// What a mailbox wakes when there is room, on the thread of the shard, which must not wait for a handle's lock.
struct RoomMade(Arc<Flusher>);

impl Wake for RoomMade {
    fn wake(self: Arc<Self>) {
        alarm::wake_soon(Waker::from(self.0.clone()));
    }
}
