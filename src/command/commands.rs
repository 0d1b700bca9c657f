//! [`Commands`]: code that runs on a shard and on a client alike.

use super::scan::scans;
use super::typed::typed_commands;
use super::{Cmd, FromReply};
use crate::error::Result;

/// Everything that commands can be called on: [`Shard`](crate::Shard) and [`Client`](crate::Client), which have the
/// same methods of their own, so that only code that is to run on both takes this trait.
///
/// ```no_run
/// use hitless::command::Commands;
///
/// async fn visit(on: &impl Commands, user: &str) -> hitless::Result<i64> {
///     on.hset(user, &[("seen", 1)]).await?;
///     on.incr("visits").await
/// }
/// ```
///
/// Whoever implements it for a type of their own, as tests do, writes [`run`](Commands::run), through which every other
/// method goes unless it is replaced.
pub trait Commands {
    /// The wait for a reply, which does nothing else: [`Reply`](crate::Reply) or [`ClientReply`](crate::ClientReply).
    type Reply<T: FromReply>: Future<Output = Result<T>> + Unpin;

    /// Sends any command.
    fn run<T: FromReply>(&self, command: &Cmd) -> Self::Reply<T>;

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
    }

    #[test]
    fn run_is_all_that_a_type_needs() {
        let double = Double::default();
        let reply = double.set_with::<bool>("k", "v", SetOptions::new().nx().ex(5));
        assert!(reply.into_inner().unwrap());
        drop(double.lmpop_many::<i64>(&["a", "b"], ListEnd::Left, 3));
        let sent = double.0.into_inner();
        let words: Vec<String> = String::from_utf8(sent)
            .unwrap()
            .split("\r\n")
            .filter(|line| !line.starts_with('$'))
            .map(str::to_owned)
            .collect();
        assert_eq!(words.join(" "), "*6 SET k v NX EX 5 *7 LMPOP 2 a b LEFT COUNT 3 ");
    }
}
