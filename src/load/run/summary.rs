//! The report of a run, from everything that its threads measured.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clients::{Clients, NumberedClient};
use super::collector::Collected;
use super::samples::ShardSample;
use crate::ShardStats;
use crate::load::machine::PauseReadings;
use crate::load::plan::Plan;
use crate::load::recording::findings::Findings;
use crate::load::recording::handoffs::HandoffWatch;
use crate::load::recording::latency::Spread;
use crate::load::report::Report;
use crate::load::report::counts::{HandoffCounts, LoopKind, MaintenanceReport, Moving, OfferedLoad};
use crate::load::report::measured::{Measured, ShardMeasured};
use crate::load::report::verdict::Tally;
use crate::load::workload::{Limit, Via};

/// The measurements of the run that do not come from the collector.
pub(super) struct Outcome {
    pub(super) elapsed: Duration,
    /// Commands of each thread of callers that were scheduled but never sent.
    pub(super) unsent: Vec<u64>,
    pub(super) findings: Option<(Findings, Option<u64>)>,
    pub(super) caller_cpu: Option<Duration>,
    pub(super) movings: Vec<Moving>,
    /// Handoffs that the announced `MOVING`s must cause.
    pub(super) expected: u64,
    /// CPU time that all shards together used in a second without commands.
    pub(super) idle_cpu: Option<Duration>,
    pub(super) before: Vec<ShardSample>,
    /// Taken after the last reply.
    pub(super) after: Vec<ShardSample>,
    /// Taken after the last handoff ended.
    pub(super) settled: Vec<ShardSample>,
    pub(super) pause_readings: Option<PauseReadings>,
}

/// Makes the report of a run.
pub(super) fn report(
    plan: &Plan,
    clients: Clients<'_>,
    outcome: Outcome,
    collected: Collected,
    watch: &HandoffWatch,
) -> Report {
    let cpu = |samples: &[ShardSample]| samples.iter().map(|sample| sample.cpu).sum::<Duration>();
    let Outcome { before, after, settled, .. } = outcome;
    let sum = |number: fn(&ShardStats) -> u64| {
        let all = |samples: &[ShardSample]| samples.iter().map(|sample| number(&sample.stats)).sum::<u64>();
        all(&settled).saturating_sub(all(&before))
    };
    let mut connections = BTreeMap::new();
    for (peer, count) in settled.iter().flat_map(|sample| &sample.stats.connections) {
        *connections.entry(peer.clone()).or_default() += count;
    }
    let handoffs = HandoffCounts {
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
    let named = |member: NumberedClient<'_>| {
        (member.client.config().endpoint().to_string(), tally(member.first, member.shards))
    };
    let whole = tally(0, plan.shards);
    let servers = if plan.servers > 1 { clients.members().map(named).collect() } else { Vec::new() };
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
        maintenance: MaintenanceReport {
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
        pause_readings: outcome.pause_readings,
    })
}

/// The load that the arrivals of an open loop offered; the callers sent `issued` commands of it.
fn offered(plan: &Plan, issued: u64, unsent: u64) -> Option<OfferedLoad> {
    let rate = plan.workload.rate? as f64;
    let per_second = match plan.workload.limit {
        Limit::Duration(time) if !plan.is_stopped() => (issued + unsent) as f64 / time.as_secs_f64(),
        // The intended time of the last command is not known here; the configured rate is its mean.
        _ => rate,
    };
    Some(OfferedLoad { per_second: (per_second * 10.0).round() / 10.0, unsent })
}

/// What each shard did between two samples. `on_shards`: the callers ran on the shards.
fn shards_measured(
    (before, after): (&[ShardSample], &[ShardSample]),
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
