//! What the tests of the shard, of the client and of the pieces between threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

/// Counts how often a task was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    /// How often since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs a test many times, each time in another interleaving. It fails, instead of hanging, if a thread waits forever.
pub(crate) fn in_all_orders(test: impl Fn() + Send + 'static) {
    or_fails_in_time(move || (0..ROUNDS).for_each(|_| test()));
}

/// Runs a test, which fails, instead of hanging, if it waits forever.
pub(crate) fn or_fails_in_time(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let test = thread::spawn(move || {
        let _done = done;
        test();
    });
    assert_ne!(ended.recv_timeout(LONG), Err(RecvTimeoutError::Timeout), "a thread waits forever");
    test.join().unwrap();
}

/// Miri runs the test once for each of its seeds, and is slow.
const ROUNDS: usize = if cfg!(miri) { 8 } else { 100 };
const LONG: Duration = Duration::from_secs(120);
