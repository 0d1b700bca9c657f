//! [`Threads`]: a client's mailboxes, and the threads on which they are served.

use std::sync::Arc;

use super::process::Process;
use crate::config::ResolvedConfig;
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::shard::ShardGroup;
use crate::shard::host::Host;
use crate::shard::mailbox::Mailbox;
use crate::shard::tenant_queue::Tenant;
use crate::shard::thread::HostId;

pub(super) struct Threads {
    host: Arc<Host>,
    mailboxes: Vec<Arc<Mailbox>>,
    /// The process that the threads are in.
    process: Process,
}

impl Threads {
    /// Starts one pinned thread for each shard.
    ///
    /// # Errors
    /// If one of them cannot run. The others end again.
    pub(super) fn start(config: &ResolvedConfig) -> Result<Self> {
        let (mailboxes, tenants) = tenants(config)?;
        match Host::start(config, tenants) {
            Ok(host) => Ok(Threads::new(host, mailboxes)),
            Err(error) => {
                close(&mailboxes);
                Err(error)
            }
        }
    }

    /// Has another client's threads serve this one as well.
    ///
    /// # Errors
    /// If they are ending, because that client is shut down.
    pub(super) fn share(other: &Threads, config: &ResolvedConfig) -> Result<Self> {
        other.check_process(Outcome::Unsent)?;
        let (mailboxes, tenants) = tenants(config)?;
        // If a tenant comes too late, dropping this ends those that were admitted before it.
        let threads = Threads::new(other.host.clone(), mailboxes);
        match threads.host.admit(tenants) {
            true => Ok(threads),
            false => Err(Error::shut_down(Outcome::Unsent)),
        }
    }

    /// Mailboxes that the test serves.
    #[cfg(test)]
    pub(super) fn of(mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Threads::new(Host::without_threads(), mailboxes)
    }

    fn new(host: Arc<Host>, mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Threads { host, mailboxes, process: Process::current() }
    }

    /// # Errors
    /// If this is a child of the process that the threads are in.
    #[inline]
    pub(super) fn check_process(&self, outcome: Outcome) -> Result<()> {
        self.process.check(outcome)
    }

    pub(super) fn len(&self) -> usize {
        self.mailboxes.len()
    }

    /// The mailbox of a shard; `None` in a forked child, whose shards are in the parent.
    pub(super) fn mailbox(&self, shard: usize) -> Option<&Mailbox> {
        self.mailboxes.get(shard).filter(|_| self.process.is_current()).map(|mailbox| &**mailbox)
    }

    /// The identity of the threads.
    pub(super) fn host(&self) -> HostId {
        self.host.id()
    }

    /// Waits until the threads have ended that serve no other client. The shards of this client must be shut down.
    pub(super) async fn join(&self) {
        self.host.join_ended().await;
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if self.process.is_current() {
            return close(&self.mailboxes);
        }
        // When wakers in there are dropped, they reach the parent's threads through the descriptors that both processes share.
        std::mem::forget((self.host.clone(), std::mem::take(&mut self.mailboxes)));
    }
}

/// The tenant of a client on each thread, and the mailboxes in front of them.
fn tenants(config: &ResolvedConfig) -> Result<(Vec<Arc<Mailbox>>, Vec<Tenant>)> {
    let group = ShardGroup::new(config.shard_cores().len());
    let mut mailboxes = Vec::with_capacity(group.members());
    let mut tenants = Vec::with_capacity(group.members());
    for _ in 0..group.members() {
        let (member, mailbox) = (group.join()?, Arc::new(Mailbox::new()));
        mailboxes.push(mailbox.clone());
        tenants.push(Tenant { config: config.clone(), group: group.clone(), member, mailbox });
    }
    Ok((mailboxes, tenants))
}

fn close(mailboxes: &[Arc<Mailbox>]) {
    mailboxes.iter().for_each(|mailbox| mailbox.close());
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use futures_lite::future::block_on;

    use super::*;
    use crate::client::Client;
    use crate::config::Config;

    struct Ended(Arc<AtomicBool>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    thread_local! {
        static ENDED: RefCell<Option<Ended>> = const { RefCell::new(None) };
    }

    #[test]
    fn shutdown_returns_when_every_thread_has_ended() {
        let client = Client::start(Config::from_url("redis://127.0.0.1:1").unwrap().shards(1)).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let shared = ended.clone();
        block_on(client.run_on(0, move |_| async move { ENDED.set(Some(Ended(shared))) })).unwrap();
        block_on(client.shutdown(Duration::ZERO)).unwrap();
        assert!(ended.load(Ordering::SeqCst), "a thread drops its thread-locals when it ends");
    }
}
