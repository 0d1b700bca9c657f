//! [`Batch`]: commands that are gathered to be sent as one.

use std::fmt;

use super::{Cmd, CommandName};
use crate::error::Error;
use crate::proto::resp::Encoder;

/// The encoded commands of a pipeline or a transaction, back to back, as [`Commands::run_batch`](super::Commands::run_batch)
/// takes them. `Debug` shows how many they are, never their values.
pub struct Batch {
    pub(crate) name: CommandName,
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: u32,
    /// Why nothing of it is sent: what was said of the first command that cannot be.
    pub(crate) refused: Option<Error>,
}

impl Batch {
    /// No commands yet; in errors it goes by this name.
    pub(crate) fn new(name: CommandName) -> Self {
        Batch { name, bytes: Vec::new(), commands: 0, refused: None }
    }

    /// How many replies it gets, those to `MULTI` and `EXEC` included.
    pub fn replies(&self) -> usize {
        self.commands as usize
    }

    /// The commands, as they are sent.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds any command.
    pub(crate) fn add(&mut self, command: &Cmd) {
        if self.refused.is_none() {
            self.refused = command.refusal();
        }
        command.encode(&mut self.bytes);
        self.commands += 1;
    }

    /// Adds a command of so many arguments.
    #[inline]
    pub(crate) fn write(&mut self, arguments: usize, write: impl FnOnce(&mut Encoder<'_>)) {
        write(&mut Encoder::command(&mut self.bytes, arguments));
        self.commands += 1;
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} of {} commands)", self.name.as_str(), self.commands)
    }
}

/// What batches go by in errors.
pub(crate) const PIPELINE: CommandName = CommandName::new("(pipeline)");
pub(crate) const TRANSACTION: CommandName = CommandName::new("(transaction)");
