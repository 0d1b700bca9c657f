//! Generated load, and the report of what it measured.
//!
//! A [`Workload`] says what to send; [`run()`] sends it through a [`Client`](crate::Client) and
//! returns a [`Report`]. `hitless bench` is this module and a command line.
//!
//! # What the latencies mean
//!
//! In a **closed loop** (the default) each caller sends its next command when its last one is
//! answered. The throughput is then the most that so many callers can get, but a stall of the
//! endpoint also stops the callers, so the commands that would have suffered are never sent and
//! are missing in the percentiles. This is known as coordinated omission.
//!
//! In an **open loop** ([`Workload::rate`]) commands are due at times of their own ([`Arrivals`]), whatever the
//! replies do, and latency counts from the intended time. A stall shows in every command that was
//! due in it. What was due and never sent, because every caller was still waiting at the end, has no latency;
//! [`Offered`] counts it.
//!
//! Percentiles hold the commands that were answered. [`Report::latency_with_failures_us`] holds the failed ones too, each
//! at the time that it took. A command that begins in the warm-up and ends after it counts, with its whole latency: a
//! stall at the edge of the warm-up would be missing otherwise. [`Report::problems`] says when too little was answered
//! for the figures to mean anything.
//!
//! # What happened when
//!
//! Beside the totals a report has the course of the run ([`Report::timeline`]) and what the run was like before, in and
//! after each maintenance ([`Report::maintenance_windows`]). Threads hand in what they have recorded ten times a second
//! in runs of up to a minute and of so many commands, and once a second in longer ones; what is kept of it is bounded.
//!
//! # Costs
//!
//! Every shard records into its own histogram, on its own thread, without locks. A command costs
//! a random number (1 ns, or about 30 if it is Zipf's), a key written in place (6 ns), one look at the clock, and a histogram record; whether
//! it overlapped a handoff is a number that is read, and a branch that is hardly ever taken.

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
