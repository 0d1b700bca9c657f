//! [`Transaction`]: several commands that the server runs as one unit.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::batch::{Batch, TRANSACTION};
use super::builder::Cmd;
use super::reply::FromReply;
use super::run::Run;
use super::typed::typed_commands;
use crate::error::{CommandName, Error, ErrorKind, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Outcome;
use crate::proto::resp::{Encoder, Frame};

/// A batch of commands between `MULTI` and `EXEC`, of a [`Shard`](crate::Shard) or a [`Client`](crate::Client).
///
/// It is sent in one piece, on one connection, and no handoff splits it. The server runs all of it or, if it rejects one of
/// the commands when it queues them, nothing. A command that fails when it runs undoes no other. The reply has one element
/// for each command: `(A, B, …)` gives each its type, and `Vec<Result<T, Error>>` keeps the other replies if a command failed.
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
/// For writes that depend on a value that you read, run it in a [`Session`](crate::Session) that watches the key, or use a
/// [`Script`](super::Script). There the reply is null if the key has changed: `Option<(A, B, …)>` takes that, and for any
/// other type it is the error [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
#[must_use = "a transaction does nothing until it is run"]
pub struct Transaction<'a, D> {
    on: &'a D,
    gathered: RefCell<Gathered>,
}

/// The commands so far.
struct Gathered {
    /// `MULTI`, and the commands behind it.
    batch: Batch,
    names: Vec<CommandName>,
}

impl<'a, D> Transaction<'a, D> {
    pub(crate) fn new(on: &'a D) -> Self {
        let mut batch = Batch::new(TRANSACTION);
        batch.write(1, |encoder| encoder.bytes(b"MULTI"));
        Transaction { on, gathered: RefCell::new(Gathered { batch, names: Vec::new() }) }
    }

    /// Adds any command.
    pub fn cmd(&self, command: &Cmd) -> &Self {
        let mut gathered = self.gathered.borrow_mut();
        gathered.batch.add(command);
        gathered.names.push(command.command_name());
        drop(gathered);
        self
    }

    /// The number of commands.
    pub fn len(&self) -> usize {
        self.gathered.borrow().names.len()
    }

    /// Whether there are no commands yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type to send it through, and the commands with their `EXEC`.
    fn into_parts(self) -> (&'a D, Gathered) {
        let mut gathered = self.gathered.into_inner();
        if gathered.names.is_empty() {
            gathered.batch = Batch::new(TRANSACTION);
        } else {
            gathered.batch.write(1, |encoder| encoder.bytes(b"EXEC"));
        }
        (self.on, gathered)
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

impl<D: Run> Transaction<'_, D> {
    /// Queues the transaction; the future waits for its reply. The reply to an empty transaction is an empty array, and
    /// nothing is sent.
    pub fn run<T: FromReply>(self) -> TransactionReply<D::Reply<Vec<Frame>>, T> {
        let (on, Gathered { batch, names }) = self.into_parts();
        let (reply, endpoint) = (on.run_batch(batch), on.endpoint().cloned());
        TransactionReply { reply, names, endpoint, kind: PhantomData }
    }
}

impl<D> fmt::Debug for Transaction<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transaction({} commands)", self.len())
    }
}

/// The future of a transaction's reply.
///
/// If the server rejected a command, the error names that command, and nothing was run. Dropping this future does what
/// dropping the reply `R` does.
#[must_use = "dropping a reply cancels its transaction: await it, or call fire_and_forget"]
pub struct TransactionReply<R, T> {
    pub(crate) reply: R,
    names: Vec<CommandName>,
    endpoint: Option<Endpoint>,
    kind: PhantomData<fn() -> T>,
}

impl<R, T> fmt::Debug for TransactionReply<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionReply({} commands)", self.names.len())
    }
}

impl<R: Future<Output = Result<Vec<Frame>>> + Unpin, T: FromReply> Future for TransactionReply<R, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let replies = ready!(Pin::new(&mut this.reply).poll(context))?;
        let result = executed(replies, &this.names).and_then(|reply| {
            let is_null = reply == Frame::Null;
            let result = T::from_reply(reply);
            // An `Option` takes a null. For any other type it would be an error about that type.
            result.map_err(|error| if is_null { conflict() } else { error.of(TRANSACTION) })
        });
        Poll::Ready(result.map_err(|error| match &this.endpoint {
            Some(endpoint) => error.at(endpoint),
            None => error,
        }))
    }
}

fn conflict() -> Error {
    let detail = "a watched key has changed, and the transaction was not run: read the keys again";
    Error::new(ErrorKind::Conflict, Outcome::Answered, detail).of(TRANSACTION)
}

/// The answer to `EXEC`, if the server accepted every command before it.
fn executed(replies: Vec<Frame>, names: &[CommandName]) -> Result<Frame> {
    if names.is_empty() {
        return Ok(Frame::Array(replies));
    }
    let mut replies = replies.into_iter().map(Frame::without_attributes);
    if let Some(Frame::Error(text)) = replies.next() {
        // Without MULTI the server ran the commands behind it one by one.
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
    fn exec_answer_is_the_reply() {
        let result = Frame::Array(vec![Frame::Null, error("WRONGTYPE no")]);
        let replies = vec![simple("OK"), simple("QUEUED"), simple("QUEUED"), result.clone()];
        assert_eq!(run(replies).unwrap(), result);
        let replies = vec![simple("OK"), simple("QUEUED"), simple("QUEUED"), Frame::Null];
        let reply = run(replies).unwrap();
        assert_eq!(Option::<(i64, i64)>::from_reply(reply).unwrap(), None);
    }

    #[test]
    fn error_names_the_rejected_command_and_not_exec() {
        let replies = vec![simple("OK"), simple("QUEUED"), error("OOM full"), error("EXECABORT discarded")];
        let error_of_incr = run(replies).unwrap_err();
        assert_eq!((error_of_incr.command(), error_of_incr.code()), (Some("INCR"), Some("OOM")));
        let replies = vec![simple("OK"), simple("QUEUED"), simple("QUEUED"), error("EXECABORT discarded")];
        let error_of_exec = run(replies).unwrap_err();
        assert_eq!((error_of_exec.command(), error_of_exec.code()), (Some("EXEC"), Some("EXECABORT")));
    }

    #[test]
    fn failed_multi_reports_that_commands_ran_one_by_one() {
        let replies =
            vec![error("NOPERM no"), simple("x"), Frame::Integer(1), error("ERR EXEC without MULTI")];
        let error = run(replies).unwrap_err();
        assert_eq!((error.command(), error.code()), (Some("MULTI"), Some("NOPERM")));
        assert!(error.to_string().contains("run one by one"), "{error}");
    }
}
