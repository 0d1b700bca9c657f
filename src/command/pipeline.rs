//! [`Pipeline`]: several commands that go out together.

use std::cell::RefCell;
use std::fmt;

use super::batch::{Batch, PIPELINE};
use super::typed::typed_commands;
use super::{Cmd, CommandName, Commands, FromReply};
use crate::proto::resp::Encoder;

/// A batch of commands that is sent as one, on one connection, in order: of a [`Shard`](crate::Shard), or of a
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
pub struct Pipeline<'a, D> {
    door: &'a D,
    batch: RefCell<Batch>,
}

impl<'a, D> Pipeline<'a, D> {
    pub(crate) fn new(door: &'a D) -> Self {
        Pipeline { door, batch: RefCell::new(Batch::new(PIPELINE)) }
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

    typed_commands!(batch);

    #[inline]
    fn send(&self, _name: CommandName, arguments: usize, write: impl FnOnce(&mut Encoder<'_>)) -> &Self {
        self.batch.borrow_mut().write(arguments, write);
        self
    }
}

impl<D: Commands> Pipeline<'_, D> {
    /// Queues the batch; the future waits for all of its replies. The reply to an empty batch is an empty array.
    pub fn run<T: FromReply>(self) -> D::Reply<T> {
        self.door.run_batch(self.batch.into_inner())
    }
}

impl<D> fmt::Debug for Pipeline<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({} commands)", self.len())
    }
}
