//! [`Alarm`]: wakes a task at a given time, in any runtime and without one.
//!
//! One thread of the process sleeps until the earliest alarm. The first alarm starts the thread, which ends after [`IDLE_MAX`]
//! without an alarm. Shards have timers of their own. This one is for callers, whose shard may be busy.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::process::Process;

/// A time at which a task is woken. Dropping it cancels the wake-up.
#[derive(Debug)]
pub(super) struct Alarm {
    at: Instant,
    /// Its number, once it is set.
    number: Option<u64>,
}

/// The alarms that are set, and the thread that waits for them.
struct Clock {
    state: Mutex<Alarms>,
    changed: Condvar,
}

struct Alarms {
    set: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// The process in which the thread runs, if it runs. A forked child has a copy of this value, and no thread.
    runs_in: Option<Process>,
}

impl Alarms {
    fn is_running(&self) -> bool {
        self.runs_in.is_some_and(Process::is_current)
    }
}

impl Alarm {
    pub(super) fn new(at: Instant) -> Self {
        Alarm { at, number: None }
    }

    /// Ready once the time has come; until then it wakes the task of the last call.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let mut state = CLOCK.lock();
        let (number, before) = CLOCK.set(&mut state, self.at, self.number, context.waker().clone());
        self.number = Some(number);
        let is_running = state.is_running();
        drop(state);
        // Dropping a waker may run code that sets alarms, so the lock is free by now.
        drop(before);
        if !is_running {
            // Without the thread the task has to look at the time itself.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Wakes this on the thread of the alarms, after a moment.
pub(super) fn wake_soon(waker: Waker) {
    let (_, before) = CLOCK.set(&mut CLOCK.lock(), Instant::now() + SOON, None, waker);
    drop(before);
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = CLOCK.lock().set.remove(&(self.at, number));
            // Dropped without the lock, as above.
            drop(waker);
        }
    }
}

impl Clock {
    /// Sets an alarm, or replaces the waker of the one with this number, and returns the earlier waker. Starts the thread if it
    /// does not run.
    fn set(
        &self,
        state: &mut Alarms,
        at: Instant,
        number: Option<u64>,
        waker: Waker,
    ) -> (u64, Option<Waker>) {
        let number = number.unwrap_or_else(|| {
            state.next += 1;
            state.next
        });
        let before = state.set.insert((at, number), waker);
        if before.is_none() && state.set.first_key_value().is_some_and(|(first, _)| *first == (at, number)) {
            self.changed.notify_one();
        }
        if !state.is_running() {
            let started = thread::Builder::new().name("hitless-alarms".into()).spawn(|| CLOCK.run());
            state.runs_in = started.is_ok().then(Process::current);
        }
        (number, before)
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let mut due = Vec::new();
            while let Some(first) = state.set.first_entry()
                && first.key().0 <= now
            {
                due.push(first.remove());
            }
            if !due.is_empty() {
                drop(state);
                for waker in due {
                    // A waker that panics must not lose the alarms of other tasks.
                    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| waker.wake()));
                }
                state = self.lock();
                continue;
            }
            let first = state.set.first_key_value().map(|((at, _), _)| at.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(state, first.unwrap_or(IDLE_MAX));
            let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            if waited.timed_out() && state.set.is_empty() {
                state.runs_in = None;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

static CLOCK: Clock = Clock {
    state: Mutex::new(Alarms { set: BTreeMap::new(), next: 0, runs_in: None }),
    changed: Condvar::new(),
};

/// The delay of [`wake_soon`]. It gives the shard time to make room for more than one request.
const SOON: Duration = Duration::from_micros(100);
/// How long the thread waits for another alarm before it ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn alarms_wake_their_tasks_and_never_early() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let wait = |mut alarm: Alarm| block_on(poll_fn(|context| alarm.poll(context)));
        thread::scope(|scope| {
            for at in [after(30), after(10), after(20)] {
                scope.spawn(move || {
                    wait(Alarm::new(at));
                    assert!(Instant::now() >= at);
                });
            }
        });
        wait(Alarm::new(start));
    }

    #[test]
    fn cancelled_alarm_keeps_no_waker() {
        let (waker, mut alarm) = (Waker::noop(), Alarm::new(Instant::now() + Duration::from_secs(3600)));
        assert!(alarm.poll(&Context::from_waker(waker)).is_pending());
        let key = (alarm.at, alarm.number.unwrap());
        assert!(CLOCK.lock().set.contains_key(&key));
        drop(alarm);
        assert!(!CLOCK.lock().set.contains_key(&key));
    }
}
