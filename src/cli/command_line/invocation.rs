//! Turns the arguments of the process into a command. The command line takes precedence over the environment, and the
//! environment over the file of `--config`. Everything is derived from clap's description of the options.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::builder::OsStringValueParser;
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, FromArgMatches};

use super::config_file::ConfigFile;
use super::subcommand::{Cli, Command};
use super::{description, suggest};
use crate::cli::bench::args::BenchArgs;
use crate::cli::bench::workload;
use crate::cli::exit;
use crate::cli::options::help::without_joiners;
use crate::cli::options::secrets::{self, Secrets};
use crate::cli::options::versus;
use crate::cli::terminal::style::{self, ColorChoice, Styles};

/// The command to run, and the warnings to print first. All option errors are found before this value exists, so that
/// a command never starts with options that it rejects later, except for values that depend on each other.
pub(crate) struct Invocation {
    pub(crate) command: Command,
    warnings: Vec<String>,
    is_quiet: bool,
}

impl Invocation {
    pub(crate) fn warnings(&self) -> &[String] {
        if self.is_quiet { &[] } else { &self.warnings }
    }
}

/// Help, the version or a usage error, which is printed in place of running a command.
#[derive(Debug)]
pub(crate) struct EarlyExit {
    error: Error,
    secrets: Secrets,
}

impl EarlyExit {
    /// Prints it to standard output or standard error and returns the exit code.
    pub(crate) fn print(&self) -> u8 {
        let text = |styles: Styles| match styles.is_enabled() {
            true => self.secrets.hide(&without_joiners(&self.error.render().ansi().to_string())),
            false => self.text(),
        };
        // A closed stream has no reader to inform.
        let _ = match self.error.use_stderr() {
            true => io::stderr().write_all(text(Styles::of(&io::stderr())).as_bytes()),
            false => io::stdout().write_all(text(Styles::of(&io::stdout())).as_bytes()),
        };
        u8::try_from(self.error.exit_code()).unwrap_or(exit::USAGE)
    }

    fn text(&self) -> String {
        self.secrets.hide(&without_joiners(&self.error.render().to_string()))
    }
}

/// Reads the process's arguments, the first of which is the program's name.
///
/// # Errors
/// Help, the version or a usage error.
pub(crate) fn read(words: Vec<OsString>) -> Result<Invocation, EarlyExit> {
    if let Some(choice) = color(&words) {
        style::set_color_choice(choice);
    }
    let mut secrets = Secrets::found_in(&words);
    match parse(words, &mut secrets) {
        Ok(invocation) => Ok(invocation),
        Err(error) => Err(EarlyExit { error, secrets }),
    }
}

/// Reads `--color` before clap parses the arguments, because clap's errors need it.
fn color(words: &[OsString]) -> Option<ColorChoice> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let value = |(index, word): (usize, &&str)| match word
        .strip_prefix("--color")
        .or(word.strip_prefix("--colour"))
    {
        Some("") => words.get(index + 1).copied().and_then(ColorChoice::from_value),
        Some(rest) => rest.strip_prefix('=').and_then(ColorChoice::from_value),
        None => None,
    };
    words.iter().enumerate().find_map(value)
}

fn parse(mut words: Vec<OsString>, secrets: &mut Secrets) -> Result<Invocation, Error> {
    let mut command = description::command();
    command.build();
    if let Some(error) = suggest::reject_h_with_host(&command, &words) {
        return Err(error);
    }
    let raw = unchecked_matches(&command, &words)?;
    let mut warnings = Vec::new();
    if let Some((name, matches)) = raw.subcommand()
        && let Some(subcommand) = command.find_subcommand(name).cloned()
    {
        if let Some(error) = non_utf8_error(&subcommand, matches) {
            return Err(error);
        }
        warnings.extend(password_warnings(&subcommand, matches));
        if let Some(path) = config_path(matches) {
            let usage = |message: String| subcommand.clone().error(ErrorKind::InvalidValue, message);
            let file = ConfigFile::read(&path, secrets).map_err(usage)?;
            let more = file.words(&command, &subcommand, |id| is_given(matches, id)).map_err(usage)?;
            warnings.extend(file.warning());
            let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
            words.splice(end..end, more);
        }
    }
    let matches = command.clone().try_get_matches_from(&words);
    let matches = matches.map_err(|error| suggest::explain(error, &command, &words))?;
    check_workload(&command, matches.subcommand_matches("bench"))?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let Command::Bench(args) = &mut cli.command
        && let Some(options) = args.repeat.versus.clone()
    {
        args.versus = Some(Box::new(versus_args(&command, &words, &options, secrets)?));
    }
    let of_subcommand = matches.subcommand().map(|(_, matches)| matches);
    let is_quiet =
        of_subcommand.is_some_and(|matches| matches!(matches.try_get_one("quiet"), Ok(Some(true))));
    warnings.extend(of_subcommand.and_then(password_file_warning));
    Ok(Invocation { command: cli.command, warnings, is_quiet })
}

/// The options of `bench` with those of `--versus`, which override the given ones.
fn versus_args(
    command: &clap::Command,
    words: &[OsString],
    options: &str,
    secrets: &mut Secrets,
) -> Result<BenchArgs, Error> {
    let bench = command.find_subcommand("bench").cloned().unwrap_or_default();
    let refused = |message: String| bench.clone().error(ErrorKind::InvalidValue, message);
    let versus_error = |error: Error| refused(format!("--versus: {}", error.render()));
    let other = versus::split(options).map_err(refused)?;
    other.iter().for_each(|word| secrets.add_urls(&word.to_string_lossy()));
    let of_bench = |words: &[OsString]| -> Result<ArgMatches, Error> {
        let matches = unchecked_matches(command, words)?;
        Ok(matches.subcommand_matches("bench").cloned().unwrap_or_default())
    };
    let alone: Vec<OsString> = ["hitless", "bench"].iter().map(OsString::from).chain(other.clone()).collect();
    let changed = of_bench(&alone).map_err(versus_error)?;
    let all = versus::words(&bench, &of_bench(words)?, &changed, other).map_err(refused)?;
    let matches = command.clone().try_get_matches_from(&all).map_err(versus_error)?;
    check_workload(command, matches.subcommand_matches("bench")).map_err(&versus_error)?;
    let matches = matches.subcommand_matches("bench").cloned().unwrap_or_default();
    BenchArgs::from_arg_matches(&matches).map_err(versus_error)
}

/// Rejects options of `bench` that do not apply to its workload, wherever they come from. clap cannot: the options of a file
/// have become words of the command line.
fn check_workload(command: &clap::Command, matches: Option<&ArgMatches>) -> Result<(), Error> {
    let (Some(matches), Some(bench)) = (matches, command.find_subcommand("bench")) else { return Ok(()) };
    workload::check(bench, matches)
        .map_err(|message| bench.clone().error(ErrorKind::ArgumentConflict, message))
}

/// The options with their values as typed, unchecked.
fn unchecked_matches(command: &clap::Command, words: &[OsString]) -> Result<ArgMatches, Error> {
    let raw = without_parsers(command.clone());
    match raw.clone().try_get_matches_from(words) {
        // The file may supply what is missing.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            raw.ignore_errors(true).try_get_matches_from(words)
        }
        other => other,
    }
    .map_err(|error| suggest::explain(error, command, words))
}

fn without_parsers(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_action() {
        ArgAction::Set | ArgAction::Append => argument.value_parser(OsStringValueParser::new()),
        _ => argument,
    });
    command.mut_subcommands(without_parsers)
}

/// Whether the command line or the environment sets an option. An empty variable does not count.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    match matches.value_source(id) {
        Some(ValueSource::CommandLine) => true,
        Some(ValueSource::EnvVariable) => {
            let values = matches.try_get_raw(id).ok().flatten();
            values.is_none_or(|mut values| values.any(|value| !value.is_empty()))
        }
        _ => false,
    }
}

fn config_path(matches: &ArgMatches) -> Option<PathBuf> {
    let path = matches.try_get_one::<OsString>("config").ok().flatten();
    let is_typed = matches.value_source("config") == Some(ValueSource::CommandLine);
    path.filter(|path| is_typed || !path.is_empty()).map(PathBuf::from)
}

/// The error about a value that is not UTF-8. clap's own error does not name the option.
fn non_utf8_error(command: &clap::Command, matches: &ArgMatches) -> Option<Error> {
    for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
        let type_id = argument.get_value_parser().type_id();
        let takes_bytes =
            type_id == std::any::TypeId::of::<PathBuf>() || type_id == std::any::TypeId::of::<OsString>();
        let values = matches.try_get_raw(argument.get_id().as_str()).ok().flatten();
        let wrong = values.into_iter().flatten().find(|value| value.to_str().is_none());
        if let (Some(value), false) = (wrong, takes_bytes) {
            let value = value.to_string_lossy();
            let message = format!("invalid value '{value}' for '{argument}': allowed: UTF-8");
            return Some(command.clone().error(ErrorKind::InvalidUtf8, message));
        }
    }
    None
}

/// Warnings about passwords on the command line, which every user of the machine can read.
fn password_warnings(command: &clap::Command, matches: &ArgMatches) -> Vec<String> {
    let mut warnings = Vec::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let (Some(long), Some(ValueSource::CommandLine)) = (argument.get_long(), matches.value_source(id))
        else {
            continue;
        };
        let mut values = matches.try_get_raw(id).ok().flatten().into_iter().flatten();
        let is_secret = |text: &str| secrets::has_password(text) || versus::has_password(text);
        if values.any(|value| value.to_str().is_some_and(is_secret)) {
            let instead = match argument.get_env() {
                Some(variable) => format!("set the variable {} instead", variable.to_string_lossy()),
                None => "use a file with --config instead".to_owned(),
            };
            warnings.push(format!(
                "--{long}: every user of this machine can read the password on this command line; {instead}"
            ));
        }
    }
    warnings
}

fn password_file_warning(matches: &ArgMatches) -> Option<String> {
    let path: &Path = matches.try_get_one::<PathBuf>("password_file").ok().flatten()?;
    let is_open = std::fs::metadata(path).is_ok_and(|metadata| secrets::is_open_to_others(&metadata));
    is_open.then(|| format!("--password-file: other users may read {path:?}; run chmod 600 on it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        std::iter::once(&"hitless").chain(words).map(OsString::from).collect()
    }

    fn refused(typed: &[&str]) -> String {
        match read(words(typed)) {
            Ok(_) => panic!("{typed:?} is taken"),
            Err(early) => early.text(),
        }
    }

    #[test]
    fn short_options_match_redis_benchmark() {
        let familiar =
            ["bench", "-u", "redis://h", "-n", "9", "-d", "8", "-P", "7", "-r", "6", "-q", "--threads", "5"];
        let ours = [
            ("url", "redis://h"),
            ("requests", "9"),
            ("value-size", "8"),
            ("pipeline", "7"),
            ("key-space", "6"),
            ("shards", "5"),
        ];
        let mut command = description::command();
        command.build();
        let raw = unchecked_matches(&command, &words(&familiar)).expect("options");
        let (_, matches) = raw.subcommand().expect("a command");
        let bench = command.find_subcommand("bench").expect("a command");
        for (long, value) in ours {
            let argument =
                bench.get_arguments().find(|argument| argument.get_long() == Some(long)).expect(long);
            assert_eq!(matches.get_one::<OsString>(argument.get_id().as_str()).expect(long), value, "{long}");
        }
        assert!(matches.get_flag("quiet"));
        for alias in ["rps", "data-size"] {
            assert!(read(words(&["bench", &format!("--{alias}"), "5"])).is_ok(), "{alias}");
        }
    }

    #[test]
    fn color_is_read_before_parsing() {
        assert_eq!(color(&words(&["bench", "--color", "never"])), Some(ColorChoice::Never));
        assert_eq!(color(&words(&["--colour=always", "bench", "--nonsense"])), Some(ColorChoice::Always));
        assert_eq!(color(&words(&["bench", "--color", "sometimes"])), None);
        assert_eq!(color(&words(&["bench", "--color"])), None);
    }

    #[test]
    fn visible_passwords_are_warned_of_unless_quiet() {
        let url = "redis://ann:Xq7k@127.0.0.1";
        let warned = |typed: &[&str]| read(words(typed)).expect("options").warnings().join("\n");
        let warnings = warned(&["bench", "--url", url]);
        assert!(
            warnings.contains("--url: ") && warnings.contains("HITLESS_URL") && !warnings.contains("Xq7k"),
            "{warnings}"
        );
        assert!(warned(&["rehearse", "--upstream", url]).contains("HITLESS_UPSTREAM"));
        assert!(warned(&["doctor", "-u", url]).contains("--url"));
        assert_eq!(warned(&["bench", "--url", url, "--quiet"]), "");
        assert_eq!(warned(&["bench", "--url", "redis://127.0.0.1"]), "");
    }

    #[test]
    fn help_names_every_placeholder_of_commands() {
        for typed in [["bench", "--help"], ["bench", "-h"], ["tune", "--help"], ["tune", "-h"]] {
            let help = refused(&typed);
            for part in ["{key}", "{key:2}", "{value}", "{n}", "{random:MIN-MAX}"] {
                assert!(help.contains(part), "{part}: {help}");
            }
        }
    }

    #[test]
    fn errors_never_repeat_a_password() {
        for typed in [
            &["bench", "redis://a:Xq7k@h"][..],
            &["bench", "-a", "Xq7k"],
            &["bench", "--password=Xq7k"],
            &["bench", "--tasks", "redis://a:Xq7k@h"],
            &["redis://a:Xq7k@h"],
            &["bench", "--maint", "a:Xq7k@h"],
        ] {
            let text = refused(typed);
            assert!(!text.contains("Xq7k"), "{text}");
        }
    }
}
