//! A whole run, from loading the keys to the report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;

use super::collector::{Collected, Collector, Progress};
use super::drive::{self, Driven};
use super::loader;
use super::plan::{Message, Plan};
use super::report::{LoopKind, Measured, Report};
use super::verify::{Findings, Slice};
use super::workload::{Via, Workload, WorkloadError};
use crate::{Client, Error, Shard};

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
    /// A thread of the run panicked.
    #[error("a thread of the run panicked; this is a bug")]
    Panicked,
}

/// From the order to start to the common start: every thread is there by then.
const LEAD: Duration = Duration::from_millis(20);
/// The first timer of an executor is slow; it is to be over before anything is measured.
const WARM_UP: Duration = Duration::from_millis(1);
/// How many handles of a shard load keys side by side.
const LOADERS: u64 = 4;

/// Runs `workload` through `client` and reports what was measured. Blocks the calling thread until
/// the run has ended, or a little longer than `stop` becomes true. `observe` is told how far the
/// run is, about once a second.
///
/// Commands that fail are counted and do not end the run.
pub fn run(
    client: &Client,
    workload: &Workload,
    stop: &Arc<AtomicBool>,
    observe: impl FnMut(Progress) + Send,
) -> Result<Report, LoadError> {
    let shards = block_on(client.run_on_each_shard(warm_up))?.len();
    workload.check(shards)?;
    let (desk, messages) = mpsc::channel();
    let plan = Arc::new(Plan::new(workload.clone(), shards, stop.clone(), desk));
    let open_loop = workload.rate.is_some();
    let collector = Collector::new(observe, workload.key_space, shards, open_loop);
    let (outcome, collected) = thread::scope(|scope| {
        let collecting = scope.spawn(move || collector.run(messages));
        let outcome = block_on(drive_all(client, &plan));
        plan.report(Message::End);
        (outcome, collecting.join())
    });
    let collected = collected.map_err(|_| LoadError::Panicked)?;
    Ok(report(&plan, outcome?, collected))
}

/// What driving the load gave.
struct Outcome {
    elapsed: Duration,
    findings: Option<(Findings, Option<u64>)>,
    caller_cpu: Option<Duration>,
    before: Vec<Sample>,
    after: Vec<Sample>,
}

async fn drive_all(client: &Client, plan: &Arc<Plan>) -> Result<Outcome, LoadError> {
    if plan.workload.loads() {
        load(client, plan).await?;
    }
    if plan.workload.verify {
        client.del(&[plan.audit_key.as_str()]).await.map_err(LoadError::Preparing)?;
    }
    let before = client.run_on_each_shard(sample).await?;
    let begin = Instant::now() + LEAD;
    plan.report(Message::Begin(begin));
    tracing::info!(shards = plan.shards, callers = plan.callers(), "the run begins");
    let driven = match plan.workload.via {
        Via::Shard => {
            let plan = plan.clone();
            client.run_on_each_shard(move |shard| drive::on_shard(shard, plan.clone(), begin)).await?
        }
        Via::Client => on_threads(client, plan, begin)?,
    };
    let after = client.run_on_each_shard(sample).await?;
    let mut end = begin;
    let mut findings: Option<Findings> = None;
    let mut caller_cpu = Duration::ZERO;
    for Driven { at, findings: found, cpu } in driven {
        end = end.max(at);
        caller_cpu += cpu;
        if let Some(found) = found {
            findings.get_or_insert_with(Findings::default).add(found);
        }
    }
    let findings = match findings {
        Some(findings) => Some((findings, audit(client, plan).await)),
        None => None,
    };
    Ok(Outcome {
        elapsed: end - begin,
        findings,
        caller_cpu: (plan.workload.via == Via::Client).then_some(caller_cpu),
        before,
        after,
    })
}

/// Every shard writes its share of the keys, over several handles.
async fn load(client: &Client, plan: &Arc<Plan>) -> Result<(), LoadError> {
    let plan = plan.clone();
    let loaded = client.run_on_each_shard(move |shard| {
        let plan = plan.clone();
        async move {
            let parts = plan.shards as u64 * LOADERS;
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
    });
    let results = loaded.await?;
    results.into_iter().collect::<Result<(), Error>>().map_err(LoadError::Preparing)
}

/// As many threads as there are shards, each with the callers of one.
fn on_threads(client: &Client, plan: &Arc<Plan>, begin: Instant) -> Result<Vec<Driven>, LoadError> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.shards)
            .map(|number| scope.spawn(move || drive::on_thread(client, plan.clone(), number, begin)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.map_err(|_| LoadError::Panicked)).collect()
    })
}

/// Reads the audit counter, and removes it. `None` if it could not be read.
async fn audit(client: &Client, plan: &Plan) -> Option<u64> {
    let key = plan.audit_key.as_str();
    let counter = client.get::<Option<u64>>(key).await;
    // What cannot be removed is one small key; the run's result does not depend on it.
    let _ = client.del(&[key]).await;
    Some(counter.ok()?.unwrap_or(0))
}

/// What a shard says of itself.
struct Sample {
    core: Option<usize>,
    cpu: Duration,
    connected: u64,
    connections: BTreeMap<String, usize>,
}

async fn sample(shard: Shard) -> Sample {
    let stats = shard.stats();
    Sample {
        core: shard.core(),
        cpu: drive::thread_cpu(),
        connected: stats.connected,
        connections: stats.connections,
    }
}

async fn warm_up(_shard: Shard) {
    glommio::timer::sleep(WARM_UP).await;
}

fn report(plan: &Plan, outcome: Outcome, collected: Collected) -> Report {
    let cpu = |samples: &[Sample]| samples.iter().map(|sample| sample.cpu).sum::<Duration>();
    let connected = |samples: &[Sample]| samples.iter().map(|sample| sample.connected).sum::<u64>();
    let Outcome { before, after, .. } = outcome;
    let mut connections = BTreeMap::new();
    for (peer, count) in after.iter().flat_map(|sample| &sample.connections) {
        *connections.entry(peer.clone()).or_default() += count;
    }
    let on_shards = plan.workload.via == Via::Shard;
    let commands = collected.answered.iter().map(|&answered| on_shards.then_some(answered));
    Report::new(Measured {
        elapsed: outcome.elapsed,
        interrupted: plan.is_stopped(),
        loop_kind: if plan.workload.rate.is_some() { LoopKind::Open } else { LoopKind::Closed },
        total: collected.total,
        verify: outcome.findings,
        shard_cpu: Some(cpu(&after).saturating_sub(cpu(&before))),
        caller_cpu: outcome.caller_cpu,
        reconnects: connected(&after).saturating_sub(connected(&before)),
        connections,
        shards: after.iter().map(|sample| sample.core).zip(commands).collect(),
    })
}
