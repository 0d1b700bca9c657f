//! [`Closures`]: the futures that callers on other threads run on a shard, and how those callers learn that the shard
//! has ended first.
//!
//! An executor that ends does not drop tasks that wait for something, so the sender of a result inside such a task would
//! never tell its receiver anything. The senders are kept here instead, within reach of the shard's end.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use futures_channel::oneshot;
use futures_lite::FutureExt;
use slab::Slab;

use super::{Inner, Shard};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::Outcome;

/// Those that run on one shard.
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
    /// Ends every future that has not finished. Nothing may be borrowed.
    pub(super) fn end_all(&self) {
        for (_, running) in self.0.take() {
            running.end();
        }
    }
}

impl Shard {
    /// Runs a closure of a caller on another thread, and its future beside what else runs on this thread. The caller
    /// gets the result, the panic, or nothing if the shard ends first.
    pub(crate) fn run_closure<F, Fut, T>(self, run: F, caller: oneshot::Sender<Result<T>>)
    where
        F: FnOnce(Shard) -> Fut + 'static,
        Fut: Future<Output = T> + 'static,
        T: 'static,
    {
        let running = Rc::new(Running { caller: Cell::new(Some(caller)), waker: Cell::default() });
        let inner = self.inner.clone();
        let key = inner.closures.0.borrow_mut().insert(running.clone());
        let shard = self.clone();
        let task = async move {
            let future = AssertUnwindSafe(async move { run(shard).await }).catch_unwind();
            let result = running.until_ended(&inner, type_name::<F>(), future).await;
            if let Some(result) = result {
                inner.closures.0.borrow_mut().try_remove(key);
                running.finish(result.map_err(|panic| panicked(&*panic)));
            }
        };
        self.spawn(task);
    }
}

impl<T> Running<T> {
    /// The future's output; nothing if it was ended before. It is timed, for it may block under this name.
    async fn until_ended<F: Future>(
        &self,
        inner: &Inner,
        name: &'static str,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.has_ended() {
                return Poll::Ready(None);
            }
            let begin = inner.clock.now();
            let polled = future.as_mut().poll(context).map(Some);
            inner.note_stall(inner.clock.now().since(begin), Some(name));
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

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Error::new(ErrorKind::Panicked, Outcome::Ambiguous, format!("a closure on the shard panicked: {text}"))
}
