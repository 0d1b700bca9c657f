//! What tests of the pieces between threads share.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Runs a test again and again, each time in another interleaving, and fails, instead of standing still, if somebody
/// in it waits for ever.
pub(crate) fn in_all_orders(test: impl Fn() + Send + 'static) {
    or_fails_in_time(move || (0..ROUNDS).for_each(|_| test()));
}

/// Runs a test, and fails, instead of standing still, if it waits for ever.
pub(crate) fn or_fails_in_time(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let test = thread::spawn(move || {
        let _done = done;
        test();
    });
    assert_ne!(ended.recv_timeout(LONG), Err(RecvTimeoutError::Timeout), "somebody waits for ever");
    test.join().unwrap();
}

/// A checker goes through all of it once for each seed, and is slow.
const ROUNDS: usize = if cfg!(miri) { 8 } else { 100 };
const LONG: Duration = Duration::from_secs(120);
