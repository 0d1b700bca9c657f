//! [`Host`]: the threads that run shards, which several clients may share.

use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::oneshot;

use super::executor::{self, Executor};
use super::lobby::{Lobby, Tenant};
use super::thread::HostId;
use crate::config::ResolvedConfig;
use crate::error::Result;

/// One thread for each shard of the client that started them. A thread ends when the last client's pool on it has.
pub(crate) struct Host {
    id: HostId,
    lobbies: Vec<Arc<Lobby>>,
    /// Each is taken by the caller that joins it.
    executors: Mutex<Vec<Option<Executor>>>,
}

impl Host {
    /// Starts one pinned thread for each tenant.
    ///
    /// # Errors
    /// If one of them cannot run. The others end once their mailboxes are closed.
    pub(crate) fn start(config: &ResolvedConfig, tenants: Vec<Tenant>) -> Result<Arc<Host>> {
        let id = HostId::unique();
        let lobbies: Vec<_> = tenants.into_iter().map(|first| Arc::new(Lobby::new(first))).collect();
        // All at once: each takes some milliseconds.
        let starting = lobbies.iter().enumerate();
        let starting: Vec<_> =
            starting.map(|(index, lobby)| executor::start(id, index, config, lobby.clone())).collect();
        let executors = starting.into_iter().map(|starting| starting?.wait().map(Some));
        let executors = Mutex::new(executors.collect::<Result<_>>()?);
        Ok(Arc::new(Host { id, lobbies, executors }))
    }

    /// Without any threads, for tests that serve mailboxes themselves.
    #[cfg(test)]
    pub(crate) fn without_threads() -> Arc<Host> {
        Arc::new(Host { id: HostId::unique(), lobbies: Vec::new(), executors: Mutex::default() })
    }

    /// Has each thread serve one more tenant. False if one comes too late, because its thread is ending; those before it
    /// are served until their mailboxes are closed.
    pub(crate) fn admit(&self, tenants: Vec<Tenant>) -> bool {
        self.lobbies.iter().zip(tenants).all(|(lobby, tenant)| lobby.enter(tenant))
    }

    /// What its threads know themselves by.
    pub(crate) fn id(&self) -> HostId {
        self.id
    }

    /// Waits for the end of those threads that have no tenant left.
    pub(crate) async fn join_ended(&self) {
        let ended: Vec<Executor> = {
            let mut executors = self.executors.lock().unwrap_or_else(PoisonError::into_inner);
            let both = self.lobbies.iter().zip(executors.iter_mut());
            both.filter(|(lobby, _)| lobby.is_over()).filter_map(|(_, executor)| executor.take()).collect()
        };
        let (done, joined) = oneshot::channel();
        let join = move || {
            ended.into_iter().for_each(Executor::join);
            // The caller may have stopped waiting.
            let _ = done.send(());
        };
        // Joining blocks, and this may be awaited on an executor.
        if std::thread::Builder::new().name("hitless-join".into()).spawn(join).is_ok() {
            // The sender is always used.
            let _ = joined.await;
        }
    }
}
