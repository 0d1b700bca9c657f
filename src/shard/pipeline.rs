//! [`Pipeline`]: several commands that go out together.

use std::cell::RefCell;

use super::Shard;
use super::reply::Reply;
use crate::command::typed::typed_commands;
use crate::command::{Cmd, CommandName, FromReply};
use crate::proto::resp::Encoder;

/// A batch of commands that is sent as one, on one connection, in order.
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
pub struct Pipeline<'a> {
    shard: &'a Shard,
    batch: RefCell<Batch>,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    commands: u32,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(shard: &'a Shard) -> Self {
        Pipeline { shard, batch: RefCell::default() }
    }

    /// Adds any command.
    pub fn cmd(&self, command: &Cmd) -> &Self {
        let mut batch = self.batch.borrow_mut();
        command.encode(&mut batch.bytes);
        batch.commands += 1;
        drop(batch);
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

    /// Queues the batch; the future waits for all of its replies. The reply to an empty batch is an empty array.
    pub fn run<T: FromReply>(self) -> Reply<T> {
        let batch = self.batch.into_inner();
        self.shard.submit_batch(&batch.bytes, batch.commands)
    }

    typed_commands!(batch);

    #[inline]
    fn send(&self, _name: CommandName, arguments: usize, write: impl FnOnce(&mut Encoder<'_>)) -> &Self {
        let mut batch = self.batch.borrow_mut();
        write(&mut Encoder::command(&mut batch.bytes, arguments));
        batch.commands += 1;
        drop(batch);
        self
    }
}
