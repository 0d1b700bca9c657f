//! [`Batch`]: commands that are sent in one piece.

use std::fmt;

use super::builder::Cmd;
use super::sharing::Conflict;
use crate::error::{CommandName, Error};
use crate::proto::resp::Encoder;

/// The encoded commands of a pipeline or a transaction, one after the other, for
/// [`Run::run_batch`](super::Run::run_batch). `Debug` shows the number of commands, never their values.
pub struct Batch {
    pub(crate) name: CommandName,
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: u32,
    /// The error of the first command that cannot run on a shared connection: then nothing is sent.
    pub(crate) refused: Option<Error>,
}

impl Batch {
    /// An empty batch, which errors call by this name.
    pub(crate) fn new(name: CommandName) -> Self {
        Batch { name, bytes: Vec::new(), commands: 0, refused: None }
    }

    /// How many replies it gets, including those to `MULTI` and `EXEC`.
    pub fn replies(&self) -> usize {
        self.commands as usize
    }

    /// The encoded commands.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds any command.
    pub(crate) fn add(&mut self, command: &Cmd) {
        // In a transaction the server does not wait.
        let is_transaction = self.name.as_str() == TRANSACTION.as_str();
        let is_carried = |conflict| is_transaction && conflict == Conflict::Blocks;
        if self.refused.is_none()
            && let Some(conflict) = command.conflict().filter(|conflict| !is_carried(*conflict))
        {
            self.refused = Some(command.refused(conflict));
        }
        command.encode(&mut self.bytes);
        self.commands += 1;
    }

    /// Adds a command with this number of arguments.
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

/// The names of batches in errors.
pub(crate) const PIPELINE: CommandName = CommandName::new("(pipeline)");
pub(crate) const TRANSACTION: CommandName = CommandName::new("(transaction)");
