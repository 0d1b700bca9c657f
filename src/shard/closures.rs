//! [`Closures`]: the futures that callers on other threads run on a shard, and how those callers learn that the shard has
//! ended before its result.
//!
//! An executor that ends does not drop tasks that wait for something. A sender inside such a task would never tell its
//! receiver anything. So the senders are kept here, where the end of the shard reaches them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_channel::oneshot;
use futures_lite::FutureExt;
use slab::Slab;

use crate::driver::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::{Outcome, panic_text};

/// The futures that run on one shard.
#[derive(Default)]
pub(super) struct Closures(RefCell<Slab<Rc<dyn Ends>>>);

/// A running future, seen without its type.
trait Ends {
    /// Tells the caller that there will be no result, and has the future dropped.
    fn end(&self);
}

struct Running<T> {
    caller: Cell<Option<oneshot::Sender<Result<T>>>>,
    waker: Cell<Option<Waker>>,
}

impl Closures {
    /// Runs a future as a task, and sends its result, or its panic, to the caller. `polled_for` hears how long each poll
    /// took, because the future may block the thread.
    pub(super) fn spawn<T: 'static>(
        self: Rc<Self>,
        future: impl Future<Output = T> + 'static,
        caller: oneshot::Sender<Result<T>>,
        clock: Clock,
        polled_for: impl Fn(Duration) + 'static,
    ) {
        let running = Rc::new(Running { caller: Cell::new(Some(caller)), waker: Cell::default() });
        let key = self.0.borrow_mut().insert(running.clone());
        let task = async move {
            let future = AssertUnwindSafe(future).catch_unwind();
            let result = running.until_ended(future, clock, polled_for).await;
            if let Some(result) = result {
                self.0.borrow_mut().try_remove(key);
                running.finish(result.map_err(|panic| panicked(&*panic)));
            }
        };
        glommio::spawn_local(task).detach();
    }

    /// Ends every future that has not finished. Call it without a borrow of the shard's state.
    pub(super) fn end_all(&self) {
        for (_, running) in self.0.take() {
            running.end();
        }
    }
}

impl<T> Running<T> {
    /// The output of the future; `None` if the future was ended first.
    async fn until_ended<F: Future>(
        &self,
        future: F,
        clock: Clock,
        polled_for: impl Fn(Duration),
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.has_ended() {
                return Poll::Ready(None);
            }
            let begin = clock.now();
            let polled = future.as_mut().poll(context).map(Some);
            polled_for(clock.now().since(begin));
            if polled.is_pending() {
                self.waker.set(Some(context.waker().clone()));
            }
            polled
        })
        .await
    }

    fn has_ended(&self) -> bool {
        let caller = self.caller.take();
        let has_ended = caller.is_none();
        self.caller.set(caller);
        has_ended
    }

    fn finish(&self, result: Result<T>) {
        if let Some(caller) = self.caller.take() {
            // The caller may have stopped waiting.
            let _ = caller.send(result);
        }
    }
}

impl<T> Ends for Running<T> {
    fn end(&self) {
        drop(self.caller.take());
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let detail = format!("a closure on the shard panicked: {}", panic_text(panic));
    Error::new(ErrorKind::Panicked, Outcome::Ambiguous, detail)
}
