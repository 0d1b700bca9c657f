//! Ctrl-C: the first one requests a clean end with a report, the second one exits at once.

use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use crate::cli::terminal::live::LogWriter;

/// A flag that the first SIGINT or SIGTERM sets. If the process does not end soon after it, a hint says how to force
/// the end.
pub(crate) fn on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let (receiver, sender) =
        UnixStream::pair().context("could not create the sockets that report a signal")?;
    let last = LAST_SIGNAL.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        let number = usize::try_from(signal).unwrap_or_default();
        // The order matters: the second signal must find the flag that the first one has set.
        flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())
            .and_then(|_| flag::register_usize(signal, last.clone(), number))
            .and_then(|_| flag::register(signal, stop.clone()))
            .and_then(|_| pipe::register(signal, sender.try_clone()?))
            .context("could not install a signal handler")?;
    }
    let wait = thread::Builder::new().name("hitless-signals".into());
    wait.spawn(move || explain_delay(receiver))
        .context("could not start the thread that waits for signals")?;
    Ok(stop)
}

/// The exit code of an interrupted command, as in shells: 130 after Ctrl-C, 143 after SIGTERM.
pub(crate) fn code() -> u8 {
    let last = LAST_SIGNAL.get().map_or(0, |last| last.load(Ordering::Relaxed));
    u8::try_from(128 + last).unwrap_or(crate::cli::exit::FAILED)
}

/// Waits for the first signal and prints the hint after a delay. The thread ends with the process.
fn explain_delay(mut receiver: UnixStream) {
    if receiver.read_exact(&mut [0]).is_ok() {
        thread::sleep(HINT_DELAY);
        // A closed standard error has no reader to inform.
        let _ = LogWriter.write_all(HINT.as_bytes());
    }
}

/// Waits for `future`; `None` if the user interrupts it first.
pub(crate) fn unless_stopped<F: Future>(stop: &AtomicBool, future: F) -> Option<F::Output> {
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
            Poll::Pending => thread::park_timeout(POLL_INTERVAL),
        }
    }
    None
}

/// The last signal that asked for an end.
static LAST_SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// An interrupt is noticed within this time.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A faster end needs no hint.
const HINT_DELAY: Duration = Duration::from_millis(500);
const HINT: &str = "stopping: waiting for commands in flight; press Ctrl-C again to quit at once\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_with_the_future_or_with_the_flag() {
        let stop = AtomicBool::new(false);
        assert_eq!(unless_stopped(&stop, async { 7 }), Some(7));
        let (sender, receiver) = futures_channel::oneshot::channel();
        let other = thread::spawn(move || sender.send(8));
        assert_eq!(unless_stopped(&stop, receiver), Some(Ok(8)));
        assert!(other.join().is_ok());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(unless_stopped(&stop, std::future::pending::<()>()), None);
    }
}
