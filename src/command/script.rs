//! [`Script`]: Lua that runs on the server, and is sent there once.

use std::fmt;

use super::sink::Sink;
use super::{Cmd, Commands, FromReply, ToArg, cmd};
use crate::error::Result;
use crate::proto::resp::Frame;

/// A script, which is called by the SHA-1 of its text, and sent whole to a server that does not know it yet: one that
/// was started again, or the one that a connection was handed off to.
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

/// Its name on servers, and how long it is: texts may hold values.
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

    /// The name by which servers know it: forty digits.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }

    /// Runs it, with `KEYS` and `ARGV`.
    ///
    /// The call by name is queued at once. Only if the server answers that it does not know the script, and so has not
    /// run it, is the text sent, behind what was called in the meantime.
    ///
    /// # Errors
    /// As any command; and if the script fails.
    pub fn run<'a, T, C, K, A>(
        &'a self,
        on: &'a C,
        keys: &'a [K],
        arguments: &'a [A],
    ) -> impl Future<Output = Result<T>> + use<'a, T, C, K, A>
    where
        T: FromReply,
        C: Commands,
        K: ToArg,
        A: ToArg,
    {
        let by_name = on.run::<Tried<T>>(&call("EVALSHA", &self.sha1, keys, arguments));
        async move {
            match by_name.await? {
                Tried::Done(value) => Ok(value),
                Tried::Unknown => on.run(&call("EVAL", &self.source, keys, arguments)).await,
            }
        }
    }
}

/// What became of a call by name.
enum Tried<T> {
    Done(T),
    Unknown,
}

impl<T: FromReply> FromReply for Tried<T> {
    fn from_reply(reply: Frame) -> Result<Self> {
        match &reply {
            Frame::Error(text) if text.starts_with(b"NOSCRIPT") => Ok(Tried::Unknown),
            _ => T::from_reply(reply).map(Tried::Done),
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
    fn the_name_of_a_script_is_its_sha1() {
        assert_eq!(Script::new("return 1").sha1(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
