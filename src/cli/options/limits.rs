//! Bounds of options that several commands have.

/// The number of an option as a size. The ranges of all options end far below `usize::MAX`.
pub(crate) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// No machine has more cores than this.
pub(crate) const SHARDS_MAX: u64 = 1024;
/// The most connections of a shard.
pub(crate) const CONNECTIONS_MAX: u64 = 4096;
