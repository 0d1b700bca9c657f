//! [`Shard`]: one thread, one executor, one pool, and the handle to it for tasks on that thread.
//!
//! The sans-IO core decides; this layer moves bytes and wakes callers. Four kinds of task run on a shard beside those of the
//! application:
//!
//! | task | what it does |
//! |---|---|
//! | [`supervisor`] | executes what the pool asks for, and keeps the shard's one timer |
//! | [`reactor`] | learns which sockets can be read or written |
//! | [`driver`], one for each connection | moves bytes between its socket and the pool |
//! | [`mailbox`], where a [`Client`](crate::Client) started the shard | serves the requests of other threads |
//!
//! [`state`] holds what they share.

#[cfg(any(benching, test))]
mod bare;
#[cfg(benching)]
pub(crate) mod bench;
pub(crate) mod channel;
mod closures;
mod executor;
pub(crate) mod host;
pub(crate) mod machine;
pub(crate) mod mailbox;
pub(crate) mod reactor;
mod reply;
mod runtime;
mod session;
mod subscribe;
mod tenancy;
pub(crate) mod tenant_queue;
pub(crate) mod thread;

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

pub use self::reply::Reply;

use self::reactor::IdleConfig;
use self::runtime::Glommio;
use crate::command::typed::typed_commands;
use crate::command::{
    Batch, Carrier, Cmd, CommandName, Commands, FromReply, Pipeline, Run, Transaction, scans,
};
use crate::config::{Config, ResolvedConfig};
use crate::driver::broadcast::{Member, ShardGroup};
use crate::driver::runtime::StateCell;
use crate::driver::state::{ShardState, Shared};
use crate::driver::stats::{self, ShardStats};
use crate::driver::subscriptions::SubscriptionHub;
use crate::driver::tasks::{Spawn, Task};
use crate::driver::{credentials, supervisor};
use crate::error::{Error, Result};
use crate::proto::connection::{Credentials, HandleId};
use crate::proto::endpoint::Endpoint;
use crate::proto::pool::EntryId;
use crate::proto::resp::{Encoder, Frame};

/// A handle to the pool of connections on this thread.
///
/// Each clone is bound to the next connection of the pool, in turn. Commands that are called on one handle reach the server
/// in the order of the calls. To use all connections, clone a handle for each task. Commands that become ready in the same
/// turn of the executor share one write.
///
/// A method queues its command when it is *called*; the future that it returns only waits for the reply:
///
/// ```no_run
/// # async fn example(shard: &hitless::Shard) -> hitless::Result<()> {
/// let first = shard.incr("a");                    // both are on their way
/// let second = shard.get::<String>("b");
/// println!("{} {}", first.await?, second.await?);
/// # Ok(())
/// # }
/// ```
///
/// Tasks on a shard may have up to 30,000 calls open. Further calls fail as [`Overloaded`](crate::ErrorKind::Overloaded),
/// unsent.
///
/// Shards live on their thread: a handle is neither `Send` nor `Sync`. [`Client`](crate::Client) is both. When the last handle
/// is dropped, the connections close once every accepted command is answered.
pub struct Shard {
    shared: Shared<Glommio>,
    entry: EntryId,
    handle: HandleId,
}

impl Shard {
    /// Starts a pool on the glommio executor that this is called on, and waits until every connection is ready.
    ///
    /// The settings for the number of shards and their cores have no effect here: the executor is yours. If you run several,
    /// call [`Shard::connect_in`] with a group.
    ///
    /// # Errors
    /// If the configuration is wrong, or no connection can be made within the connect timeout; and
    /// [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) where no glommio executor runs, such as in tokio.
    pub async fn connect(config: Config) -> Result<Shard> {
        Shard::connect_in(&ShardGroup::new(1), config).await
    }

    /// The same for one of several shards on as many executors. They tell each other what their server announces.
    ///
    /// # Errors
    /// As [`Shard::connect`]; and if the group was made for fewer shards. A shard that fails to connect leaves the group.
    pub async fn connect_in(group: &ShardGroup, config: Config) -> Result<Shard> {
        executor::must_run_here()?;
        let config = config.validate()?;
        let timeout = config.connect_timeout();
        let wait_before_park = config.wait_before_park().unwrap_or(false);
        let idle = IdleConfig { spin: config.spin_before_park(), wait_before_park };
        let shard = Shard::start(config, Arc::new(group.join()?), SubscriptionHub::new(), None, idle);
        shard.ready(timeout).await?;
        Ok(shard)
    }

    /// Waits until every connection of the pool is ready.
    ///
    /// # Errors
    /// If that takes longer than `timeout`: the last error of one connection. At once, if the server refuses the credentials.
    pub async fn ready(&self, timeout: Duration) -> Result<()> {
        supervisor::wait_until_ready(&self.shared, timeout).await
    }

    /// Accepts no new command, waits until every accepted command is answered, and closes every connection. It concerns all
    /// handles of this shard.
    ///
    /// # Errors
    /// If that takes longer than `grace`: how many calls were given up. Each of them fails with an error of its own.
    pub async fn shutdown(&self, grace: Duration) -> Result<()> {
        supervisor::shut_down(&self.shared, grace).await
    }

    /// Asks the provider of [`Config::credentials`] for credentials, and logs every live connection of this shard in with
    /// them, between two commands. No command waits for the login, and no handoff is disturbed. New connections, and those that
    /// are being made, use the same credentials until the provider returns others. Returns when the server has answered on
    /// every connection.
    ///
    /// # Errors
    /// If there is no provider, or it returns nothing; or if the server refuses the credentials
    /// ([`ErrorKind::Auth`](crate::ErrorKind::Auth)): then the connections stay logged in as before.
    pub async fn renew_credentials(&self) -> Result<()> {
        let credentials = self.new_credentials().await?;
        self.log_in(credentials).await
    }

    /// The number of this shard in its client or group, from 0.
    pub fn index(&self) -> usize {
        self.shared.member.index()
    }

    /// The CPU that the client has pinned this shard to, if it has.
    pub fn cpu(&self) -> Option<usize> {
        self.shared.pinned_to
    }

    /// Counts of what happened on this shard so far.
    pub fn stats(&self) -> ShardStats {
        stats::collect(&mut self.shared.state.lock())
    }

    /// Calls `handler` for each push of this name that a connection of this shard receives. The case of the name does not
    /// matter, and the handler gets what follows the name. It runs between other tasks of this thread, and must not block.
    ///
    /// A later handler replaces an earlier one of the same name. A panic in a handler is caught, and logged once. The shard
    /// keeps its handlers until it is shut down: a handler that holds a [`Shard`] keeps the shard from ending by itself.
    ///
    /// ```no_run
    /// # fn example(shard: &hitless::Shard) -> hitless::Result<()> {
    /// shard.on_push("invalidate", |items| println!("gone: {items:?}"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the name is one of those by which servers announce maintenance, which the shard handles itself; or if 64 names have
    /// a handler already; or if the shard is shut down.
    pub fn on_push(&self, name: &str, handler: impl FnMut(&[Frame]) + 'static) -> Result<()> {
        self.shared.on_push(name, RefCell::new(Box::new(handler)))
    }

    /// Sends any command.
    ///
    /// # Errors
    /// [`ErrorKind::Command`](crate::ErrorKind::Command), at once, if shared connections
    /// [do not carry](mod@crate::command) the command.
    #[inline]
    pub fn run<T: FromReply>(&self, command: &Cmd) -> Reply<T> {
        let (name, encode) = (command.command_name(), |out: &mut Vec<u8>| command.encode(out));
        match command.carrier() {
            Ok(Carrier::Shared) => self.submit(name, None, encode),
            Ok(Carrier::Exclusive) => self.submit_to(EntryId::EXCLUSIVE, name, None, encode),
            Err(error) => Reply::settled(Err(error), name),
        }
    }

    /// Sends any command, unless it would have to wait for room in the queue.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded), at once, if it would.
    pub fn try_run<T: FromReply>(&self, command: &Cmd) -> Result<Reply<T>> {
        let has_room = self.shared.state.lock().pool.has_room(self.entry);
        if !has_room {
            let error = Error::overloaded("the queue of its connection is full");
            return Err(error.of(command.command_name()).at(self.shared.config.endpoint()));
        }
        Ok(self.run(command))
    }

    /// Begins a batch of commands that go out together.
    pub fn pipeline(&self) -> Pipeline<'_, Shard> {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together, without commands of other callers in between.
    pub fn transaction(&self) -> Transaction<'_, Shard> {
        Transaction::new(self)
    }

    typed_commands!(Reply);

    scans!(pub);

    #[inline]
    fn send<T: FromReply>(
        &self,
        name: CommandName,
        arguments: usize,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> Reply<T> {
        self.submit(name, None, |out| write(&mut Encoder::command(out, arguments)))
    }

    fn submit_batch<T: FromReply>(&self, batch: Batch) -> Reply<T> {
        match batch {
            Batch { refused: Some(error), name, .. } => Reply::settled(Err(error), name),
            Batch { commands: 0, name, .. } => Reply::settled(Ok(Frame::Array(Vec::new())), name),
            Batch { bytes, commands, name, .. } => {
                self.submit(name, Some(commands), |out| out.extend_from_slice(&bytes))
            }
        }
    }

    #[inline]
    fn submit<T: FromReply>(
        &self,
        name: CommandName,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Reply<T> {
        self.submit_to(self.entry, name, batch, encode)
    }

    #[inline(always)]
    fn submit_to<T: FromReply>(
        &self,
        entry: EntryId,
        name: CommandName,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Reply<T> {
        match self.shared.submit(entry, self.handle, batch, encode) {
            Ok(call) => Reply::open(self.shared.clone(), call, name),
            Err(error) => Reply::settled(Err(error.at(self.shared.config.endpoint())), name),
        }
    }
}

/// What the layers above use, beside the public methods.
impl Shard {
    /// Starts a pool, whose connections are made in the background.
    fn start(
        config: ResolvedConfig,
        member: Arc<Member>,
        hub: Arc<SubscriptionHub>,
        pinned_to: Option<usize>,
        idle: IdleConfig,
    ) -> Shard {
        let shard = Shard::at_rest(config, member, hub, pinned_to);
        let Shard { shared, .. } = &shard;
        shared.runtime.spawn(Task::Supervise(shared.clone()));
        shared.runtime.spawn(Task::Listen(shared.clone()));
        shared.runtime.spawn(Task::Subscribe(shared.clone()));
        let replies_are_due = {
            let shared = shard.downgrade();
            move || shared.upgrade().is_some_and(|shared| shared.state.lock().calls.len() > 0)
        };
        let blocked = {
            let shared = shard.downgrade();
            move |time| {
                if let Some(shared) = shared.upgrade() {
                    shared.note_stall(time, None);
                }
            }
        };
        let reactor = shard.shared.runtime.reactor.clone();
        glommio::spawn_local(reactor.run(idle, replies_are_due, blocked)).detach();
        shard
    }

    /// A pool whose tasks do not run yet.
    fn at_rest(
        config: ResolvedConfig,
        member: Arc<Member>,
        hub: Arc<SubscriptionHub>,
        pinned_to: Option<usize>,
    ) -> Shard {
        let runtime = Glommio::new(config.sockets());
        let shared = Shared(Rc::new(ShardState::new(runtime, config, member, hub, pinned_to)));
        let (entry, handle) = shared.add_handle();
        Shard { shared, entry, handle }
    }

    /// The credentials that the provider returns now.
    pub(crate) async fn new_credentials(&self) -> Result<Credentials> {
        credentials::renewed(&self.shared.runtime, &self.shared.config).await
    }

    /// Logs every live connection in with these credentials.
    pub(crate) async fn log_in(&self, credentials: Credentials) -> Result<()> {
        self.shared.renew(credentials);
        supervisor::wait_until_renewed(&self.shared).await
    }

    /// Runs a closure of a caller on another thread, and its future beside the other tasks of this thread. The caller gets the
    /// result, the panic, or nothing if the shard ends first.
    pub(crate) fn run_closure<F, Fut, T>(self, run: F, caller: oneshot::Sender<Result<T>>)
    where
        F: FnOnce(Shard) -> Fut + 'static,
        Fut: Future<Output = T> + 'static,
        T: 'static,
    {
        let (shared, shard) = (self.shared.clone(), self.clone());
        let (closures, clock) = (shared.runtime.closures.clone(), shared.clock);
        // A closure may block the thread: each poll of it is timed under the name of its type.
        let polled_for = move |time| shared.note_stall(time, Some(type_name::<F>()));
        closures.spawn(async move { run(shard).await }, caller, clock, polled_for);
    }

    /// The shard, for as long as it lives.
    pub(crate) fn downgrade(&self) -> Weak<ShardState<Glommio>> {
        Rc::downgrade(&self.shared.0)
    }
}

/// The endpoint that it leads to; neither the user nor the password.
impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Shard");
        fields.field("index", &self.index());
        fields.field("endpoint", &format_args!("{}", self.shared.config.endpoint())).finish_non_exhaustive()
    }
}

impl Clone for Shard {
    fn clone(&self) -> Self {
        let (entry, handle) = self.shared.add_handle();
        Shard { shared: self.shared.clone(), entry, handle }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if self.shared.remove_handle() {
            // The executor may end before the supervisor does.
            self.shared.member.leave();
            // Replies may still be awaited, for as long as any reply may take.
            supervisor::begin_shutdown(&self.shared, self.shared.config.last_replies());
        }
    }
}

// The methods are the shard's own: listing them twice would only lengthen the documentation.
#[doc(hidden)]
impl Run for Shard {
    type Reply<T: FromReply> = Reply<T>;

    #[inline]
    fn run<T: FromReply>(&self, command: &Cmd) -> Reply<T> {
        Shard::run(self, command)
    }

    fn run_batch<T: FromReply>(&self, batch: Batch) -> Reply<T> {
        self.submit_batch(batch)
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.shared.config.endpoint())
    }
}

#[doc(hidden)]
impl Commands for Shard {
    typed_commands!((Shard));
}

#[cfg(test)]
mod tests;
