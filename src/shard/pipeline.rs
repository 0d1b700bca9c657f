//! [`Pipeline`]: several commands that go out together; and how a shard sends those and transactions.

use std::cell::RefCell;
use std::time::Duration;

use super::Shard;
use super::reply::Reply;
use crate::command::batch::Batch;
use crate::command::typed::typed_commands;
use crate::command::{Cmd, CommandName, Executing, FromReply, Transaction};
use crate::error::Result;
use crate::proto::resp::{Encoder, Frame};

/// A batch of commands that is sent as one, on one connection, in order: of a [`Shard`], or of a
/// [`Client`](crate::Client).
///
/// It is no transaction: commands of other clients may run in between. The reply is an array with one element for
/// each command, errors included: `(A, B, …)` gives each its type, and `Vec<Result<T, Error>>` keeps going where a
/// command failed. If the connection is lost after a part of the batch was written, all of it is
/// [`Ambiguous`](crate::Outcome::Ambiguous).
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
pub struct Pipeline<'a, D = Shard> {
    door: &'a D,
    batch: RefCell<Batch>,
}

impl<'a, D> Pipeline<'a, D> {
    pub(crate) fn new(door: &'a D) -> Self {
        Pipeline { door, batch: RefCell::default() }
    }

    /// Adds any command. One that shared connections [do not carry](mod@crate::command) is refused when the pipeline is
    /// run, and nothing of it is sent.
    pub fn cmd(&self, command: &Cmd) -> &Self {
        self.batch.borrow_mut().add(command);
        self
    }

    /// How many commands it holds.
    pub fn len(&self) -> usize {
        self.batch.borrow().commands as usize
    }

    /// Whether it holds no command yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it is to be sent on, and what is to be sent.
    pub(crate) fn into_parts(self) -> (&'a D, Batch) {
        (self.door, self.batch.into_inner())
    }

    typed_commands!(batch);

    #[inline]
    fn send(&self, _name: CommandName, arguments: usize, write: impl FnOnce(&mut Encoder<'_>)) -> &Self {
        self.batch.borrow_mut().write(arguments, write);
        self
    }
}

impl Pipeline<'_, Shard> {
    /// Queues the batch; the future waits for all of its replies. The reply to an empty batch is an empty array.
    pub fn run<T: FromReply>(self) -> Reply<T> {
        let (shard, batch) = self.into_parts();
        shard.submit_batch(PIPELINE, batch)
    }
}

impl Transaction<'_, Shard> {
    /// Queues the transaction; the future waits for what came of it. The reply to an empty one is an empty array, and
    /// nothing is sent.
    pub fn run<T: FromReply>(self) -> Executing<Reply<Vec<Frame>>, T> {
        let (shard, mut gathered) = self.into_parts();
        let batch = std::mem::take(&mut gathered.batch);
        Executing::new(shard.submit_batch(TRANSACTION, batch), gathered, shard.inner.effective.endpoint())
    }
}

impl<T> Executing<Reply<Vec<Frame>>, T> {
    /// As [`Reply::timeout`].
    pub fn timeout(mut self, time: Duration) -> Self {
        self.reply = self.reply.timeout(time);
        self
    }

    /// As [`Reply::fire_and_forget`].
    ///
    /// # Errors
    /// As there.
    pub fn fire_and_forget(self) -> Result<()> {
        self.reply.fire_and_forget()
    }
}

impl Shard {
    /// Begins a batch of commands that go out together.
    pub fn pipeline(&self) -> Pipeline<'_> {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together, without anybody else's in between.
    pub fn transaction(&self) -> Transaction<'_, Shard> {
        Transaction::new(self)
    }

    fn submit_batch<T: FromReply>(&self, name: CommandName, batch: Batch) -> Reply<T> {
        match batch {
            Batch { refused: Some(error), .. } => Reply::settled(Err(error), name),
            Batch { commands: 0, .. } => Reply::settled(Ok(Frame::Array(Vec::new())), name),
            Batch { bytes, commands, .. } => {
                self.submit(name, Some(commands), |out| out.extend_from_slice(&bytes))
            }
        }
    }
}

/// What batches go by in errors.
pub(crate) const PIPELINE: CommandName = CommandName::new("(pipeline)");
pub(crate) const TRANSACTION: CommandName = CommandName::new("(transaction)");
