//! [`Threads`]: the threads that a client's shards run on.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use futures_channel::oneshot;

use crate::config::Effective;
use crate::error::Result;
use crate::shard::ShardGroup;
use crate::shard::executor::{self, Executor};
use crate::shard::mailbox::Mailbox;
use crate::shard::thread::HostId;

pub(super) struct Threads {
    host: HostId,
    mailboxes: Vec<Arc<Mailbox>>,
    /// Taken by whoever joins them. Nothing on the way of a command touches it.
    executors: Mutex<Vec<Executor>>,
}

impl Threads {
    /// Starts one pinned thread for each shard.
    ///
    /// # Errors
    /// If one of them cannot run: those that could are ended again.
    pub(super) fn start(effective: &Effective) -> Result<Self> {
        let mut threads = Threads::of(Vec::new());
        let shards = effective.shard_cores().len();
        let group = ShardGroup::new(shards);
        for _ in 0..shards {
            let mailbox = Arc::new(Mailbox::new());
            threads.mailboxes.push(mailbox.clone());
            let executor = executor::start(effective, threads.host, &group, group.join()?, mailbox)?;
            threads.executors.get_mut().unwrap_or_else(PoisonError::into_inner).push(executor);
        }
        Ok(threads)
    }

    /// Without any threads: these mailboxes are served by others.
    pub(super) fn of(mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Threads { host: HostId::unique(), mailboxes, executors: Mutex::default() }
    }

    /// What the threads know themselves by.
    pub(super) fn host(&self) -> HostId {
        self.host
    }

    pub(super) fn len(&self) -> usize {
        self.mailboxes.len()
    }

    pub(super) fn mailbox(&self, shard: usize) -> Option<&Mailbox> {
        self.mailboxes.get(shard).map(|mailbox| &**mailbox)
    }

    /// Waits until every thread has ended. They must have been told to.
    pub(super) async fn join(&self) {
        let executors = std::mem::take(&mut *self.executors.lock().unwrap_or_else(PoisonError::into_inner));
        let (done, joined) = oneshot::channel();
        let join = move || {
            executors.into_iter().for_each(Executor::join);
            // Whoever waits may have given up.
            let _ = done.send(());
        };
        // Joining blocks, and whoever calls this may be an executor.
        if thread::Builder::new().name("hitless-join".into()).spawn(join).is_ok() {
            // The sender is always used.
            let _ = joined.await;
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes {
            mailbox.close();
        }
    }
}
