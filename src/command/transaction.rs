//! [`Transaction`]: several commands that the server runs without anybody else's in between.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::batch::{Batch, TRANSACTION};
use super::typed::typed_commands;
use super::{Cmd, CommandName, Commands, FromReply};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Outcome;
use crate::proto::resp::{Encoder, Frame};

/// A batch of commands between `MULTI` and `EXEC`, of a [`Shard`](crate::Shard) or a [`Client`](crate::Client).
///
/// It is sent as one, on one connection, and never split by a handoff. The server runs all of it or, if it does not
/// take one of the commands, nothing; a command that fails when it is run undoes no other. The reply has one element for
/// each command: `(A, B, …)` gives each its type, and `Vec<Result<T, Error>>` keeps going where a command failed.
///
/// ```no_run
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// let transfer = client.transaction();
/// transfer.decrby("account:1", 50).incrby("account:2", 50);
/// let (left, right): (i64, i64) = transfer.run().await?;
/// # let _ = (left, right);
/// # Ok(())
/// # }
/// ```
///
/// There is no `WATCH`: other callers use the connection between it and the transaction, and their commands would
/// undo it or be undone by it. What is to depend on a value that was read belongs into a [`Script`](super::Script).
#[must_use = "a transaction does nothing until it is run"]
pub struct Transaction<'a, D> {
    door: &'a D,
    gathered: RefCell<Gathered>,
}

/// What a transaction holds.
struct Gathered {
    /// `MULTI` and what follows it.
    batch: Batch,
    names: Vec<CommandName>,
}

impl<'a, D> Transaction<'a, D> {
    pub(crate) fn new(door: &'a D) -> Self {
        let mut batch = Batch::new(TRANSACTION);
        batch.write(1, |encoder| encoder.bytes(b"MULTI"));
        Transaction { door, gathered: RefCell::new(Gathered { batch, names: Vec::new() }) }
    }

    /// Adds any command.
    pub fn cmd(&self, command: &Cmd) -> &Self {
        let mut gathered = self.gathered.borrow_mut();
        gathered.batch.add(command);
        gathered.names.push(command.command_name());
        drop(gathered);
        self
    }

    /// How many commands it holds.
    pub fn len(&self) -> usize {
        self.gathered.borrow().names.len()
    }

    /// Whether it holds no command yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it is to be sent on, and what is to be sent.
    fn into_parts(self) -> (&'a D, Gathered) {
        let mut gathered = self.gathered.into_inner();
        if gathered.names.is_empty() {
            gathered.batch = Batch::new(TRANSACTION);
        } else {
            gathered.batch.write(1, |encoder| encoder.bytes(b"EXEC"));
        }
        (self.door, gathered)
    }

    typed_commands!(batch);

    #[inline]
    fn send(&self, name: CommandName, arguments: usize, write: impl FnOnce(&mut Encoder<'_>)) -> &Self {
        let mut gathered = self.gathered.borrow_mut();
        gathered.batch.write(arguments, write);
        gathered.names.push(name);
        drop(gathered);
        self
    }
}

impl<D: Commands> Transaction<'_, D> {
    /// Queues the transaction; the future waits for what came of it. The reply to an empty one is an empty array, and
    /// nothing is sent.
    pub fn run<T: FromReply>(self) -> Executing<D::Reply<Vec<Frame>>, T> {
        let (door, Gathered { batch, names }) = self.into_parts();
        let (reply, endpoint) = (door.run_batch(batch), door.endpoint().cloned());
        Executing { reply, names, endpoint, kind: PhantomData }
    }
}

impl<D> fmt::Debug for Transaction<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transaction({} commands)", self.len())
    }
}

/// The wait for what came of a transaction.
///
/// Its error is that of the command which the server did not take, by name, if there was one: then nothing was run. It
/// lives where the reply `R` does, and dropping it does what dropping that does.
#[must_use = "dropping a reply cancels its transaction: await it, or call fire_and_forget"]
pub struct Executing<R, T> {
    pub(crate) reply: R,
    names: Vec<CommandName>,
    endpoint: Option<Endpoint>,
    kind: PhantomData<fn() -> T>,
}

impl<R, T> fmt::Debug for Executing<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Executing({} commands)", self.names.len())
    }
}

impl<R: Future<Output = Result<Vec<Frame>>> + Unpin, T: FromReply> Future for Executing<R, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let replies = ready!(Pin::new(&mut this.reply).poll(context))?;
        let result = executed(replies, &this.names);
        let result = result.and_then(|reply| T::from_reply(reply).map_err(|error| error.of(TRANSACTION)));
        Poll::Ready(result.map_err(|error| match &this.endpoint {
            Some(endpoint) => error.at(endpoint),
            None => error,
        }))
    }
}

/// What `EXEC` answered, if everything before it was taken.
fn executed(replies: Vec<Frame>, names: &[CommandName]) -> Result<Frame> {
    if names.is_empty() {
        return Ok(Frame::Array(replies));
    }
    let mut replies = replies.into_iter().map(Frame::without_attributes);
    if let Some(Frame::Error(text)) = replies.next() {
        // What came behind it was no transaction, and the server ran it piece by piece.
        let error = Error::from_server(&text).adding(", and the commands were run one by one");
        return Err(error.of(CommandName::new("MULTI")));
    }
    for name in names {
        if let Some(Frame::Error(text)) = replies.next() {
            return Err(Error::from_server(&text).adding("; the transaction was not run").of(*name));
        }
    }
    match replies.next() {
        Some(Frame::Error(text)) => Err(Error::from_server(&text).of(CommandName::new("EXEC"))),
        Some(reply) => Ok(reply),
        None => {
            Err(Error::new(ErrorKind::ReplyType, Outcome::Answered, "a reply is missing").of(TRANSACTION))
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn simple(text: &'static str) -> Frame {
        Frame::Simple(Bytes::from_static(text.as_bytes()))
    }

    fn error(text: &'static str) -> Frame {
        Frame::Error(Bytes::from_static(text.as_bytes()))
    }

    fn run(replies: Vec<Frame>) -> Result<Frame> {
        executed(replies, &[CommandName::new("GET"), CommandName::new("INCR")])
    }

    #[test]
    fn what_exec_answers_is_the_reply() {
        let result = Frame::Array(vec![Frame::Null, error("WRONGTYPE no")]);
        let replies = vec![simple("OK"), simple("QUEUED"), simple("QUEUED"), result.clone()];
        assert_eq!(run(replies).unwrap(), result);
        let replies = vec![simple("OK"), simple("QUEUED"), simple("QUEUED"), Frame::Null];
        let reply = run(replies).unwrap();
        assert_eq!(Option::<(i64, i64)>::from_reply(reply).unwrap(), None);
    }

    #[test]
    fn the_command_that_was_not_taken_is_to_blame_and_not_exec() {
        let replies = vec![simple("OK"), simple("QUEUED"), error("OOM full"), error("EXECABORT discarded")];
        let error_of_incr = run(replies).unwrap_err();
        assert_eq!((error_of_incr.command(), error_of_incr.code()), (Some("INCR"), Some("OOM")));
        let replies = vec![simple("OK"), simple("QUEUED"), simple("QUEUED"), error("EXECABORT discarded")];
        let error_of_exec = run(replies).unwrap_err();
        assert_eq!((error_of_exec.command(), error_of_exec.code()), (Some("EXEC"), Some("EXECABORT")));
    }

    #[test]
    fn without_multi_it_is_said_that_there_was_no_transaction() {
        let replies =
            vec![error("NOPERM no"), simple("x"), Frame::Integer(1), error("ERR EXEC without MULTI")];
        let error = run(replies).unwrap_err();
        assert_eq!((error.command(), error.code()), (Some("MULTI"), Some("NOPERM")));
        assert!(error.to_string().contains("run one by one"), "{error}");
    }
}
