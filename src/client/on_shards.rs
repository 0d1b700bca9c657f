//! What a client does on shards that have threads of their own: starting them, and running code there.

use std::sync::Arc;

use super::Client;
use super::backend::Backend;
use super::state::ClientState;
use super::threads::Threads;
use crate::config::Config;
#[cfg(feature = "tokio")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "tokio")]
use crate::proto::error::Outcome;
use crate::shard::{Shard, machine};

impl Client {
    /// Starts the shards. They connect in the background: commands wait for that, and [`Client::ready`] does only that. Start
    /// one client for each server and keep it. Further clients can [share](Client::start_with) its threads. In glommio 0.9 each
    /// executor that ends leaks one descriptor.
    ///
    /// # Errors
    /// If the configuration is wrong, or this machine cannot run a shard: the text names the cause and the remedy.
    pub fn start(config: Config) -> Result<Client> {
        let config = config.validate()?;
        machine::can_run(&config)?;
        let threads = Threads::start(&config)?;
        Ok(Client::bound(Arc::new(ClientState::new(Backend::Threads(threads), config))))
    }

    /// Runs a closure on every shard, and the future that it returns on that shard's thread. The future need not be `Send`.
    /// Returns the results in the order of the shards.
    ///
    /// # Errors
    /// If a shard is shut down before or while the future runs; or if the closure panics there, which does not affect the shard
    /// and its other tasks; or [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) if the client runs
    /// [in tokio](Client#method.start_in_tokio), where shards have no threads.
    pub async fn run_on_each_shard<F, Fut, T>(&self, run: F) -> Result<Vec<T>>
    where
        F: Fn(Shard) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        self.threads()?.run_on_each(run).await
    }

    /// The same on one shard only; the first is 0.
    ///
    /// # Errors
    /// As [`Client::run_on_each_shard`]; and if there is no such shard.
    pub async fn run_on<F, Fut, T>(&self, shard: usize, run: F) -> Result<T>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        self.threads()?.run_on(shard, run).await
    }

    fn threads(&self) -> Result<&Threads> {
        match &self.shared.backend {
            Backend::Threads(threads) => Ok(threads),
            #[cfg(feature = "tokio")]
            Backend::Tokio(_) => {
                let detail = "this client runs in tokio, and its shards have no threads to run code on: call the client itself";
                Err(Error::misuse(Outcome::Unsent, detail))
            }
        }
    }
}
