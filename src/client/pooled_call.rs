//! [`PooledCall`]: a call on a shard that runs in tokio, which its caller reaches directly.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::backend::Backend;
use super::pools::Pools;
use super::route::Destination;
use super::state::ClientState;
use crate::driver::state::{Shared, Submitted};
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::proto::pool::DeadlineId;
use crate::proto::resp::Frame;
use crate::tokio::Tokio;

/// An open call of a client that runs in tokio.
pub(super) struct PooledCall {
    shard: usize,
    call: Submitted,
    /// The deadline that the caller has set, if any.
    deadline: Option<DeadlineId>,
}

impl PooledCall {
    /// Queues what `encode` writes in the pool of its shard.
    ///
    /// # Errors
    /// If the shard is shut down or overloaded, or this is a forked child of its process.
    #[inline]
    pub(super) fn begin(
        pools: &Pools,
        Destination { shard, entry, handle }: Destination,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Self> {
        pools.check_process(Outcome::Unsent)?;
        let shared = pools.get(shard).ok_or_else(|| Error::shut_down(Outcome::Unsent))?;
        let call = shared.submit(entry, handle, batch, encode)?;
        Ok(PooledCall { shard, call, deadline: None })
    }

    pub(super) fn set_deadline(&mut self, shared: &ClientState, time: Duration) {
        if let Some(shared) = pool(shared, self.shard) {
            self.deadline = shared.set_deadline(self.call, time, self.deadline.take());
        }
    }

    #[inline]
    pub(super) fn poll(&mut self, shared: &ClientState, context: &mut Context<'_>) -> Poll<Result<Frame>> {
        let Some(shared) = pool(shared, self.shard) else {
            return Poll::Ready(Err(Error::shut_down(Outcome::Ambiguous)));
        };
        let answer = ready!(shared.poll_call(self.call, self.deadline, context));
        Poll::Ready(answer.map_err(Error::from))
    }

    /// The caller has stopped waiting: a command that is still queued is never sent.
    pub(super) fn leave(&self, shared: &ClientState) {
        if let Some(shared) = pool(shared, self.shard) {
            shared.cancel(self.call, self.deadline);
        }
    }

    /// The caller wants no more than what its command has taken already.
    pub(super) fn take(&self, shared: &ClientState) {
        if let Some(shared) = pool(shared, self.shard) {
            shared.take(self.call);
        }
    }

    /// The command runs, and `guard` is dropped with its answer.
    pub(super) fn forget(self, shared: &ClientState, guard: Option<Box<dyn Send + Sync>>) {
        if let Some(shared) = pool(shared, self.shard) {
            shared.forget(self.call, self.deadline, guard);
        }
    }
}

fn pool(shared: &ClientState, shard: usize) -> Option<&Shared<Tokio>> {
    match &shared.backend {
        Backend::Tokio(pools) => pools.get(shard),
        #[cfg(feature = "glommio")]
        Backend::Threads(_) => None,
    }
}
