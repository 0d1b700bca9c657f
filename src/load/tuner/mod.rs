//! The decisions of a tuning run: which settings to measure in which order, which one to recommend, and which
//! bottleneck limits it.
//!
//! All modules except [`step`] and [`host`] are pure: samples in, decisions out, without sockets, clocks or sleeps.
//! `hitless tune` is this module with a command line.
//!
//! # What is recommended
//!
//! A *setting* is a number of shards, of connections for each shard, and of callers for each shard. Every round
//! measures every remaining setting in random order, so that background load affects all settings equally. The medians
//! over the rounds are compared. The candidates are the settings that answer every command and meet the objective, if
//! there is one.
//!
//! 1. The best throughput among them is the reference.
//! 2. The fewest shards, and with these the fewest callers, that come within the tolerance of it are *the knee*: more
//!    callers only wait longer.
//! 3. Among the settings with these numbers, the fewest connections are chosen whose throughput is within the tolerance
//!    of the best, and whose 99th percentile is no worse.
//!
//! The noise, which is the spread of the rounds of one setting, is added to the tolerance.

pub(crate) mod bottleneck;
pub(crate) mod host;
pub(crate) mod knee;
pub(crate) mod objective;
pub(crate) mod rate;
pub(crate) mod row;
pub(crate) mod step;
pub(crate) mod sweep;
#[cfg(test)]
mod synthetic;
