//! One run of the load, from writing the keys to the report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;

use super::collector::{Collected, Collector, Progress};
use super::drive::{self, Driven};
use super::figures::{Handoffs, LoopKind, Observed, Offered};
use super::fleet::{Fleet, Member};
use super::handoffs::HandoffWatch;
use super::latency::Spread;
use super::loader;
use super::machine::{self, Sleeper, Slept, ThreadTimes, thread_times};
use super::moves::{Moves, Moving};
use super::plan::{LOOK, Message, Plan};
use super::report::{Measured, Report, ShardMeasured};
use super::verdict::Tally;
use super::verify::{Findings, Slice};
use super::workload::{Limit, Via, Workload, WorkloadError};
use crate::{Client, Error, Shard, ShardStats};

/// Why a run returned no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The workload is invalid.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The keys could not be written.
    #[error("could not write the keys before the run")]
    Preparing(#[source] Error),
    /// The client failed.
    #[error("the client failed")]
    Client(#[from] Error),
    /// The in-process endpoints could not announce the `MOVING`.
    #[error("could not rehearse a MOVING: {0}")]
    Rehearsing(String),
    /// A thread of the run panicked.
    #[error("a thread of the run panicked; this is a bug")]
    Panicked,
}

/// Time from the order to start until the common start; every thread is ready by then.
const LEAD: Duration = Duration::from_millis(20);
/// The first timer of an executor is slow, so each shard runs one before anything is measured.
const WARM_UP: Duration = Duration::from_millis(1);
/// How long the CPU time of idle shards is measured before a run whose callers wait.
const IDLE: Duration = Duration::from_millis(300);
/// How long a run waits at its end for handoffs that a late `MOVING` began, and how often it checks.
const SETTLING_MAX: Duration = Duration::from_secs(2);
const SETTLING_LOOK: Duration = Duration::from_millis(5);
/// How many handles of a shard write keys concurrently.
const LOADERS: u64 = 4;

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
    let fleet = Fleet::new(clients);
    let shards = fleet.on_each_shard(|_, _| warm_up())?.len();
    workload.check(shards)?;
    let (desk, messages) = mpsc::channel();
    let mut plan = Plan::new(workload.clone(), shards, stop.clone(), desk);
    plan.servers = clients.len();
    let plan = Arc::new(plan);
    let connections = fleet.connections() as u64;
    let following = if moves.is_some_and(Moves::are_followed) { connections } else { 0 };
    let collector = Collector::new(observe, &plan, watch.clone(), following);
    let (outcome, collected) = thread::scope(|scope| {
        let collecting = scope.spawn(move || collector.run(messages));
        let (begin, begins) = mpsc::channel();
        let plan = &plan;
        let moving = moves.map(|moves| scope.spawn(move || moves.conduct(plan, watch, &begins)));
        let conductor = Conductor { begin, moving };
        let outcome = drive_all(fleet, plan, watch, conductor, following);
        plan.report(Message::End);
        (outcome, collecting.join())
    });
    let collected = collected.map_err(|_| LoadError::Panicked)?;
    Ok(report(&plan, fleet, outcome?, collected, watch))
}

/// The thread that announces the scheduled `MOVING`s, if there are any.
struct Conductor<'scope> {
    begin: mpsc::Sender<Instant>,
    moving: Option<ScopedJoinHandle<'scope, Result<Vec<Moving>, String>>>,
}

impl Conductor<'_> {
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

/// The measurements of the run that do not come from the collector.
struct Outcome {
    elapsed: Duration,
    /// Commands of each thread of callers that were scheduled but never sent.
    unsent: Vec<u64>,
    findings: Option<(Findings, Option<u64>)>,
    caller_cpu: Option<Duration>,
    movings: Vec<Moving>,
    /// Handoffs that the announced `MOVING`s must cause.
    expected: u64,
    /// CPU time that all shards together used in a second without commands.
    idle_cpu: Option<Duration>,
    before: Vec<Sample>,
    /// Taken after the last reply.
    after: Vec<Sample>,
    /// Taken after the last handoff ended.
    settled: Vec<Sample>,
    slept: Option<Slept>,
}

fn drive_all(
    fleet: Fleet<'_>,
    plan: &Arc<Plan>,
    watch: &Arc<HandoffWatch>,
    conductor: Conductor<'_>,
    following: u64,
) -> Result<Outcome, LoadError> {
    if plan.workload.loads() {
        load(fleet, plan)?;
    }
    if plan.workload.verify {
        for member in fleet.members() {
            block_on(member.client.del(&[plan.audit_key.as_str()])).map_err(LoadError::Preparing)?;
        }
    }
    let idle_cpu = if plan.workload.waits() { Some(idle(fleet)?) } else { None };
    let begin = Instant::now() + LEAD;
    let warm_up = plan.workload.warm_up;
    let measured_from = begin + warm_up;
    if !warm_up.is_zero() {
        plan.report(Message::WarmingUp(warm_up));
    }
    plan.report(Message::Begin(measured_from));
    conductor.begin(measured_from);
    let sleeper = machine::watch(measured_from);
    tracing::info!(shards = plan.shards, callers = plan.callers(), "the run begins");
    let (before, driven) = thread::scope(|scope| {
        let sampling = scope.spawn(|| {
            let plan = plan.clone();
            fleet.on_each_shard(move |_, shard| sample_at(shard, plan.clone(), measured_from))
        });
        let driven = drive(fleet, plan, watch, begin);
        (sampling.join(), driven)
    });
    let (before, driven) = (before.map_err(|_| LoadError::Panicked)??, driven?);
    let slept = sleeper.and_then(Sleeper::end);
    let after = fleet.on_each_shard(|_, shard| sample(shard))?;
    let movings = conductor.end()?;
    let expected = following * movings.len() as u64;
    let settled = settle(fleet, &before, expected / plan.shards.max(1) as u64)?;
    let mut end = measured_from;
    let mut unsent = Vec::with_capacity(plan.shards);
    let mut findings: Option<Findings> = None;
    let mut caller_cpu = Duration::ZERO;
    for Driven { at, findings: found, cpu, unsent: more } in driven {
        end = end.max(at);
        unsent.push(more);
        caller_cpu += cpu;
        if let Some(found) = found {
            findings.get_or_insert_with(Findings::default).add(found);
        }
    }
    let findings = findings.map(|findings| (findings, audit(fleet, plan)));
    Ok(Outcome {
        elapsed: end - measured_from,
        unsent,
        findings,
        caller_cpu: (plan.workload.via == Via::Client).then_some(caller_cpu),
        movings,
        expected,
        idle_cpu,
        before,
        after,
        settled,
        slept,
    })
}

/// Runs all callers until they finish.
fn drive(
    fleet: Fleet<'_>,
    plan: &Arc<Plan>,
    watch: &Arc<HandoffWatch>,
    begin: Instant,
) -> Result<Vec<Driven>, LoadError> {
    match plan.workload.via {
        Via::Shard => {
            let (plan, watch) = (plan.clone(), watch.clone());
            fleet.on_each_shard(move |number, shard| {
                drive::on_shard(shard, number, plan.clone(), watch.clone(), begin)
            })
        }
        Via::Client => on_threads(fleet, plan, watch, begin),
    }
}

/// Writes the keys to every server: each shard writes its part through several handles.
fn load(fleet: Fleet<'_>, plan: &Arc<Plan>) -> Result<(), LoadError> {
    let plan = plan.clone();
    let shards: Arc<[u64]> =
        fleet.members().flat_map(|member| std::iter::repeat_n(member.shards as u64, member.shards)).collect();
    let results = fleet.on_each_shard(move |number, shard| {
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
    fleet: Fleet<'_>,
    plan: &Arc<Plan>,
    watch: &HandoffWatch,
    begin: Instant,
) -> Result<Vec<Driven>, LoadError> {
    thread::scope(|scope| {
        let threads: Vec<_> = fleet
            .members()
            .flat_map(|member| (0..member.shards).map(move |index| (member.client, member.first + index)))
            .map(|(client, number)| {
                scope.spawn(move || drive::on_thread(client, plan.clone(), watch, number, begin))
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.map_err(|_| LoadError::Panicked)).collect()
    })
}

/// Reads the audit counters of all servers and removes them. `None` if one of them could not be read.
fn audit(fleet: Fleet<'_>, plan: &Plan) -> Option<u64> {
    let key = plan.audit_key.as_str();
    let read = |client: &Client| -> Option<u64> {
        let counter = block_on(client.get::<Option<u64>>(key));
        // What cannot be removed is one small key; the run's result does not depend on it.
        let _ = block_on(client.del(&[key]));
        Some(counter.ok()?.unwrap_or(0))
    };
    let counters: Vec<_> = fleet.members().map(|member| read(member.client)).collect();
    counters.into_iter().sum()
}

/// Counters of one shard at one time.
#[derive(Debug)]
struct Sample {
    core: Option<usize>,
    cpu: Duration,
    times: Option<ThreadTimes>,
    stats: ShardStats,
}

async fn sample(shard: Shard) -> Sample {
    Sample { core: shard.core(), cpu: drive::thread_cpu(), times: thread_times(), stats: shard.stats() }
}

/// Takes the counters at a future time, or at once when the user stops the run.
async fn sample_at(shard: Shard, plan: Arc<Plan>, at: Instant) -> Sample {
    while let Some(wait) = at.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        if plan.is_stopped() {
            break;
        }
        glommio::timer::sleep(LOOK.min(wait)).await;
    }
    sample(shard).await
}

/// CPU time that all shards together use in a second while they have connections and no commands.
fn idle(fleet: Fleet<'_>) -> Result<Duration, LoadError> {
    let used = fleet.on_each_shard(|_, _| async {
        let (begin, before) = (Instant::now(), drive::thread_cpu());
        glommio::timer::sleep(IDLE).await;
        (drive::thread_cpu().saturating_sub(before), begin.elapsed())
    })?;
    let a_second = |(cpu, elapsed): (Duration, Duration)| cpu.div_f64(elapsed.max(IDLE).as_secs_f64());
    Ok(used.into_iter().map(a_second).sum())
}

async fn warm_up() {
    glommio::timer::sleep(WARM_UP).await;
}

/// Waits until each shard has ended `handoffs` more handoffs than before, and has closed every connection that was
/// replaced. The wait is bounded: a run that ends shortly after a `MOVING` is reported as it is at the end of the wait.
fn settle(fleet: Fleet<'_>, before: &[Sample], handoffs: u64) -> Result<Vec<Sample>, LoadError> {
    let goals: Arc<[(u64, usize)]> = fleet
        .members()
        .flat_map(|member| std::iter::repeat_n(member.client.config().connections_per_shard(), member.shards))
        .zip(before)
        .map(|(connections, sample)| (ended(&sample.stats) + handoffs, connections))
        .collect();
    fleet.on_each_shard(move |number, shard: Shard| {
        let goals = goals.clone();
        async move {
            let (goal, connections) = goals.get(number).copied().unwrap_or_default();
            let until = Instant::now() + SETTLING_MAX;
            while !is_settled(&shard.stats(), goal, connections) && Instant::now() < until {
                glommio::timer::sleep(SETTLING_LOOK).await;
            }
            sample(shard).await
        }
    })
}

fn ended(stats: &ShardStats) -> u64 {
    let maintenance = &stats.maintenance;
    maintenance.handoffs_succeeded + maintenance.handoffs_failed + maintenance.handoffs_superseded
}

fn is_settled(stats: &ShardStats, goal: u64, connections: usize) -> bool {
    let maintenance = &stats.maintenance;
    let busy = maintenance.handoffs_queued + maintenance.permits_in_use + maintenance.draining;
    ended(stats) >= goal && busy == 0 && stats.connections.values().sum::<usize>() <= connections
}

/// The load that the arrivals of an open loop offered; the callers sent `issued` commands of it.
fn offered(plan: &Plan, issued: u64, unsent: u64) -> Option<Offered> {
    let rate = plan.workload.rate? as f64;
    let per_second = match plan.workload.limit {
        Limit::Duration(time) if !plan.is_stopped() => (issued + unsent) as f64 / time.as_secs_f64(),
        // The intended time of the last command is not known here; the configured rate is its mean.
        _ => rate,
    };
    Some(Offered { per_second: (per_second * 10.0).round() / 10.0, unsent })
}

/// What each shard did between two samples. `on_shards`: the callers ran on the shards.
fn shards_measured(
    (before, after): (&[Sample], &[Sample]),
    answered: &[u64],
    on_shards: bool,
    elapsed: Duration,
) -> Vec<ShardMeasured> {
    let all = before.iter().zip(after).zip(answered).map(|((before, after), answered)| {
        let times = after.times.zip(before.times).filter(|_| !elapsed.is_zero());
        ShardMeasured {
            core: after.core,
            commands: on_shards.then_some(*answered),
            shares: times.map(|(after, before)| after.shares_since(before, elapsed)),
        }
    });
    all.collect()
}

fn report(
    plan: &Plan,
    fleet: Fleet<'_>,
    outcome: Outcome,
    collected: Collected,
    watch: &HandoffWatch,
) -> Report {
    let cpu = |samples: &[Sample]| samples.iter().map(|sample| sample.cpu).sum::<Duration>();
    let Outcome { before, after, settled, .. } = outcome;
    let sum = |number: fn(&ShardStats) -> u64| {
        let all = |samples: &[Sample]| samples.iter().map(|sample| number(&sample.stats)).sum::<u64>();
        all(&settled).saturating_sub(all(&before))
    };
    let mut connections = BTreeMap::new();
    for (peer, count) in settled.iter().flat_map(|sample| &sample.stats.connections) {
        *connections.entry(peer.clone()).or_default() += count;
    }
    let handoffs = Handoffs {
        expected: (outcome.expected > 0).then_some(outcome.expected),
        started: sum(|stats| stats.maintenance.handoffs_started),
        succeeded: sum(|stats| stats.maintenance.handoffs_succeeded),
        failed: sum(|stats| stats.maintenance.handoffs_failed),
        superseded: sum(|stats| stats.maintenance.handoffs_superseded),
    };
    let tally = |first: usize, threads: usize| {
        let sum = |each: &[u64]| each.iter().skip(first).take(threads).sum::<u64>();
        let (issued, answered) = (sum(&collected.issued), sum(&collected.answered));
        Tally { issued, answered, unsent: sum(&outcome.unsent) }
    };
    let named = |member: Member<'_>| {
        (member.client.config().endpoint().to_string(), tally(member.first, member.shards))
    };
    let whole = tally(0, plan.shards);
    let servers = if plan.servers > 1 { fleet.members().map(named).collect() } else { Vec::new() };
    // Commands that were due during the warm-up are not part of the load that was offered in the measured time.
    let due = whole.issued.saturating_sub(collected.total.counts.from_warm_up);
    let (on_shards, elapsed) = (plan.workload.via == Via::Shard, outcome.elapsed);
    Report::new(Measured {
        elapsed: outcome.elapsed,
        interrupted: plan.is_stopped(),
        loop_kind: if plan.workload.rate.is_some() { LoopKind::Open } else { LoopKind::Closed },
        offered: offered(plan, due, whole.unsent),
        tally: whole,
        kinds: plan.kinds.names().to_vec(),
        total: collected.total,
        timeline: collected.timeline,
        begin: collected.begin,
        windows: watch.windows(),
        verify: outcome.findings,
        shard_cpu: Some(cpu(&after).saturating_sub(cpu(&before))),
        idle_cpu: outcome.idle_cpu,
        caller_cpu: outcome.caller_cpu,
        // A handoff's successor is not a reconnection after a loss.
        reconnects: sum(|stats| stats.connected).saturating_sub(handoffs.succeeded),
        maintenance: Observed {
            notifications: sum(|stats| stats.maintenance.notifications),
            duplicates: sum(|stats| stats.maintenance.duplicates),
            malformed: sum(|stats| stats.maintenance.malformed),
            handoffs,
            handoff_duration_us: Spread::of(&watch.durations()),
            movings: outcome.movings,
        },
        connections,
        servers,
        shards: shards_measured((&before, &after), &collected.answered, on_shards, elapsed),
        slept: outcome.slept,
    })
}
