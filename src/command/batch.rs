//! [`Batch`]: commands that are gathered to be sent as one.

use super::Cmd;
use crate::error::Error;
use crate::proto::resp::Encoder;

/// The encoded commands of a pipeline or a transaction, back to back.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: u32,
    /// Why nothing of it is sent: what was said of the first command that cannot be.
    pub(crate) refused: Option<Error>,
}

impl Batch {
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
