//! The commands and their options.

use clap::{Parser, Subcommand};

use crate::cli::bench::args::BenchArgs;
use crate::cli::completions::CompletionsArgs;
use crate::cli::doctor::DoctorArgs;
use crate::cli::licenses::LicensesArgs;
use crate::cli::man::ManArgs;
use crate::cli::rehearse::RehearseArgs;
use crate::cli::simulate::SimulateArgs;
use crate::cli::terminal::logs::DefaultLog;
use crate::cli::tune::TuneArgs;

/// Load generation and rehearsals for Redis endpoints, on io_uring, with a thread per core.
#[derive(Debug, Parser)]
#[command(name = "hitless", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Drive load at an endpoint and report throughput and latency
    Bench(Box<BenchArgs>),
    /// Sweep connections, tasks and shards, and recommend a setting
    Tune(Box<TuneArgs>),
    /// Serve endpoints that announce maintenance: in memory, or in front of a real Redis
    Rehearse(Box<RehearseArgs>),
    /// Simulate clients, networks and servers in virtual time, and check every invariant
    Simulate(SimulateArgs),
    /// Check whether this machine can run it, and say how to fix what is missing
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Write the manual pages
    Man(ManArgs),
    /// Print the licenses of this program and of the font in its pictures
    Licenses(LicensesArgs),
}

impl Command {
    /// What to log if the environment does not say so.
    pub(crate) fn default_log(&self) -> DefaultLog {
        match self {
            // The findings of the doctor report every problem.
            Command::Doctor(_) => DefaultLog::Off,
            Command::Bench(args) if args.output.quiet => DefaultLog::Off,
            Command::Tune(args) if args.is_quiet() => DefaultLog::Off,
            Command::Bench(_) | Command::Tune(_) => DefaultLog::WarningsOnceStarted,
            _ => DefaultLog::Warnings,
        }
    }
}
