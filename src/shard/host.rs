//! [`Host`]: the threads that run shards, which several clients may share.

use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::oneshot;

use super::executor::{self, Executor};
use super::tenant_queue::{Tenant, TenantQueue};
use super::thread::HostId;
use crate::config::ResolvedConfig;
use crate::error::Result;

/// One thread for each shard of the client that started them. A thread ends when the last client's pool on it has.
pub(crate) struct Host {
    id: HostId,
    queues: Vec<Arc<TenantQueue>>,
    /// The caller that joins an executor takes it out.
    executors: Mutex<Vec<Option<Executor>>>,
}

impl Host {
    /// Starts one pinned thread for each tenant.
    ///
    /// # Errors
    /// If one of them cannot run. The others end once their mailboxes are closed.
    pub(crate) fn start(config: &ResolvedConfig, tenants: Vec<Tenant>) -> Result<Arc<Host>> {
        let id = HostId::unique();
        let queues: Vec<_> = tenants.into_iter().map(|first| Arc::new(TenantQueue::new(first))).collect();
        // All at once, because each takes some milliseconds.
        let starting = queues.iter().enumerate();
        let starting: Vec<_> =
            starting.map(|(index, tenants)| executor::start(id, index, config, tenants.clone())).collect();
        let executors = starting.into_iter().map(|starting| starting?.wait().map(Some));
        let executors = Mutex::new(executors.collect::<Result<_>>()?);
        Ok(Arc::new(Host { id, queues, executors }))
    }

    /// A host without threads, for tests that serve mailboxes themselves.
    #[cfg(test)]
    pub(crate) fn without_threads() -> Arc<Host> {
        Arc::new(Host { id: HostId::unique(), queues: Vec::new(), executors: Mutex::default() })
    }

    /// Has each thread serve one more tenant. False if a tenant comes too late, because its thread is ending; the tenants before
    /// it are served until their mailboxes are closed.
    pub(crate) fn admit(&self, tenants: Vec<Tenant>) -> bool {
        self.queues.iter().zip(tenants).all(|(tenants, tenant)| tenants.enter(tenant))
    }

    /// The identity of its threads.
    pub(crate) fn id(&self) -> HostId {
        self.id
    }

    /// Waits for the end of all threads that have no tenant left.
    pub(crate) async fn join_ended(&self) {
        let ended: Vec<Executor> = {
            let mut executors = self.executors.lock().unwrap_or_else(PoisonError::into_inner);
            let both = self.queues.iter().zip(executors.iter_mut());
            both.filter(|(tenants, _)| tenants.is_over())
                .filter_map(|(_, executor)| executor.take())
                .collect()
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
