//! [`Mailbox`]: how other threads reach a shard. A bounded lock-free queue of letters, and one wake-up for all that
//! arrive while the shard is busy.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use concurrent_queue::{ConcurrentQueue, PopError, PushError};
use futures_channel::oneshot;

use super::Shard;
use super::calls::Answer;
use crate::error::Result;
use crate::proto::connection::Lane;
use crate::proto::error::{Failure, Outcome};
use crate::proto::pool::EntryId;

/// What another thread asks of a shard.
pub(crate) enum Letter {
    /// Send this command, or batch, and tell the caller how it ended.
    Call { bytes: Vec<u8>, batch: Option<u32>, entry: EntryId, lane: Lane, caller: oneshot::Sender<Answer> },
    /// Run this on the shard's thread.
    Run(Box<dyn FnOnce(Shard) + Send>),
    /// Drain, close, and end.
    ShutDown { grace: Duration, done: oneshot::Sender<Result<()>> },
}

impl Letter {
    /// Whoever sent it has left.
    pub(crate) fn is_unwanted(&self) -> bool {
        matches!(self, Letter::Call { caller, .. } if caller.is_canceled())
    }

    /// No shard will take it: tells whoever sent it that nothing was done.
    pub(crate) fn refuse(self) {
        if let Letter::Call { caller, .. } = self {
            // A caller who has left does not mind.
            let _ = caller.send(Err(Failure::ShutDown(Outcome::Unsent)));
        }
    }
}

pub(crate) struct Mailbox {
    letters: ConcurrentQueue<Letter>,
    /// The shard that waits for letters.
    shard: AtomicWaker,
    /// Senders who wait for room. Each may be in it more than once, and is woken in vain then.
    senders: ConcurrentQueue<Waker>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Mailbox::with_room(LETTERS_MAX, SENDERS_MAX)
    }

    pub(crate) fn with_room(letters: usize, senders: usize) -> Self {
        Mailbox {
            letters: ConcurrentQueue::bounded(letters),
            shard: AtomicWaker::new(),
            senders: ConcurrentQueue::bounded(senders),
        }
    }

    /// Puts a letter in, or gives it back: because there is no room, or because the shard is gone.
    pub(crate) fn send(&self, letter: Letter) -> Result<(), PushError<Letter>> {
        self.letters.push(letter)?;
        self.shard.wake();
        Ok(())
    }

    /// Puts a letter in as soon as there is room; `false` if the shard is gone. Takes the letter when it is done.
    pub(crate) fn poll_send(&self, letter: &mut Option<Letter>, context: &Context<'_>) -> Poll<bool> {
        // The second attempt is for room that was made before the waker was in its place.
        for attempt in 0..2 {
            let Some(content) = letter.take() else { return Poll::Ready(true) };
            match self.send(content) {
                Ok(()) => return Poll::Ready(true),
                Err(PushError::Closed(back)) => {
                    *letter = Some(back);
                    return Poll::Ready(false);
                }
                Err(PushError::Full(back)) => *letter = Some(back),
            }
            if attempt == 0 {
                match self.senders.push(context.waker().clone()) {
                    Ok(()) => {}
                    // With nowhere left to wait, it asks again at its next turn.
                    Err(PushError::Full(waker)) => waker.wake(),
                    Err(PushError::Closed(_)) => return Poll::Ready(false),
                }
            }
        }
        Poll::Pending
    }

    /// Takes no more letters. Those that are in it stay.
    pub(crate) fn close(&self) {
        self.letters.close();
        self.shard.wake();
    }

    /// How many letters wait.
    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.letters.is_closed()
    }

    /// Takes no more letters, tells the senders of those that are in it that nothing was sent, and wakes those who
    /// wait for room.
    pub(crate) fn abandon(&self) {
        self.close();
        self.senders.close();
        while let Ok(letter) = self.letters.pop() {
            letter.refuse();
        }
        self.wake_senders();
    }

    /// The next letter; `None` once it is closed and empty.
    pub(crate) async fn next(&self) -> Option<Letter> {
        poll_fn(|context| {
            for attempt in 0..2 {
                match self.letters.pop() {
                    Ok(letter) => return Poll::Ready(Some(letter)),
                    Err(PopError::Closed) => return Poll::Ready(None),
                    Err(PopError::Empty) if attempt == 0 => {
                        self.wake_senders();
                        self.shard.register(context.waker());
                    }
                    Err(PopError::Empty) => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Wakes those who wait by now. One of them may find no room and be back before the next is woken: to go on until
    /// nobody waits could take for ever.
    fn wake_senders(&self) {
        for _ in 0..self.senders.len() {
            if let Ok(sender) = self.senders.pop() {
                sender.wake();
            }
        }
    }
}

/// Does what letters ask until the shard is shut down, or every client is gone.
pub(crate) async fn serve(mailbox: &Mailbox, shard: Shard) {
    let mut served = 0usize;
    while let Some(letter) = mailbox.next().await {
        match letter {
            letter if letter.is_unwanted() => {}
            Letter::Call { bytes, batch, entry, lane, caller } => {
                shard.submit_foreign(entry, lane, &bytes, batch, caller)
            }
            Letter::Run(run) => run(shard.clone()),
            Letter::ShutDown { grace, done } => {
                let result = shard.shutdown(grace).await;
                mailbox.abandon();
                // Whoever asked may have stopped waiting.
                let _ = done.send(result);
                return;
            }
        }
        served = served.wrapping_add(1);
        if served.is_multiple_of(LETTERS_PER_TURN) {
            // Letters may come faster than they are served: the connections have to run, too, and senders who wait
            // must not wait for a lull.
            mailbox.wake_senders();
            futures_lite::future::yield_now().await;
        }
    }
    // Nobody is left who could ask how it went.
    let _ = shard.shutdown(shard.inner.effective.last_replies()).await;
}

/// How many letters may wait for their shard.
const LETTERS_MAX: usize = 8192;
/// How many wakers of senders who wait for room are kept: fewer than the clones of one waker that a task of an executor
/// like the shards' own survives (see [`CALLS_MAX`](super::calls::CALLS_MAX)).
const SENDERS_MAX: usize = 2 * LETTERS_MAX;
/// How many letters are served before other tasks of the shard run.
const LETTERS_PER_TURN: usize = 256;

#[cfg(test)]
mod across_threads;
