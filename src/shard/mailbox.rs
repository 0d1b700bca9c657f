//! [`Mailbox`]: how other threads reach a shard. What they can ask for, and how the shard serves it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_channel::oneshot;

use super::Shard;
use super::channel::Channel;
use super::runtime::Glommio;
use crate::driver::calls::{Caller, CancelReason, Cancellation};
use crate::driver::runtime::{Runtime, StateCell};
use crate::driver::state::ShardState;
use crate::error::Result;
use crate::proto::connection::{Deliver, HandleId, Submission};
use crate::proto::error::{Failure, Outcome};
use crate::proto::pool::{CallDeadline, EntryId};

/// What another thread asks of a shard.
pub(crate) enum Request {
    /// Send this command, or batch, and tell the caller how it ended.
    Call { bytes: Vec<u8>, batch: Option<u32>, entry: EntryId, handle: HandleId, caller: Caller },
    /// The caller of a command that the shard has accepted does not wait any longer.
    Cancel(Cancellation),
    /// Run this on the shard's thread.
    Run(Box<dyn FnOnce(Shard) + Send>),
    /// Drain, close, and end.
    ShutDown { grace: Duration, done: oneshot::Sender<Result<()>> },
}

impl Request {
    /// Whether its caller has left before the shard accepted it.
    pub(crate) fn is_unwanted(&self) -> bool {
        matches!(self, Request::Call { caller, .. } if caller.has_left())
    }

    /// No shard will accept it: tells the caller that nothing was sent.
    pub(crate) fn refuse(self) {
        if let Request::Call { caller, .. } = self {
            caller.answer(Err(Failure::ShutDown(Outcome::Unsent)));
        }
    }
}

/// The bounded queue of requests to one shard.
///
/// Any thread sends; one task of the shard receives. Requests of one sender are served in the order in which it sent them. A
/// sender that finds no room waits for it with [`poll_send`](Channel::poll_send). The mailbox is closed by the last client, or
/// by the shard when it ends. The end of a shard must go through [`abandon`](Mailbox::abandon): a request that stayed in a
/// closed mailbox would leave its caller waiting forever.
pub(crate) type Mailbox = Channel<Request>;

impl Mailbox {
    pub(crate) fn new() -> Self {
        Mailbox::with_room(REQUESTS_MAX, SENDERS_MAX)
    }

    /// Accepts no more requests, tells the callers of those in the mailbox that nothing was sent, and wakes the senders that
    /// wait for room.
    pub(crate) fn abandon(&self) {
        self.abandon_with(Request::refuse);
    }
}

/// A shutdown that a caller asked for, and that is done.
pub(super) struct FinishedShutdown {
    result: Result<()>,
    done: oneshot::Sender<Result<()>>,
}

impl FinishedShutdown {
    /// Tells the caller the result.
    pub(super) fn report(self) {
        // The caller may have stopped waiting.
        let _ = self.done.send(self.result);
    }
}

/// Serves requests until the shard is shut down. `None` if that is because every client is gone.
pub(super) async fn serve(mailbox: &Mailbox, shard: Shard) -> Option<FinishedShutdown> {
    let reactor = shard.shared.runtime.reactor.clone();
    let mut serving = pin!(serve_requests(mailbox, shard));
    let mut waker: Option<(Waker, Waker)> = None;
    poll_fn(|context| {
        // Requests come from other threads, which the reactor hears at less cost than the runtime.
        if waker.as_ref().is_none_or(|(own, _)| !own.will_wake(context.waker())) {
            waker = Some((context.waker().clone(), reactor.waker_for_others(context.waker())));
        }
        let notifying = waker.as_ref().map_or(context.waker(), |(_, notifying)| notifying);
        serving.as_mut().poll(&mut Context::from_waker(notifying))
    })
    .await
}

async fn serve_requests(mailbox: &Mailbox, shard: Shard) -> Option<FinishedShutdown> {
    let mut served = 0usize;
    while let Some(request) = mailbox.next().await {
        match request {
            request if request.is_unwanted() => {}
            Request::Call { bytes, batch, entry, handle, caller } => {
                shard.shared.submit_foreign(entry, handle, bytes, batch, caller)
            }
            Request::Cancel(cancellation) => shard.shared.cancel_foreign(cancellation),
            Request::Run(run) => run(shard.clone()),
            Request::ShutDown { grace, done } => {
                let result = shard.shutdown(grace).await;
                mailbox.abandon();
                end_closures(&shard).await;
                return Some(FinishedShutdown { result, done });
            }
        }
        served = served.wrapping_add(1);
        if served.is_multiple_of(REQUESTS_PER_TURN) {
            // Requests may come faster than the shard serves them. Its connections have to run as well, and senders that
            // wait for room must not wait until the mailbox is empty.
            mailbox.wake_senders();
            futures_lite::future::yield_now().await;
        }
    }
    // Every client is gone, so no caller waits for the result.
    let _ = shard.shutdown(shard.shared.config.last_replies()).await;
    end_closures(&shard).await;
    None
}

/// Lets closures finish that only waited for their last replies, and ends the others.
async fn end_closures(shard: &Shard) {
    for _ in 0..LAST_TURNS {
        futures_lite::future::yield_now().await;
    }
    shard.shared.runtime.closures.end_all();
    // They drop what they hold when they run once more.
    futures_lite::future::yield_now().await;
}

impl ShardState<Glommio> {
    /// Opens a call for a caller on another thread, and queues what that thread has encoded.
    pub(super) fn submit_foreign(
        &self,
        entry: EntryId,
        handle: HandleId,
        bytes: Vec<u8>,
        batch: Option<u32>,
        caller: Caller,
    ) {
        self.runtime.mark_busy();
        let due = {
            let mut state = self.state.lock();
            let state = &mut *state;
            if let Some(ticket) = state.calls.open_foreign(caller, batch) {
                let submission = Submission { entry, handle, ticket, replies: batch.unwrap_or(1) };
                match state.queue(submission, |out| out.extend_from_slice(&bytes)) {
                    Ok((position, _)) => state.calls.note_position(ticket, entry, position, bytes),
                    Err(failure) => state.calls.fail(ticket, failure),
                }
            }
            state.calls.take_due()
        };
        self.wake(due);
    }

    /// A caller on another thread cancels its command. If it does not wait any longer, its slot becomes free. If its deadline
    /// has passed, it learns how far its command has come.
    fn cancel_foreign(&self, cancellation: Cancellation) {
        let (due, _left) = {
            let mut state = self.state.lock();
            let state = &mut *state;
            let Some((entry, position)) = state.calls.position_of(&cancellation) else { return };
            let ticket = cancellation.ticket;
            let now = self.clock.now();
            let left = match cancellation.reason {
                CancelReason::DeadlinePassed(after) => {
                    let limited = CallDeadline { entry, position, ticket, after };
                    state.pool.expire(limited, now, &mut state.calls);
                    None
                }
                CancelReason::ResultWanted => {
                    state.pool.cancel(entry, (position, ticket), now, &mut state.calls);
                    None
                }
                CancelReason::CallerLeft => {
                    state.pool.abandon(entry, position);
                    state.calls.leave(ticket).1
                }
            };
            state.abandoned(entry);
            (state.calls.take_due(), left)
        };
        self.wake(due);
    }
}

/// How many requests may wait in the mailbox of a shard.
const REQUESTS_MAX: usize = 8192;
/// How many wakers of senders that wait for room are kept. A task of an executor like the shards' own survives more clones of
/// its waker than this (see [`CALLS_MAX`](super::calls::CALLS_MAX)).
const SENDERS_MAX: usize = 2 * REQUESTS_MAX;
/// How many requests are served before other tasks of the shard run.
const REQUESTS_PER_TURN: usize = 256;
/// How many turns of the run queue closures have to finish in once no call is open.
const LAST_TURNS: usize = 16;

#[cfg(test)]
mod across_threads;
