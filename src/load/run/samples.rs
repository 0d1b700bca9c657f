//! Counters of the shards before and after a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clients::Clients;
use super::error::LoadError;
use crate::load::machine::{ThreadTimes, thread_cpu, thread_times};
use crate::load::plan::{Plan, STOP_CHECK};
use crate::{Shard, ShardStats};

/// Counters of one shard at one time.
#[derive(Debug)]
pub(super) struct ShardSample {
    pub(super) core: Option<usize>,
    pub(super) cpu: Duration,
    pub(super) times: Option<ThreadTimes>,
    pub(super) stats: ShardStats,
}

pub(super) async fn sample(shard: Shard) -> ShardSample {
    ShardSample { core: shard.cpu(), cpu: thread_cpu(), times: thread_times(), stats: shard.stats() }
}

/// Takes the counters at a future time, or at once when the user stops the run.
pub(super) async fn sample_at(shard: Shard, plan: Arc<Plan>, at: Instant) -> ShardSample {
    while let Some(wait) = at.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
        if plan.is_stopped() {
            break;
        }
        glommio::timer::sleep(STOP_CHECK.min(wait)).await;
    }
    sample(shard).await
}

/// CPU time that all shards together use in a second while they have connections and no commands.
pub(super) fn idle(clients: Clients<'_>) -> Result<Duration, LoadError> {
    let used = clients.on_each_shard(|_, _| async {
        let (begin, before) = (Instant::now(), thread_cpu());
        glommio::timer::sleep(IDLE).await;
        (thread_cpu().saturating_sub(before), begin.elapsed())
    })?;
    let a_second = |(cpu, elapsed): (Duration, Duration)| cpu.div_f64(elapsed.max(IDLE).as_secs_f64());
    Ok(used.into_iter().map(a_second).sum())
}

pub(super) async fn warm_up() {
    glommio::timer::sleep(WARM_UP).await;
}

/// Waits until each shard has ended as many handoffs as it must, and has closed every connection that was replaced. The wait is bounded: a run that ends shortly after a `MOVING` is reported as it is at the end of the wait.
pub(super) fn settle(clients: Clients<'_>, goals: Goals) -> Result<Vec<ShardSample>, LoadError> {
    clients.on_each_shard(move |number, shard: Shard| {
        let goals = goals.clone();
        async move {
            let until = Instant::now() + SETTLING_MAX;
            while !goals.are_met(number, &shard.stats()) && Instant::now() < until {
                glommio::timer::sleep(SETTLING_CHECK).await;
            }
            sample(shard).await
        }
    })
}

/// For each shard, the number of handoffs that must have ended, and of connections that may be left.
#[derive(Debug, Clone)]
pub(super) struct Goals(Arc<[(u64, usize)]>);

impl Goals {
    /// Each shard ends `handoffs` more handoffs than before.
    pub(super) fn new(clients: Clients<'_>, before: &[ShardSample], handoffs: u64) -> Goals {
        let connections = clients.members().flat_map(|member| {
            std::iter::repeat_n(member.client.config().connections_per_shard(), member.shards)
        });
        let goal =
            |(connections, sample): (usize, &ShardSample)| (ended(&sample.stats) + handoffs, connections);
        Goals(connections.zip(before).map(goal).collect())
    }

    /// Whether this shard has reached its goal.
    pub(super) fn are_met(&self, number: usize, stats: &ShardStats) -> bool {
        let (goal, connections) = self.0.get(number).copied().unwrap_or_default();
        is_settled(stats, goal, connections)
    }
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

/// The first timer of an executor is slow, so each shard runs one before anything is measured.
const WARM_UP: Duration = Duration::from_millis(1);
/// How long the CPU time of idle shards is measured before a run whose callers wait.
pub(super) const IDLE: Duration = Duration::from_millis(300);
/// How long a run waits at its end for handoffs that a late `MOVING` began, and how often it checks.
pub(super) const SETTLING_MAX: Duration = Duration::from_secs(2);
pub(super) const SETTLING_CHECK: Duration = Duration::from_millis(5);
