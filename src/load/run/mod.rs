//! One run of the load, from writing the keys to the report.

mod clients;
mod collector;
mod error;
#[cfg(feature = "tokio")]
mod in_tokio;
pub(crate) mod leftover;
pub(crate) mod moves;
pub(crate) mod progress;
#[cfg(feature = "tokio")]
mod runtime;
mod samples;
mod summary;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;

use clients::Clients;
use collector::Collector;
pub use error::LoadError;
use moves::Moves;
use progress::Progress;
#[cfg(feature = "tokio")]
pub use runtime::TokioRuntime;
use samples::{Goals, ShardSample, sample, sample_at, warm_up};
use summary::{Outcome, report};

use crate::load::caller::group::{self, ThreadOutcome};
use crate::load::caller::loader;
use crate::load::caller::verify::Slice;
use crate::load::machine::{self, PauseProbe};
use crate::load::plan::{Plan, RunEvent};
use crate::load::recording::findings::Findings;
use crate::load::recording::handoffs::HandoffWatch;
use crate::load::report::Report;
use crate::load::report::counts::Moving;
use crate::load::workload::{Via, Workload};
use crate::{Client, Error};

/// Runs `workload` through `client` and returns what was measured. Blocks the calling thread until the run ends, or
/// until shortly after `stop` becomes true. `observe` receives the progress about once a second. `watch` must receive
/// the client's events: call [`HandoffWatch::note`] from its [event hook](crate::Config::on_event).
///
/// Failed commands are counted; they do not end the run.
///
/// [`run_over`] runs the load against several servers.
pub fn run(
    client: &Client,
    workload: &Workload,
    watch: &Arc<HandoffWatch>,
    moves: Option<&Moves<'_>>,
    stop: &Arc<AtomicBool>,
    observe: impl FnMut(Progress) + Send,
) -> Result<Report, LoadError> {
    run_over(std::slice::from_ref(client), workload, watch, moves, stop, observe)
}

/// Runs `workload` through several clients at once, one for each server, and returns one report. The shards are
/// numbered across all clients, also for `watch`. Each shard has the same number of callers, so a server's load grows
/// with the number of its client's shards. Every server holds the whole key space. With `verify`, the callers of one
/// server never check keys of another.
pub fn run_over(
    clients: &[Client],
    workload: &Workload,
    watch: &Arc<HandoffWatch>,
    moves: Option<&Moves<'_>>,
    stop: &Arc<AtomicBool>,
    observe: impl FnMut(Progress) + Send,
) -> Result<Report, LoadError> {
    let clients = Clients::new(clients);
    #[cfg(feature = "tokio")]
    if workload.via == Via::Tokio {
        return Err(LoadError::Via);
    }
    clients.on_each_shard(|_, _| warm_up())?;
    run_all(clients, workload, watch, moves, stop, observe)
}

/// Runs `workload`, whose [`Via`] must be `Via::Tokio`, in `runtime`: its callers are tasks there, and so are the
/// connections of the clients, which must have been started by [`TokioRuntime::start`]. Give it one worker for each shard.
/// The rest is as with [`run_over`]. Call it on a thread outside the runtime.
#[cfg(feature = "tokio")]
pub fn run_in_tokio(
    runtime: &TokioRuntime,
    clients: &[Client],
    workload: &Workload,
    watch: &Arc<HandoffWatch>,
    moves: Option<&Moves<'_>>,
    stop: &Arc<AtomicBool>,
    observe: impl FnMut(Progress) + Send,
) -> Result<Report, LoadError> {
    if workload.via != Via::Tokio {
        return Err(LoadError::Via);
    }
    let clients = Clients::in_tokio(clients, runtime);
    run_all(clients, workload, watch, moves, stop, observe)
}

fn run_all(
    clients: Clients<'_>,
    workload: &Workload,
    watch: &Arc<HandoffWatch>,
    moves: Option<&Moves<'_>>,
    stop: &Arc<AtomicBool>,
    observe: impl FnMut(Progress) + Send,
) -> Result<Report, LoadError> {
    let shards = clients.shards();
    workload.check(shards)?;
    let (events, messages) = mpsc::channel();
    let mut plan = Plan::new(workload.clone(), shards, stop.clone(), events);
    plan.servers = clients.servers();
    let plan = Arc::new(plan);
    let connections = clients.connections() as u64;
    let following = if moves.is_some_and(Moves::are_followed) { connections } else { 0 };
    let collector = Collector::new(observe, &plan, watch.clone(), following);
    let (outcome, collected) = thread::scope(|scope| {
        let collecting = scope.spawn(move || collector.run(messages));
        let (begin, begins) = mpsc::channel();
        let plan = &plan;
        let moving = moves.map(|moves| scope.spawn(move || moves.announce_all(plan, watch, &begins)));
        let moves_thread = MovesThread { begin, moving };
        let outcome = drive_all(clients, plan, watch, moves_thread, following);
        plan.send(RunEvent::End);
        (outcome, collecting.join())
    });
    let collected = collected.map_err(|_| LoadError::Panicked)?;
    Ok(report(&plan, clients, outcome?, collected, watch))
}

/// The thread that announces the scheduled `MOVING`s, if there are any.
struct MovesThread<'scope> {
    begin: mpsc::Sender<Instant>,
    moving: Option<ScopedJoinHandle<'scope, Result<Vec<Moving>, String>>>,
}

impl MovesThread<'_> {
    fn begin(&self, begin: Instant) {
        // Without scheduled moves there is no receiver.
        let _ = self.begin.send(begin);
    }

    /// Stops the schedule and returns the `MOVING`s that were announced.
    fn end(self) -> Result<Vec<Moving>, LoadError> {
        drop(self.begin);
        let Some(moving) = self.moving else { return Ok(Vec::new()) };
        moving.join().map_err(|_| LoadError::Panicked)?.map_err(LoadError::Rehearsing)
    }
}

/// Writes the keys, runs the callers, and waits for the handoffs that the moves began.
fn drive_all(
    clients: Clients<'_>,
    plan: &Arc<Plan>,
    watch: &Arc<HandoffWatch>,
    moves_thread: MovesThread<'_>,
    following: u64,
) -> Result<Outcome, LoadError> {
    prepare(clients, plan)?;
    let idle_cpu = if plan.workload.waits() { Some(idle(clients)?) } else { None };
    let begin = Instant::now() + LEAD;
    let warm_up = plan.workload.warm_up;
    let measured_from = begin + warm_up;
    if !warm_up.is_zero() {
        plan.send(RunEvent::WarmingUp(warm_up));
    }
    plan.send(RunEvent::Begin(measured_from));
    moves_thread.begin(measured_from);
    let probe = machine::watch(measured_from);
    tracing::info!(shards = plan.shards, callers = plan.callers(), "the run begins");
    let (before, driven) = thread::scope(|scope| {
        let sampling = scope.spawn(|| samples_at(clients, plan, measured_from));
        let driven = drive(clients, plan, watch, begin);
        (sampling.join(), driven)
    });
    let (before, driven) = (before.map_err(|_| LoadError::Panicked)??, driven?);
    let pause_readings = probe.and_then(PauseProbe::end);
    let after = samples(clients)?;
    let movings = moves_thread.end()?;
    let expected = following * movings.len() as u64;
    let goals = Goals::new(clients, &before, expected / plan.shards.max(1) as u64);
    let settled = settle(clients, goals)?;
    let Callers { end, unsent, findings, cpu } = sum(driven, measured_from);
    let findings = findings.map(|findings| (findings, audit(clients, plan)));
    Ok(Outcome {
        elapsed: end - measured_from,
        unsent,
        findings,
        caller_cpu: (plan.workload.via == Via::Client).then_some(cpu),
        movings,
        expected,
        idle_cpu,
        before,
        after,
        settled,
        pause_readings,
    })
}

/// Counters of all shards.
fn samples(clients: Clients<'_>) -> Result<Vec<ShardSample>, LoadError> {
    #[cfg(feature = "tokio")]
    if let Some(runtime) = clients.runtime {
        return in_tokio::samples(clients, runtime);
    }
    clients.on_each_shard(|_, shard| sample(shard))
}

/// The same at a future time, or at once when the user stops the run.
fn samples_at(clients: Clients<'_>, plan: &Arc<Plan>, at: Instant) -> Result<Vec<ShardSample>, LoadError> {
    #[cfg(feature = "tokio")]
    if let Some(runtime) = clients.runtime {
        return in_tokio::samples_at(clients, runtime, plan, at);
    }
    let plan = plan.clone();
    clients.on_each_shard(move |_, shard| sample_at(shard, plan.clone(), at))
}

/// CPU time that all shards together use in a second while they have connections and no commands.
fn idle(clients: Clients<'_>) -> Result<Duration, LoadError> {
    #[cfg(feature = "tokio")]
    if let Some(runtime) = clients.runtime {
        return Ok(in_tokio::idle(runtime));
    }
    samples::idle(clients)
}

/// Waits until each shard has reached its goal.
fn settle(clients: Clients<'_>, goals: Goals) -> Result<Vec<ShardSample>, LoadError> {
    #[cfg(feature = "tokio")]
    if let Some(runtime) = clients.runtime {
        return in_tokio::settle(clients, runtime, &goals);
    }
    samples::settle(clients, goals)
}

/// What all threads of callers returned.
struct Callers {
    /// When the last command completed.
    end: Instant,
    /// Commands of each thread that were scheduled but never sent.
    unsent: Vec<u64>,
    findings: Option<Findings>,
    cpu: Duration,
}

fn sum(threads: Vec<ThreadOutcome>, measured_from: Instant) -> Callers {
    let mut all = Callers { end: measured_from, unsent: Vec::new(), findings: None, cpu: Duration::ZERO };
    for ThreadOutcome { at, findings, cpu, unsent } in threads {
        all.end = all.end.max(at);
        all.unsent.push(unsent);
        all.cpu += cpu;
        if let Some(findings) = findings {
            all.findings.get_or_insert_with(Findings::default).add(findings);
        }
    }
    all
}

/// Writes the keys, if the run reads, and resets the audit counters, if it checks replies.
fn prepare(clients: Clients<'_>, plan: &Arc<Plan>) -> Result<(), LoadError> {
    if plan.workload.loads() {
        load(clients, plan)?;
    }
    if plan.workload.verify {
        for member in clients.members() {
            block_on(member.client.del(&[plan.audit_key.as_str()])).map_err(LoadError::Preparing)?;
        }
    }
    Ok(())
}

/// Runs all callers until they finish.
fn drive(
    clients: Clients<'_>,
    plan: &Arc<Plan>,
    watch: &Arc<HandoffWatch>,
    begin: Instant,
) -> Result<Vec<ThreadOutcome>, LoadError> {
    match plan.workload.via {
        #[cfg(feature = "tokio")]
        Via::Tokio => {
            let runtime = clients.runtime.ok_or(LoadError::Via)?;
            in_tokio::drive(clients, runtime, plan, watch, begin)
        }
        Via::Shard => {
            let (plan, watch) = (plan.clone(), watch.clone());
            clients.on_each_shard(move |number, shard| {
                group::on_shard(shard, number, plan.clone(), watch.clone(), begin)
            })
        }
        Via::Client => on_threads(clients, plan, watch, begin),
    }
}

/// Writes the keys to every server: each shard writes its part through several handles.
fn load(clients: Clients<'_>, plan: &Arc<Plan>) -> Result<(), LoadError> {
    #[cfg(feature = "tokio")]
    if let Some(runtime) = clients.runtime {
        return in_tokio::load(clients, runtime, plan, LOADERS);
    }
    let plan = plan.clone();
    let shards: Arc<[u64]> = clients
        .members()
        .flat_map(|member| std::iter::repeat_n(member.shards as u64, member.shards))
        .collect();
    let results = clients.on_each_shard(move |number, shard| {
        let plan = plan.clone();
        let parts = shards.get(number).copied().unwrap_or(1) * LOADERS;
        async move {
            let loaders: Vec<_> = (0..LOADERS)
                .map(|loader| {
                    let part = shard.index() as u64 * LOADERS + loader;
                    let slice = Slice::of(plan.workload.key_space, part, parts);
                    glommio::spawn_local(loader::load(shard.clone(), plan.clone(), slice))
                })
                .collect();
            let mut result = Ok(());
            for loader in loaders {
                result = result.and(loader.await);
            }
            result
        }
    })?;
    results.into_iter().collect::<Result<(), Error>>().map_err(LoadError::Preparing)
}

/// Starts one thread for each shard; each runs the callers of one shard.
fn on_threads(
    clients: Clients<'_>,
    plan: &Arc<Plan>,
    watch: &HandoffWatch,
    begin: Instant,
) -> Result<Vec<ThreadOutcome>, LoadError> {
    thread::scope(|scope| {
        let threads: Vec<_> = clients
            .members()
            .flat_map(|member| (0..member.shards).map(move |index| (member.client, member.first + index)))
            .map(|(client, number)| {
                scope.spawn(move || group::on_thread(client, plan.clone(), watch, number, begin))
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.map_err(|_| LoadError::Panicked)).collect()
    })
}

/// Reads the audit counters of all servers and removes them. `None` if one of them could not be read.
fn audit(clients: Clients<'_>, plan: &Plan) -> Option<u64> {
    let key = plan.audit_key.as_str();
    let read = |client: &Client| -> Option<u64> {
        let counter = block_on(client.get::<Option<u64>>(key));
        // If the removal fails, one small key remains, which does not affect the result of the run.
        let _ = block_on(client.del(&[key]));
        Some(counter.ok()?.unwrap_or(0))
    };
    let counters: Vec<_> = clients.members().map(|member| read(member.client)).collect();
    counters.into_iter().sum()
}

/// Time from the order to start until the common start; every thread is ready by then.
const LEAD: Duration = Duration::from_millis(20);
/// How many handles of a shard write keys concurrently.
const LOADERS: u64 = 4;
