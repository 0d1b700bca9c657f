//! Callers that run as tasks of a tokio runtime, on the workers that the connections run on.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, poll_once};
use tokio::task::{JoinError, JoinHandle};

use super::CallerOutcome;
use super::group::{CallerGroup, ThreadOutcome};
use super::loader;
use super::recorders::WorkerRecorders;
use super::target::Target;
use super::timers::Timers;
use super::verify::Slice;
use crate::load::plan::Plan;
use crate::load::recording::handoffs::HandoffWatch;
use crate::{Client, Error};

/// One client and where its shards are among those of all clients.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) client: Client,
    pub(crate) first: usize,
    pub(crate) shards: usize,
}

/// A handle for a caller in tokio.
struct TokioTarget {
    client: Client,
    timers: Arc<Timers>,
    /// The shard whose connections are counted; the handle itself may be bound to another one.
    shard: usize,
}

impl Target for TokioTarget {
    // Another worker may hand replies in while this one runs the caller.
    const ON_OTHER_THREADS: bool = true;

    type Commands = Client;
    type Recorders = WorkerRecorders;

    #[inline]
    fn commands(&self) -> &Client {
        &self.client
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> {
        self.timers.sleep(duration)
    }

    fn connections(&self) -> Option<usize> {
        // Shards in tokio answer at once: their state is behind a lock.
        let stats = block_on(poll_once(self.client.stats()))?.ok()?;
        Some(stats.get(self.shard)?.connections.values().sum())
    }
}

/// The tasks of one group of callers.
struct RunningGroup {
    group: CallerGroup<WorkerRecorders>,
    callers: Vec<JoinHandle<CallerOutcome>>,
    /// The task that hands recordings to the collector, and that of the timers.
    background: [JoinHandle<()>; 2],
}

/// Runs the callers of all clients, one group for each shard, and returns when all have finished. Must run in tokio.
///
/// # Errors
/// If a task panicked, or the system has no descriptor left for timers.
pub(crate) async fn run_all(
    members: Vec<Member>,
    plan: Arc<Plan>,
    watch: &HandoffWatch,
    begin: Instant,
) -> Result<Vec<ThreadOutcome>, TaskError> {
    let mut groups = Vec::with_capacity(plan.shards);
    for member in &members {
        for (shard, recorders) in WorkerRecorders::of_groups(&plan, member.shards).enumerate() {
            let thread = member.first + shard;
            // Each handle is bound to one shard, and only the client knows which one.
            let group = CallerGroup::new(plan.clone(), watch.overlap(None), |_| recorders, thread, begin);
            groups.push(spawn(group, &member.client, shard)?);
        }
    }
    let mut finished = Vec::with_capacity(groups.len());
    for group in &mut groups {
        let mut outcomes = Vec::with_capacity(group.callers.len());
        for caller in group.callers.drain(..) {
            outcomes.push(caller.await?);
        }
        finished.push(outcomes);
    }
    // The callers of one group record with those of others, so the last recordings are taken after all have finished.
    let mut all = Vec::with_capacity(groups.len());
    for (RunningGroup { group, background, .. }, outcomes) in groups.into_iter().zip(finished) {
        for task in background {
            task.abort();
            if let Err(error) = task.await
                && error.is_panic()
            {
                return Err(error.into());
            }
        }
        all.push(group.finish(outcomes));
    }
    Ok(all)
}

fn spawn(
    group: CallerGroup<WorkerRecorders>,
    client: &Client,
    shard: usize,
) -> Result<RunningGroup, TaskError> {
    let timers = Arc::new(Timers::new()?);
    // Each clone of the handle is bound to the next connection of the next shard.
    let target = || TokioTarget { client: client.clone(), timers: timers.clone(), shard };
    let callers = (0..group.plan().workload.tasks)
        .map(|task| tokio::spawn(group.caller(target(), task).run()))
        .collect();
    let background = [tokio::spawn(group.clone().watch(target())), tokio::spawn(timers.clone().run())];
    Ok(RunningGroup { group, callers, background })
}

/// Writes the keys to every server, with several handles for each shard. Must run in tokio.
///
/// # Errors
/// The first error of a server; or if a task panicked, or the system has no descriptor left for timers.
pub(crate) async fn load_all(
    members: Vec<Member>,
    plan: Arc<Plan>,
    each: u64,
) -> Result<Result<(), Error>, TaskError> {
    let timers = Arc::new(Timers::new()?);
    let running = tokio::spawn(timers.clone().run());
    let mut loaders = Vec::new();
    for Member { client, shards, .. } in members {
        let parts = shards as u64 * each;
        for part in 0..parts {
            let slice = Slice::of(plan.workload.key_space, part, parts);
            let target = TokioTarget { client: client.clone(), timers: timers.clone(), shard: 0 };
            loaders.push(tokio::spawn(loader::load(target, plan.clone(), slice)));
        }
    }
    let mut result = Ok(());
    for loader in loaders {
        result = result.and(loader.await?);
    }
    running.abort();
    Ok(result)
}

/// Why tasks did not do their work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("a task of the run panicked; this is a bug")]
    Panicked(#[from] JoinError),
    #[error("could not make a timer")]
    Timer(#[from] io::Error),
}
