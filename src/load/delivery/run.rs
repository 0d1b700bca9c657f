//! One delivery run, from its preparation to the report.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_lite::future::block_on;

use super::account::{Accounted, Accounts};
use super::leftovers;
use super::plan::{Delivery, DeliveryPlan};
use super::report::{DeliveryReport, PubSubReport, QueueReport};
use super::tasks::{self, Done};
use crate::load::plan::Plan;
use crate::load::recording::handoffs::HandoffWatch;
use crate::load::recording::latency::{Latency, Spread, round};
use crate::load::report::counts::{HandoffCounts, MaintenanceReport, Moving, OfferedLoad};
use crate::load::report::phases;
use crate::load::report::verdict::{Problem, ProblemKind};
use crate::load::run::moves::Moves;
use crate::load::run::{LoadError, TokioRuntime};
use crate::load::workload::Workload;
use crate::{Client, ShardStats};

/// Runs the sources and sinks of `delivery` through `client`, and returns what became of every element. Blocks the calling
/// thread until the run ends, or until shortly after `stop` becomes true. `watch` must receive the client's events.
///
/// Failed commands are counted; they do not end the run.
pub(crate) fn deliver(
    client: &Client,
    runtime: Option<&TokioRuntime>,
    delivery: &Delivery,
    watch: &HandoffWatch,
    moves: Option<&Moves<'_>>,
    stop: &Arc<AtomicBool>,
) -> Result<DeliveryReport, LoadError> {
    let schedule = schedule(delivery, stop);
    let plan = DeliveryPlan::new(delivery.clone(), stop.clone(), client.shards(), schedule.tick());
    let plan = Arc::new(plan);
    leftovers::prepare(client, &plan).map_err(LoadError::Preparing)?;
    let before = block_on(client.stats())?;
    let (begin, begins) = mpsc::channel();
    let (done, movings) = thread::scope(|scope| {
        let schedule = &schedule;
        let moving = moves.map(|moves| scope.spawn(move || moves.announce_all(schedule, watch, &begins)));
        let running = scope.spawn(|| tasks::run_all(client, runtime, &plan));
        while !plan.sinks_are_ready() && !plan.is_aborted() && !running.is_finished() {
            thread::sleep(READY_CHECK);
        }
        plan.set_begin(Instant::now() + LEAD);
        if let Some(measured_from) = plan.measured_from() {
            // Without scheduled moves there is no receiver.
            let _ = begin.send(measured_from);
            tracing::info!(sources = delivery.sources(), sinks = delivery.sinks(), "the run begins");
        }
        let done = running.join();
        drop(begin);
        (done, moving.map(|moving| moving.join()))
    });
    let done: Vec<Done> = done.map_err(|_| LoadError::Panicked)??;
    let movings = movings.transpose().map_err(|_| LoadError::Panicked)?;
    let movings = movings.transpose().map_err(LoadError::Rehearsing)?.unwrap_or_default();
    let accounts = Accounts::new(done);
    if let Some(error) = accounts.refused() {
        return Err(LoadError::Preparing(error.clone()));
    }
    let shared = (client.shards() * client.config().connections_per_shard()) as u64;
    let is_followed = moves.is_some_and(Moves::are_followed);
    let expected = if is_followed { shared * movings.len() as u64 } else { 0 };
    let after = settle(client, &before, expected)?;
    let accounted = accounts.settle(client, &plan);
    let maintenance = maintenance(watch, movings, &before, &after);
    let mut report = report(&plan, accounted, watch, &maintenance.movings);
    report.cleanup = delivery.cleanup.then(|| leftovers::clean_up(client, &plan));
    report.connections_left_behind = expected.saturating_sub(maintenance.handoffs.succeeded);
    report.maintenance = maintenance;
    for (peer, count) in after.iter().flat_map(|stats| &stats.connections) {
        *report.connections.entry(peer.clone()).or_default() += count;
    }
    Ok(report)
}

/// What the schedule of the moves needs of a plan: when the run ends.
fn schedule(delivery: &Delivery, stop: &Arc<AtomicBool>) -> Plan {
    let workload = Workload { limit: delivery.limit, ..Workload::default() };
    Plan::new(workload, 1, stop.clone(), mpsc::channel().0)
}

/// Waits until as many handoffs have ended as the moves must cause, and none is in progress. The wait is bounded.
fn settle(client: &Client, before: &[ShardStats], expected: u64) -> Result<Vec<ShardStats>, LoadError> {
    let until = Instant::now() + SETTLING_MAX;
    loop {
        let stats = block_on(client.stats())?;
        let ended = sum(&stats, ended).saturating_sub(sum(before, ended));
        let is_busy = stats.iter().any(|stats| {
            stats.maintenance.handoffs_queued + stats.maintenance.permits_in_use + stats.maintenance.draining
                > 0
        });
        if (ended >= expected && !is_busy) || Instant::now() >= until {
            return Ok(stats);
        }
        thread::sleep(SETTLING_CHECK);
    }
}

fn ended(stats: &ShardStats) -> u64 {
    let maintenance = &stats.maintenance;
    maintenance.handoffs_succeeded + maintenance.handoffs_failed + maintenance.handoffs_superseded
}

fn sum(stats: &[ShardStats], number: fn(&ShardStats) -> u64) -> u64 {
    stats.iter().map(number).sum()
}

fn maintenance(
    watch: &HandoffWatch,
    movings: Vec<Moving>,
    before: &[ShardStats],
    after: &[ShardStats],
) -> MaintenanceReport {
    let grown = |number: fn(&ShardStats) -> u64| sum(after, number).saturating_sub(sum(before, number));
    MaintenanceReport {
        notifications: grown(|stats| stats.maintenance.notifications),
        duplicates: grown(|stats| stats.maintenance.duplicates),
        malformed: grown(|stats| stats.maintenance.malformed),
        handoffs: HandoffCounts {
            // Exclusive connections come and go, so their number at a move is not known.
            expected: None,
            started: grown(|stats| stats.maintenance.handoffs_started),
            succeeded: grown(|stats| stats.maintenance.handoffs_succeeded),
            failed: grown(|stats| stats.maintenance.handoffs_failed),
            superseded: grown(|stats| stats.maintenance.handoffs_superseded),
        },
        handoff_duration_us: Spread::of(&watch.durations()),
        movings,
    }
}

fn report(
    plan: &DeliveryPlan,
    accounted: Accounted,
    watch: &HandoffWatch,
    movings: &[Moving],
) -> DeliveryReport {
    let from = plan.measured_from().unwrap_or_else(Instant::now);
    let elapsed = plan.sources_end().unwrap_or(from).saturating_duration_since(from);
    let began = SystemTime::now() - from.elapsed();
    let started = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let recorded = plan.arrivals.finish(began, elapsed);
    let (arrived, latency_us) = (recorded.latency.len(), Latency::of(&recorded.latency));
    let per_second = arrived as f64 / elapsed.as_secs_f64().max(1e-3);
    DeliveryReport {
        started_at_unix_seconds: round(started.as_secs_f64(), 3),
        elapsed_seconds: round(elapsed.as_secs_f64(), 6),
        interrupted: plan.is_interrupted(),
        problems: problem(arrived, &accounted).into_iter().collect(),
        queue: accounted.queue.map(|queue| QueueReport { latency_us, ..queue }),
        pubsub: accounted.pubsub.map(|pubsub| PubSubReport { latency_us, ..pubsub }),
        latency_us,
        throughput_per_second: round(per_second, 1),
        offered: plan
            .delivery
            .rate
            .map(|rate| OfferedLoad { per_second: rate as f64, unsent: accounted.unsent }),
        failed: accounted.failures.count,
        errors: accounted.failures.by_kind,
        error_examples: accounted.failures.examples,
        maintenance: MaintenanceReport::default(),
        connections_left_behind: 0,
        connections: BTreeMap::new(),
        maintenance_windows: phases::windows(
            &recorded.timeline,
            plan.measured_from(),
            &watch.windows(),
            movings,
            elapsed,
        ),
        timeline: phases::intervals(&recorded.timeline),
        cleanup: None,
        recorded,
    }
}

/// Why the measurements do not describe the endpoint.
fn problem(arrived: u64, accounted: &Accounted) -> Option<Problem> {
    let (sent, unsent, failed) = (accounted.sent, accounted.unsent, accounted.failures.count);
    let offered = sent.saturating_add(unsent);
    let (kind, message) = match failed {
        _ if arrived > 0 && unsent as f64 <= offered as f64 * UNSENT_SHARE_MAX => return None,
        _ if arrived > 0 => (
            ProblemKind::TooFewAnswered,
            format!(
                "TOO LITTLE WAS SENT: {sent} of {offered} elements; the others were due, and their sources were still \
                 waiting for the server; lower --rate, or run more of them"
            ),
        ),
        0 => (
            ProblemKind::NothingMeasured,
            "NOTHING WAS MEASURED: nothing arrived in the measured time; measure for longer".to_owned(),
        ),
        failed => (
            ProblemKind::NothingMeasured,
            format!(
                "NOTHING WAS MEASURED: nothing arrived in the measured time ({failed} commands failed); check the \
                 endpoint"
            ),
        ),
    };
    Some(Problem { kind, message })
}

/// If a larger share of what --rate offers is not sent, the run did not have the load that the user asked for.
const UNSENT_SHARE_MAX: f64 = 0.1;
/// Time from the order to start until the start.
const LEAD: Duration = Duration::from_millis(20);
/// How often the coordinator checks whether the sinks are ready.
const READY_CHECK: Duration = Duration::from_millis(1);
/// How long a run waits at its end for handoffs that a late `MOVING` began, and how often it checks.
const SETTLING_MAX: Duration = Duration::from_secs(2);
const SETTLING_CHECK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(arrived: u64, sent: u64, unsent: u64) -> Option<ProblemKind> {
        problem(arrived, &Accounted { sent, unsent, ..Accounted::default() }).map(|problem| problem.kind)
    }

    #[test]
    fn a_run_without_its_load_has_a_problem() {
        assert_eq!([kind(1, 10, 0), kind(1, 90, 10)], [None, None]);
        assert_eq!(kind(1, 89, 11), Some(ProblemKind::TooFewAnswered));
        assert_eq!([kind(0, 10, 0), kind(0, 0, 0)], [Some(ProblemKind::NothingMeasured); 2]);
    }
}
