//! The `hitless` command line. It serves the binary only and is not a public interface.

mod args;
mod bench;
mod compare;
mod completions;
mod config_file;
mod costs;
mod doctor;
mod invocation;
mod json;
mod keys;
mod licenses;
mod live;
mod login;
mod logs;
mod machine;
mod man;
mod memtier;
mod output;
mod paint;
mod parse;
mod progress;
mod rehearse;
mod remedy;
mod repeat;
mod scenario;
mod secrets;
mod settings;
mod simulate;
mod sink;
mod stop;
mod suggest;
mod tables;
mod text;
mod tls;
mod topology;
mod tune;
mod units;
mod versus;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use logs::Unasked;

/// Load generation and rehearsals for Redis endpoints, on io_uring, with a thread per core.
#[derive(Debug, Parser)]
#[command(name = "hitless", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Drive load at an endpoint and report throughput and latency
    Bench(Box<args::BenchArgs>),
    /// Sweep connections, tasks and shards, and recommend a setting
    Tune(Box<tune::TuneArgs>),
    /// Serve endpoints that announce maintenance: in memory, or in front of a real Redis
    Rehearse(Box<rehearse::RehearseArgs>),
    /// Simulate clients, networks and servers in virtual time, and check every invariant
    Simulate(simulate::SimulateArgs),
    /// Check whether this machine can run it, and say how to fix what is missing
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages
    Man(man::ManArgs),
    /// Print the licenses of this program and of the font in its pictures
    Licenses(licenses::LicensesArgs),
}

impl Command {
    /// What to log if the environment does not say so.
    fn unasked(&self) -> Unasked {
        match self {
            // The findings of the doctor report every problem.
            Command::Doctor(_) => Unasked::Nothing,
            Command::Bench(args) if args.output.quiet => Unasked::Nothing,
            Command::Tune(args) if args.is_quiet() => Unasked::Nothing,
            Command::Bench(_) | Command::Tune(_) => Unasked::WarningsOnceStarted,
            _ => Unasked::Warnings,
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
enum Failure {
    /// The options are invalid.
    Usage(String),
    /// The endpoint cannot be reached, or the machine cannot run it.
    Unreachable(anyhow::Error),
    /// The user interrupted it; the text says during what.
    Interrupted(&'static str),
    /// Anything else.
    Failed(anyhow::Error),
}

/// All well.
const WELL: u8 = 0;
/// It ran, but commands failed or a check did not hold.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 3;

/// clap's description of the whole command line, for tests that try every option.
pub fn command() -> clap::Command {
    invocation::command()
}

/// Runs the command that the process's arguments ask for.
pub fn main() -> ExitCode {
    let command = match invocation::read(std::env::args_os().collect()) {
        Ok(invocation) => {
            for warning in invocation.warnings() {
                say("warning", paint::Ink::Warning, warning);
            }
            invocation.command
        }
        // Help, the version, or what is wrong.
        Err(answer) => return ExitCode::from(answer.print()),
    };
    logs::begin(matches!(&command, Command::Rehearse(args) if args.log), command.unasked());
    let result = match command {
        Command::Bench(args) => bench::run(&args),
        Command::Tune(args) => tune::run(*args),
        Command::Rehearse(args) => rehearse::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Licenses(_) => licenses::run(),
    };
    ExitCode::from(match result {
        Ok(code) => code,
        Err(Failure::Usage(message)) => {
            complain(&format!("{message}\n\nFor more information, try '--help'."));
            USAGE
        }
        Err(Failure::Interrupted(what)) => {
            complain(&format!("interrupted {what}"));
            stop::code()
        }
        Err(Failure::Unreachable(error)) => {
            complain(&remedy::chain(&error));
            UNREACHABLE
        }
        // A closed pipe means that its reader has seen enough.
        Err(Failure::Failed(error)) if sink::is_closed_pipe(&error) => FAILED,
        Err(Failure::Failed(error)) => {
            complain(&remedy::chain(&error));
            FAILED
        }
    })
}

fn complain(problem: &str) {
    say("error", paint::Ink::Error, problem);
}

/// Prints a line to standard error. A closed stream has no reader to inform.
fn say(what: &str, ink: paint::Ink, text: &str) {
    let mut err = io::stderr();
    let what = paint::Paint::of(&err).with(ink, &format!("{what}:"));
    let _ = writeln!(err, "{what} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        command().debug_assert();
    }

    fn refused(arguments: &[&str]) -> String {
        let all = ["hitless", "bench"].iter().chain(arguments);
        let error = command().try_get_matches_from(all).expect_err("nonsense");
        assert_eq!(error.exit_code(), i32::from(USAGE));
        error.to_string()
    }

    #[test]
    fn nonsense_names_the_option_and_what_is_allowed() {
        for (arguments, option, allowed) in [
            (&["--tasks", "0"], "--tasks", "1 to 30000"),
            (&["--tasks", "-1"], "--tasks", "1 to 30000"),
            (&["--shards", "x"], "--shards", "1 to 1024"),
            (&["--cores", "1,1"], "--cores", "none twice"),
            (&["--rate", "0"], "--rate", "1 to"),
            (&["--ratio", "0:0"], "--ratio", "not both 0"),
            (&["--duration", "10"], "--duration", "with a unit"),
            (&["--value-size", "9-1"], "--value-size", "N or MIN-MAX"),
            (&["--key-distribution", "gauss"], "--key-distribution", "uniform, zipf:S"),
            (&["--key-space", "9999999999999"], "--key-space", "1 to 1000000000000"),
            (&["--pipeline", "0"], "--pipeline", "1 to 10000"),
            (&["--pipeline", "1,16"], "--pipeline", "hitless tune sweeps lists"),
            (&["--tls-min-version", "1.1"], "--tls-min-version", "allowed: 1.2, 1.3"),
            (&["--command", "GET {kee}"], "--command", "{kee} is not known"),
            (&["--via", "pigeon"], "--via", "shard, client"),
            (&["--maint", "maybe"], "--maint", "auto, enabled, disabled"),
            (&["--moving-at", "5"], "--moving-at", "with a unit"),
        ] {
            let message = refused(arguments);
            assert!(message.contains(option) && message.contains(allowed), "{message}");
        }
        assert!(refused(&["--duration", "1s", "--requests", "1"]).contains("--requests"));
        assert!(refused(&["--no-moving", "--moving-at", "1s"]).contains("--moving-at"));
    }

    #[test]
    fn no_version_of_tls_is_suggested_for_another() {
        let said = refused(&["--tls-min-version", "1.1"]);
        assert!(said.contains("RFC 8996") && !said.contains("similar"), "{said}");
    }

    #[test]
    fn help_describes_every_option_and_ends_with_examples() {
        let mut command = command();
        for (name, told) in [
            ("bench", "HITLESS_URL"),
            ("tune", "HITLESS_URL"),
            ("rehearse", "redis-cli -p 7001 REHEARSE MOVING"),
            ("doctor", "HITLESS_URL"),
        ] {
            let command = command.find_subcommand_mut(name).expect("a subcommand");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{}", argument.get_id());
            }
            let help = command.render_help().to_string();
            assert!(help.contains("Examples:") && help.contains(told), "{help}");
        }
    }
}
