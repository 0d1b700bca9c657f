//! More about commands than single methods: [`Script`]s, [`Transaction`]s, [`Scan`]s, and [`Commands`] for code that
//! runs on a [`Shard`](crate::Shard) and a [`Client`](crate::Client) alike.
//!
//! Typed methods exist for what any connection of a pool can carry. [`cmd`] sends any other command, save those that
//! only make sense on a connection of one's own: they are refused by name, unsent, as
//! [`ErrorKind::Command`](crate::ErrorKind::Command).
//!
//! | refused | in its place |
//! |---|---|
//! | `MULTI`, `EXEC`, `DISCARD` | `transaction()`, which sends them as one batch |
//! | `WATCH`, `UNWATCH` | a [`Script`]: it reads, decides and writes in one |
//! | `SELECT`, `AUTH`, `HELLO`, `CLIENT SETNAME`, `CLIENT SETINFO` | [`Config`](crate::Config), for all connections |
//! | `SUBSCRIBE` and its like, `MONITOR`, `SYNC` | a connection of your own, by other means |
//! | `QUIT`, `RESET`, `CLIENT REPLY`, `CLIENT NO-EVICT`, `CLIENT NO-TOUCH`, `READONLY`, `READWRITE`, `ASKING` | nothing |
//! | `BLPOP` and its like, `XREAD BLOCK`, `WAIT` | [`Cmd::blocking`], where nobody else uses the connection |

mod arg;
mod batch;
mod commands;
pub(crate) mod options;
mod pairs;
mod pipeline;
mod refusal;
mod reply;
mod scan;
mod script;
pub(crate) mod sink;
mod transaction;
pub(crate) mod typed;

pub use arg::{Argument, ToArg};
pub use batch::Batch;
pub use commands::Commands;
pub use pairs::ToPairs;
pub use pipeline::Pipeline;
pub use reply::FromReply;
pub use scan::Scan;
pub use script::Script;
pub use transaction::{Executing, Transaction};
pub use typed::TYPED;

pub(crate) use scan::scans;

use crate::error::Error;
use crate::proto::resp::Encoder;
use refusal::Manners;

/// Begins any command: `cmd("SET").arg("key").arg(7)`.
///
/// ```
/// let lpush = hitless::cmd("LPUSH").arg("queue").arg("job-1").arg("job-2");
/// assert_eq!(lpush.name(), "LPUSH");
/// ```
pub fn cmd(name: &str) -> Cmd {
    let mut command = Cmd::nameless(name);
    command.manners = Manners::of(command.name.in_upper_case().as_str());
    command.push(Argument::Bytes(name.as_bytes()));
    command
}

/// A command that is built argument by argument, and can be sent any number of times.
///
/// `Debug` shows its name and the number of its arguments, never their values, which may be secret.
#[derive(Clone)]
pub struct Cmd {
    name: CommandName,
    manners: Manners,
    may_wait: bool,
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

    /// Lets it wait on the server, as `BLPOP` does, or `XREAD` with `BLOCK`: otherwise such a command is refused.
    ///
    /// What is called behind it on the same connection waits for as long, and the command timeout goes on to apply.
    /// Take a client of its own for it, with connections that nobody else uses.
    ///
    /// ```no_run
    /// use hitless::cmd;
    ///
    /// # async fn example(waiting: &hitless::Client) -> hitless::Result<()> {
    /// let job: Option<(String, String)> = waiting.run(&cmd("BLPOP").arg("jobs").arg(2).blocking()).await?;
    /// # let _ = job;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn blocking(mut self) -> Cmd {
        self.may_wait = true;
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

    /// Why it is not sent, if it is not.
    #[inline]
    pub(crate) fn refusal(&self) -> Option<Error> {
        if self.manners == Manners::Good { None } else { refusal::refusal(self) }
    }

    /// Without arguments yet, not even its name's own.
    fn nameless(name: &str) -> Cmd {
        let name = CommandName::new(name);
        Cmd { name, manners: Manners::Good, may_wait: false, arguments: 0, bytes: Vec::new() }
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

    fn push(&mut self, argument: Argument<'_>) {
        argument.encode(&mut Encoder::arguments(&mut self.bytes));
        self.arguments += 1;
    }
}

impl std::fmt::Debug for Cmd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cmd({} and {} arguments)", self.name(), self.arguments.saturating_sub(1))
    }
}

/// A command's name, kept with its reply for error messages without an allocation.
#[derive(Clone, Copy)]
pub(crate) struct CommandName {
    bytes: [u8; NAME_MAX],
    length: u8,
}

impl CommandName {
    pub(crate) const fn new(name: &str) -> Self {
        let mut length = if name.len() < NAME_MAX { name.len() } else { NAME_MAX };
        while !name.is_char_boundary(length) {
            length -= 1;
        }
        let mut bytes = [0; NAME_MAX];
        let (kept, _) = name.as_bytes().split_at(length);
        bytes.split_at_mut(length).0.copy_from_slice(kept);
        CommandName { bytes, length: length as u8 }
    }

    fn in_upper_case(mut self) -> Self {
        self.bytes.make_ascii_uppercase();
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

const NAME_MAX: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_encodes_what_it_was_given() {
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
    fn long_names_are_cut_between_characters() {
        assert_eq!(CommandName::new("GET").as_str(), "GET");
        assert_eq!(CommandName::new(&"x".repeat(40)).as_str(), "x".repeat(23));
        let name = format!("{}é", "x".repeat(22));
        assert_eq!(CommandName::new(&name).as_str(), "x".repeat(22));
    }
}
