//! A whole run, from loading the keys to the report.

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

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The workload makes no sense.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The keys could not be written.
    #[error("could not prepare the keys for the run")]
    Preparing(#[source] Error),
    /// The client broke down.
    #[error("the client broke down")]
    Client(#[from] Error),
    /// The endpoints in this process did not do what was to be rehearsed.
    #[error("could not rehearse a MOVING: {0}")]
    Rehearsing(String),
    /// A thread of the run panicked.
    #[error("a thread of the run panicked; this is a bug")]
    Panicked,
}

/// From the order to start to the common start: every thread is there by then.
const LEAD: Duration = Duration::from_millis(20);
/// The first timer of an executor is slow; it is to be over before anything is measured.
const WARM_UP: Duration = Duration::from_millis(1);
/// How long the cost of waiting is measured before a run whose callers wait.
const IDLE: Duration = Duration::from_millis(300);
/// How long a run waits for what a `MOVING` began late in it, and how often it looks.
const SETTLING_MAX: Duration = Duration::from_secs(2);
const SETTLING_LOOK: Duration = Duration::from_millis(5);
/// How many handles of a shard load keys side by side.
const LOADERS: u64 = 4;

/// Runs `workload` through `client` and reports what was measured. Blocks the calling thread until
/// the run has ended, or a little longer than `stop` becomes true. `observe` is told how far the
/// run is, about once a second; `watch` is told the client's events by its
/// [hook](crate::Config::on_event).
///
/// Commands that fail are counted and do not end the run.
///
/// [`run_over`] does it with several servers.
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

/// The same through several clients at once, each of a server of its own, into one report. The shards of all are
/// numbered through, also for `watch`; each has as many callers, so a server gets as much as its client has shards.
/// Every server holds the whole key space; with checking on, a caller's keys are those of its own server.
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

/// The thread that orders the `MOVING`s, if there are any.
struct Conductor<'scope> {
    begin: mpsc::Sender<Instant>,
    moving: Option<ScopedJoinHandle<'scope, Result<Vec<Moving>, String>>>,
}

impl Conductor<'_> {
    fn begin(&self, begin: Instant) {
        // Without anything to order, nobody listens.
        let _ = self.begin.send(begin);
    }

    /// Orders no more, and says what was.
    fn end(self) -> Result<Vec<Moving>, LoadError> {
        drop(self.begin);
        let Some(moving) = self.moving else { return Ok(Vec::new()) };
        moving.join().map_err(|_| LoadError::Panicked)?.map_err(LoadError::Rehearsing)
    }
}

/// What driving the load gave.
struct Outcome {
    elapsed: Duration,
    /// Commands that were due and not sent, of each thread of callers.
    unsent: Vec<u64>,
    findings: Option<(Findings, Option<u64>)>,
    caller_cpu: Option<Duration>,
    movings: Vec<Moving>,
    /// Handoffs that the moves ask for.
    expected: u64,
    /// What the shards used in a second without commands.
    idle_cpu: Option<Duration>,
    before: Vec<Sample>,
    /// When the last reply was there.
    after: Vec<Sample>,
    /// When the handoffs were over, too.
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

/// Runs all callers to their ends.
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

/// The shards of every server write the keys to it, each its share, over several handles.
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

/// As many threads as there are shards, each with the callers of one.
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

/// Reads the audit counters of all servers, and removes them. `None` if one could not be read.
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

/// What a shard says of itself.
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

/// The same, at a time that is still to come, or when the user has had enough.
async fn sample_at(shard: Shard, plan: Arc<Plan>, at: Instant) -> Sample {
    while let Some(wait) = at.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        if plan.is_stopped() {
            break;
        }
        glommio::timer::sleep(LOOK.min(wait)).await;
    }
    sample(shard).await
}

/// What all shards together use in a second while there are connections and no commands.
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

/// Waits until `handoffs` more of each shard than before have ended, and no connection waits to be closed because it
/// was replaced; but not for long: a run that ends on a `MOVING` is reported as it is then.
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

/// What the arrivals of an open loop asked for; `issued` of them were sent.
fn offered(plan: &Plan, issued: u64, unsent: u64) -> Option<Offered> {
    let rate = plan.workload.rate? as f64;
    let per_second = match plan.workload.limit {
        Limit::Duration(time) if !plan.is_stopped() => (issued + unsent) as f64 / time.as_secs_f64(),
        // When the last command was due is not known; the mean is what was asked for.
        _ => rate,
    };
    Some(Offered { per_second: (per_second * 10.0).round() / 10.0, unsent })
}

/// What each shard did between two samples; `on_shards`: it answered the commands to callers of its own.
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
    // What was due in the warm-up is not part of what is asked for in the measured time.
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
        // A successor is no connection that was made again after a loss.
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
