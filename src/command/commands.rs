//! [`Commands`]: the commands of shards and clients, as one trait.

use super::pipeline::Pipeline;
use super::run::Run;
use super::scan::scans;
use super::transaction::Transaction;
use super::typed::typed_commands;

/// The commands of [`Shard`](crate::Shard) and [`Client`](crate::Client), for code that runs on both. The two types have the
/// same methods of their own, so only such code needs this trait.
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
/// A type of your own, such as a test double, implements [`Run`]: `run` for single commands and `run_batch` for pipelines
/// and transactions. Every method of this trait calls them unless you replace it, so `impl Commands for Double {}` is enough.
pub trait Commands: Run {
    /// Begins a batch of commands that are sent in one write.
    fn pipeline(&self) -> Pipeline<'_, Self>
    where
        Self: Sized,
    {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that the server runs as one unit, with no other command in between.
    fn transaction(&self) -> Transaction<'_, Self>
    where
        Self: Sized,
    {
        Transaction::new(self)
    }

    typed_commands!(trait);

    scans!();
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{Ready, ready};

    use super::*;
    use crate::command::{Batch, Cmd, FromReply};
    use crate::error::Result;
    use crate::options::{ListEnd, SetOptions};
    use crate::proto::resp::Frame;

    /// Answers every command with `:1`, and keeps the commands.
    #[derive(Default)]
    struct Double(RefCell<Vec<u8>>);

    impl Commands for Double {}

    impl Run for Double {
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
    fn pipelines_and_transactions_go_through_run_batch() {
        let double = Double::default();
        assert_eq!(futures_lite::future::block_on(both(&double)).unwrap(), (1, 0));
        assert_eq!(words(double), "*6 HSET h a 1 b two ");
    }

    #[test]
    fn typed_methods_go_through_run() {
        let double = Double::default();
        let reply = double.set_with::<bool>("k", "v", SetOptions::new().nx().ex(5));
        assert!(reply.into_inner().unwrap());
        drop(double.lmpop_many::<i64>(&["a", "b"], ListEnd::Left, 3));
        assert_eq!(words(double), "*6 SET k v NX EX 5 *7 LMPOP 2 a b LEFT COUNT 3 ");
    }
}
