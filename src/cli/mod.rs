//! The `hitless` command line. It serves the binary only and is not a public interface.
//!
//! ```text
//!                      ┌─▶ bench ◀── tune      rehearse   doctor   simulate   completions   man   licenses
//!  main ─▶ command_line│     │         │           │         │         │
//!                      └──── options ──┴── report ─┴─────────┴─────────┘      (options, output)
//!                                terminal, exit, units, wrap                  (used by all of them)
//! ```
//!
//! No file imports one that imports it: this file imports the commands, and `exit` holds what the commands return.

mod bench;
mod command_line;
mod completions;
mod doctor;
mod exit;
mod licenses;
mod man;
mod options;
mod rehearse;
mod remedy;
mod report;
mod simulate;
mod terminal;
mod topology;
mod tune;
mod units;
mod wrap;

use std::process::ExitCode;

use self::command_line::subcommand::Command;
use self::command_line::{description, invocation};
use self::exit::Failure;
use self::report::sink;
use self::terminal::style::Style;
use self::terminal::{logs, message, stop};

/// clap's description of the whole command line, for tests that try every option.
pub fn command() -> clap::Command {
    description::command()
}

/// Runs the command that the process's arguments ask for.
pub fn main() -> ExitCode {
    let command = match invocation::read(std::env::args_os().collect()) {
        Ok(invocation) => {
            for warning in invocation.warnings() {
                message::print("warning", Style::Warning, warning);
            }
            invocation.command
        }
        // Help, the version or a usage error.
        Err(early) => return ExitCode::from(early.print()),
    };
    logs::start(matches!(&command, Command::Rehearse(args) if args.log), command.default_log());
    let result = match command {
        Command::Bench(args) => bench::run(&args),
        Command::Tune(args) => tune::run(*args),
        Command::Rehearse(args) => rehearse::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args, description::command()),
        Command::Man(args) => man::run(&args, description::command()),
        Command::Licenses(_) => licenses::run(),
    };
    ExitCode::from(match result {
        Ok(code) => code,
        Err(Failure::Usage(message)) => {
            message::print_error(&format!("{message}\n\nFor more information, try '--help'."));
            exit::USAGE
        }
        Err(Failure::Interrupted(what)) => {
            message::print_error(&format!("interrupted {what}"));
            stop::code()
        }
        Err(Failure::Unreachable(error)) => {
            message::print_error(&remedy::chain(&error));
            exit::UNREACHABLE
        }
        // A closed pipe means that its reader has seen enough.
        Err(Failure::Failed(error)) if sink::is_closed_pipe(&error) => exit::FAILED,
        Err(Failure::Failed(error)) => {
            message::print_error(&remedy::chain(&error));
            exit::FAILED
        }
    })
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
        assert_eq!(error.exit_code(), i32::from(exit::USAGE));
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
            (&["--command", "GET {kee}"], "--command", "{kee} is not a placeholder"),
            (&["--via", "pigeon"], "--via", "shard, client, tokio"),
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
        let message = refused(&["--tls-min-version", "1.1"]);
        assert!(message.contains("RFC 8996") && !message.contains("similar"), "{message}");
    }

    #[test]
    fn help_describes_every_option_and_ends_with_examples() {
        let mut command = command();
        for (name, text) in [
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
            assert!(help.contains("Examples:") && help.contains(text), "{help}");
        }
    }
}
