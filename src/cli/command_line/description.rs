//! clap's description of the command line: all commands, their options, and the help of the whole.

use clap::builder::OsStringValueParser;
use clap::{Arg, Command, CommandFactory, ValueHint};

use super::aliases::with_familiar_names;
use super::subcommand::Cli;
use crate::cli::terminal::style::ColorChoice;

/// clap's description of the whole command line.
pub(crate) fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE.toml")
        .global(true)
        .env("HITLESS_CONFIG")
        .hide_env_values(true)
        .value_parser(OsStringValueParser::new())
        .value_hint(ValueHint::FilePath)
        .help_heading("Everywhere")
        .help(
            "Take options from this file: a table for each command, with long options as keys, e.g. [bench] \
             connections = 8. The command line takes precedence over the environment, and the environment over the \
             file; unknown keys are reported with their line and the closest match",
        );
    let color = Arg::new("color")
        .long("color")
        .alias("colour")
        .value_name("WHEN")
        .global(true)
        .value_parser(ColorChoice::VALUES)
        .help_heading("Everywhere")
        .help("Whether to use colors [default: auto, which is on a terminal; NO_COLOR and CLICOLOR are honored]");
    let command = Cli::command().arg(config).arg(color).mut_subcommands(with_familiar_names);
    let environment = environment(&command);
    command.after_help(environment)
}

/// The help section about environment variables: those of options, and those without an option.
fn environment(command: &Command) -> String {
    let mut lines = vec![
        ("HITLESS_PASSWORD".to_owned(), "the password, if the URL has none".to_owned()),
        ("HITLESS_USERNAME".to_owned(), "the user, if the URL has none".to_owned()),
        (
            "HITLESS_LOG".to_owned(),
            "what to log, e.g. debug or hitless::shard=trace [default: RUST_LOG]".to_owned(),
        ),
        ("NO_COLOR, CLICOLOR".to_owned(), "no colors; colors on a terminal, or none with 0".to_owned()),
    ];
    for owner in std::iter::once(command).chain(command.get_subcommands()) {
        for argument in owner.get_arguments() {
            if let (Some(variable), Some(long)) = (argument.get_env(), argument.get_long()) {
                let line = (variable.to_string_lossy().into_owned(), format!("--{long}"));
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
    }
    lines.sort();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: String = lines.iter().map(|(name, meaning)| format!("  {name:width$}  {meaning}\n")).collect();
    format!("Environment:\n{lines}\n{EXAMPLES}")
}

const EXAMPLES: &str = "\
Examples:
  hitless bench
      Ten seconds of load on an endpoint in this process, which moves halfway through.
  HITLESS_URL=redis://app:secret@db.example:6379 hitless bench --config load.toml
      A password that other users cannot read, and options from a file.
  hitless doctor
      Check whether this machine can run it.
  hitless completions bash; hitless man
      Completion for your shell, and manual pages.

Exit codes:
  0 all well · 1 the run finished, but commands or a check failed · 2 usage ·
  3 cannot reach the endpoint, or this machine cannot run io_uring ·
  130 interrupted (143 by SIGTERM); the first Ctrl-C still prints the report, the second exits at once";
