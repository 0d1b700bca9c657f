//! [`Script`]: a Lua script that runs on the server, and is sent there once.

use std::fmt;

use super::arg::ToArg;
use super::builder::{Cmd, cmd};
use super::reply::FromReply;
use super::run::Run;
use super::sink::Sink;
use crate::error::Result;
use crate::proto::resp::Frame;

/// A script, which is called by the SHA-1 of its text. The text is sent to a server that does not know the script yet, such as
/// one that was restarted, or one that a connection was handed off to.
///
/// ```no_run
/// use std::sync::LazyLock;
/// use hitless::command::Script;
///
/// static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(
///     "local n = redis.call('DECRBY', KEYS[1], ARGV[1])
///      if n < 0 then redis.call('INCRBY', KEYS[1], ARGV[1]) end
///      return n >= 0",
/// ));
///
/// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
/// let taken: bool = TAKE.run(client, &["tokens"], &[5]).await?;
/// # let _ = taken;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Script {
    source: String,
    sha1: String,
}

/// Shows the SHA-1 and the length: the text may hold values.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({}, {} bytes)", self.sha1, self.source.len())
    }
}

impl Script {
    /// A script with this text.
    pub fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        let sha1 = sha1_smol::Sha1::from(&source).digest().to_string();
        Script { source, sha1 }
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The SHA-1 by which servers know it: forty hexadecimal digits.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    /// Runs the script with `KEYS` and `ARGV`.
    ///
    /// `EVALSHA` is queued at once. If the server answers that it does not know the script, and so has not run it, `EVAL` with
    /// the text follows, behind the calls that you made in the meantime.
    ///
    /// # Errors
    /// Those of any command; and if the script fails.
    pub fn run<'a, T, C, K, A>(
        &'a self,
        on: &'a C,
        keys: &'a [K],
        arguments: &'a [A],
    ) -> impl Future<Output = Result<T>> + use<'a, T, C, K, A>
    where
        T: FromReply,
        C: Run,
        K: ToArg,
        A: ToArg,
    {
        let by_sha1 = on.run::<Attempt<T>>(&call("EVALSHA", &self.sha1, keys, arguments));
        async move {
            match by_sha1.await? {
                Attempt::Done(value) => Ok(value),
                Attempt::Unknown => on.run(&call("EVAL", &self.source, keys, arguments)).await,
            }
        }
    }
}

/// The result of a call by SHA-1.
enum Attempt<T> {
    Done(T),
    Unknown,
}

impl<T: FromReply> FromReply for Attempt<T> {
    fn from_reply(reply: Frame) -> Result<Self> {
        match &reply {
            Frame::Error(text) if text.starts_with(b"NOSCRIPT") => Ok(Attempt::Unknown),
            _ => T::from_reply(reply).map(Attempt::Done),
        }
    }
}

fn call(name: &str, script: &str, keys: &[impl ToArg], arguments: &[impl ToArg]) -> Cmd {
    let mut command = cmd(name).arg(script).arg(keys.len());
    command.many(keys);
    command.many(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha1_is_that_of_the_text() {
        assert_eq!(Script::new("return 1").sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
