//! What a run measured, in the shape that is published as JSON.
//!
//! A number that was not measured is absent. Latencies are microseconds with decimals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::course::{self, MaintenanceWindow, Moment};
use super::moves::Moving;
use super::recorder::{Counts, Interval};
use super::timeline::Timeline;
use super::verify::Findings;
use super::windows::Window;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// When the run began, in seconds since 1970.
    pub started_at_unix_seconds: f64,
    /// From the common start to the last completion.
    pub elapsed_seconds: f64,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
    /// `closed` or `open`: what the latencies mean.
    #[serde(rename = "loop")]
    pub loop_kind: LoopKind,
    /// How many commands came to which end.
    pub commands: Commands,
    /// Failed commands by the kind of the error.
    pub errors: BTreeMap<&'static str, u64>,
    /// The first error of each kind, in words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_examples: BTreeMap<&'static str, String>,
    /// What `--verify` found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verified>,
    /// Answered commands per second.
    pub throughput_per_second: f64,
    /// What an open loop asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<Offered>,
    /// User and system time of the shards' threads, for each answered command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cpu_ns_per_command: Option<f64>,
    /// The same of the threads that called through `Client`, if there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_cpu_ns_per_command: Option<f64>,
    /// From the intended time (open loop) or the time of sending (closed loop) to the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<Latency>,
    /// The same of the commands that overlapped a handoff of their shard, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_during_handoff_us: Option<Latency>,
    /// From the time of sending; only in an open loop, where it is less than the latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_time_us: Option<Latency>,
    /// The longest time that any one caller waited between two completions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_gap_us: Option<f64>,
    /// What was announced, and what became of it.
    pub maintenance: Observed,
    /// Connections that were made again after a loss.
    pub reconnects: u64,
    /// Live connections by peer at the end.
    pub connections: BTreeMap<String, usize>,
    /// What each server did, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerReport>,
    /// What each shard did.
    pub shards: Vec<ShardReport>,
    /// What each maintenance did to the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// The course of the run, in at most 240 intervals.
    pub timeline: Vec<Moment>,
    /// What the above was read from, for those who draw it or write it out.
    #[serde(skip)]
    pub(crate) recorded: Recorded,
}

/// Everything that was recorded, as finely as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    pub(crate) timeline: Timeline,
    /// All latencies of the run, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Those of the commands that overlapped a handoff.
    pub(crate) in_handoff: Histogram<u64>,
    /// From the time of sending; only in an open loop.
    pub(crate) service: Option<Histogram<u64>>,
}

#[cfg(all(test, feature = "cli"))]
impl Recorded {
    /// Three commands of one, two and seven microseconds, for tests of those who write it out.
    pub(crate) fn example() -> Recorded {
        let mut recorder = super::recorder::Recorder::new(false);
        for micros in [1, 2, 7] {
            recorder.answered(Duration::from_micros(micros), Duration::ZERO, 1);
        }
        let interval = recorder.exchange(Box::new(Interval::new(false)));
        let mut timeline = Timeline::new(Duration::from_millis(100), 1);
        timeline.add(Duration::ZERO, Duration::from_millis(100), &interval);
        let (latency, in_handoff) = (interval.latency, super::recorder::histogram());
        Recorded { timeline, latency, in_handoff, service: None }
    }
}

/// How the load was generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LoopKind {
    /// Each caller waits for its reply before it sends again.
    Closed,
    /// Commands are due at fixed times, whatever the replies do.
    Open,
}

/// What an open loop asked for, beside what it got.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Offered {
    /// Commands that were due, a second.
    pub per_second: f64,
    /// Commands that were due and never sent, because every caller was still waiting when the run ended. They are in
    /// no percentile: if there are many, more callers are needed, or the endpoint cannot keep up.
    pub unsent: u64,
}

/// How many commands came to which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Commands {
    /// Commands handed to the client.
    pub issued: u64,
    /// Commands that got a reply that is not an error.
    pub answered: u64,
    /// Commands that did not.
    pub failed: u64,
    /// Failed commands that may have been executed.
    pub ambiguous: u64,
    /// Failed commands whose reply did not come in time.
    pub timed_out: u64,
    /// `GET`s that found no value.
    pub missing: u64,
}

/// The outcome of checking every reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// Checks made.
    pub checked: u64,
    /// Checks that did not hold.
    pub mismatched: u64,
    /// The first few that did not, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// The counter that every caller increments now and then.
    pub audit: Audit,
}

/// The `INCR` audit: the counter must lie between `answered` and `answered + ambiguous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Audit {
    /// Increments that were answered.
    pub answered: u64,
    /// Increments that may have been executed.
    pub ambiguous: u64,
    /// The counter at the end; absent if it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
}

/// A latency distribution in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub struct Latency {
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

impl Latency {
    /// Reads a histogram of nanoseconds; `None` if nothing is in it.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Some(Latency {
            min: micros(histogram.min()),
            mean: round(histogram.mean() / 1e3, 3),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: micros(histogram.max()),
        })
    }
}

/// The maintenance that a run has seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Observed {
    /// Notifications received, every copy counted.
    pub notifications: u64,
    /// Of these, copies of one that was known already.
    pub duplicates: u64,
    /// Pushes named like a notification that could not be read.
    pub malformed: u64,
    /// Connections that were replaced, or not, before their server closed them.
    pub handoffs: Handoffs,
    /// How long those that succeeded took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_duration_us: Option<Spread>,
    /// What the endpoints in this process announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub movings: Vec<Moving>,
}

impl Observed {
    /// Whether there is anything to tell.
    pub fn is_empty(&self) -> bool {
        *self == Observed::default()
    }
}

/// How many handoffs came to which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Handoffs {
    /// All connections at each `MOVING` that was rehearsed; absent if none was, or none is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Handoffs whose successor was dialed.
    pub started: u64,
    /// Those whose successor took over.
    pub succeeded: u64,
    /// Those that ended otherwise.
    pub failed: u64,
    /// Those that a newer announcement took the place of, which are not among the failed.
    pub superseded: u64,
}

impl Handoffs {
    /// Whether each that was expected has succeeded.
    pub fn are_complete(&self) -> bool {
        self.expected.is_none_or(|expected| self.succeeded >= expected)
    }
}

/// The median and the most of some times, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub struct Spread {
    pub p50: f64,
    pub max: f64,
}

impl Spread {
    /// Reads a histogram of nanoseconds; `None` if nothing is in it.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Spread> {
        let median = || micros(histogram.value_at_quantile(0.5));
        (!histogram.is_empty()).then(|| Spread { p50: median(), max: micros(histogram.max()) })
    }
}

/// What one of several servers did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// Where it is, without secrets.
    pub endpoint: String,
    /// Answered commands.
    pub commands: u64,
    /// Answered commands per second.
    pub throughput_per_second: f64,
}

/// What one shard did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ShardReport {
    /// The core it is pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<usize>,
    /// Answered commands; absent when the callers were not on the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<u64>,
    /// Answered commands per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_per_second: Option<f64>,
}

/// Everything a report is made from.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) interrupted: bool,
    pub(crate) loop_kind: LoopKind,
    pub(crate) offered: Option<Offered>,
    pub(crate) total: Interval,
    pub(crate) timeline: Timeline,
    pub(crate) begin: Option<Instant>,
    pub(crate) windows: Vec<Window>,
    pub(crate) verify: Option<(Findings, Option<u64>)>,
    pub(crate) shard_cpu: Option<Duration>,
    pub(crate) caller_cpu: Option<Duration>,
    pub(crate) maintenance: Observed,
    pub(crate) reconnects: u64,
    pub(crate) connections: BTreeMap<String, usize>,
    /// For each of several servers its name, and the commands that it answered.
    pub(crate) servers: Vec<(String, u64)>,
    /// For each shard its core, and the commands answered to callers on it.
    pub(crate) shards: Vec<(Option<usize>, Option<u64>)>,
}

impl Report {
    pub(crate) fn new(measured: Measured) -> Report {
        let Measured { total, timeline, elapsed, .. } = measured;
        let movings = &measured.maintenance.movings;
        let windows = course::windows(&timeline, measured.begin, &measured.windows, movings, elapsed);
        let began = timeline.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let counts = total.counts;
        let each = |cpu: Duration| {
            let commands = counts.answered;
            (commands > 0).then(|| round(cpu.as_nanos() as f64 / commands as f64, 1))
        };
        let shard = |(core, commands): (Option<usize>, Option<u64>)| ShardReport {
            core,
            commands,
            throughput_per_second: commands.map(|commands| per_second(commands, elapsed)),
        };
        let server = |(endpoint, commands): (String, u64)| ServerReport {
            endpoint,
            commands,
            throughput_per_second: per_second(commands, elapsed),
        };
        let gap = total.longest_gap;
        Report {
            started_at_unix_seconds: round(began.as_secs_f64(), 3),
            elapsed_seconds: round(elapsed.as_secs_f64(), 6),
            interrupted: measured.interrupted,
            loop_kind: measured.loop_kind,
            commands: commands(&counts),
            throughput_per_second: per_second(counts.answered, elapsed),
            offered: measured.offered,
            client_cpu_ns_per_command: measured.shard_cpu.and_then(each),
            caller_cpu_ns_per_command: measured.caller_cpu.and_then(each),
            latency_us: Latency::of(&total.latency),
            latency_during_handoff_us: Latency::of(&total.in_handoff),
            service_time_us: total.service.as_ref().and_then(Latency::of),
            longest_gap_us: (!gap.is_zero()).then(|| round(gap.as_nanos() as f64 / 1e3, 3)),
            verify: measured.verify.map(|(findings, counter)| verified(findings, counter)),
            errors: counts.errors,
            error_examples: total.examples,
            maintenance: measured.maintenance,
            reconnects: measured.reconnects,
            connections: measured.connections,
            servers: measured.servers.into_iter().map(server).collect(),
            shards: measured.shards.into_iter().map(shard).collect(),
            maintenance_windows: windows,
            timeline: course::moments(&timeline),
            recorded: Recorded {
                timeline,
                latency: total.latency,
                in_handoff: total.in_handoff,
                service: total.service,
            },
        }
    }

    /// Whether every command was answered, every check held, and every connection followed each
    /// `MOVING` that was rehearsed.
    pub fn is_clean(&self) -> bool {
        let mismatched = self.verify.as_ref().is_some_and(|verify| verify.mismatched > 0);
        self.commands.failed == 0 && !mismatched && self.maintenance.handoffs.are_complete()
    }
}

fn commands(counts: &Counts) -> Commands {
    Commands {
        issued: counts.issued,
        answered: counts.answered,
        failed: counts.failed,
        ambiguous: counts.ambiguous,
        timed_out: counts.timed_out,
        missing: counts.missing,
    }
}

/// The audit is one more check. A counter that cannot be read proves nothing, so it does not hold.
fn verified(mut findings: Findings, counter: Option<u64>) -> Verified {
    let tally = findings.audit;
    findings.note(match counter {
        Some(counter) => tally.check(counter),
        None => Err("the audit counter could not be read after the run".to_owned()),
    });
    Verified {
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

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

pub(super) fn round(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recorder::{Failure, Recorder};
    use crate::load::verify::AuditTally;

    fn measured(record: impl FnOnce(&mut Recorder)) -> Measured {
        let mut recorder = Recorder::new(false);
        record(&mut recorder);
        Measured {
            elapsed: Duration::from_secs(2),
            interrupted: false,
            loop_kind: LoopKind::Closed,
            offered: None,
            total: *recorder.exchange(Box::new(Interval::new(false))),
            timeline: Timeline::new(Duration::from_millis(100), 1),
            begin: None,
            windows: Vec::new(),
            verify: None,
            shard_cpu: Some(Duration::from_micros(3)),
            caller_cpu: None,
            maintenance: Observed::default(),
            reconnects: 0,
            connections: BTreeMap::new(),
            servers: Vec::new(),
            shards: vec![(Some(1), Some(2))],
        }
    }

    #[test]
    fn numbers_are_what_was_recorded() {
        let report = Report::new(measured(|recorder| {
            recorder.issued(3);
            recorder.answered(Duration::from_micros(100), Duration::ZERO, 1);
            recorder.answered(Duration::from_micros(300), Duration::ZERO, 1);
            recorder.gap(Duration::from_micros(300));
            let failure = Failure { kind: "timeout", ambiguous: true, timed_out: true };
            recorder.failed(failure, &"too late");
        }));
        assert_eq!(report.throughput_per_second, 1.0);
        assert_eq!(report.client_cpu_ns_per_command, Some(1500.0));
        assert_eq!(report.longest_gap_us, Some(300.0));
        assert_eq!(report.shards[0].throughput_per_second, Some(1.0));
        let latency = report.latency_us.expect("latencies");
        assert!((latency.p50 - 100.0).abs() < 0.2 && (latency.max - 300.0).abs() < 0.5);
        assert!((latency.mean - 200.0).abs() < 0.5, "{latency:?}");
        assert!(!report.is_clean());
    }

    #[test]
    fn nothing_measured_is_absent() {
        let report = Report::new(measured(|_| {}));
        assert_eq!((report.latency_us, report.client_cpu_ns_per_command), (None, None));
        assert_eq!((report.longest_gap_us, report.service_time_us), (None, None));
        assert_eq!((report.latency_during_handoff_us, report.maintenance.is_empty()), (None, true));
        assert!(report.is_clean());
    }

    #[test]
    fn what_overlapped_a_handoff_is_told_apart() {
        let report = Report::new(measured(|recorder| {
            recorder.answered(Duration::from_micros(100), Duration::ZERO, 1);
            recorder.in_handoff(Duration::from_micros(300), 1);
        }));
        let during = report.latency_during_handoff_us.expect("latencies");
        assert!((during.p50 - 300.0).abs() < 0.5 && (during.max - 300.0).abs() < 0.5, "{during:?}");
        assert!(report.latency_us.is_some_and(|latency| latency.max < 101.0));
    }

    #[test]
    fn a_connection_that_was_left_behind_is_a_check_that_does_not_hold() {
        let mut report = Report::new(measured(|_| {}));
        for (expected, succeeded, clean) in [(None, 0, true), (Some(8), 8, true), (Some(8), 7, false)] {
            report.maintenance.handoffs = Handoffs { expected, succeeded, ..Handoffs::default() };
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
