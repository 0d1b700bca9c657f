//! [`Executor`]: the pinned thread that shards run on, one of each client that shares it.
//!
//! A task that panics takes the executor that it runs on along, and with it every connection and task of its shards.
//! Those whose commands were under way are told, and a new executor takes the dead one's place on the same thread: it
//! serves the same mailboxes, in which what was not begun still waits.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use glommio::{LocalExecutorBuilder, Placement};

use super::lobby::Lobby;
use super::tenancy::Tenancies;
use super::thread::{self, HostId};
use crate::config::ResolvedConfig;
use crate::error::{Error, Result};
use crate::proto::error::Outcome;

pub(crate) struct Executor(JoinHandle<()>);

impl Executor {
    /// Waits until the thread has ended.
    pub(crate) fn join(self) {
        // Whatever it panicked of, its mailboxes are closed, and their callers know.
        let _ = self.0.join();
    }
}

/// Starts the thread of the shards with this index, which serves tenants until the last one has left.
///
/// # Errors
/// If the thread cannot be had.
pub(super) fn start(
    host: HostId,
    index: usize,
    config: &ResolvedConfig,
    lobby: Arc<Lobby>,
) -> Result<Starting> {
    let core = config.shard_cores().get(index).copied().flatten();
    let (started, start) = mpsc::channel();
    let place = Place { index, core, host, spin: config.spin_before_park() };
    let thread = std::thread::Builder::new()
        .name(format!("hitless-{index}"))
        .spawn(move || place.live(lobby, &started))
        .map_err(|error| unable(index, core, &error.to_string()))?;
    Ok(Starting { index, core, thread, start })
}

/// A thread whose executor may not run yet.
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
    /// If that cannot be had.
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

/// Whether a glommio executor runs this task. The runtime has no way to ask but one that panics.
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

/// What the executors of one thread have in common, as one takes another's place.
struct Place {
    index: usize,
    core: Option<usize>,
    host: HostId,
    spin: Duration,
}

/// Where the caller that starts the thread learns whether its first executor runs.
type Started = mpsc::Sender<std::result::Result<(), String>>;

impl Place {
    /// Runs one executor after the other, until one ends as it should.
    fn live(self, lobby: Arc<Lobby>, started: &Started) {
        thread::enter(self.host);
        let tenancies = Tenancies::new(lobby.clone(), self.core);
        let mut deaths = Deaths::default();
        while let Err(reason) = self.run(&tenancies, &lobby, started) {
            let shard = self.index;
            if !tenancies.bury() || !deaths.may_go_on(Instant::now()) {
                tracing::error!(target: "hitless::shard", shard, reason, "the shard has died, and stays dead");
                break;
            }
            tracing::error!(
                target: "hitless::shard", shard, reason,
                "the shard's executor is no more: its connections are lost, and the shard starts anew"
            );
        }
        tenancies.abandon();
    }

    /// Runs one executor to its end; what it panicked with, if it did, or why there is none.
    fn run(
        &self,
        tenancies: &Rc<Tenancies>,
        lobby: &Lobby,
        started: &Started,
    ) -> std::result::Result<(), String> {
        let life = AssertUnwindSafe(|| self.run_executor(tenancies, lobby, started));
        catch_unwind(life).unwrap_or_else(|panic| Err(text_of(&*panic).to_owned()))
    }

    fn run_executor(
        &self,
        tenancies: &Rc<Tenancies>,
        lobby: &Lobby,
        started: &Started,
    ) -> std::result::Result<(), String> {
        let builder = LocalExecutorBuilder::new(self.core.map_or(Placement::Unbound, Placement::Fixed))
            .name(&format!("hitless-{}", self.index))
            .spin_before_park(self.spin)
            .io_memory(STORAGE_MEMORY);
        let executor = match builder.make() {
            Ok(executor) => executor,
            Err(error) => {
                // Whoever waits for the first one says so; that a later one is not to be had is said here.
                let unheard = started.send(Err(error.to_string())).is_err();
                return if unheard { Err(error.to_string()) } else { Ok(()) };
            }
        };
        executor.run(async {
            let _ = started.send(Ok(()));
            tenancies.resume();
            while let Some(arrived) = poll_fn(|context| lobby.poll_arrivals(context)).await {
                arrived.into_iter().for_each(|tenant| tenancies.admit(tenant));
            }
        });
        Ok(())
    }
}

/// When executors died: one that does so again and again is not worth another.
#[derive(Default)]
struct Deaths {
    count: u32,
    since: Option<Instant>,
}

impl Deaths {
    /// Counts one more; whether there is to be another executor.
    fn may_go_on(&mut self, now: Instant) -> bool {
        let is_old = self.since.is_none_or(|since| now.duration_since(since) > DEATHS_WITHIN);
        if is_old {
            *self = Deaths { count: 0, since: Some(now) };
        }
        self.count += 1;
        self.count <= DEATHS_MAX
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn unable(index: usize, core: Option<usize>, why: &str) -> Error {
    let place = core.map_or_else(String::new, |core| format!(" on core {core}"));
    Error::machine(format!(
        "shard {index} cannot run{place}: {why}. Each shard needs an io_uring, some locked memory (`ulimit -l`), open \
         files (`ulimit -n`) and a core that this process may use"
    ))
}

/// What the runtime sets aside for files at once, which shards do not have; tasks that read some get more when they do.
const STORAGE_MEMORY: usize = 256 << 10;
/// An executor is there within milliseconds, or not at all.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often within [`DEATHS_WITHIN`] a shard starts anew.
const DEATHS_MAX: u32 = 16;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_dies_all_the_time_stays_dead_and_one_that_does_so_now_and_then_does_not() {
        let start = Instant::now();
        let mut deaths = Deaths::default();
        for second in 0..1000 {
            assert!(deaths.may_go_on(start + 10 * Duration::from_secs(second)));
        }
        let mut deaths = Deaths::default();
        let lives = (0..1000).filter(|_| deaths.may_go_on(start)).count();
        assert_eq!(lives, DEATHS_MAX as usize);
        assert!(deaths.may_go_on(start + 2 * DEATHS_WITHIN));
    }
}
