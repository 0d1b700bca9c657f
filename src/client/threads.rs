//! [`Threads`]: a client's mailboxes, and the threads on which they are served.

use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

use super::process::Process;
use crate::config::ResolvedConfig;
use crate::driver::broadcast::ShardGroup;
use crate::driver::pushes::SharedFunction;
use crate::driver::stats::ShardStats;
use crate::driver::subscriptions::SubscriptionHub;
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::shard::host::Host;
use crate::shard::mailbox::{Mailbox, Request};
use crate::shard::tenant_queue::Tenant;
use crate::shard::{Shard, thread};

pub(super) struct Threads {
    host: Arc<Host>,
    mailboxes: Vec<Arc<Mailbox>>,
    hubs: Vec<Arc<SubscriptionHub>>,
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
        let hubs = hubs(&tenants);
        match Host::start(config, tenants) {
            Ok(host) => Ok(Threads::new(host, mailboxes, hubs)),
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
        let threads = Threads::new(other.host.clone(), mailboxes, hubs(&tenants));
        match threads.host.admit(tenants) {
            true => Ok(threads),
            false => Err(Error::shut_down(Outcome::Unsent)),
        }
    }

    /// Mailboxes that the test serves.
    #[cfg(test)]
    pub(super) fn of(mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Threads::new(Host::without_threads(), mailboxes, Vec::new())
    }

    fn new(host: Arc<Host>, mailboxes: Vec<Arc<Mailbox>>, hubs: Vec<Arc<SubscriptionHub>>) -> Self {
        Threads { host, mailboxes, hubs, process: Process::current() }
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

    /// The subscriptions of a shard.
    ///
    /// # Errors
    /// In a forked child, whose shards are in the parent.
    pub(super) fn hub(&self, shard: usize) -> Result<Arc<SubscriptionHub>> {
        self.check_process(Outcome::Unsent)?;
        self.hubs.get(shard).cloned().ok_or_else(|| Error::shut_down(Outcome::Unsent))
    }

    /// How many requests wait in the mailbox of a shard.
    pub(super) fn depth(&self, shard: usize) -> usize {
        self.mailbox(shard).map_or(0, |mailbox| mailbox.len())
    }

    pub(super) async fn run_on_each<F, Fut, T>(&self, run: F) -> Result<Vec<T>>
    where
        F: Fn(Shard) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let mut started = Vec::with_capacity(self.len());
        for index in 0..self.len() {
            started.push(self.start_on(index, run.clone()).await?);
        }
        let mut results = Vec::with_capacity(started.len());
        for receiver in started {
            results.push(finished(receiver).await?);
        }
        Ok(results)
    }

    pub(super) async fn run_on<F, Fut, T>(&self, shard: usize, run: F) -> Result<T>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        finished(self.start_on(shard, run).await?).await
    }

    pub(super) async fn ready(&self, timeout: Duration) -> Result<()> {
        let results = self.run_on_each(move |shard| async move { shard.ready(timeout).await }).await?;
        results.into_iter().collect()
    }

    /// The provider is asked on the first shard.
    pub(super) async fn renew_credentials(&self, _config: &ResolvedConfig) -> Result<()> {
        let credentials = self.run_on(0, |shard| async move { shard.new_credentials().await }).await??;
        let log_in = move |shard: Shard| {
            let credentials = credentials.clone();
            async move { shard.log_in(credentials).await }
        };
        self.run_on_each(log_in).await?.into_iter().collect()
    }

    pub(super) async fn on_push(&self, name: &str, handler: SharedFunction) -> Result<()> {
        let name = name.to_owned();
        let insert = move |shard: Shard| {
            let handler = handler.clone();
            let inserted = shard.on_push(&name, move |items| handler(items));
            async move { inserted }
        };
        self.run_on_each(insert).await?.into_iter().collect()
    }

    pub(super) async fn stats(&self) -> Result<Vec<ShardStats>> {
        self.run_on_each(|shard| async move { shard.stats() }).await
    }

    /// Shuts the shards down, and waits until the threads have ended that serve no other client.
    pub(super) async fn shut_down(&self, grace: Duration) -> Result<()> {
        self.check_process(Outcome::Unsent)?;
        if thread::current() == Some(self.host.id()) {
            let detail = "shutdown() on one of the client's own shards would wait for the thread that it runs on: call it \
                          on another thread, or drop the last handle";
            return Err(Error::misuse(Outcome::Unsent, detail));
        }
        let mut asked = Vec::new();
        for index in 0..self.len() {
            let (done, receiver) = oneshot::channel();
            // A shard that is gone needs no shutdown.
            if self.post(index, Request::ShutDown { grace, done }).await.is_ok() {
                asked.push(receiver);
            }
        }
        let mut results = Vec::new();
        for receiver in asked {
            results.push(receiver.await.unwrap_or(Ok(())));
        }
        self.host.join_ended().await;
        results.into_iter().collect()
    }

    async fn start_on<F, Fut, T>(&self, index: usize, run: F) -> Result<oneshot::Receiver<Result<T>>>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let start = move |shard: Shard| shard.run_closure(run, sender);
        self.post(index, Request::Run(Box::new(start))).await?;
        Ok(receiver)
    }

    pub(super) async fn post(&self, index: usize, request: Request) -> Result<()> {
        self.check_process(Outcome::Unsent)?;
        let mailbox = self.mailbox(index).ok_or_else(|| Error::shut_down(Outcome::Unsent))?;
        let mut request = Some(request);
        match std::future::poll_fn(|context| mailbox.poll_send(&mut request, context)).await {
            true => Ok(()),
            false => Err(Error::shut_down(Outcome::Unsent)),
        }
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
    let group = ShardGroup::of_client(config);
    let mut mailboxes = Vec::with_capacity(group.members());
    let mut tenants = Vec::with_capacity(group.members());
    for _ in 0..group.members() {
        let (member, mailbox, hub) = (group.join()?, Arc::new(Mailbox::new()), SubscriptionHub::new());
        mailboxes.push(mailbox.clone());
        tenants.push(Tenant { config: config.clone(), group: group.clone(), member, mailbox, hub });
    }
    Ok((mailboxes, tenants))
}

fn hubs(tenants: &[Tenant]) -> Vec<Arc<SubscriptionHub>> {
    tenants.iter().map(|tenant| tenant.hub.clone()).collect()
}

async fn finished<T>(receiver: oneshot::Receiver<Result<T>>) -> Result<T> {
    receiver.await.unwrap_or_else(|_| Err(Error::shut_down(Outcome::Ambiguous)))
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
