//! The typed commands on a [`Client`].

use super::{Client, ClientReply};
use crate::command::typed::typed_commands;
use crate::command::{Batch, Cmd, CommandName, Commands, FromReply, Run, scans};
use crate::proto::endpoint::Endpoint;
use crate::proto::resp::Encoder;

impl Client {
    typed_commands!(ClientReply);

    scans!(pub);

    #[inline]
    fn send<T: FromReply>(
        &self,
        name: CommandName,
        arguments: usize,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> ClientReply<T> {
        let mut bytes = Vec::with_capacity(COMMAND_RESERVED);
        write(&mut Encoder::command(&mut bytes, arguments));
        self.call(name, bytes, None)
    }
}

// The methods are the client's own: listing them twice would only lengthen the documentation.
#[doc(hidden)]
impl Run for Client {
    type Reply<T: FromReply> = ClientReply<T>;

    #[inline]
    fn run<T: FromReply>(&self, command: &Cmd) -> ClientReply<T> {
        Client::run(self, command)
    }

    fn run_batch<T: FromReply>(&self, batch: Batch) -> ClientReply<T> {
        self.call_batch(batch)
    }

    fn endpoint(&self) -> Option<&Endpoint> {
        Some(self.config().endpoint())
    }
}

#[doc(hidden)]
impl Commands for Client {
    typed_commands!((Client));
}

/// Room for a short command, so that writing one allocates once.
const COMMAND_RESERVED: usize = 128;
