//! Timers of callers in tokio, which are as exact as the kernel's.
//!
//! Tokio's own timers count whole milliseconds. In an open loop of 20,000 commands a second, 20 commands would be due in each
//! of them, and their latency would be that of the timer. These timers share one timer descriptor that the runtime watches:
//! a command that is due arrives as a request to a service does, by an event on a descriptor.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The timers of a group of callers. [`Timers::run`] must run as a task meanwhile.
pub(crate) struct Timers {
    descriptor: AsyncFd<OwnedFd>,
    state: Mutex<State>,
}

struct State {
    /// Ordered by due time; the number separates timers that are due at the same time.
    due: BTreeMap<(Instant, u64), Waker>,
    count: u64,
    /// When the descriptor becomes readable next, if it is set.
    armed: Option<Instant>,
}

impl Timers {
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the system has no descriptor left.
    #[allow(
        deprecated,
        reason = "its successor, which older versions do not have, is unsafe for types that may close their descriptor"
    )]
    pub(crate) fn new() -> io::Result<Timers> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let state = Mutex::new(State { due: BTreeMap::new(), count: 0, armed: None });
        Ok(Timers { descriptor: AsyncFd::with_interest(descriptor, Interest::READABLE)?, state })
    }

    pub(crate) fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        let mut state = self.state();
        state.count += 1;
        Sleep { timers: self.clone(), key: (Instant::now() + duration, state.count) }
    }

    /// Wakes callers whose timers are due, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        // An error means that the runtime ends, and the callers with it.
        while let Ok(mut readable) = self.descriptor.readable().await {
            // The number of expirations does not matter, and a failed read means that there was none.
            let _ = rustix::io::read(self.descriptor.get_ref(), &mut [0; 8]);
            readable.clear_ready();
            for waker in self.due() {
                waker.wake();
            }
        }
    }

    /// Removes the timers that are due, and sets the descriptor for the next one.
    fn due(&self) -> Vec<Waker> {
        let mut state = self.state();
        let (now, mut due) = (Instant::now(), Vec::new());
        state.armed = None;
        while let Some(entry) = state.due.first_entry() {
            let at = entry.key().0;
            if at > now {
                self.arm(&mut state, at);
                break;
            }
            due.push(entry.remove());
        }
        due
    }

    /// Sets the descriptor, unless it is due earlier.
    fn arm(&self, state: &mut State, at: Instant) {
        if state.armed.is_some_and(|armed| armed <= at) {
            return;
        }
        state.armed = Some(at);
        // Zero would switch the timer off.
        let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let time = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        let set = timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::empty(), &time);
        debug_assert!(set.is_ok(), "a valid descriptor and time");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Completes at its time; see [`Timers::sleep`].
pub(crate) struct Sleep {
    timers: Arc<Timers>,
    key: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.key.0 {
            return Poll::Ready(());
        }
        let mut state = self.timers.state();
        state.due.insert(self.key, context.waker().clone());
        self.timers.arm(&mut state, self.key.0);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // The descriptor may expire without a due timer, which wakes no caller.
        self.timers.state().due.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn timers_fire_in_order_and_dropped_ones_never() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let timers = Arc::new(Timers::new().expect("a descriptor"));
            let running = tokio::spawn(timers.clone().run());
            let order = Arc::new(Mutex::new(Vec::new()));
            let fired = Arc::new(AtomicUsize::new(0));
            let sleepers: Vec<_> = [30u64, 10, 20]
                .map(|millis| {
                    let (timers, order) = (timers.clone(), order.clone());
                    tokio::spawn(async move {
                        let sleep = timers.sleep(Duration::from_millis(millis));
                        let due = sleep.key.0;
                        sleep.await;
                        assert!(Instant::now() >= due);
                        order.lock().expect("no panic").push(due);
                    })
                })
                .into();
            let dropped = {
                let (timers, fired) = (timers.clone(), fired.clone());
                tokio::spawn(async move {
                    timers.sleep(Duration::from_millis(15)).await;
                    fired.fetch_add(1, Ordering::Relaxed);
                })
            };
            tokio::task::yield_now().await;
            dropped.abort();
            for sleeper in sleepers {
                sleeper.await.expect("no panic");
            }
            let order = order.lock().expect("no panic");
            assert!(order.len() == 3 && order.is_sorted(), "{order:?}");
            assert_eq!(fired.load(Ordering::Relaxed), 0);
            assert!(timers.state().due.is_empty());
            running.abort();
        });
    }
}
