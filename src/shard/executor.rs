//! [`Executor`]: the pinned thread that shards run on, one shard of each client that shares it.
//!
//! A task that panics ends the executor that it runs on, and with it every connection and task of its shards. Callers whose
//! commands were in flight get an error. A new executor replaces the dead one on the same thread. It serves the same
//! mailboxes, in which the requests that were not begun still wait.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use glommio::{LocalExecutorBuilder, Placement};

use super::tenancy::Tenancies;
use super::tenant_queue::TenantQueue;
use super::thread::{self, HostId};
use crate::config::ResolvedConfig;
use crate::error::{Error, Result};
use crate::proto::error::{Outcome, panic_text};

pub(crate) struct Executor(JoinHandle<()>);

impl Executor {
    /// Waits until the thread has ended.
    pub(crate) fn join(self) {
        // Even if it panicked: its mailboxes are closed, and their callers know.
        let _ = self.0.join();
    }
}

/// Starts the thread of the shards with this index, which serves tenants until the last one has left.
///
/// # Errors
/// If the thread cannot be started.
pub(super) fn start(
    host: HostId,
    index: usize,
    config: &ResolvedConfig,
    tenants: Arc<TenantQueue>,
) -> Result<Starting> {
    let core = config.shard_cores().get(index).copied().flatten();
    let (started, start) = mpsc::channel();
    let plan = ThreadPlan { index, core, host, spin: config.spin_before_park() };
    let thread = std::thread::Builder::new()
        .name(format!("hitless-{index}"))
        .spawn(move || plan.run(tenants, &started))
        .map_err(|error| unable(index, core, &error.to_string()))?;
    Ok(Starting { index, core, thread, start })
}

/// A started thread, whose executor may not run yet.
pub(super) struct Starting {
    index: usize,
    core: Option<usize>,
    thread: JoinHandle<()>,
    start: mpsc::Receiver<std::result::Result<(), String>>,
}

impl Starting {
    /// Waits until its executor runs.
    ///
    /// # Errors
    /// If it cannot run.
    pub(super) fn wait(self) -> Result<Executor> {
        let (index, core) = (self.index, self.core);
        match self.start.recv_timeout(START_TIMEOUT) {
            Ok(Ok(())) => Ok(Executor(self.thread)),
            Ok(Err(problem)) => Err(unable(index, core, &problem)),
            Err(RecvTimeoutError::Timeout) => {
                Err(unable(index, core, &format!("not within {START_TIMEOUT:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(unable(index, core, "it ended at once")),
        }
    }
}

/// Checks that a glommio executor runs this task. The runtime answers only by a panic.
///
/// # Errors
/// If not.
pub(super) fn must_run_here() -> Result<()> {
    catch_unwind(|| glommio::executor().id()).map(drop).map_err(|_| {
        Error::misuse(
            Outcome::Unsent,
            "Shard::connect needs a glommio executor on its thread; elsewhere, such as in tokio, use Client::start",
        )
    })
}

/// What the executors of one thread have in common, when one replaces another.
struct ThreadPlan {
    index: usize,
    core: Option<usize>,
    host: HostId,
    spin: Duration,
}

/// How the caller that starts the thread learns whether its first executor runs.
type Started = mpsc::Sender<std::result::Result<(), String>>;

impl ThreadPlan {
    /// Runs one executor after the other, until one ends without a panic.
    fn run(self, tenants: Arc<TenantQueue>, started: &Started) {
        thread::enter(self.host);
        let tenancies = Tenancies::new(tenants.clone(), self.core);
        let mut restarts = RestartBudget::default();
        while let Err(reason) = self.run_once(&tenancies, &tenants, started) {
            let shard = self.index;
            if !tenancies.drop_dead() || !restarts.allows(Instant::now()) {
                tracing::error!(target: "hitless::shard", shard, reason, "the shard's executor has ended, and is not started again");
                break;
            }
            tracing::error!(
                target: "hitless::shard", shard, reason,
                "the shard's executor has ended: its connections are lost, and the shard starts again"
            );
        }
        tenancies.abandon();
    }

    /// Runs one executor to its end.
    ///
    /// # Errors
    /// The text of its panic, or why it could not be made.
    fn run_once(
        &self,
        tenancies: &Rc<Tenancies>,
        tenants: &TenantQueue,
        started: &Started,
    ) -> std::result::Result<(), String> {
        let run = AssertUnwindSafe(|| self.run_executor(tenancies, tenants, started));
        catch_unwind(run).unwrap_or_else(|panic| Err(panic_text(&*panic).to_owned()))
    }

    fn run_executor(
        &self,
        tenancies: &Rc<Tenancies>,
        tenants: &TenantQueue,
        started: &Started,
    ) -> std::result::Result<(), String> {
        let builder = LocalExecutorBuilder::new(self.core.map_or(Placement::Unbound, Placement::Fixed))
            .name(&format!("hitless-{}", self.index))
            .spin_before_park(self.spin)
            .io_memory(STORAGE_MEMORY);
        let executor = match builder.make() {
            Ok(executor) => executor,
            Err(error) => {
                // The caller that waits for the first executor reports the error. For a later one the log does.
                let unheard = started.send(Err(error.to_string())).is_err();
                return if unheard { Err(error.to_string()) } else { Ok(()) };
            }
        };
        executor.run(async {
            let _ = started.send(Ok(()));
            tenancies.resume();
            while let Some(arrived) = poll_fn(|context| tenants.poll_arrivals(context)).await {
                arrived.into_iter().for_each(|tenant| tenancies.admit(tenant));
            }
        });
        Ok(())
    }
}

/// How often executors may end by a panic. A shard whose executors do that again and again is not started any more.
#[derive(Default)]
struct RestartBudget {
    count: u32,
    since: Option<Instant>,
}

impl RestartBudget {
    /// Counts one more end; whether another executor is started.
    fn allows(&mut self, now: Instant) -> bool {
        let is_old = self.since.is_none_or(|since| now.duration_since(since) > RESTARTS_WITHIN);
        if is_old {
            *self = RestartBudget { count: 0, since: Some(now) };
        }
        self.count += 1;
        self.count <= RESTARTS_MAX
    }
}

fn unable(index: usize, core: Option<usize>, why: &str) -> Error {
    let place = core.map_or_else(String::new, |core| format!(" on core {core}"));
    Error::machine(format!(
        "shard {index} cannot run{place}: {why}. Each shard needs an io_uring, some locked memory (`ulimit -l`), open \
         files (`ulimit -n`) and a core that this process may use"
    ))
}

/// The memory that the runtime sets aside for files. Shards have none; a task that reads files gets more when it does.
const STORAGE_MEMORY: usize = 256 << 10;
/// An executor starts within milliseconds, or not at all.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often within [`RESTARTS_WITHIN`] a shard starts again.
const RESTARTS_MAX: u32 = 16;
const RESTARTS_WITHIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_panics_end_a_shard_and_rare_ones_do_not() {
        let start = Instant::now();
        let mut restarts = RestartBudget::default();
        for second in 0..1000 {
            assert!(restarts.allows(start + 10 * Duration::from_secs(second)));
        }
        let mut restarts = RestartBudget::default();
        let allowed = (0..1000).filter(|_| restarts.allows(start)).count();
        assert_eq!(allowed, RESTARTS_MAX as usize);
        assert!(restarts.allows(start + 2 * RESTARTS_WITHIN));
    }
}
