//! [`Client`]: the handle for threads and runtimes other than the shards' own.

#[cfg(feature = "glommio")]
mod alarm;
mod backend;
#[cfg(all(benching, feature = "tokio"))]
pub(crate) mod bench;
mod counters;
#[cfg(feature = "glommio")]
mod deadline;
#[cfg(feature = "tokio")]
mod in_tokio;
#[cfg(feature = "glommio")]
mod mailed_call;
#[cfg(feature = "glommio")]
mod on_shards;
#[cfg(feature = "glommio")]
mod overflow;
#[cfg(feature = "tokio")]
mod pooled_call;
#[cfg(feature = "tokio")]
mod pools;
mod process;
mod reply;
mod route;
mod session;
#[cfg(feature = "glommio")]
mod spares;
mod state;
mod sticky;
mod subscribe;
mod sync;
#[cfg(feature = "glommio")]
mod threads;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::reply::ClientReply;
pub use self::session::Session;

use self::backend::Backend;
#[cfg(feature = "glommio")]
use self::mailed_call::MailedCall;
#[cfg(feature = "glommio")]
use self::overflow::Overflow;
#[cfg(feature = "tokio")]
use self::pooled_call::PooledCall;
#[cfg(feature = "tokio")]
use self::pools::Pools;
use self::reply::Call;
use self::route::{Destination, Route, RouteGuard, RoutePolicy};
use self::state::{ClientState, HandleState};
use self::sticky::StickyRoute;
use crate::command::typed::typed_commands;
use crate::command::{
    Batch, Carrier, Cmd, CommandName, Commands, FromReply, Pipeline, Run, Transaction, scans,
};
use crate::config::{Config, ResolvedConfig};
use crate::driver::stats::ShardStats;
use crate::error::Result;
use crate::proto::endpoint::Endpoint;
#[cfg(feature = "glommio")]
use crate::proto::error::Outcome;
use crate::proto::pool::EntryId;
use crate::proto::resp::{Encoder, Frame};

/// A set of shards, each on a thread of its own that is pinned to a core, and a handle to call them from anywhere.
///
/// A client that is started in tokio (feature `tokio`) has no threads: its shards are pools of connections in that runtime, and
/// callers use them directly. What this page says of mailboxes and of the shards' threads does not concern it.
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
    shared: Arc<HandleState>,
    route: Route,
    #[cfg(feature = "glommio")]
    overflow: Arc<Overflow>,
}

impl Client {
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
        let backend = other.shared.backend.share(&config)?;
        Ok(Client::bound(Arc::new(ClientState::new(backend, config))))
    }

    /// A handle that routes each call by its first argument, the key of most commands. All such handles route one key to the
    /// same connection, so that its commands keep their order.
    #[must_use]
    pub fn by_key(&self) -> Client {
        let (_, handle) = self.shared.next_handle();
        Client::routed(self.shared.client(), Route::ByKey { handle })
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
        self.shared.backend.ready(timeout).await
    }

    /// Asks the provider of [`Config::credentials`] for credentials, once, and logs every live connection of every shard
    /// in with them, between two commands: see
    /// [`Shard::renew_credentials`](crate::Shard::renew_credentials)(crate::Shard::renew_credentials).
    ///
    /// # Errors
    /// If there is no provider, or it returns nothing; or if the server refuses the credentials: then the connections stay
    /// logged in as before.
    pub async fn renew_credentials(&self) -> Result<()> {
        self.shared.backend.renew_credentials(&self.shared.config).await
    }

    /// Calls `handler` for each push of this name that a connection of this client receives: see [`Shard::on_push`](crate::Shard::on_push). It runs on
    /// the thread that reads the push, of several connections at the same time, and must not block.
    ///
    /// # Errors
    /// If the name is one of those by which servers announce maintenance, which the client handles itself; or if 64 names have a
    /// handler already; or if the client is shut down.
    pub async fn on_push(
        &self,
        name: &str,
        handler: impl Fn(&[Frame]) + Send + Sync + 'static,
    ) -> Result<()> {
        self.shared.backend.on_push(name, Arc::new(handler)).await
    }

    /// Counts of what happened on each shard so far, in the order of the shards. They include calls that failed before the
    /// shard accepted them. [`CommandStats::merge`](crate::observe::CommandStats::merge) adds them up.
    ///
    /// # Errors
    /// If a shard is shut down.
    pub async fn stats(&self) -> Result<Vec<ShardStats>> {
        let mut stats = self.shared.backend.stats().await?;
        for (stats, unserved) in stats.iter_mut().zip(self.shared.unserved()) {
            unserved.add_to(&mut stats.commands);
        }
        Ok(stats)
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shared.backend.shards()
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
        self.shared.backend.shut_down(grace).await
    }

    /// Sends any command.
    ///
    /// # Errors
    /// [`ErrorKind::Command`](crate::ErrorKind::Command), at once, if shared connections
    /// [do not carry](mod@crate::command) the command.
    pub fn run<T: FromReply>(&self, command: &Cmd) -> ClientReply<T> {
        let name = command.command_name();
        match command.carrier() {
            Ok(Carrier::Shared) => self.submit(name, None, |out| command.encode(out)),
            Ok(Carrier::Exclusive) => {
                let mut bytes = Vec::new();
                command.encode(&mut bytes);
                self.call_exclusive(name, bytes)
            }
            Err(error) => self.settled(name, Err(error)),
        }
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
        self.submit(name, None, |out| write(&mut Encoder::command(out, arguments)))
    }

    /// Sends what `encode` writes: a command, or a batch with so many replies.
    #[inline]
    fn submit<T: FromReply>(
        &self,
        name: CommandName,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> ClientReply<T> {
        #[cfg(feature = "tokio")]
        if let (Backend::Tokio(pools), Some((destination, guard))) =
            (&self.shared.backend, self.route.destination_of_any(&self.shared))
        {
            return self.submit_to(pools, name, batch, (destination, guard), encode);
        }
        #[cfg(feature = "glommio")]
        let mut bytes = spares::buffer();
        #[cfg(not(feature = "glommio"))]
        let mut bytes = Vec::new();
        encode(&mut bytes);
        self.call(name, bytes, batch)
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
        let (destination, guard) = self.route.destination(&self.shared, &bytes);
        self.call_at(destination, guard, name, bytes, batch)
    }

    /// Sends a command that is encoded already, and that may wait on the server: on a connection that it has for itself, of
    /// the shard that the handle would choose. Later calls of the handle do not wait for it.
    pub(crate) fn call_exclusive<T: FromReply>(&self, name: CommandName, bytes: Vec<u8>) -> ClientReply<T> {
        let (destination, _guard) = self.route.destination(&self.shared, &bytes);
        self.call_at(Destination { entry: EntryId::EXCLUSIVE, ..destination }, None, name, bytes, None)
    }

    fn call_at<T: FromReply>(
        &self,
        destination: Destination,
        guard: Option<RouteGuard>,
        name: CommandName,
        bytes: Vec<u8>,
        batch: Option<u32>,
    ) -> ClientReply<T> {
        match &self.shared.backend {
            #[cfg(feature = "glommio")]
            Backend::Threads(threads) => {
                if let Err(error) = threads.check_process(Outcome::Unsent) {
                    return self.settled(name, Err(error));
                }
                let call =
                    MailedCall::begin(&self.shared, threads, &self.overflow, destination, (bytes, batch));
                ClientReply::begin(self.shared.clone(), call.map(Call::Mailed), name, guard)
            }
            #[cfg(feature = "tokio")]
            Backend::Tokio(pools) => {
                let encode = |out: &mut Vec<u8>| out.extend_from_slice(&bytes);
                self.submit_to(pools, name, batch, (destination, guard), encode)
            }
        }
    }

    #[cfg(feature = "tokio")]
    #[inline]
    fn submit_to<T: FromReply>(
        &self,
        pools: &Pools,
        name: CommandName,
        batch: Option<u32>,
        (destination, guard): (Destination, Option<RouteGuard>),
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> ClientReply<T> {
        let call = PooledCall::begin(pools, destination, batch, encode);
        ClientReply::begin(self.shared.clone(), call.map(Call::Pooled), name, guard)
    }

    /// A reply whose result is known before anything is sent.
    fn settled<T: FromReply>(&self, name: CommandName, result: Result<Frame>) -> ClientReply<T> {
        ClientReply::settled(self.shared.clone(), result, name)
    }

    /// A handle that is bound to an entry of one shard.
    fn bound_to(&self, destination: Destination) -> Self {
        Client::routed(self.shared.client(), Route::Bound(destination))
    }

    fn bound(shared: Arc<ClientState>) -> Self {
        let (number, handle) = shared.next_handle();
        let (shards, connections) = (shared.backend.shards(), shared.config.connections_per_shard());
        let entry = EntryId(u32::try_from((number / shards) % connections).unwrap_or(0));
        let destination = Destination { shard: number % shards, entry, handle };
        Client::routed(shared, Route::Bound(destination))
    }

    fn floating(&self, policy: RoutePolicy) -> Self {
        let (_, handle) = self.shared.next_handle();
        Client::routed(
            self.shared.client(),
            Route::Floating { handle, policy, sticky: Arc::new(StickyRoute::default()) },
        )
    }

    fn routed(shared: Arc<ClientState>, route: Route) -> Self {
        #[cfg(feature = "glommio")]
        let overflow = Arc::new(Overflow::new(shared.waiting.clone()));
        Client {
            shared: HandleState::new(shared),
            route,
            #[cfg(feature = "glommio")]
            overflow,
        }
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
            Route::Bound(_) => Client::bound(self.shared.client()),
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

#[cfg(all(test, feature = "glommio"))]
mod across_threads;
