//! How a client sends [`Pipeline`]s and [`Transaction`]s.

use std::time::Duration;

use super::{Client, ClientReply};
use crate::command::{Batch, Executing, FromReply, Pipeline, Transaction};
use crate::error::Result;
use crate::proto::resp::Frame;

impl<T> Executing<ClientReply<Vec<Frame>>, T> {
    /// As [`ClientReply::timeout`].
    pub fn timeout(mut self, time: Duration) -> Self {
        self.reply = self.reply.timeout(time);
        self
    }

    /// As [`ClientReply::fire_and_forget`].
    ///
    /// # Errors
    /// As there.
    pub fn fire_and_forget(self) -> Result<()> {
        self.reply.fire_and_forget()
    }
}

impl Client {
    /// Begins a batch of commands that go out together.
    pub fn pipeline(&self) -> Pipeline<'_, Client> {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together, without anybody else's in between.
    pub fn transaction(&self) -> Transaction<'_, Client> {
        Transaction::new(self)
    }

    pub(super) fn call_batch<T: FromReply>(&self, batch: Batch) -> ClientReply<T> {
        match batch {
            Batch { refused: Some(error), name, .. } => self.settled(name, Err(error)),
            Batch { commands: 0, name, .. } => self.settled(name, Ok(Frame::Array(Vec::new()))),
            Batch { bytes, commands, name, .. } => self.call(name, bytes, Some(commands)),
        }
    }
}
