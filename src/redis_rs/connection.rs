//! [`ConnectionLike`] for a [`Client`], with which all commands, pipelines and scripts of redis-rs run on it.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use redis::aio::ConnectionLike;
use redis::{ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use super::aborted::aborted;
use super::refused::Place;
use super::{command, refused};
use crate::client::{Client, ClientReply, Session};
use crate::command::{Carrier, CommandName, FromReply};
use crate::proto::resp::Frame;

/// A handle of a [`Client`] whose methods are those of [`redis::AsyncCommands`]. On a client, its own methods of the same names,
/// such as [`Client::get`], come first.
///
/// Clones are cheap, and each is bound to the next connection of the next shard, as those of a [`Client`].
///
/// `WATCH` and `MULTI` give the handle a [`Session`] until the transaction ends; `SELECT`, `CLIENT TRACKING` and other commands
/// that change their connection give it one for good. Its commands run on that connection meanwhile. Clones of a handle that has
/// a session share it, as [`redis::aio::transaction_async`] expects.
pub struct Connection {
    client: Client,
    session: Option<Arc<SharedSession>>,
}

/// The session of a handle and of its clones.
struct SharedSession {
    session: Session,
    /// Its transaction has ended, and with it the need for it.
    is_over: AtomicBool,
    /// It has a state that the handles need from then on.
    is_kept: AtomicBool,
}

impl Connection {
    /// The client of this handle.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a command in the session of this handle, which it opens and ends as the command needs it.
    async fn run_in_session(&mut self, command: &redis::Cmd, place: Place) -> RedisResult<Value> {
        let bytes = command.get_packed_command();
        // A caller that drops this future keeps the session: it may go on with its transaction.
        let shared = self.session_for(place).await?;
        let reply = shared.session.call::<Value>(command::name(command), &bytes, None);
        let result = match command.is_no_response() {
            true => reply.fire_and_forget().map(|()| Value::Nil),
            false => reply.await,
        };
        if refused::ends_transaction(command) {
            shared.end();
        }
        self.leave_session();
        Ok(result?)
    }

    /// Sends a pipeline in the session of this handle, which it opens and ends as the commands need it. A transaction ends
    /// its watch.
    async fn run_all_in_session(
        &mut self,
        pipeline: &Pipeline,
        place: Place,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        // Nothing is opened for a pipeline that is refused.
        Session::check(pipeline)?;
        let shared = self.session_for(place).await?;
        let result = send_all(&shared.session, pipeline, offset, count).await;
        if pipeline.is_transaction() || pipeline.cmd_iter().any(refused::ends_transaction) {
            shared.end();
        }
        self.leave_session();
        result
    }

    /// The session of this handle, which keeps it if its state is needed from then on.
    async fn session_for(&mut self, place: Place) -> RedisResult<&mut Arc<SharedSession>> {
        let shared = match &mut self.session {
            Some(shared) => shared,
            none => none.insert(Arc::new(SharedSession::new(self.client.session().await?))),
        };
        if place == Place::OwnSession {
            shared.is_kept.store(true, Ordering::Relaxed);
        }
        Ok(shared)
    }

    /// Lets go of a session that this handle, or a clone, has ended.
    fn leave_session(&mut self) {
        self.session.take_if(|shared| shared.is_over.load(Ordering::Relaxed));
    }
}

impl SharedSession {
    fn new(session: Session) -> Self {
        SharedSession { session, is_over: AtomicBool::new(false), is_kept: AtomicBool::new(false) }
    }

    fn end(&self) {
        if !self.is_kept.load(Ordering::Relaxed) {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }
}

impl From<Client> for Connection {
    fn from(client: Client) -> Connection {
        Connection { client, session: None }
    }
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        Connection { client: self.client.clone(), session: self.session.clone() }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.client.config().endpoint())
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a redis::Cmd) -> RedisFuture<'a, Value> {
        self.leave_session();
        match refused::place(command, self.session.is_some()) {
            Err(error) => Box::pin(ready(Err(error))),
            Ok(place @ (Place::Session | Place::OwnSession)) => Box::pin(self.run_in_session(command, place)),
            Ok(Place::Shared | Place::Exclusive) => self.client.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.leave_session();
        match refused::place_of_all(pipeline, self.session.is_some()) {
            place @ (Place::Session | Place::OwnSession) => {
                Box::pin(self.run_all_in_session(pipeline, place, offset, count))
            }
            Place::Shared | Place::Exclusive => self.client.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        self.client.get_db()
    }
}

/// What sends encoded commands.
trait Send {
    fn send<T: FromReply>(&self, name: CommandName, bytes: Vec<u8>, batch: u32) -> ClientReply<T>;

    /// # Errors
    /// If it cannot carry one of these commands.
    fn check(pipeline: &Pipeline) -> RedisResult<()>;
}

impl Send for Client {
    fn send<T: FromReply>(&self, name: CommandName, bytes: Vec<u8>, batch: u32) -> ClientReply<T> {
        self.call(name, bytes, Some(batch))
    }

    fn check(pipeline: &Pipeline) -> RedisResult<()> {
        refused::check_all(pipeline)
    }
}

impl Send for Session {
    fn send<T: FromReply>(&self, name: CommandName, bytes: Vec<u8>, batch: u32) -> ClientReply<T> {
        self.call(name, &bytes, Some(batch))
    }

    fn check(pipeline: &Pipeline) -> RedisResult<()> {
        pipeline.cmd_iter().try_for_each(refused::check_in_session)
    }
}

impl ConnectionLike for Client {
    fn req_packed_command<'a>(&'a mut self, command: &'a redis::Cmd) -> RedisFuture<'a, Value> {
        match start(self, command) {
            Ok(Some(reply)) => Box::pin(Waiting(reply)),
            Ok(None) => Box::pin(ready(Ok(Value::Nil))),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(send_all(self, pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        self.config().database().into()
    }
}

/// The future of a reply. It is boxed for each command, so it holds nothing else.
struct Waiting(ClientReply<Value>);

impl Future for Waiting {
    type Output = RedisResult<Value>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RedisResult<Value>> {
        Pin::new(&mut self.get_mut().0).poll(context).map_err(RedisError::from)
    }
}

/// Queues a command; `None` if its caller does not wait for the reply.
fn start(client: &Client, command: &redis::Cmd) -> RedisResult<Option<ClientReply<Value>>> {
    let bytes = command.get_packed_command();
    if bytes.is_empty() {
        return Err(empty());
    }
    let name = command::name(command);
    let reply = match refused::check(command)? {
        Carrier::Shared => client.call::<Value>(name, bytes, None),
        Carrier::Exclusive => client.call_exclusive(name, bytes),
    };
    if command.is_no_response() {
        reply.fire_and_forget()?;
        return Ok(None);
    }
    Ok(Some(reply))
}

/// Sends the commands as one batch, with the `MULTI` and the `EXEC` of a transaction, and returns `count` replies after the first
/// `offset`.
async fn send_all<S: Send>(
    on: &S,
    pipeline: &Pipeline,
    offset: usize,
    count: usize,
) -> RedisResult<Vec<Value>> {
    const NAME: CommandName = CommandName::new("(pipeline)");
    let bytes = pipeline.get_packed_pipeline();
    if bytes.is_empty() {
        return Err(empty());
    }
    S::check(pipeline)?;
    let commands = pipeline.len() + if pipeline.is_transaction() { 2 } else { 0 };
    let too_many = |_| RedisError::from((ErrorKind::Client, "too many commands in one pipeline"));
    let batch = u32::try_from(commands).map_err(too_many)?;
    let mut replies = on.send::<Vec<Frame>>(NAME, bytes, batch).await?.into_iter();
    let skipped: Vec<Frame> = replies.by_ref().take(offset).collect();
    if pipeline.is_transaction() {
        all_queued(skipped).await?;
    }
    let kept = replies.take(count).map(Value::try_from).collect::<RedisResult<Vec<Value>>>()?;
    match kept.as_slice() {
        // For the error of an `EXEC`, redis-rs would only say that it is not an array.
        [Value::ServerError(error)] if pipeline.is_transaction() => Err(error.clone().into()),
        _ => Ok(kept),
    }
}

/// # Errors
/// If the server refused the `MULTI`, or one of the commands after it.
async fn all_queued(replies: Vec<Frame>) -> RedisResult<()> {
    let mut replies = replies.into_iter().map(|reply| match reply.without_attributes() {
        Frame::Error(text) => Some(text),
        _ => None,
    });
    if let Some(Some(text)) = replies.next() {
        super::value::server_error(&text)?.extract_error()?;
    }
    let refused = |(index, text): (usize, Option<Bytes>)| text.map(|text| (index, text));
    let failed: Vec<(usize, Bytes)> = replies.enumerate().filter_map(refused).collect();
    if failed.is_empty() { Ok(()) } else { Err(aborted(&failed).await) }
}

/// The error of redis-rs for an empty command.
fn empty() -> RedisError {
    (ErrorKind::Client, "empty command").into()
}
