//! Starting a client inside a tokio runtime.

use std::sync::Arc;

use super::Client;
use super::backend::Backend;
use super::pools::Pools;
use super::state::ClientState;
use crate::config::Config;
use crate::error::Result;
use crate::tokio::Tokio;

impl Client {
    /// Starts a client whose connections run as tasks of the tokio runtime that this is called in. It has no threads of its own
    /// and needs no io_uring. Callers are tasks of the same runtime, of another one, or plain threads.
    ///
    /// [`Config::shards`] is the number of pools. Each has a lock of its own, [`connections_per_shard`] connections, and the
    /// calls of every so-many-th handle. One is the default: fewer pools write more commands with one system call. With eight workers
    /// on two cores, one, two and four pools were measured to cost the same; on more cores, measure. `cores` and `spin_before_park` have no effect, because the threads are the application's.
    ///
    /// When the runtime is shut down, every call fails as [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown).
    ///
    /// ```no_run
    /// # async fn example() -> hitless::Result<()> {
    /// use hitless::{Client, Config};
    ///
    /// let client = Client::start_in_tokio(Config::from_url("redis://127.0.0.1")?)?;
    /// client.set("greeting", "hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`connections_per_shard`]: Config::connections_per_shard
    ///
    /// # Errors
    /// If the configuration is wrong; or [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) outside a tokio runtime, or in one that was
    /// built without I/O or timers. Tokio tells the latter by a panic, which is caught, and which the panic hook prints.
    pub fn start_in_tokio(config: Config) -> Result<Client> {
        let config = config.validate_in_runtime()?;
        let pools = Pools::start(Tokio::current()?, &config)?;
        Ok(Client::bound(Arc::new(ClientState::new(Backend::Tokio(pools), config))))
    }
}
