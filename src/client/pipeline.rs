//! How a client sends [`Pipeline`]s and [`Transaction`]s.

use std::time::Duration;

use super::{Client, ClientReply};
use crate::command::batch::Batch;
use crate::command::{CommandName, Executing, FromReply, Transaction};
use crate::error::Result;
use crate::proto::resp::Frame;
use crate::shard::{PIPELINE, Pipeline, TRANSACTION};

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

    fn call_batch<T: FromReply>(&self, name: CommandName, batch: Batch) -> ClientReply<T> {
        match batch {
            Batch { refused: Some(error), .. } => self.settled(name, Err(error)),
            Batch { commands: 0, .. } => self.settled(name, Ok(Frame::Array(Vec::new()))),
            Batch { bytes, commands, .. } => self.call(name, bytes, Some(commands)),
        }
    }
}

impl Pipeline<'_, Client> {
    /// Queues the batch; the future waits for all of its replies. The reply to an empty batch is an empty array.
    pub fn run<T: FromReply>(self) -> ClientReply<T> {
        let (client, batch) = self.into_parts();
        client.call_batch(PIPELINE, batch)
    }
}

impl Transaction<'_, Client> {
    /// Queues the transaction; the future waits for what came of it. The reply to an empty one is an empty array, and
    /// nothing is sent.
    pub fn run<T: FromReply>(self) -> Executing<ClientReply<Vec<Frame>>, T> {
        let (client, mut gathered) = self.into_parts();
        let batch = std::mem::take(&mut gathered.batch);
        Executing::new(client.call_batch(TRANSACTION, batch), gathered, client.effective().endpoint())
    }
}
