//! [`CommandStats`]: what became of commands, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::LatencyHistogram;
use crate::error::ErrorKind;
use crate::proto::error::Failure;

/// What became of the commands that were called on a shard. A pipeline, or a transaction, counts as one.
///
/// `issued` is the sum of `answered`, `failed`, `cancelled`, and of those that are still open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandStats {
    /// Commands that were accepted.
    pub issued: u64,
    /// Commands that the server answered, with an error or otherwise.
    pub answered: u64,
    /// Commands that were accepted and got no reply.
    pub failed: u64,
    /// Commands whose callers dropped the reply before it came.
    pub cancelled: u64,
    /// Errors by their kind: those of `failed`; those of commands that were refused at once; and, as
    /// [`ErrorKind::Server`], each error that a server answered, in a pipeline too. A kind that did not occur is not here.
    /// What only the caller finds out, as [`ErrorKind::ReplyType`], is not counted.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// How long answered commands took, from when the shard turned to them to the reply. Waiting for room, for a
    /// connection and in the queue is part of it; the way from another thread is not.
    pub latency: LatencyHistogram,
}

impl CommandStats {
    /// Commands that failed because their deadline had passed.
    pub fn timeouts(&self) -> u64 {
        self.errors.get(&ErrorKind::Timeout).copied().unwrap_or(0)
    }

    /// Adds what another one counted, such as another shard's.
    pub fn merge(&mut self, other: &CommandStats) {
        self.issued += other.issued;
        self.answered += other.answered;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        for (kind, count) in &other.errors {
            *self.errors.entry(*kind).or_default() += count;
        }
        self.latency.merge(&other.latency);
    }

    pub(crate) fn answered_after(&mut self, time: Duration) {
        self.latency.record(time);
    }

    /// A failure of a command that had been accepted.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.failed += 1;
        self.error(ErrorKind::of(failure));
    }

    pub(crate) fn error(&mut self, kind: ErrorKind) {
        *self.errors.entry(kind).or_default() += 1;
    }

    /// Commands that failed before a shard accepted them.
    pub(crate) fn add_errors(&mut self, kind: ErrorKind, count: u64) {
        if count > 0 {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}
