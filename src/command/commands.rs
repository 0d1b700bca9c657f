//! [`Commands`]: code that runs on a shard and on a client alike.

use super::scan::scans;
use super::typed::typed_commands;
use super::{Batch, Cmd, FromReply, Pipeline, Transaction};
use crate::error::Result;
use crate::proto::endpoint::Endpoint;

/// Everything that commands can be called on: [`Shard`](crate::Shard) and [`Client`](crate::Client), which have the
/// same methods of their own, so that only code that is to run on both takes this trait.
///
/// ```no_run
/// use hitless::command::Commands;
///
/// async fn visit(on: &impl Commands, user: &str) -> hitless::Result<i64> {
///     on.hset(user, (("seen", 1), ("page", "home"))).await?;
///     let counters = on.transaction();
///     counters.incr("visits").incr("visits:today");
///     let (visits, _): (i64, i64) = counters.run().await?;
///     Ok(visits)
/// }
/// ```
///
/// A type of your own, such as a test's, has [`run`](Commands::run) for single commands and
/// [`run_batch`](Commands::run_batch) for pipelines and transactions; every other method goes through these unless it is
/// replaced.
pub trait Commands {
    /// The wait for a reply, which does nothing else: [`Reply`](crate::Reply) or [`ClientReply`](crate::ClientReply).
    type Reply<T: FromReply>: Future<Output = Result<T>> + Unpin;

    /// Sends any command.
    fn run<T: FromReply>(&self, command: &Cmd) -> Self::Reply<T>;

    /// Sends the commands of a pipeline, or of a transaction with its `MULTI` and `EXEC`. The reply is an array with an
    /// element for each of them.
    fn run_batch<T: FromReply>(&self, batch: Batch) -> Self::Reply<T>;

    /// Begins a batch of commands that go out together.
    fn pipeline(&self) -> Pipeline<'_, Self>
    where
        Self: Sized,
    {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together, without anybody else's in between.
    fn transaction(&self) -> Transaction<'_, Self>
    where
        Self: Sized,
    {
        Transaction::new(self)
    }

    /// What errors name as the endpoint, if there is one.
    #[doc(hidden)]
    fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    typed_commands!(trait);

    scans!();
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{Ready, ready};

    use super::*;
    use crate::options::{ListEnd, SetOptions};
    use crate::proto::resp::Frame;

    /// Answers every command with `:1`, and keeps what was sent.
    #[derive(Default)]
    struct Double(RefCell<Vec<u8>>);

    impl Commands for Double {
        type Reply<T: FromReply> = Ready<Result<T>>;

        fn run<T: FromReply>(&self, command: &Cmd) -> Ready<Result<T>> {
            command.encode(&mut self.0.borrow_mut());
            ready(T::from_reply(Frame::Integer(1)))
        }

        fn run_batch<T: FromReply>(&self, batch: Batch) -> Ready<Result<T>> {
            self.0.borrow_mut().extend_from_slice(batch.encoded());
            ready(T::from_reply(Frame::Array(vec![Frame::Integer(1); batch.replies()])))
        }
    }

    fn words(double: Double) -> String {
        let sent = String::from_utf8(double.0.into_inner()).unwrap();
        sent.split("\r\n").filter(|line| !line.starts_with('$')).collect::<Vec<_>>().join(" ")
    }

    async fn both(on: &impl Commands) -> Result<(i64, i64)> {
        let pipeline = on.pipeline();
        pipeline.hset("h", (("a", 1), ("b", "two")));
        let (first,): (i64,) = pipeline.run().await?;
        Ok((first, on.transaction().run::<Vec<i64>>().await?.len() as i64))
    }

    #[test]
    fn generic_code_has_pipelines_and_transactions() {
        let double = Double::default();
        assert_eq!(futures_lite::future::block_on(both(&double)).unwrap(), (1, 0));
        assert_eq!(words(double), "*6 HSET h a 1 b two ");
    }

    #[test]
    fn run_is_all_that_a_type_needs() {
        let double = Double::default();
        let reply = double.set_with::<bool>("k", "v", SetOptions::new().nx().ex(5));
        assert!(reply.into_inner().unwrap());
        drop(double.lmpop_many::<i64>(&["a", "b"], ListEnd::Left, 3));
        assert_eq!(words(double), "*6 SET k v NX EX 5 *7 LMPOP 2 a b LEFT COUNT 3 ");
    }
}
