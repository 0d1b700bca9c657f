//! [`Client`]: the door for threads and runtimes other than the shards' own.

mod alarm;
mod commands;
mod counters;
mod deadline;
mod fire_and_forget;
mod held;
mod overflow;
mod pipeline;
mod process;
mod reply;
mod route;
mod threads;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{self, Arc};
use std::time::Duration;

use futures_channel::oneshot;

pub use self::reply::ClientReply;

use self::counters::Unserved;
use self::held::Held;
use self::overflow::{Overflow, WaitingRoom};
use self::route::{Choice, Place, Route};
use self::threads::Threads;
use crate::command::{Cmd, CommandName, FromReply};
use crate::config::{Config, ResolvedConfig};
use crate::error::{Error, Result};
use crate::proto::connection::HandleId;
use crate::proto::error::Outcome;
use crate::proto::pool::EntryId;
use crate::proto::resp::Frame;
use crate::shard::foreign::foreign_call;
use crate::shard::mailbox::Letter;
use crate::shard::{FOREIGN_HANDLES, Shard, ShardStats, thread};

/// A set of shards, each on a thread of its own that is pinned to a core, and a handle to call them from anywhere.
///
/// Clones are cheap, and each is bound to the next connection of the next shard, in turn: commands that are called
/// on one clone reach the server in the order of the calls. Clone one for each task or thread to use all of them; or
/// let each call be [by its key](Client::by_key), with [the least loaded](Client::least_loaded) shard or with the one
/// [on the caller's core](Client::on_callers_core). Any runtime can await the replies, and plain threads can
/// [wait](ClientReply::wait) for them.
///
/// A shard's mailbox holds 8192 commands. A call that finds it full waits for room when its reply is awaited, and so do
/// the later calls of its handle. [`Config::waiting_max`] bounds how many wait; with 0 such a call fails at once.
///
/// Dropping a reply cancels its command: `let _ = client.incr(…)` may execute nothing. To do without the reply, call
/// [`fire_and_forget`](ClientReply::fire_and_forget).
///
/// A call through a client crosses from one core to another and back. Code that runs on the shards themselves
/// ([`Client::run_on_each_shard`]) does not pay for that.
///
/// When the last clone is dropped, the shards finish what was accepted, and end. [`Client::shutdown`] waits for
/// that.
///
/// A child that is forked from the process has none of the threads: every call on a client from before is
/// [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) there, dropping it leaves the parent's alone, and a client that the
/// child starts is its own. Do not fork on a shard's thread, but to run another program.
pub struct Client {
    shared: Arc<Shared>,
    route: Route,
    overflow: Arc<Overflow>,
}

struct Shared {
    threads: Threads,
    config: ResolvedConfig,
    clones: AtomicUsize,
    /// How often a handle has chosen anew.
    turns: AtomicUsize,
    /// The open calls of handles that go by them, for each shard.
    loads: Box<[AtomicUsize]>,
    /// The calls that wait for room in mailboxes.
    waiting: Arc<WaitingRoom>,
    /// Calls that failed before a shard took them up, for each shard.
    unserved: Box<[Unserved]>,
}

impl Client {
    /// Starts the shards. They connect in the background: commands wait for that, and [`Client::ready`] does
    /// nothing else. Start one client for each server and keep it; further ones can [share](Client::start_with) its
    /// threads. Each executor that ends leaves one descriptor behind in glommio 0.9.
    ///
    /// # Errors
    /// If the configuration is wrong, or this machine cannot run a shard: the text names the cause and the remedy.
    pub fn start(config: Config) -> Result<Client> {
        let config = config.validate()?;
        crate::shard::probe::can_run(&config)?;
        let threads = Threads::start(&config)?;
        Ok(Client::bound(Arc::new(Shared::new(threads, config))))
    }

    /// Starts a client whose shards live on the threads of another one's: for programs with several small clients,
    /// which would start a thread for each shard of each.
    ///
    /// Nothing but the threads is shared. This client has a pool, mailboxes, counts and events of its own, and hears of
    /// maintenance from its own server. Either can be shut down, or dropped, while the other serves; a thread ends with
    /// the last client on it. A task that panics takes the executor of all of them along, and all of them start anew.
    ///
    /// ```no_run
    /// # fn example() -> hitless::Result<()> {
    /// use hitless::{Client, Config};
    ///
    /// let first = Client::start(Config::from_url("redis://10.0.0.1")?.shards(1))?;
    /// let second = Client::start_with(&first, Config::from_url("redis://10.0.0.2")?)?;     // no further thread
    /// # let _ = second;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the configuration is wrong, or its settings `shards`, `cores` or `spin_before_park` ask for other threads than
    /// there are; or [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown) if the other client is shut down, and nobody
    /// else uses its threads.
    pub fn start_with(other: &Client, config: Config) -> Result<Client> {
        let config = config.validate_on(&other.shared.config)?;
        let threads = Threads::share(&other.shared.threads, &config)?;
        Ok(Client::bound(Arc::new(Shared::new(threads, config))))
    }

    /// A handle whose calls go each to the shard and the connection that the first argument says, which is the key of
    /// most commands: what is done to one key is done in order, whoever does it through such a handle.
    #[must_use]
    pub fn by_key(&self) -> Client {
        let (_, handle) = self.shared.next_handle();
        Client::routed(self.shared.clone(), Route::ByKey { handle })
    }

    /// A handle that goes to the shard with the fewest open calls, of handles like this one, and letters in its
    /// mailbox. It chooses when none of its own calls is open, so that they keep their order.
    #[must_use]
    pub fn least_loaded(&self) -> Client {
        self.floating(Choice::LeastLoaded)
    }

    /// A handle that goes to the shard on the core that its caller runs on, if there is one, or else to the one that
    /// stands in for that core. It chooses when none of its own calls is open, so that they keep their order.
    #[must_use]
    pub fn on_callers_core(&self) -> Client {
        self.floating(Choice::CallersCore)
    }

    /// Waits until every connection of every shard is ready.
    ///
    /// # Errors
    /// If that takes longer than `timeout`: what stood in the way of one of them.
    pub async fn ready(&self, timeout: Duration) -> Result<()> {
        let results = self.run_on_each_shard(move |shard| async move { shard.ready(timeout).await }).await?;
        results.into_iter().collect()
    }

    /// Runs a closure on every shard, and the future that it returns on that shard's thread: the future needs not
    /// be `Send`. Returns the results in the order of the shards.
    ///
    /// # Errors
    /// If a shard is shut down, before or while the future runs; or the closure panics there: the shard itself, and what
    /// else runs on it, lives on.
    pub async fn run_on_each_shard<F, Fut, T>(&self, run: F) -> Result<Vec<T>>
    where
        F: Fn(Shard) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let mut started = Vec::with_capacity(self.shared.threads.len());
        for index in 0..self.shared.threads.len() {
            started.push(self.start_on(index, run.clone()).await?);
        }
        let mut results = Vec::with_capacity(started.len());
        for receiver in started {
            results.push(finished(receiver).await?);
        }
        Ok(results)
    }

    /// The same on one shard only, which is counted from 0.
    ///
    /// # Errors
    /// As [`Client::run_on_each_shard`]; and if there is no such shard.
    pub async fn run_on<F, Fut, T>(&self, shard: usize, run: F) -> Result<T>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        finished(self.start_on(shard, run).await?).await
    }

    /// Asks the provider of [`Config::credentials`] for credentials, once, and logs every live connection of every shard
    /// in with them, between two commands: see [`Shard::renew_credentials`].
    ///
    /// # Errors
    /// If there is no provider, or it has nothing; or if the server refuses them: connections then live on as whoever
    /// they were.
    pub async fn renew_credentials(&self) -> Result<()> {
        let credentials = self.run_on(0, |shard| async move { shard.new_credentials().await }).await??;
        let log_in = move |shard: Shard| {
            let credentials = credentials.clone();
            async move { shard.log_in(credentials).await }
        };
        self.run_on_each_shard(log_in).await?.into_iter().collect()
    }

    /// Counts of what happened on each shard so far, in the order of the shards, calls included that failed before the
    /// shard took them up. [`CommandStats::merge`](crate::observe::CommandStats::merge) adds them up.
    ///
    /// # Errors
    /// If a shard is shut down.
    pub async fn stats(&self) -> Result<Vec<ShardStats>> {
        let mut stats = self.run_on_each_shard(|shard| async move { shard.stats() }).await?;
        for (stats, unserved) in stats.iter_mut().zip(&self.shared.unserved) {
            unserved.add_to(&mut stats.commands);
        }
        Ok(stats)
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shared.threads.len()
    }

    /// The configuration in effect, with every automatic value.
    pub fn config(&self) -> &ResolvedConfig {
        &self.shared.config
    }

    /// Accepts no new command, waits until those that were accepted are answered, closes every connection, and
    /// joins every thread that no other client [shares](Client::start_with). It concerns all clones. Closures that still run on the shards are dropped then, and their
    /// callers told so.
    ///
    /// # Errors
    /// If commands had to be given up because they were not answered within `grace`; each got an error of its own.
    /// Everything is shut down all the same. [`ErrorKind::Misuse`](crate::ErrorKind::Misuse), and nothing is shut down,
    /// on one of the client's own shards, whose thread cannot wait for its own end: drop the last handle there instead.
    pub async fn shutdown(&self, grace: Duration) -> Result<()> {
        self.shared.threads.check_process(Outcome::Unsent)?;
        if thread::current() == Some(self.shared.threads.host()) {
            let detail = "shutdown() on one of the client's own shards would wait for the thread that it runs on: call it \
                          on another thread, or drop the last handle";
            return Err(Error::misuse(Outcome::Unsent, detail));
        }
        let mut results = Vec::new();
        let mut asked = Vec::new();
        for index in 0..self.shared.threads.len() {
            let (done, receiver) = oneshot::channel();
            // A shard that is gone needs no shutting down.
            if self.post(index, Letter::ShutDown { grace, done }).await.is_ok() {
                asked.push(receiver);
            }
        }
        for receiver in asked {
            results.push(receiver.await.unwrap_or(Ok(())));
        }
        self.shared.threads.join().await;
        results.into_iter().collect()
    }

    /// Sends any command.
    ///
    /// # Errors
    /// [`ErrorKind::Command`](crate::ErrorKind::Command), at once, if it is one that shared connections [do not carry](mod@crate::command).
    pub fn run<T: FromReply>(&self, command: &Cmd) -> ClientReply<T> {
        if let Some(error) = command.refusal() {
            return self.settled(command.command_name(), Err(error));
        }
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        self.call(command.command_name(), bytes, None)
    }

    pub(crate) fn call<T: FromReply>(
        &self,
        name: CommandName,
        bytes: Vec<u8>,
        batch: Option<u32>,
    ) -> ClientReply<T> {
        if let Err(error) = self.shared.threads.check_process(Outcome::Unsent) {
            return self.settled(name, Err(error));
        }
        let (caller, call) = foreign_call();
        let (Place { shard, entry, handle }, stay) = self.route.place(&self.shared, &bytes);
        let letter = Letter::Call { bytes, batch, entry, handle, caller };
        let sent = self.overflow.send(&self.shared.threads, shard, letter);
        ClientReply::begin(self.shared.clone(), &self.overflow, sent, (call, shard), name, stay)
    }

    /// A reply that was decided before anything was sent.
    fn settled<T: FromReply>(&self, name: CommandName, result: Result<Frame>) -> ClientReply<T> {
        ClientReply::settled(self.shared.clone(), result, name)
    }

    async fn start_on<F, Fut, T>(&self, index: usize, run: F) -> Result<oneshot::Receiver<Result<T>>>
    where
        F: FnOnce(Shard) -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let start = move |shard: Shard| shard.run_closure(run, sender);
        self.post(index, Letter::Run(Box::new(start))).await?;
        Ok(receiver)
    }

    async fn post(&self, index: usize, letter: Letter) -> Result<()> {
        self.shared.threads.check_process(Outcome::Unsent)?;
        let mailbox = self.shared.threads.mailbox(index);
        let mailbox = mailbox.ok_or_else(|| Error::shut_down(Outcome::Unsent))?;
        let mut letter = Some(letter);
        match std::future::poll_fn(|context| mailbox.poll_send(&mut letter, context)).await {
            true => Ok(()),
            false => Err(Error::shut_down(Outcome::Unsent)),
        }
    }

    fn bound(shared: Arc<Shared>) -> Self {
        let (number, handle) = shared.next_handle();
        let (shards, connections) = (shared.threads.len(), shared.config.connections_per_shard());
        let entry = EntryId(u32::try_from((number / shards) % connections).unwrap_or(0));
        let place = Place { shard: number % shards, entry, handle };
        Client::routed(shared, Route::Bound(place))
    }

    fn floating(&self, choice: Choice) -> Self {
        let (_, handle) = self.shared.next_handle();
        Client::routed(
            self.shared.clone(),
            Route::Floating { handle, choice, held: Arc::new(Held::default()) },
        )
    }

    fn routed(shared: Arc<Shared>, route: Route) -> Self {
        let overflow = Arc::new(Overflow::new(shared.waiting.clone()));
        Client { shared, route, overflow }
    }
}

impl Shared {
    fn new(threads: Threads, config: ResolvedConfig) -> Self {
        let loads = route::loads(threads.len());
        let waiting = Arc::new(WaitingRoom::new(config.waiting_max()));
        let (clones, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let unserved = (0..threads.len()).map(|_| Unserved::default()).collect();
        Shared { threads, config, clones, turns, loads, waiting, unserved }
    }

    /// A call failed before this shard took it up.
    fn count_unserved(&self, shard: usize, error: &Error) {
        if let Some(unserved) = self.unserved.get(shard) {
            unserved.count(error);
        }
    }

    /// The number of a new handle, and an id for it.
    fn next_handle(&self) -> (usize, HandleId) {
        let number = self.clones.fetch_add(1, Ordering::Relaxed);
        let handle = u32::try_from(number % FOREIGN_HANDLES as usize).unwrap_or(0) | FOREIGN_HANDLES;
        (number, HandleId(handle))
    }
}

/// Where it leads to; no user, and no password.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Client");
        fields.field("endpoint", &format_args!("{}", self.shared.config.endpoint()));
        fields.field("shards", &self.shards()).finish_non_exhaustive()
    }
}

impl Clone for Client {
    /// A handle of the same kind: one that is bound is bound to the next connection of the next shard.
    fn clone(&self) -> Self {
        match &self.route {
            Route::Bound(_) => Client::bound(self.shared.clone()),
            Route::ByKey { .. } => self.by_key(),
            Route::Floating { choice, .. } => self.floating(*choice),
        }
    }
}

async fn finished<T>(receiver: oneshot::Receiver<Result<T>>) -> Result<T> {
    receiver.await.unwrap_or_else(|_| Err(Error::shut_down(Outcome::Ambiguous)))
}

#[cfg(test)]
mod across_threads;
