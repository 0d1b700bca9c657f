//! What a tuning run decides: which settings to measure in which order, which of them to recommend, and what keeps
//! them from more.
//!
//! All of it but [`step`] and [`surroundings`] is pure: samples in, decisions out, without sockets, clocks or sleeps.
//! `hitless tune` is this module and a command line.
//!
//! # What is recommended
//!
//! A *setting* is a number of shards, of connections for each, and of callers for each. Every round measures every
//! setting that is left, in an order of its own, and what counts is the median over the rounds. Of the settings that
//! answer everything, and meet the objective if there is one,
//!
//! 1. the best throughput is what all others are measured by;
//! 2. the fewest shards, and with them the fewest callers, that come within the tolerance of it are *the knee*: more
//!    callers wait longer and get nothing more done;
//! 3. with these, the fewest connections that come within the tolerance of what any number of connections reaches
//!    there, and whose 99th percentile is no worse than theirs.
//!
//! The tolerance is widened by the noise: how far the rounds of one setting lie apart.

pub(crate) mod ceiling;
pub(crate) mod knee;
pub(crate) mod objective;
pub(crate) mod rate;
pub(crate) mod row;
pub(crate) mod step;
pub(crate) mod surroundings;
pub(crate) mod sweep;
#[cfg(test)]
mod synthetic;
