//! [`Client`]: the handle for threads and runtimes other than the shards' own.

mod alarm;
mod counters;
mod deadline;
mod fire_and_forget;
mod overflow;
mod process;
mod reply;
mod route;
mod state;
mod sticky;
mod sync;
mod threads;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

pub use self::reply::ClientReply;

use self::overflow::Overflow;
use self::route::{Destination, Route, RoutePolicy};
use self::state::ClientState;
use self::sticky::StickyRoute;
use self::threads::Threads;
use crate::command::typed::typed_commands;
use crate::command::{Batch, Cmd, CommandName, Commands, FromReply, Pipeline, Run, Transaction, scans};
use crate::config::{Config, ResolvedConfig};
use crate::error::{Error, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Outcome;
use crate::proto::pool::EntryId;
use crate::proto::resp::{Encoder, Frame};
use crate::shard::foreign::foreign_call;
use crate::shard::mailbox::Request;
use crate::shard::{Shard, ShardStats, machine, thread};

/// A set of shards, each on a thread of its own that is pinned to a core, and a handle to call them from anywhere.
///
/// Clones are cheap, and each is bound to the next connection of the next shard, in turn. Commands that are called on one
/// clone reach the server in the order of the calls. To use all connections, clone a handle for each task or thread. A handle
/// can also route each call [by its key](Client::by_key), to [the least loaded](Client::least_loaded) shard, or to the shard
/// [on the caller's core](Client::on_callers_core). Any runtime can await the replies, and plain threads can
/// [wait](ClientReply::wait) for them.
///
/// The mailbox of a shard holds 8192 commands. A call that finds it full waits for room when its reply is awaited, and so do
/// the later calls of its handle. [`Config::waiting_max`] bounds how many calls wait; with 0 such a call fails at once.
///
/// Dropping a reply cancels its command: `let _ = client.incr(…)` may execute nothing. To do without the reply, call
/// [`fire_and_forget`](ClientReply::fire_and_forget).
///
/// A call through a client crosses from one core to another and back. Code that runs on the shards themselves
/// ([`Client::run_on_each_shard`]) saves that.
///
/// When the last clone is dropped, the shards finish the accepted commands, and end. [`Client::shutdown`] waits for that.
///
/// A forked child has none of the threads. Every call there on a client of the parent fails as
/// [`ErrorKind::Misuse`](crate::ErrorKind::Misuse), and dropping that client leaves the parent's alone. The child can start a
/// client of its own. Fork on a shard's thread only to run another program.
pub struct Client {
    shared: Arc<ClientState>,
    route: Route,
    overflow: Arc<Overflow>,
}

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
        Ok(Client::bound(Arc::new(ClientState::new(threads, config))))
    }

    /// Starts a client whose shards run on the threads of another client. It saves threads in programs with several small
    /// clients.
    ///
    /// The clients share only the threads. This one has a pool, mailboxes, counts and events of its own, and hears of
    /// maintenance from its own server. Either can be shut down, or dropped, while the other serves; a thread ends with the
    /// last client on it. A task that panics ends the executor of all of them, and all of them start again.
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
    /// there are; or [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown) if the other client is shut down, and no further
    /// client uses its threads.
    pub fn start_with(other: &Client, config: Config) -> Result<Client> {
        let config = config.validate_on(&other.shared.config)?;
        let threads = Threads::share(&other.shared.threads, &config)?;
        Ok(Client::bound(Arc::new(ClientState::new(threads, config))))
    }

    /// A handle that routes each call by its first argument, the key of most commands. All such handles route one key to the
    /// same connection, so that its commands keep their order.
    #[must_use]
    pub fn by_key(&self) -> Client {
        let (_, handle) = self.shared.next_handle();
        Client::routed(self.shared.clone(), Route::ByKey { handle })
    }

    /// A handle that chooses the shard with the fewest open calls of such handles, and requests in its mailbox. It chooses only
    /// while none of its own calls is open, so that they keep their order.
    #[must_use]
    pub fn least_loaded(&self) -> Client {
        self.floating(RoutePolicy::LeastLoaded)
    }

    /// A handle that chooses the shard on the core that its caller runs on. A core without a shard has one that stands in for
    /// it. The handle chooses only while none of its own calls is open, so that they keep their order.
    #[must_use]
    pub fn on_callers_core(&self) -> Client {
        self.floating(RoutePolicy::CallersCore)
    }

    /// Waits until every connection of every shard is ready.
    ///
    /// # Errors
    /// If that takes longer than `timeout`: the last error of one connection.
    pub async fn ready(&self, timeout: Duration) -> Result<()> {
        let results = self.run_on_each_shard(move |shard| async move { shard.ready(timeout).await }).await?;
        results.into_iter().collect()
    }

    /// Runs a closure on every shard, and the future that it returns on that shard's thread. The future need not be `Send`.
    /// Returns the results in the order of the shards.
    ///
    /// # Errors
    /// If a shard is shut down before or while the future runs; or if the closure panics there, which does not affect the shard
    /// and its other tasks.
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
        finished(self.start_on(shard, run).await?).await
    }

    /// Asks the provider of [`Config::credentials`] for credentials, once, and logs every live connection of every shard
    /// in with them, between two commands: see [`Shard::renew_credentials`].
    ///
    /// # Errors
    /// If there is no provider, or it returns nothing; or if the server refuses the credentials: then the connections stay
    /// logged in as before.
    pub async fn renew_credentials(&self) -> Result<()> {
        let credentials = self.run_on(0, |shard| async move { shard.new_credentials().await }).await??;
        let log_in = move |shard: Shard| {
            let credentials = credentials.clone();
            async move { shard.log_in(credentials).await }
        };
        self.run_on_each_shard(log_in).await?.into_iter().collect()
    }

    /// Counts of what happened on each shard so far, in the order of the shards. They include calls that failed before the
    /// shard accepted them. [`CommandStats::merge`](crate::observe::CommandStats::merge) adds them up.
    ///
    /// # Errors
    /// If a shard is shut down.
    pub async fn stats(&self) -> Result<Vec<ShardStats>> {
        let mut stats = self.run_on_each_shard(|shard| async move { shard.stats() }).await?;
        for (stats, unserved) in stats.iter_mut().zip(self.shared.unserved()) {
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

    /// Accepts no new command, waits until every accepted command is answered, closes every connection, and joins every thread
    /// that no other client [shares](Client::start_with). It concerns all clones. Closures that still run on the shards are
    /// dropped then, and their callers get an error.
    ///
    /// # Errors
    /// If commands were given up because they were not answered within `grace`; each of them failed with an error of its own.
    /// The client is shut down all the same. On one of the client's own shards the error is
    /// [`ErrorKind::Misuse`](crate::ErrorKind::Misuse), and nothing is shut down: the thread cannot wait for its own end. Drop
    /// the last handle there instead.
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
            // A shard that is gone needs no shutdown.
            if self.post(index, Request::ShutDown { grace, done }).await.is_ok() {
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
    /// [`ErrorKind::Command`](crate::ErrorKind::Command), at once, if shared connections
    /// [do not carry](mod@crate::command) the command.
    pub fn run<T: FromReply>(&self, command: &Cmd) -> ClientReply<T> {
        if let Some(error) = command.refusal() {
            return self.settled(command.command_name(), Err(error));
        }
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        self.call(command.command_name(), bytes, None)
    }

    /// Begins a batch of commands that go out together.
    pub fn pipeline(&self) -> Pipeline<'_, Client> {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together, without commands of other callers in between.
    pub fn transaction(&self) -> Transaction<'_, Client> {
        Transaction::new(self)
    }

    typed_commands!(ClientReply);

    scans!(pub);

    #[inline]
    fn send<T: FromReply>(
        &self,
        name: CommandName,
        arguments: usize,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> ClientReply<T> {
        let mut bytes = Vec::with_capacity(COMMAND_RESERVED);
        write(&mut Encoder::command(&mut bytes, arguments));
        self.call(name, bytes, None)
    }

    fn call_batch<T: FromReply>(&self, batch: Batch) -> ClientReply<T> {
        match batch {
            Batch { refused: Some(error), name, .. } => self.settled(name, Err(error)),
            Batch { commands: 0, name, .. } => self.settled(name, Ok(Frame::Array(Vec::new()))),
            Batch { bytes, commands, name, .. } => self.call(name, bytes, Some(commands)),
        }
    }

    /// Sends a command, or a batch with so many replies, that is encoded already.
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
        let (Destination { shard, entry, handle }, guard) = self.route.destination(&self.shared, &bytes);
        let request = Request::Call { bytes, batch, entry, handle, caller };
        let sent = self.overflow.send(&self.shared.threads, shard, request);
        ClientReply::begin(self.shared.clone(), &self.overflow, sent, (call, shard), name, guard)
    }

    /// A reply whose result is known before anything is sent.
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
        self.post(index, Request::Run(Box::new(start))).await?;
        Ok(receiver)
    }

    async fn post(&self, index: usize, request: Request) -> Result<()> {
        self.shared.threads.check_process(Outcome::Unsent)?;
        let mailbox = self.shared.threads.mailbox(index);
        let mailbox = mailbox.ok_or_else(|| Error::shut_down(Outcome::Unsent))?;
        let mut request = Some(request);
        match std::future::poll_fn(|context| mailbox.poll_send(&mut request, context)).await {
            true => Ok(()),
            false => Err(Error::shut_down(Outcome::Unsent)),
        }
    }

    fn bound(shared: Arc<ClientState>) -> Self {
        let (number, handle) = shared.next_handle();
        let (shards, connections) = (shared.threads.len(), shared.config.connections_per_shard());
        let entry = EntryId(u32::try_from((number / shards) % connections).unwrap_or(0));
        let destination = Destination { shard: number % shards, entry, handle };
        Client::routed(shared, Route::Bound(destination))
    }

    fn floating(&self, policy: RoutePolicy) -> Self {
        let (_, handle) = self.shared.next_handle();
        Client::routed(
            self.shared.clone(),
            Route::Floating { handle, policy, sticky: Arc::new(StickyRoute::default()) },
        )
    }

    fn routed(shared: Arc<ClientState>, route: Route) -> Self {
        let overflow = Arc::new(Overflow::new(shared.waiting.clone()));
        Client { shared, route, overflow }
    }
}

/// The endpoint that it leads to; neither the user nor the password.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Client");
        fields.field("endpoint", &format_args!("{}", self.shared.config.endpoint()));
        fields.field("shards", &self.shards()).finish_non_exhaustive()
    }
}

impl Clone for Client {
    /// A handle with the same kind of route. A bound handle is bound to the next connection of the next shard.
    fn clone(&self) -> Self {
        match &self.route {
            Route::Bound(_) => Client::bound(self.shared.clone()),
            Route::ByKey { .. } => self.by_key(),
            Route::Floating { policy, .. } => self.floating(*policy),
        }
    }
}

// The methods are the client's own: listing them twice would only lengthen the documentation.
#[doc(hidden)]
impl Run for Client {
    type Reply<T: FromReply> = ClientReply<T>;

    #[inline]
    fn run<T: FromReply>(&self, command: &Cmd) -> ClientReply<T> {
        Client::run(self, command)
    }

    fn run_batch<T: FromReply>(&self, batch: Batch) -> ClientReply<T> {
        self.call_batch(batch)
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.config().endpoint())
    }
}

#[doc(hidden)]
impl Commands for Client {
    typed_commands!((Client));
}

async fn finished<T>(receiver: oneshot::Receiver<Result<T>>) -> Result<T> {
    receiver.await.unwrap_or_else(|_| Err(Error::shut_down(Outcome::Ambiguous)))
}

/// Room for a short command, so that encoding it allocates once.
const COMMAND_RESERVED: usize = 128;

#[cfg(test)]
mod across_threads;
