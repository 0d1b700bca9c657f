//! [`Mailbox`]: how other threads reach a shard. Which letters there are, and what is done about each.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_channel::oneshot;

use super::calls::{Caller, Departure};
use super::channel::Channel;
use super::{Inner, Shard};
use crate::error::Result;
use crate::proto::connection::{Deliver, HandleId};
use crate::proto::error::{Failure, Outcome};
use crate::proto::pool::{EntryId, Limited};

/// What another thread asks of a shard.
pub(crate) enum Letter {
    /// Send this command, or batch, and tell the caller how it ended.
    Call { bytes: Vec<u8>, batch: Option<u32>, entry: EntryId, handle: HandleId, caller: Caller },
    /// The caller of a command that the shard has taken up waits no longer.
    Depart(Departure),
    /// Run this on the shard's thread.
    Run(Box<dyn FnOnce(Shard) + Send>),
    /// Drain, close, and end.
    ShutDown { grace: Duration, done: oneshot::Sender<Result<()>> },
}

impl Letter {
    /// Whoever sent it has left.
    pub(crate) fn is_unwanted(&self) -> bool {
        matches!(self, Letter::Call { caller, .. } if caller.has_left())
    }

    /// No shard will take it: tells whoever sent it that nothing was done.
    pub(crate) fn refuse(self) {
        if let Letter::Call { caller, .. } = self {
            caller.answer(Err(Failure::ShutDown(Outcome::Unsent)));
        }
    }
}

/// What a shard's letters come through.
pub(crate) type Mailbox = Channel<Letter>;

impl Mailbox {
    pub(crate) fn new() -> Self {
        Mailbox::with_room(LETTERS_MAX, SENDERS_MAX)
    }

    /// Takes no more letters, tells the senders of those that are in it that nothing was sent, and wakes those who
    /// wait for room.
    pub(crate) fn abandon(&self) {
        self.abandon_with(Letter::refuse);
    }
}

/// A shutdown that a caller asked for.
pub(super) struct Ended {
    result: Result<()>,
    done: oneshot::Sender<Result<()>>,
}

impl Ended {
    /// Tells the caller how it went.
    pub(super) fn tell(self) {
        // The caller may have stopped waiting.
        let _ = self.done.send(self.result);
    }
}

/// Does what letters ask until the shard is shut down, or every client is gone, which no caller asked for.
pub(super) async fn serve(mailbox: &Mailbox, shard: Shard) -> Option<Ended> {
    let bell = shard.inner.poller.bell().clone();
    let mut serving = pin!(serve_letters(mailbox, shard));
    let mut waker: Option<(Waker, Waker)> = None;
    poll_fn(|context| {
        // Letters come from other threads, which the thread does not hear in its naps.
        if waker.as_ref().is_none_or(|(own, _)| !own.will_wake(context.waker())) {
            waker = Some((context.waker().clone(), bell.on(context.waker())));
        }
        let ringing = waker.as_ref().map_or(context.waker(), |(_, ringing)| ringing);
        serving.as_mut().poll(&mut Context::from_waker(ringing))
    })
    .await
}

async fn serve_letters(mailbox: &Mailbox, shard: Shard) -> Option<Ended> {
    let mut served = 0usize;
    while let Some(letter) = mailbox.next().await {
        match letter {
            letter if letter.is_unwanted() => {}
            Letter::Call { bytes, batch, entry, handle, caller } => {
                shard.submit_foreign(entry, handle, &bytes, batch, caller)
            }
            Letter::Depart(departure) => shard.inner.depart(departure),
            Letter::Run(run) => run(shard.clone()),
            Letter::ShutDown { grace, done } => {
                let result = shard.shutdown(grace).await;
                mailbox.abandon();
                end_closures(&shard).await;
                return Some(Ended { result, done });
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
    let _ = shard.shutdown(shard.inner.config.last_replies()).await;
    end_closures(&shard).await;
    None
}

/// Lets closures that only waited for their last replies finish, and ends the others.
async fn end_closures(shard: &Shard) {
    for _ in 0..LAST_TURNS {
        futures_lite::future::yield_now().await;
    }
    shard.inner.closures.end_all();
    // They drop what they hold when they run once more.
    futures_lite::future::yield_now().await;
}

impl Shard {
    /// Submits what a caller on another thread has encoded.
    pub(crate) fn submit_foreign(
        &self,
        entry: EntryId,
        handle: HandleId,
        bytes: &[u8],
        batch: Option<u32>,
        caller: Caller,
    ) {
        self.inner.submit_foreign(entry, handle, bytes, batch, caller);
    }
}

impl Inner {
    fn submit_foreign(
        &self,
        entry: EntryId,
        handle: HandleId,
        bytes: &[u8],
        batch: Option<u32>,
        caller: Caller,
    ) {
        self.poller.stir();
        let due = {
            let mut core = self.core.borrow_mut();
            let core = &mut *core;
            if let Some(ticket) = core.calls.open_foreign(caller, batch) {
                let encode = |out: &mut Vec<u8>| out.extend_from_slice(bytes);
                match core.pool.submit(entry, handle, ticket, batch.unwrap_or(1), encode) {
                    Ok(position) => {
                        core.calls.place(ticket, entry, position);
                        core.notify(entry);
                    }
                    Err(failure) => core.calls.fail(ticket, failure),
                }
            }
            core.calls.take_due()
        };
        self.wake(due);
    }

    /// A caller on another thread waits no longer: its slot is free, and it learns how far its command has come if it
    /// wants to.
    fn depart(&self, departure: Departure) {
        let (due, _left) = {
            let mut core = self.core.borrow_mut();
            let core = &mut *core;
            let Some((entry, position)) = core.calls.place_of(&departure) else { return };
            let ticket = departure.ticket;
            let left = match departure.after {
                Some(after) => {
                    let limited = Limited { entry, position, ticket, after };
                    core.pool.expire(limited, self.clock.now(), &mut core.calls);
                    None
                }
                None => {
                    core.pool.abandon(entry, position);
                    core.calls.leave(ticket).1
                }
            };
            core.ask_pilot();
            (core.calls.take_due(), left)
        };
        self.wake(due);
    }
}

/// How many letters may wait for their shard.
const LETTERS_MAX: usize = 8192;
/// How many wakers of senders who wait for room are kept: fewer than the clones of one waker that a task of an executor
/// like the shards' own survives (see [`CALLS_MAX`](super::calls::CALLS_MAX)).
const SENDERS_MAX: usize = 2 * LETTERS_MAX;
/// How many letters are served before other tasks of the shard run.
const LETTERS_PER_TURN: usize = 256;
/// How many turns of the run queue closures have to finish once no call is open any more.
const LAST_TURNS: usize = 16;

#[cfg(test)]
mod across_threads;
