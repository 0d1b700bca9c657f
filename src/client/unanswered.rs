//! Commands whose replies nobody waits for.

use std::future::poll_fn;

use super::Client;
use super::overflow::Sent;
use super::route::Place;
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::shard::Shard;
use crate::shard::foreign::foreign_call;
use crate::shard::mailbox::Letter;

impl Client {
    /// Sends a command in the order of this handle's calls. It is ready as soon as the command has found room in its
    /// shard's mailbox: what becomes of it then, nobody is told.
    pub(crate) async fn send_unanswered(&self, bytes: Vec<u8>) -> Result<()> {
        let (Place { shard, entry, lane }, stay) = self.route.place(&self.shared, &bytes);
        let submit = move |on: Shard| {
            let (caller, call) = foreign_call();
            on.submit_foreign(entry, lane, &bytes, None, caller);
            if let Some(stay) = stay {
                // The handle must not choose another place before this one is through.
                on.spawn(async move {
                    let _ = poll_fn(|context| call.poll(context)).await;
                    drop(stay);
                });
            }
        };
        // As a closure, because a call whose caller has left is not sent at all.
        match self.overflow.send(&self.shared.threads, shard, Letter::Run(Box::new(submit))) {
            Sent::InTheMailbox => Ok(()),
            Sent::Waiting => {
                poll_fn(|context| self.overflow.poll_flush(&self.shared.threads, context)).await;
                Ok(())
            }
            Sent::Gone => Err(Error::shut_down(Outcome::Unsent)),
            Sent::Refused => Err(Error::overloaded("too many calls of one handle wait for room")),
        }
    }
}
