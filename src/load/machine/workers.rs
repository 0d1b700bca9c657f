//! The threads of a tokio runtime: their numbers, their cores, and the CPU time that they use.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use core_affinity::CoreId;
use tokio::runtime::Builder;

use super::threads::{ThreadClocks, ThreadTimes};

/// The number of the calling thread among the workers of its runtime; 0 on other threads.
#[inline]
pub(crate) fn worker_number() -> usize {
    WORKER.get()
}

/// The threads of one runtime. The runtime starts its workers first; threads for blocking calls follow when they are needed.
#[derive(Debug)]
pub(crate) struct RuntimeThreads {
    /// The core that each worker is pinned to, if it is.
    cores: Vec<Option<usize>>,
    state: Mutex<State>,
    started: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Each thread in the order of their starts; `None` without clocks, or when it has ended.
    threads: Vec<Option<ThreadClocks>>,
    /// CPU time of the threads that have ended.
    ended: Duration,
}

impl RuntimeThreads {
    /// Sets the number of workers and their cores in a builder, and learns of the threads that its runtime starts.
    pub(crate) fn of(builder: &mut Builder, cores: Vec<Option<usize>>) -> Arc<RuntimeThreads> {
        builder.worker_threads(cores.len().max(1));
        let threads = Arc::new(RuntimeThreads { cores, state: Mutex::default(), started: Condvar::new() });
        let (starting, stopping) = (threads.clone(), threads.clone());
        builder.on_thread_start(move || starting.start()).on_thread_stop(move || stopping.stop());
        threads
    }

    pub(crate) fn workers(&self) -> usize {
        self.cores.len()
    }

    /// The core that a worker is pinned to, if it is.
    pub(crate) fn core(&self, worker: usize) -> Option<usize> {
        self.cores.get(worker).copied().flatten()
    }

    /// Waits until all workers have started; returns whether they have.
    pub(crate) fn wait_for_workers(&self) -> bool {
        let is_missing = |state: &mut State| state.threads.len() < self.workers();
        let waited = self.started.wait_timeout_while(self.state(), STARTING_MAX, is_missing);
        waited.is_ok_and(|(_, waited)| !waited.timed_out())
    }

    /// CPU time that all threads of the runtime have used so far, also those for blocking calls.
    pub(crate) fn cpu(&self) -> Duration {
        let state = self.state();
        state.ended + state.threads.iter().flatten().map(ThreadClocks::cpu).sum::<Duration>()
    }

    /// CPU time that one worker has used.
    pub(crate) fn worker_cpu(&self, worker: usize) -> Duration {
        self.state().threads.get(worker).and_then(Option::as_ref).map_or(Duration::ZERO, ThreadClocks::cpu)
    }

    /// How long a worker ran, and how long it waited for its core.
    pub(crate) fn worker_times(&self, worker: usize) -> Option<ThreadTimes> {
        self.state().threads.get(worker)?.as_ref()?.times()
    }

    /// A thread starts, and runs this.
    fn start(&self) {
        let number = {
            let mut state = self.state();
            state.threads.push(ThreadClocks::of_this_thread());
            state.threads.len() - 1
        };
        THREAD.set(Some(number));
        if number < self.workers() {
            WORKER.set(number);
        }
        if let Some(core) = self.core(number)
            && !core_affinity::set_for_current(CoreId { id: core })
        {
            tracing::warn!(core, "could not pin a worker of the runtime");
        }
        self.started.notify_all();
    }

    /// A thread ends, and runs this.
    fn stop(&self) {
        let mut state = self.state();
        let clocks = THREAD.get().and_then(|number| state.threads.get_mut(number)?.take());
        state.ended += clocks.map_or(Duration::ZERO, |clocks| clocks.cpu());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
    /// The number of this thread among all of its runtime.
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Threads start within a millisecond on a machine that is not overloaded.
const STARTING_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn workers_have_numbers_and_their_time_is_counted() {
        let mut builder = Builder::new_multi_thread();
        let threads = RuntimeThreads::of(&mut builder, vec![None, None]);
        let runtime = builder.build().expect("a runtime");
        assert!(threads.wait_for_workers());
        let number = runtime.block_on(async { tokio::spawn(async { worker_number() }).await });
        assert!(number.is_ok_and(|number| number < 2));
        let burn = || {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_millis(20) {}
        };
        // A thread for blocking calls is no worker, and its time counts.
        assert!(runtime.block_on(async { tokio::task::spawn_blocking(burn).await }).is_ok());
        let (all, of_workers) = (threads.cpu(), threads.worker_cpu(0) + threads.worker_cpu(1));
        assert!(all > of_workers, "{all:?} > {of_workers:?}");
        drop(runtime);
        assert!(threads.cpu() >= all, "the time of threads that have ended stays");
        assert_eq!((threads.worker_cpu(0), threads.worker_times(0)), (Duration::ZERO, None));
    }
}
