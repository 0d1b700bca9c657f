//! [`CommandStats`]: the results of commands, in numbers.

use std::collections::BTreeMap;

use super::LatencyHistogram;
use crate::error::ErrorKind;
use crate::proto::error::Failure;

/// The results of the commands of a shard. A pipeline, or a transaction, counts as one command.
///
/// `issued` is the sum of `answered`, `failed`, `cancelled`, and the commands that are still open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandStats {
    /// Accepted commands.
    pub issued: u64,
    /// Commands that the server answered, including those answered with an error.
    pub answered: u64,
    /// Accepted commands that got no reply.
    pub failed: u64,
    /// Commands whose callers dropped the reply before it came.
    pub cancelled: u64,
    /// Errors by kind: those of `failed`; those of commands that were refused at once; and, as [`ErrorKind::Server`], each
    /// error reply of a server, also within a pipeline. Kinds without an error are missing. Errors that occur at the caller,
    /// such as [`ErrorKind::ReplyType`], are not counted.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// How long answered commands took, from their arrival at the shard to the reply. This includes waiting for room, for a
    /// connection and in the queue. It excludes the transfer from another thread.
    pub latency: LatencyHistogram,
}

impl CommandStats {
    /// How many commands failed because their deadline had passed.
    pub fn timeouts(&self) -> u64 {
        self.errors.get(&ErrorKind::Timeout).copied().unwrap_or(0)
    }

    /// Adds the counts of another value, such as those of another shard.
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

    #[inline]
    pub(crate) fn answered_after(&mut self, nanos: u64) {
        self.latency.record(nanos);
    }

    /// Counts the failure of an accepted command.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.failed += 1;
        self.error(ErrorKind::of(failure));
    }

    pub(crate) fn error(&mut self, kind: ErrorKind) {
        *self.errors.entry(kind).or_default() += 1;
    }

    /// Counts commands that failed before a shard accepted them.
    pub(crate) fn add_errors(&mut self, kind: ErrorKind, count: u64) {
        if count > 0 {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}
