//! The parts of a report that count things.

use serde::Serialize;

use super::latency::Spread;
use super::moves::Moving;

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
    /// Of these, commands that were sent in the warm-up and ended after it. They count with their whole latency, because
    /// a stall at the edge of the warm-up would otherwise be missing.
    pub from_warm_up: u64,
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

/// What one of several servers did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// Where it is, without secrets.
    pub endpoint: String,
    /// Commands that were sent to it, or due and never sent.
    pub offered: u64,
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
    /// The part of the time in which its thread ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_share: Option<f64>,
    /// The part of the time in which its thread could have run, and waited for its core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_queue_wait_share: Option<f64>,
}
