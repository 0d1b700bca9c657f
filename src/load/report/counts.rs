//! The parts of a report that consist of counts.

use std::net::SocketAddr;

use serde::Serialize;

use crate::load::recording::latency::Spread;

/// How the load was generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LoopKind {
    /// Each caller waits for its reply before it sends again.
    Closed,
    /// Commands have intended times, which do not depend on the replies.
    Open,
}

/// The load that an open loop offered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OfferedLoad {
    /// Commands that were due per second.
    pub per_second: f64,
    /// Commands that were scheduled but never sent, because every caller was still waiting when the run ended. No
    /// percentile contains them. If there are many, use more callers, or a lower rate if the endpoint cannot keep up.
    pub unsent: u64,
}

/// How many commands had which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CommandCounts {
    /// Commands passed to the client.
    pub issued: u64,
    /// Of these, commands that were sent during the warm-up and ended after it. They count with their whole latency;
    /// otherwise a stall at the end of the warm-up would not show.
    pub from_warm_up: u64,
    /// Commands that got a reply other than an error.
    pub answered: u64,
    /// Commands that failed.
    pub failed: u64,
    /// Failed commands that may have been executed.
    pub ambiguous: u64,
    /// Failed commands whose reply did not arrive in time.
    pub timed_out: u64,
    /// `GET`s that found no value.
    pub missing: u64,
}

/// The result of checking every reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Checks made.
    pub checked: u64,
    /// Checks that failed.
    pub mismatched: u64,
    /// The texts of the first few failures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// The audit of the counter that every caller increments.
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

/// The maintenance that the client saw during a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct MaintenanceReport {
    /// Notifications received, including duplicates.
    pub notifications: u64,
    /// Of these, duplicates of an earlier one.
    pub duplicates: u64,
    /// Push messages with the name of a notification that could not be parsed.
    pub malformed: u64,
    /// The handoffs of connections to their successors.
    pub handoffs: HandoffCounts,
    /// Duration of the successful handoffs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff_duration_us: Option<Spread>,
    /// The `MOVING`s that the in-process endpoints announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub movings: Vec<Moving>,
}

impl MaintenanceReport {
    /// Whether the client saw no maintenance.
    pub fn is_empty(&self) -> bool {
        *self == MaintenanceReport::default()
    }
}

/// A `MOVING` that was announced.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Moving {
    /// When it was announced, since the start of the run.
    pub at_seconds: f64,
    /// The endpoint that announced it.
    pub from: SocketAddr,
    /// The target that it announced.
    pub to: SocketAddr,
    /// The grace period that it announced.
    pub grace_seconds: u64,
}

/// How many handoffs had which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct HandoffCounts {
    /// The number of connections times the number of rehearsed `MOVING`s; absent if none was rehearsed, or the client
    /// does not follow them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Handoffs whose successor was dialed.
    pub started: u64,
    /// Handoffs whose successor took over.
    pub succeeded: u64,
    /// Handoffs that failed.
    pub failed: u64,
    /// Handoffs that a newer announcement replaced; they are not counted as failed.
    pub superseded: u64,
}

impl HandoffCounts {
    /// Whether all expected handoffs succeeded.
    pub fn are_complete(&self) -> bool {
        self.expected.is_none_or(|expected| self.succeeded >= expected)
    }
}

/// The part of one of several servers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// The endpoint, without credentials.
    pub endpoint: String,
    /// Commands that were sent to it, or scheduled but never sent.
    pub offered: u64,
    /// Answered commands.
    pub commands: u64,
    /// Answered commands per second.
    pub throughput_per_second: f64,
}

/// The part of one shard.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ShardReport {
    /// The core it is pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core: Option<usize>,
    /// Answered commands; absent if the callers did not run on the shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commands: Option<u64>,
    /// Answered commands per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_per_second: Option<f64>,
    /// The part of the time in which its thread ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_share: Option<f64>,
    /// The part of the time in which its thread was runnable but waited for its core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_queue_wait_share: Option<f64>,
}

/// The result of removing a run's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cleanup {
    /// Keys that were removed.
    pub removed: u64,
    /// Why some keys may remain; absent if all were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
