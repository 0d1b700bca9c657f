//! [`Backend`]: where the shards of a client run.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tokio")]
use super::pools::Pools;
#[cfg(feature = "glommio")]
use super::threads::Threads;
use crate::config::ResolvedConfig;
use crate::driver::pushes::SharedFunction;
use crate::driver::stats::ShardStats;
use crate::driver::subscriptions::SubscriptionHub;
use crate::error::Result;

/// Where the shards of a client run, and how it reaches them.
pub(super) enum Backend {
    /// On pinned threads of their own, behind mailboxes.
    #[cfg(feature = "glommio")]
    Threads(Threads),
    /// In a tokio runtime of the application. Callers use the pools directly.
    #[cfg(feature = "tokio")]
    Tokio(Pools),
}

/// Calls the same method of either.
macro_rules! of_either {
    ($backend:expr, $shards:ident => $call:expr) => {
        match $backend {
            #[cfg(feature = "glommio")]
            Backend::Threads($shards) => $call,
            #[cfg(feature = "tokio")]
            Backend::Tokio($shards) => $call,
        }
    };
}

impl Backend {
    /// A backend in the same place, for another client.
    ///
    /// # Errors
    /// If that place has ended.
    pub(super) fn share(&self, config: &ResolvedConfig) -> Result<Self> {
        match self {
            #[cfg(feature = "glommio")]
            Backend::Threads(threads) => Threads::share(threads, config).map(Backend::Threads),
            #[cfg(feature = "tokio")]
            Backend::Tokio(pools) => pools.share(config).map(Backend::Tokio),
        }
    }

    pub(super) fn shards(&self) -> usize {
        of_either!(self, shards => shards.len())
    }

    /// How many requests wait for this shard or are open there, of those that the client does not count itself.
    pub(super) fn depth(&self, shard: usize) -> usize {
        of_either!(self, shards => shards.depth(shard))
    }

    /// Waits until every connection is ready.
    ///
    /// # Errors
    /// As [`Client::ready`](super::Client::ready).
    pub(super) async fn ready(&self, timeout: Duration) -> Result<()> {
        of_either!(self, shards => shards.ready(timeout).await)
    }

    /// # Errors
    /// As [`Client::renew_credentials`](super::Client::renew_credentials).
    pub(super) async fn renew_credentials(&self, config: &ResolvedConfig) -> Result<()> {
        of_either!(self, shards => shards.renew_credentials(config).await)
    }

    /// # Errors
    /// As [`Client::on_push`](super::Client::on_push).
    pub(super) async fn on_push(&self, name: &str, handler: SharedFunction) -> Result<()> {
        of_either!(self, shards => shards.on_push(name, handler).await)
    }

    /// # Errors
    /// If a shard has ended.
    pub(super) async fn stats(&self) -> Result<Vec<ShardStats>> {
        of_either!(self, shards => shards.stats().await)
    }

    /// The subscriptions of a shard.
    ///
    /// # Errors
    /// In a forked child.
    pub(super) fn hub(&self, shard: usize) -> Result<Arc<SubscriptionHub>> {
        of_either!(self, shards => shards.hub(shard))
    }

    /// Waits for this time, in any runtime.
    ///
    /// # Errors
    /// If the client's own runtime ends meanwhile.
    pub(super) async fn pause(&self, time: Duration) -> Result<()> {
        match self {
            #[cfg(feature = "glommio")]
            Backend::Threads(_) => {
                let mut alarm = super::alarm::Alarm::new(std::time::Instant::now() + time);
                std::future::poll_fn(|context| alarm.poll(context)).await;
                Ok(())
            }
            #[cfg(feature = "tokio")]
            Backend::Tokio(pools) => pools.pause(time).await,
        }
    }

    /// # Errors
    /// As [`Client::shutdown`](super::Client::shutdown).
    pub(super) async fn shut_down(&self, grace: Duration) -> Result<()> {
        of_either!(self, shards => shards.shut_down(grace).await)
    }
}
