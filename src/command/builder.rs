//! [`Cmd`]: any command, built argument by argument.

use super::arg::{Argument, ToArg};
use super::sharing::{Conflict, SharingPolicy};
use crate::error::{CommandName, Error, ErrorKind};
use crate::proto::error::Outcome;
use crate::proto::resp::Encoder;

/// Begins any command: `cmd("SET").arg("key").arg(7)`.
///
/// ```
/// let lpush = hitless::cmd("LPUSH").arg("queue").arg("job-1").arg("job-2");
/// assert_eq!(lpush.name(), "LPUSH");
/// ```
pub fn cmd(name: &str) -> Cmd {
    let mut command = Cmd::nameless(name);
    command.policy = SharingPolicy::of(name.as_bytes());
    command.push(Argument::Bytes(name.as_bytes()));
    command
}

/// A command that you build argument by argument, and can send any number of times.
///
/// `Debug` shows its name and the number of its arguments, never their values, which may be secret.
#[derive(Clone)]
pub struct Cmd {
    name: CommandName,
    policy: SharingPolicy,
    arguments: usize,
    /// The arguments, encoded.
    bytes: Vec<u8>,
}

impl Cmd {
    /// Adds one argument, binary-safe.
    #[must_use]
    pub fn arg(mut self, argument: impl ToArg) -> Cmd {
        self.push(argument.to_arg());
        self
    }

    /// Adds each of `arguments`.
    #[must_use]
    pub fn args<A: ToArg>(mut self, arguments: impl IntoIterator<Item = A>) -> Cmd {
        for argument in arguments {
            self.push(argument.to_arg());
        }
        self
    }

    /// Says that the command may wait on the server, so that it gets a connection for itself: see
    /// [`manual::queues`](crate::manual::queues).
    ///
    /// Only commands of modules need it: `BLPOP` and its like, and `XREAD` with `BLOCK`, are known by name. The client does not
    /// know how long such a command may wait, and sets no limit.
    ///
    /// ```no_run
    /// use hitless::cmd;
    ///
    /// # async fn example(client: &hitless::Client) -> hitless::Result<()> {
    /// let reply: Option<String> = client.run(&cmd("MYMODULE.AWAIT").arg("jobs").blocking()).await?;
    /// # let _ = reply;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn blocking(mut self) -> Cmd {
        // A command that no connection may carry stays one.
        if self.policy == SharingPolicy::Shared {
            self.policy = SharingPolicy::Never(Conflict::Blocks);
        }
        self
    }

    /// The command's name as it was given, cut after 23 bytes.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn command_name(&self) -> CommandName {
        self.name
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        Encoder::command(out, self.arguments);
        out.extend_from_slice(&self.bytes);
    }

    /// How many bytes [`encode`](Cmd::encode) adds.
    #[cfg(feature = "load")]
    pub(crate) fn encoded_len(&self) -> usize {
        let digits = self.arguments.checked_ilog10().map_or(1, |last| last as usize + 1);
        digits + "*\r\n".len() + self.bytes.len()
    }

    /// The kind of connection that carries the command.
    ///
    /// # Errors
    /// If there is none.
    #[inline]
    pub(crate) fn carrier(&self) -> Result<Carrier, Error> {
        if self.policy == SharingPolicy::Shared { Ok(Carrier::Shared) } else { self.check() }
    }

    #[cold]
    fn check(&self) -> Result<Carrier, Error> {
        match self.conflict() {
            None => Ok(Carrier::Shared),
            Some(Conflict::Blocks) => Ok(Carrier::Exclusive),
            Some(conflict) => Err(self.refused(conflict)),
        }
    }

    /// The error for a command that a session cannot carry; `None` if it can.
    pub(crate) fn refused_in_session(&self) -> Option<Error> {
        let advice = match self.conflict()? {
            Conflict::Subscribes => "its messages are no replies; use `Client::subscribe`",
            Conflict::Streams => "its messages are no replies; use another client for them",
            Conflict::DropsReplies => "replies would be missing; use `fire_and_forget`",
            Conflict::Closes => "drop the session instead",
            _ => return None,
        };
        let detail = format!("{} cannot run in a session: {advice}", self.name());
        Some(Error::new(ErrorKind::Command, Outcome::Unsent, detail).of(self.name))
    }

    /// What the command does to the other callers of a shared connection, if it does anything.
    pub(crate) fn conflict(&self) -> Option<Conflict> {
        self.policy.conflict(self.arguments().skip(1))
    }

    /// The error for a command with this conflict.
    pub(crate) fn refused(&self, conflict: Conflict) -> Error {
        let detail = format!("{} cannot run on a shared connection: {}", self.name(), advice(conflict));
        Error::new(ErrorKind::Command, Outcome::Unsent, detail).of(self.name)
    }

    /// A command without arguments: the caller pushes its name first.
    pub(crate) fn nameless(name: &str) -> Cmd {
        let name = CommandName::new(name);
        Cmd { name, policy: SharingPolicy::Shared, arguments: 0, bytes: Vec::new() }
    }

    /// The arguments, its name first.
    fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let end = memchr::memchr(b'\r', rest)?;
            let length: usize = std::str::from_utf8(rest.get(1..end)?).ok()?.parse().ok()?;
            let (argument, after) = rest.get(end + 2..)?.split_at_checked(length)?;
            rest = after.get(2..)?;
            Some(argument)
        })
    }

    pub(super) fn push(&mut self, argument: Argument<'_>) {
        argument.encode(&mut Encoder::arguments(&mut self.bytes));
        self.arguments += 1;
    }
}

/// The kind of connection that carries a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// One that other callers use at the same time.
    Shared,
    /// One that the command has for itself.
    Exclusive,
}

impl std::fmt::Debug for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cmd({} and {} arguments)", self.name(), self.arguments.saturating_sub(1))
    }
}

/// What the command would do to other callers, and what to use instead.
fn advice(conflict: Conflict) -> &'static str {
    match conflict {
        Conflict::Blocks => "the commands behind it would wait too; send it by itself",
        Conflict::Subscribes => "its messages need a connection of their own; use `Client::subscribe`",
        Conflict::Streams => "its messages need a connection of their own; use another client for them",
        Conflict::BeginsTransaction | Conflict::EndsTransaction => {
            "it would affect the commands of other callers; use `transaction()`, which sends a whole one"
        }
        Conflict::Watches | Conflict::Unwatches => {
            "other callers use the connection between it and the transaction; use `Client::session`, or a script"
        }
        Conflict::SelectsDatabase | Conflict::LogsIn | Conflict::Configures => {
            "it would change the connection of other callers; set it in the configuration, for all connections"
        }
        Conflict::ChangesState | Conflict::DropsReplies | Conflict::Closes => {
            "it changes the replies of other callers, and is lost when the connection is replaced"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &str) -> Option<String> {
        let mut words = words.split(' ');
        let command = cmd(words.next().unwrap()).args(words);
        command.carrier().err().map(|error| {
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent));
            error.to_string()
        })
    }

    #[test]
    fn command_encodes_its_arguments() {
        let command = cmd("SET").arg("key").arg(-7).args([b"EX".as_slice(), b"\r\n\0"]);
        let mut out = Vec::new();
        command.encode(&mut out);
        assert_eq!(out, b"*5\r\n$3\r\nSET\r\n$3\r\nkey\r\n$2\r\n-7\r\n$2\r\nEX\r\n$3\r\n\r\n\0\r\n");
    }

    #[test]
    fn arguments_are_read_back_as_they_were_given() {
        let command = cmd("SET").arg("").arg(b"\r\n$3").arg(12);
        assert_eq!(command.arguments().collect::<Vec<_>>(), [b"SET".as_slice(), b"", b"\r\n$3", b"12"]);
    }

    #[test]
    fn debug_shows_no_values() {
        let command = cmd("AUTH").arg("s3cret");
        assert_eq!(format!("{command:?}"), "Cmd(AUTH and 1 arguments)");
    }

    #[test]
    fn refused_commands_name_the_alternative() {
        for (words, advice) in [
            ("subscribe news", "Client::subscribe"),
            ("MULTI", "transaction()"),
            ("Watch key", "Client::session"),
            ("SELECT 1", "the configuration"),
            ("CLIENT reply OFF", "the replies of other callers"),
            ("CLIENT SETNAME x", "the configuration"),
            ("CLIENT TRACKING ON", "the replies of other callers"),
        ] {
            let text = refused(words).unwrap_or_else(|| panic!("{words} is not refused"));
            assert!(text.contains(advice), "{text}");
        }
    }

    #[test]
    fn all_other_commands_are_sent() {
        for words in [
            "GET SUBSCRIBE",
            "XREAD COUNT 1 STREAMS BLOCK 0",
            "XREADGROUP GROUP BLOCK BLOCK STREAMS BLOCK >",
            "CLIENT",
            "CLIENT ID",
            "CLIENT KILL ID 7",
        ] {
            assert_eq!(refused(words), None, "{words}");
        }
    }

    #[test]
    fn blocking_commands_have_a_connection_for_themselves() {
        for blocking in [
            cmd("BLPOP").arg("list").arg(0),
            cmd("xread").arg("BLOCK").arg(0).args(["STREAMS", "s", "0"]),
            cmd("MODULE.AWAIT").arg("list").blocking(),
        ] {
            assert_eq!(blocking.carrier().unwrap(), Carrier::Exclusive, "{blocking:?}");
        }
        assert_eq!(cmd("XREAD").args(["STREAMS", "s", "0"]).carrier().unwrap(), Carrier::Shared);
        assert!(cmd("MONITOR").blocking().carrier().is_err());
    }
}
