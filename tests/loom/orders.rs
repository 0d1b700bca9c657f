//! Running a model in every order, and waiting in it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::model::Builder;
use loom::sync::{Condvar, Mutex};

/// Runs a model in every order in which threads are preempted at most so often. A thread that waits forever fails it.
pub(crate) fn in_every_order(turns_lost: usize, model: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = orders.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(turns_lost));
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let orders = orders.load(Ordering::Relaxed);
    assert!(orders > 1, "it has a single thread");
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("{orders:>8} orders: {name}");
}

/// A thread that waits until it is woken. It has no spurious wake-ups, which would hide a lost one.
pub(crate) struct Parked {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Parked {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Parked { is_woken: Mutex::new(false), woken: Condvar::new() })
    }

    /// Runs a future to its end on this thread.
    pub(crate) fn block_on<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let waker = Waker::from(self.clone());
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => self.wait(),
            }
        }
    }

    fn wait(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = self.woken.wait(is_woken).unwrap();
        }
        *is_woken = false;
    }
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.woken.notify_one();
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    Parked::new().block_on(future)
}
