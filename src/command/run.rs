//! [`Run`]: a type that commands can be sent through.

use super::batch::Batch;
use super::builder::Cmd;
use super::reply::FromReply;
use crate::error::Result;
use crate::proto::endpoint::Endpoint;

/// A type that commands can be sent through: [`Shard`](crate::Shard), [`Client`](crate::Client), or a double in your tests.
///
/// [`Commands`](super::Commands) adds all other methods to it.
pub trait Run {
    /// The future of a reply, which does nothing else: [`Reply`](crate::Reply) or [`ClientReply`](crate::ClientReply).
    type Reply<T: FromReply>: Future<Output = Result<T>> + Unpin;

    /// Sends any command.
    fn run<T: FromReply>(&self, command: &Cmd) -> Self::Reply<T>;

    /// Sends the commands of a pipeline, or of a transaction with its `MULTI` and `EXEC`. The reply is an array with an
    /// element for each of them.
    fn run_batch<T: FromReply>(&self, batch: Batch) -> Self::Reply<T>;

    /// The endpoint that errors name, if there is one.
    #[doc(hidden)]
    fn endpoint(&self) -> Option<&Endpoint> {
        None
    }
}
