//! [`Pools`]: the shards of a client that run in tokio.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::process::Process;
use crate::config::ResolvedConfig;
use crate::driver::broadcast::ShardGroup;
use crate::driver::pushes::SharedFunction;
use crate::driver::runtime::{Runtime, StateCell};
use crate::driver::state::Shared;
use crate::driver::stats::{self, ShardStats};
use crate::driver::subscriptions::SubscriptionHub;
use crate::driver::{credentials, supervisor};
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::tokio::Tokio;

/// The shards of one client in a tokio runtime. They are shut down when it is dropped.
pub(super) struct Pools {
    shards: Vec<Shared<Tokio>>,
    runtime: Tokio,
    /// The process that the runtime is in.
    process: Process,
}

impl Pools {
    /// Starts the shards, whose connections are made in the background.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn start(runtime: Tokio, config: &ResolvedConfig) -> Result<Self> {
        let group = ShardGroup::of_client(config);
        let shards = (0..group.members()).map(|_| {
            let member = Arc::new(group.join()?);
            Ok(runtime.start_shard(config.clone(), member))
        });
        let shards = shards.collect::<Result<_>>()?;
        Ok(Pools { shards, runtime, process: Process::current() })
    }

    /// The shards of another client in the same runtime.
    ///
    /// # Errors
    /// If this is a forked child of the runtime's process.
    pub(super) fn share(&self, config: &ResolvedConfig) -> Result<Self> {
        self.check_process(Outcome::Unsent)?;
        Pools::start(self.runtime.clone(), config)
    }

    /// # Errors
    /// If this is a child of the process that the runtime is in.
    #[inline]
    pub(super) fn check_process(&self, outcome: Outcome) -> Result<()> {
        self.process.check(outcome)
    }

    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    #[inline]
    pub(super) fn get(&self, shard: usize) -> Option<&Shared<Tokio>> {
        self.shards.get(shard)
    }

    /// How many calls are open on this shard.
    pub(super) fn depth(&self, shard: usize) -> usize {
        self.get(shard).map_or(0, |shared| shared.state.lock().calls.len())
    }

    pub(super) async fn ready(&self, timeout: Duration) -> Result<()> {
        self.check_process(Outcome::Unsent)?;
        let begin = Instant::now();
        for shared in &self.shards {
            let (shared, rest) = (shared.clone(), timeout.saturating_sub(begin.elapsed()));
            let ready = async move { supervisor::wait_until_ready(&shared, rest).await };
            self.runtime.complete(ready).await?;
        }
        Ok(())
    }

    /// The subscriptions of a shard.
    ///
    /// # Errors
    /// In a forked child.
    pub(super) fn hub(&self, shard: usize) -> Result<Arc<SubscriptionHub>> {
        self.check_process(Outcome::Unsent)?;
        self.get(shard).map(|shared| shared.hub.clone()).ok_or_else(|| Error::shut_down(Outcome::Unsent))
    }

    pub(super) async fn pause(&self, time: Duration) -> Result<()> {
        let runtime = self.runtime.clone();
        let pause = async move {
            runtime.timer(time).await;
            Ok(())
        };
        self.runtime.complete(pause).await
    }

    pub(super) async fn renew_credentials(&self, config: &ResolvedConfig) -> Result<()> {
        self.check_process(Outcome::Unsent)?;
        let (runtime, config) = (self.runtime.clone(), config.clone());
        let renewed = async move { credentials::renewed(&runtime, &config).await };
        let credentials = self.runtime.complete(renewed).await?;
        for shared in &self.shards {
            shared.renew(credentials.clone());
        }
        for shared in &self.shards {
            supervisor::wait_until_renewed(shared).await?;
        }
        Ok(())
    }

    pub(super) async fn on_push(&self, name: &str, handler: SharedFunction) -> Result<()> {
        self.check_process(Outcome::Unsent)?;
        self.shards.iter().try_for_each(|shared| shared.on_push(name, handler.clone()))
    }

    pub(super) async fn stats(&self) -> Result<Vec<ShardStats>> {
        self.check_process(Outcome::Unsent)?;
        let stats = self.shards.iter().map(|shared| {
            let state = &mut *shared.state.lock();
            match state.supervisor.finished {
                true => Err(Error::shut_down(Outcome::Unsent)),
                false => Ok(stats::collect(state)),
            }
        });
        stats.collect()
    }

    pub(super) async fn shut_down(&self, grace: Duration) -> Result<()> {
        self.check_process(Outcome::Unsent)?;
        for shared in &self.shards {
            supervisor::begin_shutdown(shared, grace);
        }
        let mut result = Ok(());
        for shared in &self.shards {
            result = result.and(supervisor::wait_until_shut_down(shared, grace).await);
        }
        result
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // When wakers in there are dropped, they reach the parent's runtime through descriptors that both processes share.
            std::mem::forget(std::mem::take(&mut self.shards));
            return;
        }
        for shared in &self.shards {
            // Replies may still be awaited, for as long as any reply may take.
            supervisor::begin_shutdown(shared, shared.config.last_replies());
        }
    }
}
