//! How a shard sends [`Pipeline`]s and [`Transaction`]s.

use std::time::Duration;

use super::Shard;
use super::reply::Reply;
use crate::command::{Batch, Executing, FromReply, Pipeline, Transaction};
use crate::error::Result;
use crate::proto::resp::Frame;

impl<T> Executing<Reply<Vec<Frame>>, T> {
    /// As [`Reply::timeout`].
    pub fn timeout(mut self, time: Duration) -> Self {
        self.reply = self.reply.timeout(time);
        self
    }

    /// As [`Reply::fire_and_forget`].
    ///
    /// # Errors
    /// As there.
    pub fn fire_and_forget(self) -> Result<()> {
        self.reply.fire_and_forget()
    }
}

impl Shard {
    /// Begins a batch of commands that go out together.
    pub fn pipeline(&self) -> Pipeline<'_, Shard> {
        Pipeline::new(self)
    }

    /// Begins a batch of commands that run together, without anybody else's in between.
    pub fn transaction(&self) -> Transaction<'_, Shard> {
        Transaction::new(self)
    }

    pub(super) fn submit_batch<T: FromReply>(&self, batch: Batch) -> Reply<T> {
        match batch {
            Batch { refused: Some(error), name, .. } => Reply::settled(Err(error), name),
            Batch { commands: 0, name, .. } => Reply::settled(Ok(Frame::Array(Vec::new())), name),
            Batch { bytes, commands, name, .. } => {
                self.submit(name, Some(commands), |out| out.extend_from_slice(&bytes))
            }
        }
    }
}
