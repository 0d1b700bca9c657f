//! [`Pipeline`]: several commands that are sent in one write.

use std::cell::RefCell;
use std::fmt;

use super::batch::{Batch, PIPELINE};
use super::builder::Cmd;
use super::reply::FromReply;
use super::run::Run;
use super::typed::typed_commands;
use crate::error::CommandName;
use crate::proto::resp::Encoder;

/// A batch of commands that a [`Shard`](crate::Shard) or a [`Client`](crate::Client) sends in one piece, on one connection, in
/// order.
///
/// The server may run commands of other clients in between; a [`Transaction`](super::Transaction) prevents that. The reply is
/// an array with one element for each command, errors included. `(A, B, …)` gives each element its type, and
/// `Vec<Result<T, Error>>` keeps the other replies if a command failed. If the connection is lost after a part of the batch
/// was written, all of it is [`Ambiguous`](crate::Outcome::Ambiguous).
///
/// ```no_run
/// # async fn example(shard: &hitless::Shard) -> hitless::Result<()> {
/// let pipeline = shard.pipeline();
/// pipeline.set("visits", 1).incr("visits").cmd(&hitless::cmd("TYPE").arg("visits"));
/// let (_, visits, kind): ((), i64, String) = pipeline.run().await?;
/// assert_eq!((visits, kind.as_str()), (2, "string"));
/// # Ok(())
/// # }
/// ```
#[must_use = "a pipeline does nothing until it is run"]
pub struct Pipeline<'a, D> {
    on: &'a D,
    batch: RefCell<Batch>,
}

impl<'a, D> Pipeline<'a, D> {
    pub(crate) fn new(on: &'a D) -> Self {
        Pipeline { on, batch: RefCell::new(Batch::new(PIPELINE)) }
    }

    /// Adds any command. If it cannot run on a [shared connection](mod@crate::command), the pipeline fails when it is run, and
    /// nothing of it is sent.
    pub fn cmd(&self, command: &Cmd) -> &Self {
        self.batch.borrow_mut().add(command);
        self
    }

    /// The number of commands.
    pub fn len(&self) -> usize {
        self.batch.borrow().commands as usize
    }

    /// Whether there are no commands yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    typed_commands!(batch);

    #[inline]
    fn send(&self, _name: CommandName, arguments: usize, write: impl FnOnce(&mut Encoder<'_>)) -> &Self {
        self.batch.borrow_mut().write(arguments, write);
        self
    }
}

impl<D: Run> Pipeline<'_, D> {
    /// Queues the batch; the future waits for all of its replies. The reply to an empty batch is an empty array.
    pub fn run<T: FromReply>(self) -> D::Reply<T> {
        self.on.run_batch(self.batch.into_inner())
    }
}

impl<D> fmt::Debug for Pipeline<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({} commands)", self.len())
    }
}
