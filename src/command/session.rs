//! [`Session`]: a connection that one caller has for itself.

use std::fmt;
use std::time::Duration;

use super::arg::ToArg;
use super::batch::Batch;
use super::builder::{Cmd, cmd};
use super::commands::Commands;
use super::pipeline::Pipeline;
use super::reply::FromReply;
use super::run::Run;
use super::transaction::Transaction;
use super::typed::typed_commands;
use crate::error::{CommandName, Error, ErrorKind, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Outcome;
use crate::proto::pool::EntryId;
use crate::proto::resp::{Encoder, Frame};

/// A connection that one caller has for itself, for `WATCH` and other commands that change their connection: of a
/// [`Client`](crate::Client) or of a [`Shard`](crate::Shard), with the replies of that handle.
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
pub struct Session<H: CheckOut> {
    /// A handle that is bound to the session's entry.
    handle: H,
    number: u32,
}

/// A handle whose pool has connections that one caller checks out: what a session needs of a shard or a client.
///
/// [`CheckOut::for_session`] makes a handle of its own for a session, with a number that no other session of the pool has.
/// Through it the session asks for a connection, sends its commands, and gives the connection back. It gives it back also where
/// its caller stopped to wait for one.
pub trait CheckOut: Run + Sized {
    /// A handle whose commands are those of a new session, and the number of that session.
    fn for_session(&self) -> (Self, u32);

    /// Asks the pool of this handle to open or to close a session.
    fn ask(&self, request: SessionRequest) -> Self::Reply<Frame>;

    /// Queues what `encode` writes: a command, or a batch with so many replies.
    fn queue<T: FromReply>(&self, call: SessionCall, encode: impl FnOnce(&mut Vec<u8>)) -> Self::Reply<T>;

    /// A reply whose error is known before anything is sent.
    fn refuse<T: FromReply>(&self, call: SessionCall, error: Error) -> Self::Reply<T>;

    /// Does without this reply.
    ///
    /// # Errors
    /// If nothing was queued.
    fn forget<T: FromReply>(reply: Self::Reply<T>) -> Result<()>;

    /// Waits for this time.
    ///
    /// # Errors
    /// If the runtime of the pool ends meanwhile.
    fn pause(&self, time: Duration) -> impl Future<Output = Result<()>>;
}

/// What a session asks of its pool, by its number.
#[derive(Clone, Copy, Debug)]
pub enum SessionRequest {
    /// Waits for a connection.
    Open(u32),
    /// Gives the connection back, if there is one, and has it reset.
    Close(u32),
}

/// A command of a session, or a batch.
#[derive(Clone, Copy)]
pub struct SessionCall {
    pub(crate) name: CommandName,
    /// The number of replies, for a batch.
    pub(crate) batch: Option<u32>,
}

impl SessionRequest {
    /// Where it is submitted, as a call without bytes.
    pub(crate) fn entry(self) -> EntryId {
        match self {
            SessionRequest::Open(number) => EntryId::opening(number),
            SessionRequest::Close(number) => EntryId::closing(number),
        }
    }
}

impl<H: CheckOut> Session<H> {
    /// As [`Client::session`](crate::Client::session).
    pub(crate) async fn open(on: &H) -> Result<Self> {
        let (handle, number) = on.for_session();
        // It exists before it is open: if this future is dropped, so is it, and it ends whatever has begun.
        let session = Session { handle, number };
        session.handle.ask(SessionRequest::Open(number)).await?;
        Ok(session)
    }

    /// As [`Client::optimistic`](crate::Client::optimistic).
    pub(crate) async fn optimistic<T>(
        on: &H,
        keys: &[impl ToArg],
        attempt: impl AsyncFn(&Self) -> Result<T>,
    ) -> Result<T> {
        let session = Session::open(on).await?;
        for pause in 0..ATTEMPTS_MAX {
            session.watch(keys).await?;
            let error = match attempt(&session).await {
                Ok(result) => {
                    // A closure that ran no transaction leaves its watch behind.
                    H::forget(session.unwatch())?;
                    return Ok(result);
                }
                Err(error) => error,
            };
            let is_conflict = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::WatchStale);
            if !is_conflict || pause + 1 == ATTEMPTS_MAX {
                return Err(error);
            }
            let most = PAUSE_FIRST.saturating_mul(1 << pause.min(PAUSE_DOUBLINGS));
            on.pause(most.mul_f64(fastrand::f64())).await?;
        }
        Err(Error::new(ErrorKind::Conflict, Outcome::Answered, "too many conflicts"))
    }

    /// Sends any command, also `MULTI`, `EXEC` and others that need a connection for themselves.
    ///
    /// # Errors
    /// [`ErrorKind::Command`](crate::ErrorKind::Command), at once, for `SUBSCRIBE`, `MONITOR`, `CLIENT REPLY`, `QUIT` and their
    /// like; [`ErrorKind::WatchStale`](crate::ErrorKind::WatchStale) if the connection that it depends on is gone.
    pub fn run<T: FromReply>(&self, command: &Cmd) -> H::Reply<T> {
        let call = SessionCall { name: command.command_name(), batch: None };
        match command.refused_in_session() {
            Some(error) => self.handle.refuse(call, error),
            None => self.handle.queue(call, |out| command.encode(out)),
        }
    }

    /// [`WATCH`](https://redis.io/docs/latest/commands/watch/): the next `EXEC` runs nothing if one of these keys changes until
    /// then.
    pub fn watch(&self, keys: &[impl ToArg]) -> H::Reply<()> {
        let watch = keys.iter().fold(cmd("WATCH"), |watch, key| watch.arg(key));
        self.run(&watch)
    }

    /// [`UNWATCH`](https://redis.io/docs/latest/commands/unwatch/): ends the watch of all keys.
    pub fn unwatch(&self) -> H::Reply<()> {
        self.run(&cmd("UNWATCH"))
    }

    /// Begins a batch of commands that go out together.
    pub fn pipeline(&self) -> Pipeline<'_, Self> {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together: `MULTI`, the commands, and `EXEC`. If a watched key has changed, nothing runs,
    /// and the reply is null, or the error [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a type that takes no null.
    pub fn transaction(&self) -> Transaction<'_, Self> {
        Transaction::new(self)
    }

    typed_commands!({ H });

    /// Sends a command, or a batch with so many replies, that is encoded already.
    #[cfg(feature = "redis-rs")]
    pub(crate) fn call<T: FromReply>(
        &self,
        name: CommandName,
        bytes: &[u8],
        batch: Option<u32>,
    ) -> H::Reply<T> {
        self.handle.queue(SessionCall { name, batch }, |out| out.extend_from_slice(bytes))
    }

    #[inline]
    fn send<T: FromReply>(
        &self,
        name: CommandName,
        arguments: usize,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> H::Reply<T> {
        let call = SessionCall { name, batch: None };
        self.handle.queue(call, |out| write(&mut Encoder::command(out, arguments)))
    }
}

impl<H: CheckOut> Drop for Session<H> {
    fn drop(&mut self) {
        // A pool that is shut down has no session either.
        let _ = H::forget(self.handle.ask(SessionRequest::Close(self.number)));
    }
}

impl fmt::Debug for SessionCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionCall({})", self.name.as_str())
    }
}

/// The endpoint that it leads to.
impl<H: CheckOut> fmt::Debug for Session<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Session");
        if let Some(endpoint) = self.handle.endpoint() {
            fields.field("endpoint", &format_args!("{endpoint}"));
        }
        fields.finish_non_exhaustive()
    }
}

#[doc(hidden)]
impl<H: CheckOut> Run for Session<H> {
    type Reply<T: FromReply> = H::Reply<T>;

    fn run<T: FromReply>(&self, command: &Cmd) -> H::Reply<T> {
        Session::run(self, command)
    }

    fn run_batch<T: FromReply>(&self, batch: Batch) -> H::Reply<T> {
        self.handle.run_batch(batch)
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        self.handle.endpoint()
    }
}

#[doc(hidden)]
impl<H: CheckOut> Commands for Session<H> {
    typed_commands!((Session));
}

/// The name of a session in errors.
pub(crate) const SESSION: CommandName = CommandName::new("(session)");
/// How often an optimistic transaction is tried.
const ATTEMPTS_MAX: u32 = 32;
/// The longest pause after the first conflict; each may be twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_DOUBLINGS: u32 = 7;
