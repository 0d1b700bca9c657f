//! The typed commands on a [`Shard`].

use super::{Reply, Shard};
use crate::command::typed::typed_commands;
use crate::command::{Batch, Cmd, CommandName, Commands, FromReply, Run, scans};
use crate::proto::endpoint::Endpoint;
use crate::proto::resp::Encoder;

impl Shard {
    typed_commands!(Reply);

    scans!(pub);

    #[inline]
    fn send<T: FromReply>(
        &self,
        name: CommandName,
        arguments: usize,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> Reply<T> {
        self.submit(name, None, |out| write(&mut Encoder::command(out, arguments)))
    }
}

// The methods are the shard's own: listing them twice would only lengthen the documentation.
#[doc(hidden)]
impl Run for Shard {
    type Reply<T: FromReply> = Reply<T>;

    #[inline]
    fn run<T: FromReply>(&self, command: &Cmd) -> Reply<T> {
        Shard::run(self, command)
    }

    fn run_batch<T: FromReply>(&self, batch: Batch) -> Reply<T> {
        self.submit_batch(batch)
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.inner.config.endpoint())
    }
}

#[doc(hidden)]
impl Commands for Shard {
    typed_commands!((Shard));
}
