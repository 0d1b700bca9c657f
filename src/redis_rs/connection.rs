//! [`ConnectionLike`] for a [`Client`], with which all commands, pipelines and scripts of redis-rs run on it.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use redis::aio::ConnectionLike;
use redis::{ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};

use super::aborted::aborted;
use super::{command, refused};
use crate::client::{Client, ClientReply};
use crate::command::CommandName;
use crate::proto::resp::Frame;

/// A handle of a [`Client`] whose methods are those of [`redis::AsyncCommands`]. On a client, its own methods of the same names,
/// such as [`Client::get`], come first.
///
/// Clones are cheap, and each is bound to the next connection of the next shard, as those of a [`Client`].
#[derive(Clone)]
pub struct Connection(Client);

impl Connection {
    /// The client of this handle.
    pub fn client(&self) -> &Client {
        &self.0
    }
}

impl From<Client> for Connection {
    fn from(client: Client) -> Connection {
        Connection(client)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.0.config().endpoint())
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a redis::Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
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
    refused::check(command)?;
    let reply = client.call::<Value>(command::name(command), bytes, None);
    if command.is_no_response() {
        reply.fire_and_forget()?;
        return Ok(None);
    }
    Ok(Some(reply))
}

/// Sends the commands as one batch, with the `MULTI` and the `EXEC` of a transaction, and returns `count` replies after the first
/// `offset`.
async fn send_all(
    client: &Client,
    pipeline: &Pipeline,
    offset: usize,
    count: usize,
) -> RedisResult<Vec<Value>> {
    const NAME: CommandName = CommandName::new("(pipeline)");
    let bytes = pipeline.get_packed_pipeline();
    if bytes.is_empty() {
        return Err(empty());
    }
    refused::check_all(pipeline)?;
    let commands = pipeline.len() + if pipeline.is_transaction() { 2 } else { 0 };
    let too_many = |_| RedisError::from((ErrorKind::Client, "too many commands in one pipeline"));
    let batch = u32::try_from(commands).map_err(too_many)?;
    let mut replies = client.call::<Vec<Frame>>(NAME, bytes, Some(batch)).await?.into_iter();
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
