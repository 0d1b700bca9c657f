//! Commands and replies as an application sees them: [`Cmd`] for any command, typed methods for the commonest,
//! [`ToArg`] for what goes out and [`FromReply`] for what comes back.

mod arg;
mod reply;
pub(crate) mod typed;

pub use arg::{Argument, ToArg};
pub use reply::FromReply;

use crate::proto::resp::Encoder;

/// Begins any command: `cmd("SET").arg("key").arg(7)`.
///
/// ```
/// let lpush = hitless::cmd("LPUSH").arg("queue").arg("job-1").arg("job-2");
/// assert_eq!(lpush.name(), "LPUSH");
/// ```
pub fn cmd(name: &str) -> Cmd {
    let mut command = Cmd { name: CommandName::new(name), arguments: 0, bytes: Vec::new() };
    command.push(Argument::Bytes(name.as_bytes()));
    command
}

/// A command that is built argument by argument, and can be sent any number of times.
///
/// `Debug` shows its name and the number of its arguments, never their values, which may be secret.
#[derive(Clone)]
pub struct Cmd {
    name: CommandName,
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
