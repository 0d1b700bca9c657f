//! [`Session`]: a connection that one caller has for itself.

use std::fmt;
use std::time::Duration;

use super::route::Destination;
use super::{Client, ClientReply};
use crate::command::typed::typed_commands;
use crate::command::{Batch, Cmd, CommandName, Commands, FromReply, Pipeline, Run, ToArg, Transaction, cmd};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::pool::EntryId;
use crate::proto::resp::{Encoder, Frame};

/// A connection that one caller has for itself, for `WATCH` and other commands that change their connection.
///
/// Its commands run in the order of the calls. When it is dropped, its connection is reset and serves others. A command that
/// changes the connection in a way that no reset undoes, such as `SELECT` or `CLIENT TRACKING`, has the connection closed then.
///
/// A handoff respects it. A session without state moves as all connections do. One with an open `MULTI` moves after the `EXEC`.
/// One that watches keys moves at once, and its next `EXEC` fails with [`ErrorKind::WatchStale`](crate::ErrorKind::WatchStale)
/// before a byte of it is written; the session works on. One that has changed its connection stays until the server closes it.
/// [`manual::transactions`](crate::manual::transactions) says more.
///
/// ```no_run
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// let session = client.session().await?;
/// session.watch(&["stock"]).await?;
/// let stock: i64 = session.get("stock").await?;
/// let order = session.transaction();
/// order.set("stock", stock - 1).rpush("orders", &["42"]);
/// match order.run::<Option<((), i64)>>().await? {
///     Some(_) => println!("ordered"),
///     None => println!("another caller was faster"),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Session {
    /// A handle that is bound to the session's entry.
    handle: Client,
    number: u32,
    shard: usize,
}

impl Client {
    /// Waits for a connection that the caller has for itself: see [`Session`]. At most
    /// [`Config::exclusive_connections_max`](crate::Config::exclusive_connections_max) of a shard are in use at a time; further
    /// callers wait in the order of their calls.
    ///
    /// Dropping the future gives the connection back.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if none was free within the command timeout; or the client is shut down.
    pub async fn session(&self) -> Result<Session> {
        let (Destination { shard, .. }, _guard) = self.route.destination(&self.shared, &[]);
        let (number, handle) = self.shared.next_handle();
        let number = u32::try_from(number % u32::MAX as usize).unwrap_or(0);
        let destination = Destination { shard, entry: EntryId::session(number), handle };
        // It exists before it is open: if this future is dropped, so is it, and it ends whatever has begun.
        let session = Session { handle: self.bound_to(destination), number, shard };
        let opening = Destination { entry: EntryId::opening(number), ..destination };
        self.call_at::<Frame>(opening, None, CommandName::new("(session)"), Vec::new(), None).await?;
        Ok(session)
    }

    /// Runs `attempt` in a session that watches `keys`, until no other caller has changed one of them meanwhile.
    ///
    /// The closure reads what it needs, runs one [transaction](Session::transaction), and returns its result. It is called again
    /// if a key has changed ([`ErrorKind::Conflict`](crate::ErrorKind::Conflict)), or if the session lost its watch in a handoff
    /// ([`ErrorKind::WatchStale`](crate::ErrorKind::WatchStale)): up to 32 times, with growing random pauses. So it must have no
    /// effects but those of its transaction.
    ///
    /// ```no_run
    /// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// let left = client
    ///     .optimistic(&["stock"], async |session| {
    ///         let stock: i64 = session.get("stock").await?;
    ///         let order = session.transaction();
    ///         order.set("stock", stock - 1);
    ///         order.run::<((),)>().await?;
    ///         Ok(stock - 1)
    ///     })
    ///     .await?;
    /// # let _ = left;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the closure; and the last conflict, if there were too many.
    pub async fn optimistic<T>(
        &self,
        keys: &[impl ToArg],
        attempt: impl AsyncFn(&Session) -> Result<T>,
    ) -> Result<T> {
        let session = self.session().await?;
        for pause in 0..ATTEMPTS_MAX {
            session.watch(keys).await?;
            let error = match attempt(&session).await {
                Ok(result) => {
                    // A closure that ran no transaction leaves its watch behind.
                    session.unwatch().fire_and_forget()?;
                    return Ok(result);
                }
                Err(error) => error,
            };
            let is_conflict = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::WatchStale);
            if !is_conflict || pause + 1 == ATTEMPTS_MAX {
                return Err(error);
            }
            let most = PAUSE_FIRST.saturating_mul(1 << pause.min(PAUSE_DOUBLINGS));
            self.shared.backend.pause(most.mul_f64(fastrand::f64())).await?;
        }
        Err(Error::new(ErrorKind::Conflict, crate::Outcome::Answered, "too many conflicts"))
    }
}

impl Session {
    /// Sends any command, also `MULTI`, `EXEC` and others that need a connection for themselves.
    ///
    /// # Errors
    /// [`ErrorKind::Command`](crate::ErrorKind::Command), at once, for `SUBSCRIBE`, `MONITOR`, `CLIENT REPLY`, `QUIT` and their
    /// like; [`ErrorKind::WatchStale`](crate::ErrorKind::WatchStale) if the connection that it depends on is gone.
    pub fn run<T: FromReply>(&self, command: &Cmd) -> ClientReply<T> {
        let name = command.command_name();
        match command.refused_in_session() {
            Some(error) => self.handle.settled(name, Err(error)),
            None => self.handle.submit(name, None, |out| command.encode(out)),
        }
    }

    /// [`WATCH`](https://redis.io/docs/latest/commands/watch/): the next `EXEC` runs nothing if one of these keys changes until
    /// then.
    pub fn watch(&self, keys: &[impl ToArg]) -> ClientReply<()> {
        let watch = keys.iter().fold(cmd("WATCH"), |watch, key| watch.arg(key));
        self.run(&watch)
    }

    /// [`UNWATCH`](https://redis.io/docs/latest/commands/unwatch/): ends the watch of all keys.
    pub fn unwatch(&self) -> ClientReply<()> {
        self.run(&cmd("UNWATCH"))
    }

    /// Begins a batch of commands that go out together.
    pub fn pipeline(&self) -> Pipeline<'_, Session> {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together: `MULTI`, the commands, and `EXEC`. If a watched key has changed, nothing runs,
    /// and the reply is null, or the error [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a type that takes no null.
    pub fn transaction(&self) -> Transaction<'_, Session> {
        Transaction::new(self)
    }

    typed_commands!(ClientReply);

    /// Sends a command, or a batch with so many replies, that is encoded already.
    #[cfg(feature = "redis-rs")]
    pub(crate) fn call<T: FromReply>(
        &self,
        name: CommandName,
        bytes: Vec<u8>,
        batch: Option<u32>,
    ) -> ClientReply<T> {
        self.handle.call(name, bytes, batch)
    }

    #[inline]
    fn send<T: FromReply>(
        &self,
        name: CommandName,
        arguments: usize,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> ClientReply<T> {
        self.handle.send(name, arguments, write)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (handle, entry) = (self.handle.shared.next_handle().1, EntryId::closing(self.number));
        let destination = Destination { shard: self.shard, entry, handle };
        let name = CommandName::new("(session)");
        let closing = self.handle.call_at::<Frame>(destination, None, name, Vec::new(), None);
        // A client that is shut down has no session either.
        let _ = closing.fire_and_forget();
    }
}

/// The endpoint that it leads to.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = format_args!("{}", self.handle.shared.config.endpoint());
        f.debug_struct("Session").field("endpoint", &endpoint).finish_non_exhaustive()
    }
}

#[doc(hidden)]
impl Run for Session {
    type Reply<T: FromReply> = ClientReply<T>;

    fn run<T: FromReply>(&self, command: &Cmd) -> ClientReply<T> {
        Session::run(self, command)
    }

    fn run_batch<T: FromReply>(&self, batch: Batch) -> ClientReply<T> {
        self.handle.call_batch(batch)
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.handle.shared.config.endpoint())
    }
}

#[doc(hidden)]
impl Commands for Session {
    typed_commands!((Session));
}

/// How often an optimistic transaction is tried.
const ATTEMPTS_MAX: u32 = 32;
/// The longest pause after the first conflict; each may be twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_DOUBLINGS: u32 = 7;
