//! Load generation, and the report of what a run measured.
//!
//! A [`Workload`] says what to send. [`run()`] sends it through a [`Client`](crate::Client) and returns a [`Report`].
//! `hitless bench` is this module with a command line.
//!
//! # The map
//!
//! Each folder imports only the ones above it.
//!
//! | folder | content |
//! |---|---|
//! | `workload` | what to send: commands, keys, values, and their random distributions |
//! | `recording` | what is recorded during a run: latencies, the timeline, handoffs and maintenance |
//! | `machine` | host statistics, which show whether the machine disturbed a run |
//! | `report` | what a run measured, as it is published |
//! | `caller` | the callers: pacing, sending, checking and recording, on each thread |
//! | `run` | one run with all its threads, and the maintenance that it rehearses |
//! | `delivery` | queues and publish/subscribe under load, with every element accounted for |
//! | `plot` | pictures of measurements as SVG and PNG |
//! | `tuner` | the decisions of `hitless tune` |
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
//! Every shard records into its own histogram, on its own thread, without locks. Callers in tokio record into one
//! histogram for each worker, each behind a lock that is free. A command costs a random number (1 ns;
//! about 30 ns for a Zipf distribution), a key that is written in place (6 ns), one clock read, and one histogram
//! record. The check for an overlap with a handoff is one atomic load and a branch that is rarely taken.

pub(crate) mod caller;
#[cfg(feature = "cli")]
pub(crate) mod delivery;
pub(crate) mod machine;
mod plan;
#[cfg(feature = "cli")]
pub(crate) mod plot;
pub(crate) mod recording;
pub(crate) mod report;
pub(crate) mod run;
#[cfg(feature = "cli")]
pub(crate) mod tuner;
pub(crate) mod workload;

pub use machine::{Disturbance, DisturbanceKind, Machine};
pub use recording::handoffs::HandoffWatch;
pub use recording::latency::{Latency, Spread};
pub use report::Report;
pub use report::by_command::{BytesPerSecond, CommandReport};
pub use report::client_cpu::ClientCpu;
pub use report::counts::{
    Audit, Cleanup, CommandCounts, HandoffCounts, LoopKind, MaintenanceReport, Moving, OfferedLoad,
    ServerReport, ShardReport, VerifyReport,
};
#[cfg(feature = "cli")]
pub(crate) use report::measured::Recorded;
pub use report::phases::{MaintenanceWindow, ReportInterval};
pub use report::verdict::{Problem, ProblemKind};
pub use run::leftover::{Leftover, cleanup, leftover};
pub use run::moves::Moves;
pub use run::progress::{HandoffProgress, Percentiles, Progress, Second};
pub use run::{LoadError, run, run_over};
#[cfg(feature = "tokio")]
pub use run::{TokioRuntime, run_in_tokio};
pub use workload::keys::KeyDistribution;
pub use workload::mix::{Mix, WeightedCommand};
pub use workload::template::{Template, TemplateError};
pub use workload::values::ValueSize;
pub use workload::{Arrivals, Limit, Via, Workload, WorkloadError};
#[cfg(feature = "cli")]
pub(crate) use {
    delivery::plan::{Delivery, DeliveryKind, QueueType},
    delivery::report::{DeliveryReport, PubSubReport, QueueReport},
    delivery::run::deliver,
    machine::{RUN_QUEUE_WAIT_MAX, STEAL_MAX},
    report::hdr,
    run::leftover::CLEANUP_KEYS_MAX,
    workload::keys::{KEY_PREFIX, KEY_PREFIX_MAX, KEY_SPACE_MAX},
    workload::mix::COMMAND_RATIO_MAX,
    workload::values::VALUE_SIZE_MAX,
    workload::{PIPELINE_MAX, RATE_MAX, TASKS_MAX},
};
