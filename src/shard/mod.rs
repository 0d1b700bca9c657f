//! [`Shard`]: one thread, one executor, one pool, and the door to it for tasks on that thread.
//!
//! The layer below decides; this one moves bytes and wakes callers. Four kinds of task run on a shard beside the
//! application's own: a [pilot](pilot) that does what the pool asks for and keeps its one timer, a [poller](poller) that
//! learns which sockets can be used, a [driver](driver) for each connection, and, where a [`Client`](crate::Client)
//! started the shard, one that empties the [mailbox].

#[cfg(any(benching, test))]
mod bare;
#[cfg(benching)]
pub(crate) mod bench;
mod broadcast;
mod calls;
pub(crate) mod channel;
mod closures;
mod commands;
mod credentials;
mod driver;
mod executor;
pub(crate) mod foreign;
pub(crate) mod host;
pub(crate) mod lobby;
pub(crate) mod machine;
pub(crate) mod mailbox;
mod pilot;
mod pipeline;
mod poller;
pub(crate) mod probe;
mod pushes;
mod reply;
mod resolve;
mod seats;
mod stalls;
mod stats;
mod tenancy;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod thread;
mod told;
mod transport;

use std::cell::RefCell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::{self, Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

pub use self::broadcast::ShardGroup;
pub use self::reply::Reply;
pub use self::stats::ShardStats;

pub(crate) use self::broadcast::Member;
#[cfg(feature = "load")]
pub(crate) use self::calls::CALLS_MAX;
use self::calls::Calls;
pub(crate) use self::calls::{Call, Departure};
use self::poller::Idling;
use self::pushes::Handler;
use self::seats::Seats;
use crate::command::{Cmd, CommandName, FromReply};
use crate::config::{Config, ResolvedConfig};
use crate::error::{Error, Result};
use crate::proto::connection::{Credentials, HandleId, Position, READ_MAX, Ticket};
use crate::proto::error::Outcome;
use crate::proto::pool::{Action, DeadlineId, EntryId, Pool};
use crate::proto::resp::Frame;
use crate::proto::time::Instant;

/// A handle to the pool of connections on this thread.
///
/// Each clone is bound to the next connection of the pool, in turn; commands that are called on one handle reach the
/// server in the order of the calls. To use all connections, clone a handle for each task. Commands that become
/// ready in the same turn of the executor share one write.
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
/// Tasks on a shard may have up to 30,000 calls open; more are refused as [`Overloaded`](crate::ErrorKind::Overloaded),
/// unsent.
///
/// Shards live on their thread: a handle is neither `Send` nor `Sync`. [`Client`](crate::Client) is both. When the
/// last handle is dropped, the connections close once every accepted command is answered.
pub struct Shard {
    inner: Rc<Inner>,
    entry: EntryId,
    handle: HandleId,
}

pub(crate) struct Inner {
    core: RefCell<Core>,
    config: ResolvedConfig,
    clock: Clock,
    lookups: resolve::Lookups,
    closures: closures::Closures,
    stalls: stalls::Stalls,
    poller: Rc<poller::Poller>,
    member: Arc<Member>,
    pinned_to: Option<usize>,
}

struct Core {
    pool: Pool,
    calls: Calls,
    seats: Seats,
    /// What a socket received, for as long as it is taken in: one driver runs at a time.
    read_buffer: Box<[u8]>,
    pilot: pilot::PilotSeat,
    /// Those who wait for the pool to be ready, or shut down.
    watchers: Vec<Waker>,
    /// How many [`Shard`]s there are. Without any, the pool shuts down.
    handles: usize,
    next_handle_id: u32,
    peers: stats::Peers,
    broadcasts_dropped: u64,
}

/// Counts from the same moment on all shards of the process: what one of them reads, others are told of.
#[derive(Clone, Copy)]
struct Clock(std::time::Instant);

impl Clock {
    fn of_process() -> Self {
        static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
        Clock(*ORIGIN.get_or_init(std::time::Instant::now))
    }

    fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Shard {
    /// Starts a pool on the glommio executor that this is called on, and waits until every connection is ready.
    ///
    /// The settings that say how many shards there are, and where, mean nothing here: the executor is yours. If there
    /// are several, [`Shard::connect_in`] a group.
    ///
    /// # Errors
    /// If the configuration is wrong, or no connection can be made within the connect timeout; and
    /// [`ErrorKind::Misuse`](crate::ErrorKind::Misuse) where no glommio executor runs, such as in tokio.
    pub async fn connect(config: Config) -> Result<Shard> {
        Shard::connect_in(&ShardGroup::new(1), config).await
    }

    /// The same for one of several shards, on as many executors, which tell each other what their server announces.
    ///
    /// # Errors
    /// As [`Shard::connect`]; and if the group was made for fewer shards. One that failed has left its seat again.
    pub async fn connect_in(group: &ShardGroup, config: Config) -> Result<Shard> {
        executor::must_run_here()?;
        let config = config.validate()?;
        let timeout = config.connect_timeout();
        let naps = config.wait_before_park().unwrap_or(false);
        let idling = Idling { spin: config.spin_before_park(), naps };
        let shard = Shard::start(config, Arc::new(group.join()?), None, idling);
        shard.ready(timeout).await?;
        Ok(shard)
    }

    /// Starts a pool; its connections are made in the background.
    fn start(config: ResolvedConfig, member: Arc<Member>, pinned_to: Option<usize>, idling: Idling) -> Shard {
        let shard = Shard::at_rest(config, member, pinned_to);
        pilot::spawn(&shard.inner);
        pilot::spawn_listener(&shard.inner);
        let replies_are_due = {
            let inner = Rc::downgrade(&shard.inner);
            move || inner.upgrade().is_some_and(|inner| inner.core.borrow().calls.len() > 0)
        };
        let blocked = {
            let inner = Rc::downgrade(&shard.inner);
            move |time| {
                if let Some(inner) = inner.upgrade() {
                    inner.note_stall(time, None);
                }
            }
        };
        let poller = shard.inner.poller.clone();
        glommio::spawn_local(poller.attend(idling, replies_are_due, blocked)).detach();
        shard
    }

    /// A pool that nobody drives yet.
    fn at_rest(config: ResolvedConfig, member: Arc<Member>, pinned_to: Option<usize>) -> Shard {
        let clock = Clock::of_process();
        let mut pool = Pool::new(config.pool(fastrand::u64(..)), clock.now());
        let entry = pool.assign();
        let seats = Seats::new(config.connections_per_shard());
        let core = Core {
            pool,
            calls: Calls::with_waiting(config.waiting_max()),
            seats,
            read_buffer: vec![0; READ_MAX].into_boxed_slice(),
            pilot: pilot::PilotSeat::default(),
            watchers: Vec::new(),
            handles: 1,
            next_handle_id: 1,
            peers: stats::Peers::default(),
            broadcasts_dropped: 0,
        };
        let lookups = resolve::Lookups::new(&config, clock);
        let poller = poller::Poller::new();
        let (core, closures) = (RefCell::new(core), closures::Closures::default());
        let stalls = stalls::Stalls::default();
        let inner =
            Rc::new(Inner { core, config, clock, lookups, closures, stalls, poller, member, pinned_to });
        Shard { inner, entry, handle: HandleId(0) }
    }

    /// Waits until every connection of the pool is ready.
    ///
    /// # Errors
    /// If that takes longer than `timeout`: what stood in the way of one of them. At once, if the server refuses the
    /// credentials.
    pub async fn ready(&self, timeout: Duration) -> Result<()> {
        pilot::wait_until_ready(&self.inner, timeout).await
    }

    /// Accepts no new command, waits until those that were accepted are answered, and closes every connection. It
    /// concerns all handles of this shard.
    ///
    /// # Errors
    /// If that takes longer than `grace`: how many calls were given up, each of which got an error of its own.
    pub async fn shutdown(&self, grace: Duration) -> Result<()> {
        pilot::shut_down(&self.inner, grace).await
    }

    /// Asks the provider of [`Config::credentials`] for credentials, and logs every live connection of this shard in
    /// with them, between two commands: no command waits for it, and no handoff is disturbed. New connections, and those
    /// that are being made, use them too until the provider says otherwise. Returns when the server has answered on
    /// every connection.
    ///
    /// # Errors
    /// If there is no provider, or it has nothing; or if the server refuses them
    /// ([`ErrorKind::Auth`](crate::ErrorKind::Auth)): connections then live on as whoever they were.
    pub async fn renew_credentials(&self) -> Result<()> {
        let credentials = self.new_credentials().await?;
        self.log_in(credentials).await
    }

    /// What the provider hands out now.
    pub(crate) async fn new_credentials(&self) -> Result<Credentials> {
        credentials::renewed(&self.inner.config).await
    }

    /// Logs every live connection in with these.
    pub(crate) async fn log_in(&self, credentials: Credentials) -> Result<()> {
        self.inner.renew(credentials);
        pilot::wait_until_renewed(&self.inner).await
    }

    /// Which of its client's shards this is, or which of its group's, from 0.
    pub fn index(&self) -> usize {
        self.inner.member.index()
    }

    /// The core that this shard is pinned to by its client, if it is.
    pub fn core(&self) -> Option<usize> {
        self.inner.pinned_to
    }

    /// Counts of what happened on this shard so far.
    pub fn stats(&self) -> ShardStats {
        let mut core = self.inner.core.borrow_mut();
        stats::collect(&mut core)
    }

    /// Calls `handler` for each push with this name, in any case, that a connection of this shard receives: with what
    /// follows the name. It runs between other tasks of this thread, and must not block.
    ///
    /// A later handler for the same name takes the place of an earlier one; a panic in it is caught, and logged once.
    /// It is kept until the shard is shut down: one that holds a [`Shard`] keeps the shard from ending by itself.
    ///
    /// ```no_run
    /// # fn example(shard: &hitless::Shard) -> hitless::Result<()> {
    /// shard.on_push("invalidate", |items| println!("gone: {items:?}"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the name is one of those by which servers announce maintenance, which the shard handles itself, or there are
    /// handlers for 64 names already, or the shard is shut down.
    pub fn on_push(&self, name: &str, handler: impl FnMut(&[Frame]) + 'static) -> Result<()> {
        let handler = Handler::new(name, handler)?;
        let mut core = self.inner.core.borrow_mut();
        let inserted = match core.pilot.landed {
            true => Err(Error::shut_down(Outcome::Unsent)),
            false => core.calls.pushes.insert(handler.clone()),
        };
        // Handlers may run code when they are dropped, the one before as well as one that was refused.
        drop(core);
        inserted.map(drop)
    }

    /// Sends any command.
    ///
    /// # Errors
    /// [`ErrorKind::Command`](crate::ErrorKind::Command), at once, if it is one that shared connections
    /// [do not carry](mod@crate::command).
    #[inline]
    pub fn run<T: FromReply>(&self, command: &Cmd) -> Reply<T> {
        if let Some(error) = command.refusal() {
            return Reply::settled(Err(error), command.command_name());
        }
        self.submit(command.command_name(), None, |out| command.encode(out))
    }

    /// Sends any command, unless it would have to wait for room in the queue.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded), at once, if it would.
    pub fn try_run<T: FromReply>(&self, command: &Cmd) -> Result<Reply<T>> {
        let has_room = self.inner.core.borrow().pool.has_room(self.entry);
        if !has_room {
            let error = Error::overloaded("the queue of its connection is full");
            return Err(error.of(command.command_name()).at(self.inner.config.endpoint()));
        }
        Ok(self.run(command))
    }

    #[inline]
    fn submit<T: FromReply>(
        &self,
        name: CommandName,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Reply<T> {
        let submitted = self.inner.submit(self.entry, self.handle, batch, encode);
        match submitted {
            Ok((ticket, position)) => Reply::open(self.inner.clone(), ticket, self.entry, position, name),
            Err(error) => Reply::settled(Err(error.at(self.inner.config.endpoint())), name),
        }
    }

    /// Runs a future beside what else runs on this thread. It begins at once.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(future).detach();
    }

    /// The shard, for as long as it lives.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Rc::downgrade(&self.inner)
    }
}

/// Where it leads to; no user, and no password.
impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Shard");
        fields.field("index", &self.index());
        fields.field("endpoint", &format_args!("{}", self.inner.config.endpoint())).finish_non_exhaustive()
    }
}

impl Clone for Shard {
    fn clone(&self) -> Self {
        let mut core = self.inner.core.borrow_mut();
        core.handles += 1;
        Shard { inner: self.inner.clone(), entry: core.pool.assign(), handle: core.new_handle_id() }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        let is_last = {
            let mut core = self.inner.core.borrow_mut();
            core.handles -= 1;
            core.handles == 0
        };
        if is_last {
            // The executor may end before the pilot does.
            self.inner.member.leave();
            // Replies may still be awaited, for as long as any reply may take.
            pilot::begin_shutdown(&self.inner, self.inner.config.last_replies());
        }
    }
}

impl Inner {
    #[inline]
    fn submit(
        &self,
        entry: EntryId,
        handle: HandleId,
        batch: Option<u32>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Ticket, Position)> {
        self.poller.stir();
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        let ticket = core.calls.open(batch)?;
        match core.pool.submit(entry, handle, ticket, batch.unwrap_or(1), encode) {
            Ok(position) => {
                core.notify(entry);
                Ok((ticket, position))
            }
            Err(failure) => {
                core.calls.withdraw(ticket, &failure);
                Err(failure.into())
            }
        }
    }

    fn cancel(&self, ticket: Ticket, entry: EntryId, position: Position, deadline: Option<DeadlineId>) {
        // A waker may be dropped with what is left behind: not while the core is borrowed.
        let _left = {
            let mut core = self.core.borrow_mut();
            if let Some(deadline) = deadline {
                core.pool.clear_deadline(deadline);
            }
            let (open, left) = core.calls.leave(ticket);
            if open {
                core.pool.abandon(entry, position);
                core.ask_pilot();
            }
            left
        };
    }

    /// The command runs, and its answer is dropped.
    fn forget(&self, ticket: Ticket, deadline: Option<DeadlineId>) {
        // A waker may be dropped with what is left behind: not while the core is borrowed.
        let _left = {
            let mut core = self.core.borrow_mut();
            if let Some(deadline) = deadline {
                core.pool.clear_deadline(deadline);
            }
            core.calls.forget(ticket)
        };
    }

    /// Gives an open call a deadline of its own, which takes the place of `earlier`.
    fn set_deadline(
        &self,
        call: (Ticket, EntryId, Position),
        time: Duration,
        earlier: Option<DeadlineId>,
    ) -> Option<DeadlineId> {
        let (ticket, entry, position) = call;
        let now = self.clock.now();
        let mut core = self.core.borrow_mut();
        if let Some(earlier) = earlier {
            core.pool.clear_deadline(earlier);
        }
        if !core.calls.is_open(ticket) {
            return None;
        }
        let deadline = core.pool.set_deadline(entry, position, ticket, time, now);
        core.pilot.arm(Some(now.after(time)), now);
        Some(deadline)
    }

    /// The executor has died, and runs none of this any more: whoever waits learns of it, and the seat is free.
    pub(crate) fn die(&self) {
        self.member.leave();
        let calls = self.core.try_borrow_mut().map(|mut core| std::mem::take(&mut core.calls));
        // Dropping them tells the callers on other threads.
        drop(calls);
        self.closures.end_all();
    }

    /// Something ran for so long, up to now; it is told if nothing else could run for too long. Nothing may be borrowed.
    #[inline]
    fn note_stall(&self, time: Duration, by: Option<&'static str>) {
        if self.stalls.note(time, by, self.clock.now()) {
            self.core.borrow_mut().pilot.wake();
        }
    }

    fn renew(&self, credentials: Credentials) {
        let mut core = self.core.borrow_mut();
        core.pool.renew(credentials, self.clock.now());
        core.pilot.wake();
    }

    fn next_action(&self) -> Option<Action> {
        self.core.borrow_mut().pool.poll_action()
    }

    /// Wakes those whose calls were answered, and hands out pushes. Nothing may be borrowed.
    #[inline]
    fn wake(&self, due: Option<calls::Due>) {
        if let Some(mut due) = due {
            due.settle();
            let _left = self.core.borrow_mut().calls.reuse(due);
        }
    }
}

impl Core {
    /// One for each handle. Those of handles on other threads have the highest bit set.
    fn new_handle_id(&mut self) -> HandleId {
        let handle = HandleId(self.next_handle_id);
        self.next_handle_id = (self.next_handle_id + 1) & !FOREIGN_HANDLES;
        handle
    }

    /// Wakes the pilot if there is something for it to do.
    #[inline]
    fn ask_pilot(&mut self) {
        if self.pool.has_actions() {
            self.pilot.wake();
        }
    }

    /// Something was submitted for this entry: its driver has to write it, or the pilot to note the time.
    #[inline]
    fn notify(&mut self, entry: EntryId) {
        // No connection has the generation 0: without one, the pilot is told.
        let generation = self.pool.generation_in_use(entry).unwrap_or(0);
        if self.seats.tell(entry, generation) {
            self.pilot.wake();
        }
    }
}

/// Ids with this bit belong to handles on other threads. Were two handles to get the same id, all that follows is
/// that they wait for each other at a cut-over.
pub(crate) const FOREIGN_HANDLES: u32 = 1 << 31;

#[cfg(test)]
mod tests;
