//! Why a workload is invalid.

use super::values::{SIGNED_SIZE_MIN, VALUE_SIZE_MAX};
use crate::driver::calls::CALLS_MAX;

/// Why a workload is invalid. The texts name the options of `hitless bench`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// A number is out of its range.
    #[error("--{option}: {value} is out of range; allowed: {allowed}")]
    Range {
        /// The option's name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// More calls would be in flight at once than a shard has room for.
    #[error(
        "--tasks: {tasks} callers that send {pipeline} commands each (--pipeline) have {} calls in flight at once, and a \
         shard has room for {CALLS_MAX}; allowed with --pipeline {pipeline}: --tasks 1 to {}; spread them over \
         more --shards",
        tasks.saturating_mul(*pipeline),
        CALLS_MAX / (*pipeline).max(1)
    )]
    TooManyCalls {
        /// Callers of a shard.
        tasks: usize,
        /// Commands that each of them sends together.
        pipeline: usize,
    },
    /// The mix is `0:0`.
    #[error("--ratio: 0:0 sends nothing; at least one of SET and GET must be above 0")]
    NoCommands,
    /// An open loop has no think time.
    #[error(
        "--think is the pause of a caller between its commands, and --rate sets the time of each command; \
         leave one of them out"
    )]
    ThinkRate,
    /// A closed loop has no arrivals.
    #[error("--arrivals distributes the commands of --rate over time; give --rate")]
    ArrivalsWithoutRate,
    /// The replies to a user's own command cannot be checked.
    #[error(
        "--verify checks SET and GET, and does not know the correct reply to --command; give --ratio instead"
    )]
    VerifyCommand,
    /// An expired value would fail a check.
    #[error("--ttl removes values that --verify expects; leave one of them out")]
    VerifyTtl,
    /// The values are too small to be signed.
    #[error(
        "--value-size: {0} is too small for --verify, which signs the values; allowed: \
         {SIGNED_SIZE_MIN} to {VALUE_SIZE_MAX}"
    )]
    VerifySize(usize),
    /// There are fewer keys than callers, or more than a checked run can store.
    #[error(
        "--key-space: {keys} does not go with --verify, which gives each of the {callers} callers \
         keys of its own and remembers what they hold; allowed: {callers} to \
         {VERIFIED_KEY_SPACE_MAX}"
    )]
    VerifyKeySpace {
        /// The key space.
        keys: u64,
        /// Callers over all shards.
        callers: u64,
    },
}

pub(super) fn in_range(option: &'static str, value: u64, least: u64, most: u64) -> Result<(), WorkloadError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let allowed = match most {
        u64::MAX => format!("{least} or more"),
        _ => format!("{least} to {most}"),
    };
    Err(WorkloadError::Range { option, value: value.to_string(), allowed })
}

/// The largest key space of a checked run, which stores a version for each key.
pub(crate) const VERIFIED_KEY_SPACE_MAX: u64 = 100_000_000;
