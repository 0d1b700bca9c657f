//! The parts of a run that differ in tokio: shards have no threads to run code on, so their counters are read from outside.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;

use super::clients::Clients;
use super::error::LoadError;
use super::runtime::TokioRuntime;
use super::samples::{Goals, IDLE, SETTLING_CHECK, SETTLING_MAX, ShardSample};
use crate::ShardStats;
use crate::load::caller::group::ThreadOutcome;
use crate::load::caller::in_tokio::{Member, TaskError, load_all, run_all};
use crate::load::plan::{Plan, STOP_CHECK};
use crate::load::recording::handoffs::HandoffWatch;

/// Counters of all shards. The threads of the runtime are not those of the shards, and are listed beside them: one worker
/// for each shard.
pub(super) fn samples(clients: Clients<'_>, runtime: &TokioRuntime) -> Result<Vec<ShardSample>, LoadError> {
    let threads = runtime.threads();
    let workers: Duration = (0..threads.workers()).map(|worker| threads.worker_cpu(worker)).sum();
    let others = threads.cpu().saturating_sub(workers);
    let sample = |(worker, stats): (usize, ShardStats)| ShardSample {
        core: threads.core(worker),
        // Threads for blocking calls belong to no worker; their time is in the sum of all.
        cpu: threads.worker_cpu(worker) + if worker == 0 { others } else { Duration::ZERO },
        times: threads.worker_times(worker),
        stats,
    };
    Ok(stats(clients)?.into_iter().enumerate().map(sample).collect())
}

/// The same at a future time, or at once when the user stops the run.
pub(super) fn samples_at(
    clients: Clients<'_>,
    runtime: &TokioRuntime,
    plan: &Plan,
    at: Instant,
) -> Result<Vec<ShardSample>, LoadError> {
    while let Some(wait) = at.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        if plan.is_stopped() {
            break;
        }
        thread::sleep(STOP_CHECK.min(wait));
    }
    samples(clients, runtime)
}

/// CPU time that all threads of the runtime use in a second while they have connections and no commands.
pub(super) fn idle(runtime: &TokioRuntime) -> Duration {
    let (begin, before) = (Instant::now(), runtime.threads().cpu());
    thread::sleep(IDLE);
    let used = runtime.threads().cpu().saturating_sub(before);
    used.div_f64(begin.elapsed().max(IDLE).as_secs_f64())
}

/// Waits until each shard has reached its goal; see `samples::settle`.
pub(super) fn settle(
    clients: Clients<'_>,
    runtime: &TokioRuntime,
    goals: &Goals,
) -> Result<Vec<ShardSample>, LoadError> {
    let until = Instant::now() + SETTLING_MAX;
    let is_settled =
        |all: Vec<ShardStats>| all.iter().enumerate().all(|(number, stats)| goals.are_met(number, stats));
    while !is_settled(stats(clients)?) && Instant::now() < until {
        thread::sleep(SETTLING_CHECK);
    }
    samples(clients, runtime)
}

/// Writes the keys to every server.
pub(super) fn load(
    clients: Clients<'_>,
    runtime: &TokioRuntime,
    plan: &Arc<Plan>,
    each: u64,
) -> Result<(), LoadError> {
    let loaded = runtime.runtime().block_on(load_all(members(clients), plan.clone(), each));
    loaded.map_err(failed)?.map_err(LoadError::Preparing)
}

/// Runs all callers until they finish.
pub(super) fn drive(
    clients: Clients<'_>,
    runtime: &TokioRuntime,
    plan: &Arc<Plan>,
    watch: &HandoffWatch,
    begin: Instant,
) -> Result<Vec<ThreadOutcome>, LoadError> {
    runtime.runtime().block_on(run_all(members(clients), plan.clone(), watch, begin)).map_err(failed)
}

fn members(clients: Clients<'_>) -> Vec<Member> {
    let member = |member: super::clients::NumberedClient<'_>| Member {
        client: member.client.clone(),
        first: member.first,
        shards: member.shards,
    };
    clients.members().map(member).collect()
}

/// Counters of the shards of all clients, in the order of their numbers.
fn stats(clients: Clients<'_>) -> Result<Vec<ShardStats>, LoadError> {
    let mut all = Vec::with_capacity(clients.shards());
    for member in clients.members() {
        all.extend(block_on(member.client.stats())?);
    }
    Ok(all)
}

fn failed(error: TaskError) -> LoadError {
    match error {
        TaskError::Panicked(_) => LoadError::Panicked,
        TaskError::Timer(error) => LoadError::Timer(error),
    }
}
