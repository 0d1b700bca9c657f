//! What a run measured, as it is published in JSON.
//!
//! Values that were not measured are absent. Latencies are in microseconds with decimals.

pub(crate) mod by_command;
pub(crate) mod client_cpu;
pub(crate) mod counts;
#[cfg(feature = "cli")]
pub(crate) mod hdr;
pub(crate) mod measured;
pub(crate) mod phases;
pub(crate) mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::machine::Machine;
use crate::load::recording::findings::Findings;
use crate::load::recording::latency::{Latency, round, sum_of};
use crate::load::recording::recorder::{Answers, Counts, KindRecord};
use by_command::{BytesPerSecond, CommandReport, by_command};
use client_cpu::ClientCpu;
use counts::{
    Audit, Cleanup, CommandCounts, LoopKind, MaintenanceReport, OfferedLoad, ServerReport, ShardReport,
    VerifyReport,
};
use measured::{Measured, Recorded, ShardMeasured};
use phases::{MaintenanceWindow, ReportInterval};
use verdict::{Problem, Tally};

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// When the run began, in seconds since the Unix epoch.
    pub started_at_unix_seconds: f64,
    /// Time from the common start to the last completion.
    pub elapsed_seconds: f64,
    /// Whether the user stopped the run before its end.
    pub interrupted: bool,
    /// Why the measurements do not describe the endpoint, the gravest reason first; empty if they do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Answered commands as a share of the offered ones, which were sent or scheduled but never sent. Absent if no
    /// command was offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_share: Option<f64>,
    /// `closed` or `open`: the meaning of the latencies depends on it.
    #[serde(rename = "loop")]
    pub loop_kind: LoopKind,
    /// How many commands had which outcome.
    pub commands: CommandCounts,
    /// Failed commands by the kind of the error.
    pub errors: BTreeMap<&'static str, u64>,
    /// The text of the first error of each kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_examples: BTreeMap<&'static str, String>,
    /// The result of `--verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifyReport>,
    /// Answered commands per second.
    pub throughput_per_second: f64,
    /// The load that an open loop offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<OfferedLoad>,
    /// User and system CPU time of the shards' threads for each answered command. With callers in tokio it is that of all
    /// threads of the runtime, and includes the callers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cpu_ns_per_command: Option<f64>,
    /// The same for the threads of the callers, if they called through `Client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_cpu_ns_per_command: Option<f64>,
    /// The shards' CPU time, split into idle cost and cost for each command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cpu: Option<ClientCpu>,
    /// Bytes of the answered commands and of their replies.
    pub bytes_per_second: BytesPerSecond,
    /// The measurements of each kind of command, by its name.
    pub by_command: BTreeMap<String, CommandReport>,
    /// Time from the intended time (open loop) or from the sending (closed loop) to the reply, of the answered
    /// commands. Failed commands and commands that were never sent are not included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<Latency>,
    /// The same with the failed commands included, each with the time until it failed: for a timeout, at least the
    /// timeout. Absent if none failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_with_failures_us: Option<Latency>,
    /// Latency of the commands that overlapped a handoff of their shard, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_during_handoff_us: Option<Latency>,
    /// Time from the sending to the reply; only in an open loop, where it is shorter than the latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_time_us: Option<Latency>,
    /// The longest time that a caller waited between two completions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_gap_us: Option<f64>,
    /// Host statistics, which may explain the measurements.
    pub machine: Machine,
    /// The maintenance that was announced, and the handoffs that followed.
    pub maintenance: MaintenanceReport,
    /// Connections that replaced a lost one.
    pub reconnects: u64,
    /// Live connections by peer at the end of the run.
    pub connections: BTreeMap<String, usize>,
    /// The part of each server, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerReport>,
    /// The part of each shard.
    pub shards: Vec<ShardReport>,
    /// The run before, during and after each maintenance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// The run in at most 240 intervals.
    pub timeline: Vec<ReportInterval>,
    /// The result of removing the run's keys, if that was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
    /// The recorded data, for the picture and the log.
    #[serde(skip)]
    pub(crate) recorded: Recorded,
}

impl Report {
    pub(crate) fn new(measured: Measured) -> Report {
        let Measured { total, timeline, elapsed, .. } = measured;
        let movings = &measured.maintenance.movings;
        let windows = phases::windows(&timeline, measured.begin, &measured.windows, movings, elapsed);
        let began = timeline.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let latency = total.latency();
        let counts = total.counts;
        let each = |cpu: Duration| {
            let commands = counts.answered;
            (commands > 0).then(|| round(cpu.as_nanos() as f64 / commands as f64, 1))
        };
        let with_failures = total.failures.as_ref().map(|failures| sum_of(&latency, failures));
        let (latency_us, latency_with_failures_us) =
            (Latency::of(&latency), with_failures.as_ref().and_then(Latency::of));
        let longest = latency_with_failures_us.or(latency_us).map(|latency| latency.max);
        let waited = measured.shards.iter().filter_map(|shard| shard.shares).map(|(_, waited)| waited);
        let machine = Machine::new(measured.pause_readings.as_ref(), waited, elapsed, longest);
        let problems = verdict::problems(measured.tally, &measured.servers);
        let gap = total.longest_gap;
        let (idle, shards) = (measured.idle_cpu, measured.shards.len());
        let client_cpu =
            measured.shard_cpu.map(|used| ClientCpu::new(used, elapsed, shards, idle, counts.answered));
        let sum = |part: fn(&Answers) -> u64| total.kinds.iter().map(|kind| part(&kind.answers)).sum();
        let (sent, received) = (sum(|answers| answers.sent), sum(|answers| answers.received));
        Report {
            started_at_unix_seconds: round(began.as_secs_f64(), 3),
            elapsed_seconds: round(elapsed.as_secs_f64(), 6),
            interrupted: measured.interrupted,
            problems,
            answered_share: measured.tally.answered_share().map(|share| round(share, 6)),
            loop_kind: measured.loop_kind,
            commands: commands(&counts),
            throughput_per_second: per_second(counts.answered, elapsed),
            offered: measured.offered,
            client_cpu_ns_per_command: measured.shard_cpu.and_then(each),
            caller_cpu_ns_per_command: measured.caller_cpu.and_then(each),
            client_cpu,
            bytes_per_second: BytesPerSecond::new(sent, received, elapsed),
            by_command: by_command(&measured.kinds, &total.kinds, elapsed),
            latency_us,
            latency_with_failures_us,
            latency_during_handoff_us: Latency::of(&total.in_handoff),
            service_time_us: total.service.as_ref().and_then(Latency::of),
            longest_gap_us: (!gap.is_zero()).then(|| round(gap.as_nanos() as f64 / 1e3, 3)),
            verify: measured.verify.map(|(findings, counter)| verified(findings, counter)),
            errors: counts.errors,
            error_examples: total.examples,
            machine,
            maintenance: measured.maintenance,
            reconnects: measured.reconnects,
            connections: measured.connections,
            servers: measured.servers.into_iter().map(|server| server_report(server, elapsed)).collect(),
            shards: measured.shards.into_iter().map(|shard| shard_report(shard, elapsed)).collect(),
            maintenance_windows: windows,
            timeline: phases::intervals(&timeline),
            cleanup: None,
            recorded: Recorded {
                timeline,
                latency,
                by_command: of_each(measured.kinds, total.kinds),
                in_handoff: total.in_handoff,
                service: total.service,
            },
        }
    }

    /// Whether enough commands were measured, every command was answered, every check held, and every connection
    /// followed each rehearsed `MOVING`.
    pub fn is_clean(&self) -> bool {
        let mismatched = self.verify.as_ref().is_some_and(|verify| verify.mismatched > 0);
        let left = self.cleanup.as_ref().is_some_and(|cleanup| cleanup.error.is_some());
        self.problems.is_empty()
            && !left
            && self.commands.failed == 0
            && !mismatched
            && self.maintenance.handoffs.are_complete()
    }
}

/// The latencies of the kinds that have any, by name.
fn of_each(names: Vec<String>, kinds: Vec<KindRecord>) -> BTreeMap<String, Histogram<u64>> {
    let named = names.into_iter().zip(kinds).filter(|(_, kind)| !kind.latency.is_empty());
    named.map(|(name, kind)| (name, kind.latency)).collect()
}

fn shard_report(shard: ShardMeasured, elapsed: Duration) -> ShardReport {
    ShardReport {
        core: shard.core,
        commands: shard.commands,
        throughput_per_second: shard.commands.map(|commands| per_second(commands, elapsed)),
        busy_share: shard.shares.map(|(ran, _)| round(ran, 4)),
        run_queue_wait_share: shard.shares.map(|(_, waited)| round(waited, 4)),
    }
}

fn server_report((endpoint, tally): (String, Tally), elapsed: Duration) -> ServerReport {
    ServerReport {
        endpoint,
        offered: tally.offered(),
        commands: tally.answered,
        throughput_per_second: per_second(tally.answered, elapsed),
    }
}

fn commands(counts: &Counts) -> CommandCounts {
    CommandCounts {
        issued: counts.issued,
        from_warm_up: counts.from_warm_up,
        answered: counts.answered,
        failed: counts.failed,
        ambiguous: counts.ambiguous,
        timed_out: counts.timed_out,
        missing: counts.missing,
    }
}

/// Adds the audit as one more check. It fails if the counter could not be read.
fn verified(mut findings: Findings, counter: Option<u64>) -> VerifyReport {
    let tally = findings.audit;
    findings.note(match counter {
        Some(counter) => tally.check(counter),
        None => Err("the audit counter could not be read after the run".to_owned()),
    });
    VerifyReport {
        checked: findings.checked,
        mismatched: findings.mismatched,
        examples: findings.examples,
        audit: Audit { answered: tally.answered, ambiguous: tally.ambiguous, counter },
    }
}

fn per_second(commands: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { round(commands as f64 / seconds, 1) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recording::findings::AuditTally;
    use crate::load::recording::recorder::{Failure, Recorder, Recording};
    use crate::load::recording::timeline::Timeline;
    use counts::HandoffCounts;

    fn measured(record: impl FnOnce(&mut Recorder)) -> Measured {
        let mut recorder = Recorder::new(false, 1);
        record(&mut recorder);
        Measured {
            elapsed: Duration::from_secs(2),
            interrupted: false,
            loop_kind: LoopKind::Closed,
            offered: None,
            tally: Tally { issued: 10, answered: 10, unsent: 0 },
            kinds: vec!["GET".to_owned()],
            total: *recorder.exchange(Box::new(Recording::new(false, 1))),
            timeline: Timeline::new(Duration::from_millis(100), 1),
            begin: None,
            windows: Vec::new(),
            verify: None,
            shard_cpu: Some(Duration::from_micros(3)),
            idle_cpu: None,
            caller_cpu: None,
            maintenance: MaintenanceReport::default(),
            reconnects: 0,
            connections: BTreeMap::new(),
            servers: Vec::new(),
            shards: vec![ShardMeasured { core: Some(1), commands: Some(2), shares: Some((0.5, 0.2)) }],
            pause_readings: None,
        }
    }

    #[test]
    fn a_report_has_the_recorded_numbers() {
        let report = Report::new(measured(|recorder| {
            recorder.issued(3);
            recorder.answer(Duration::from_micros(100), Duration::ZERO, 1);
            recorder.answer(Duration::from_micros(300), Duration::ZERO, 1);
            recorder.gap(Duration::from_micros(300));
            let failure = Failure { kind: "timeout", ambiguous: true, timed_out: true };
            recorder.failed(0, failure, Duration::from_millis(500), &"too late");
        }));
        assert_eq!(report.throughput_per_second, 1.0);
        assert_eq!(report.client_cpu_ns_per_command, Some(1500.0));
        assert_eq!(report.longest_gap_us, Some(300.0));
        assert_eq!(report.shards[0].throughput_per_second, Some(1.0));
        assert_eq!(report.shards[0].busy_share, Some(0.5));
        assert_eq!(report.machine.run_queue_wait_share, Some(0.2));
        assert_eq!(report.machine.pause_max_us, None);
        let latency = report.latency_us.expect("latencies");
        assert!((latency.p50 - 100.0).abs() < 0.2 && (latency.max - 300.0).abs() < 0.5);
        assert!((latency.mean - 200.0).abs() < 0.5, "{latency:?}");
        let all = report.latency_with_failures_us.expect("latencies");
        assert!((all.max - 500_000.0).abs() < 500.0 && (all.p50 - 300.0).abs() < 0.5, "{all:?}");
        assert!(!report.is_clean());
    }

    #[test]
    fn a_run_that_answered_too_little_is_not_clean() {
        for (answered, clean) in [(10, true), (9, true), (8, false), (0, false)] {
            let tally = Tally { issued: 5, answered, unsent: 5 };
            let report = Report::new(Measured { tally, ..measured(|_| {}) });
            assert_eq!((report.is_clean(), report.problems.is_empty()), (clean, clean), "{answered} of 10");
            assert_eq!(report.answered_share, Some(answered as f64 / 10.0));
        }
    }

    #[test]
    fn nothing_measured_is_absent() {
        let report = Report::new(measured(|_| {}));
        assert_eq!((report.latency_us, report.client_cpu_ns_per_command), (None, None));
        assert_eq!((report.longest_gap_us, report.service_time_us), (None, None));
        assert_eq!(report.latency_with_failures_us, None);
        assert_eq!((report.latency_during_handoff_us, report.maintenance.is_empty()), (None, true));
        assert!(report.is_clean());
    }

    #[test]
    fn commands_during_a_handoff_are_separate() {
        let report = Report::new(measured(|recorder| {
            recorder.answer(Duration::from_micros(100), Duration::ZERO, 1);
            recorder.in_handoff(Duration::from_micros(300), 1);
        }));
        let during = report.latency_during_handoff_us.expect("latencies");
        assert!((during.p50 - 300.0).abs() < 0.5 && (during.max - 300.0).abs() < 0.5, "{during:?}");
        assert!(report.latency_us.is_some_and(|latency| latency.max < 101.0));
    }

    #[test]
    fn a_missing_handoff_fails_the_report() {
        let mut report = Report::new(measured(|_| {}));
        for (expected, succeeded, clean) in [(None, 0, true), (Some(8), 8, true), (Some(8), 7, false)] {
            report.maintenance.handoffs = HandoffCounts { expected, succeeded, ..HandoffCounts::default() };
            assert_eq!(report.is_clean(), clean);
        }
    }

    #[test]
    fn the_audit_is_one_more_check() {
        let audit = AuditTally { answered: 5, ambiguous: 1 };
        let findings = Findings { checked: 10, audit, ..Findings::default() };
        let good = verified(findings.clone(), Some(6));
        assert_eq!((good.checked, good.mismatched), (11, 0));
        for counter in [Some(4), Some(7), None] {
            let bad = verified(findings.clone(), counter);
            assert_eq!((bad.checked, bad.mismatched, bad.examples.len()), (11, 1, 1));
        }
    }
}
