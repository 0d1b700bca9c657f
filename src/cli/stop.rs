//! Ctrl-C: the first asks for a clean end with a report, the second kills at once.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How long it takes at most until the wish to stop is seen.
const LOOK: Duration = Duration::from_millis(50);

/// A flag that the first SIGINT or SIGTERM raises.
pub(super) fn on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the second signal finds the flag raised by the first.
        flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .context("could not install a signal handler")?;
    }
    Ok(stop)
}

/// Waits for `future`; `None` if the user wants to stop before it is done.
pub(super) fn unless<F: Future>(stop: &AtomicBool, future: F) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    while !stop.load(Ordering::Relaxed) {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return Some(output),
            Poll::Pending => thread::park_timeout(LOOK),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_future_or_with_the_flag() {
        let stop = AtomicBool::new(false);
        assert_eq!(unless(&stop, async { 7 }), Some(7));
        let (sender, receiver) = futures_channel::oneshot::channel();
        let other = thread::spawn(move || sender.send(8));
        assert_eq!(unless(&stop, receiver), Some(Ok(8)));
        assert!(other.join().is_ok());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(unless(&stop, std::future::pending::<()>()), None);
    }
}
