//! Load generation, and the report of what a run measured.
//!
//! A [`Workload`] says what to send. [`run()`] sends it through a [`Client`](crate::Client) and returns a [`Report`].
//! `hitless bench` is this module with a command line.
//!
//! # What the latencies mean
//!
//! In a **closed loop** (the default) each caller sends its next command when its last one is answered. The throughput
//! is then the most that so many callers can reach. A stall of the endpoint also stops the callers: the commands that
//! would have suffered are never sent, and the percentiles do not contain them. This is known as coordinated omission.
//!
//! In an **open loop** ([`Workload::rate`]) each command has an intended time ([`Arrivals`]) that does not depend on
//! the replies, and its latency counts from that time. A stall shows in every command that was due during it. Commands
//! that were scheduled but never sent, because every caller was still waiting at the end of the run, have no latency;
//! [`OfferedLoad`] counts them.
//!
//! Percentiles contain the commands that were answered. [`Report::latency_with_failures_us`] also contains the failed
//! ones, each with the time until it failed. A command that begins during the warm-up and ends after it counts with its
//! whole latency; otherwise a stall at the end of the warm-up would not show. [`Report::problems`] says when too few
//! commands were answered for the numbers to describe the endpoint.
//!
//! # What happened when
//!
//! A report also has the run in intervals ([`Report::timeline`]), and the run before, during and after each maintenance
//! ([`Report::maintenance_windows`]). Each thread hands its measurements to a collector. It does so ten times a second
//! in runs of up to a minute and in runs that are limited by a number of commands, and once a second in longer ones.
//! The collector joins intervals, so memory is bounded.
//!
//! # Costs
//!
//! Every shard records into its own histogram, on its own thread, without locks. A command costs a random number (1 ns;
//! about 30 ns for a Zipf distribution), a key that is written in place (6 ns), one clock read, and one histogram
//! record. The check for an overlap with a handoff is one atomic load and a branch that is rarely taken.

mod by_command;
mod caller;
mod client_cpu;
mod collector;
mod course;
mod crew;
mod door;
mod draws;
mod drive;
mod figures;
#[cfg(test)]
mod fit;
mod fleet;
mod gate;
mod handoffs;
#[cfg(feature = "cli")]
pub(crate) mod hdr;
mod keys;
mod kinds;
mod latency;
mod leftover;
mod loader;
mod machine;
mod mix;
mod moves;
mod pacer;
mod packed;
mod plan;
#[cfg(feature = "cli")]
pub(crate) mod plot;
mod recorder;
mod reply_clock;
mod report;
mod run;
mod template;
mod timeline;
#[cfg(feature = "cli")]
pub(crate) mod tuner;
mod values;
mod verdict;
mod verify;
mod windows;
mod wire;
mod workload;

pub use by_command::{BytesPerSecond, CommandReport};
pub use client_cpu::ClientCpu;
pub use collector::{Following, Progress, Second, Tail};
pub use course::{MaintenanceWindow, Moment};
pub use figures::{
    Audit, Commands, Handoffs, LoopKind, Observed, Offered, ServerReport, ShardReport, Verified,
};
pub use handoffs::HandoffWatch;
pub use keys::{KEY_PREFIX, KEY_PREFIX_MAX, KEY_SPACE_MAX, KeyDistribution, ZIPF_EXPONENT_MAX};
pub use latency::{Latency, Spread};
pub use leftover::{CLEANUP_KEYS_MAX, Cleanup, Leftover, cleanup, leftover};
pub use machine::{Disturbance, DisturbanceKind, Machine};
#[cfg(feature = "cli")]
pub(crate) use machine::{RUN_QUEUE_WAIT_MAX, STEAL_MAX};
pub use mix::{COMMAND_RATIO_MAX, COMMANDS_MAX, Mix, Share};
pub use moves::{Moves, Moving};
#[cfg(all(test, feature = "cli"))]
pub(crate) use report::Recorded;
pub use report::Report;
pub use run::{LoadError, run, run_over};
pub use template::{Template, TemplateError};
pub use values::{SIGNED_SIZE_MIN, VALUE_SIZE_MAX, ValueSize};
pub use verdict::{ANSWERED_SHARE_MIN, Problem, ProblemKind};
pub use workload::{
    Arrivals, Limit, PIPELINE_MAX, RATE_MAX, TASKS_MAX, VERIFIED_KEY_SPACE_MAX, Via, Workload, WorkloadError,
};
