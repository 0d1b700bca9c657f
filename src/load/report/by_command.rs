//! The part of a report about each kind of command.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::load::recording::latency::{Latency, round};
use crate::load::recording::recorder::KindRecord;
use crate::load::workload::kinds::looks_up;

/// The measurements of the commands of one name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CommandReport {
    /// Commands that got a reply other than an error.
    pub count: u64,
    /// Commands that failed.
    pub failed: u64,
    /// Answered commands per second.
    pub throughput_per_second: f64,
    /// Answers with a value; only for commands that read one, such as `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    /// Answers without a value; only for commands that read one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misses: Option<u64>,
    /// Bytes of the answered commands and of their replies.
    pub bytes_per_second: BytesPerSecond,
    /// Latency of the answered commands; absent if none was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_us: Option<Latency>,
}

/// Bytes of answered commands and of their replies on the wire, without push messages and TLS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub struct BytesPerSecond {
    pub sent: f64,
    pub received: f64,
}

impl BytesPerSecond {
    pub(crate) fn new(sent: u64, received: u64, elapsed: Duration) -> BytesPerSecond {
        BytesPerSecond { sent: per_second(sent, elapsed), received: per_second(received, elapsed) }
    }
}

/// The reports of all kinds that were sent, by name.
pub(crate) fn by_command(
    names: &[String],
    kinds: &[KindRecord],
    elapsed: Duration,
) -> BTreeMap<String, CommandReport> {
    let sent = names.iter().zip(kinds).filter(|(_, kind)| kind.answers.count + kind.failed > 0);
    sent.map(|(name, kind)| (name.clone(), report(name, kind, elapsed))).collect()
}

fn report(name: &str, kind: &KindRecord, elapsed: Duration) -> CommandReport {
    let answers = &kind.answers;
    let reads = looks_up(name);
    CommandReport {
        count: answers.count,
        failed: kind.failed,
        throughput_per_second: per_second(answers.count, elapsed),
        hits: reads.then(|| answers.count.saturating_sub(answers.missing)),
        misses: reads.then_some(answers.missing),
        bytes_per_second: BytesPerSecond::new(answers.sent, answers.received, elapsed),
        latency_us: Latency::of(&kind.latency),
    }
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds > 0.0 { round(count as f64 / seconds, 1) } else { 0.0 }
}
