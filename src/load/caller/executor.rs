//! A small executor for one plain thread: callers that run outside the shards.
//!
//! It polls a fixed set of futures and has timers. It stands for the threads of an application that call a
//! [`Client`](crate::Client).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use concurrent_queue::ConcurrentQueue;

/// One of the futures that [`run`] completes.
pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// The timers of one executor, shared by its tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers(Rc<TimerTable>);

impl Timers {
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        self.0.count.set(self.0.count.get() + 1);
        let key = (Instant::now() + duration, self.0.count.get());
        Sleep { timers: self.clone(), key }
    }

    /// Wakes the tasks whose timers are due, and returns the time until the next timer.
    fn fire(&self) -> Option<Duration> {
        let now = Instant::now();
        loop {
            let mut due = self.0.due.borrow_mut();
            let entry = due.first_entry()?;
            let wait = entry.key().0.saturating_duration_since(now);
            if !wait.is_zero() {
                return Some(wait);
            }
            let waker = entry.remove();
            drop(due);
            waker.wake();
        }
    }
}

/// Completes at its time; see [`Timers::sleep`].
#[derive(Debug)]
pub(crate) struct Sleep {
    timers: Timers,
    key: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.key.0 {
            return Poll::Ready(());
        }
        self.timers.0.due.borrow_mut().insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timers.0.due.borrow_mut().remove(&self.key);
    }
}

/// Runs `tasks` to completion on this thread, and polls `background` until then.
pub(crate) fn run<T>(
    timers: &Timers,
    tasks: Vec<Task<T>>,
    background: impl Future<Output = ()> + 'static,
) -> Vec<T> {
    let ready = Arc::new(Ready { queue: ConcurrentQueue::unbounded(), thread: thread::current() });
    let new_turn = |index| {
        let turn = Arc::new(Turn { index, queued: AtomicBool::new(false), ready: ready.clone() });
        turn.wake_by_ref();
        turn
    };
    let mut results = Vec::with_capacity(tasks.len());
    let mut background: Task<()> = Box::pin(background);
    let mut tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    let mut left = tasks.len();
    let turns: Vec<_> = (0..=left).map(new_turn).collect();
    let wakers: Vec<_> = turns.iter().cloned().map(Waker::from).collect();
    while left > 0 {
        let wait = timers.fire();
        while let Ok(index) = ready.queue.pop() {
            let (Some(turn), Some(waker)) = (turns.get(index), wakers.get(index)) else {
                continue;
            };
            // Cleared before the poll: a wake-up during the poll must queue the task again, or it would be lost.
            turn.queued.store(false, Ordering::SeqCst);
            let context = &mut Context::from_waker(waker);
            match tasks.get_mut(index) {
                Some(slot) => {
                    let Some(task) = slot else { continue };
                    if let Poll::Ready(result) = task.as_mut().poll(context) {
                        *slot = None;
                        left -= 1;
                        results.push(result);
                    }
                }
                // The last index is the background task; its result is ignored.
                None => drop(background.as_mut().poll(context)),
            }
        }
        // The tasks that were just polled may have set new timers.
        let wait = timers.fire().or(wait);
        // A wake-up after this check unparks the thread, so the next park returns at once.
        if left > 0 && ready.queue.is_empty() {
            match wait {
                Some(wait) => thread::park_timeout(wait),
                None => thread::park(),
            }
        }
    }
    results
}

#[derive(Debug, Default)]
struct TimerTable {
    /// Ordered by due time; the number separates timers that are due at the same time.
    due: RefCell<BTreeMap<(Instant, u64), Waker>>,
    count: Cell<u64>,
}

/// The tasks that are ready to be polled, and the thread that polls them.
struct Ready {
    queue: ConcurrentQueue<usize>,
    thread: Thread,
}

struct Turn {
    index: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            // The queue is unbounded and never closed, so this cannot fail.
            let _ = self.ready.queue.push(self.index);
            self.ready.thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_woken_from_other_threads() {
        let (sender, receiver) = futures_channel::oneshot::channel::<u32>();
        let (there, back) = futures_channel::oneshot::channel::<u32>();
        let foreign = thread::spawn(move || sender.send(7));
        let tasks: Vec<Task<u32>> = vec![
            Box::pin(async move {
                let number = receiver.await.unwrap_or(0);
                let _ = there.send(number + 1);
                number
            }),
            Box::pin(async move { back.await.unwrap_or(0) }),
        ];
        let mut results = run(&Timers::default(), tasks, std::future::pending());
        results.sort_unstable();
        assert_eq!(results, [7, 8]);
        assert!(foreign.join().is_ok());
    }

    #[test]
    fn timers_fire_in_order_while_the_background_runs() {
        let timers = Timers::default();
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = [3u64, 1, 2].map(|millis| -> Task<()> {
            let (timers, order) = (timers.clone(), order.clone());
            Box::pin(async move {
                timers.sleep(Duration::from_millis(millis * 5)).await;
                order.borrow_mut().push(millis);
            })
        });
        let ticks = Rc::new(Cell::new(0));
        let background = {
            let (timers, ticks) = (timers.clone(), ticks.clone());
            async move {
                loop {
                    timers.sleep(Duration::from_millis(1)).await;
                    ticks.set(ticks.get() + 1);
                }
            }
        };
        run(&timers, tasks.into(), background);
        assert_eq!(*order.borrow(), [1, 2, 3]);
        assert!(ticks.get() > 0);
    }
}
