//! [`ClientReply`]: the wait, on any thread, for a reply from a shard.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use concurrent_queue::PushError;
use futures_channel::oneshot;

use super::Shared;
use crate::command::{CommandName, FromReply};
use crate::error::{Error, Result};
use crate::proto::error::Outcome;
use crate::proto::resp::Frame;
use crate::shard::Answer;
use crate::shard::mailbox::Letter;

/// The reply to a command that was called on a [`Client`](super::Client).
///
/// The command was put into its shard's mailbox when the method was called, if there was room, and is put there as
/// soon as this future is polled and there is. Dropping the future drops the reply when it comes.
#[must_use = "the command was queued, and dropping its reply cancels it"]
pub struct ClientReply<T> {
    shared: Arc<Shared>,
    call: Call,
    name: CommandName,
    kind: PhantomData<fn() -> T>,
}

enum Call {
    Open {
        shard: usize,
        /// The command, as long as there is no room for it.
        letter: Option<Letter>,
        receiver: oneshot::Receiver<Answer>,
    },
    /// It was decided before it was sent.
    Settled(Result<Frame>),
}

impl<T> ClientReply<T> {
    pub(super) fn begin(
        shared: Arc<Shared>,
        shard: usize,
        letter: Letter,
        receiver: oneshot::Receiver<Answer>,
        name: CommandName,
    ) -> Self {
        let letter = match shared.threads.mailbox(shard).map(|mailbox| mailbox.send(letter)) {
            Some(Err(PushError::Full(letter) | PushError::Closed(letter))) => Some(letter),
            Some(Ok(())) | None => None,
        };
        ClientReply { shared, call: Call::Open { shard, letter, receiver }, name, kind: PhantomData }
    }

    pub(super) fn settled(shared: Arc<Shared>, result: Result<Frame>, name: CommandName) -> Self {
        ClientReply { shared, call: Call::Settled(result), name, kind: PhantomData }
    }
}

impl<T: FromReply> Future for ClientReply<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.get_mut();
        let result = ready!(this.poll_answer(context)).and_then(T::from_reply);
        let endpoint = this.shared.effective.endpoint();
        Poll::Ready(result.map_err(|error| error.of(this.name).at(endpoint)))
    }
}

impl<T> ClientReply<T> {
    /// The shard's answer, or what became of the command if the shard is gone.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<Result<Frame>> {
        match &mut self.call {
            Call::Open { shard, letter, receiver } => {
                if letter.is_some()
                    && let Some(mailbox) = self.shared.threads.mailbox(*shard)
                    && !ready!(mailbox.poll_send(letter, context))
                {
                    return Poll::Ready(Err(Error::shut_down(Outcome::Unsent)));
                }
                let answer = ready!(Pin::new(receiver).poll(context));
                let answer = answer.map_err(|_| Error::shut_down(Outcome::Ambiguous));
                Poll::Ready(answer.and_then(|answer| answer.map_err(Error::from)))
            }
            Call::Settled(result) => Poll::Ready(result.clone()),
        }
    }
}
