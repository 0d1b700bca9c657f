//! Turns the arguments of the process into a command. The command line takes precedence over the environment, and the
//! environment over the file of `--config`. Everything is derived from clap's description of the options.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::builder::OsStringValueParser;
use clap::error::{Error, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, ValueHint};

use super::args::BenchArgs;
use super::config_file::ConfigFile;
use super::paint::{self, Choice, Paint};
use super::secrets::{self, Secrets};
use super::{Cli, suggest, versus};

/// Short options with the meaning that they have in redis-benchmark, and `-q`. An option of a subcommand gets one if
/// it has none and the letter is free.
const SHORTS: &[(char, &str)] = &[
    ('u', "url"),
    ('n', "requests"),
    ('d', "value-size"),
    ('P', "pipeline"),
    ('r', "key-space"),
    ('q', "quiet"),
];
/// The names of equal options in other tools.
const ALIASES: &[(&str, &str)] =
    &[("threads", "shards"), ("rps", "rate"), ("qps", "rate"), ("data-size", "value-size")];

/// The command to run, and the warnings to print first.
pub(super) struct Invocation {
    pub(super) command: super::Command,
    warnings: Vec<String>,
    is_quiet: bool,
}

impl Invocation {
    pub(super) fn warnings(&self) -> &[String] {
        if self.is_quiet { &[] } else { &self.warnings }
    }
}

/// Help, the version or a usage error, which is printed in place of running a command.
#[derive(Debug)]
pub(super) struct Answer {
    error: Error,
    secrets: Secrets,
}

impl Answer {
    /// Prints it to standard output or standard error and returns the exit code.
    pub(super) fn print(&self) -> u8 {
        let text = |paint: Paint| match paint.is_on() {
            true => self.secrets.hide(&joined(&self.error.render().ansi().to_string())),
            false => self.text(),
        };
        // A closed stream has no reader to inform.
        let _ = match self.error.use_stderr() {
            true => io::stderr().write_all(text(Paint::of(&io::stderr())).as_bytes()),
            false => io::stdout().write_all(text(Paint::of(&io::stdout())).as_bytes()),
        };
        u8::try_from(self.error.exit_code()).unwrap_or(super::USAGE)
    }

    fn text(&self) -> String {
        self.secrets.hide(&joined(&self.error.render().to_string()))
    }
}

/// A text of clap without its word joiners, see [`JOINER`].
pub(super) fn joined(text: &str) -> String {
    text.replace(JOINER, "")
}

/// clap's description of the whole command line.
pub(super) fn command() -> Command {
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
        .value_parser(Choice::WORDS)
        .help_heading("Everywhere")
        .help("Whether to use colors [default: auto, which is on a terminal; NO_COLOR and CLICOLOR are honored]");
    let command = Cli::command().arg(config).arg(color).mut_subcommands(familiar);
    let environment = environment(&command);
    command.after_help(environment)
}

/// Adds the short options and names of other tools, and the hints by which a shell completes values.
fn familiar(mut command: Command) -> Command {
    for &(short, long) in SHORTS {
        let is_free = command.get_arguments().all(|argument| argument.get_short() != Some(short));
        command = with_long(command, long, |argument| match argument.get_short() {
            None if is_free => argument.short(short),
            _ => argument,
        });
    }
    for &(alias, long) in ALIASES {
        if command.get_arguments().all(|argument| argument.get_long() != Some(alias)) {
            command = with_long(command, long, |argument| argument.visible_alias(alias));
        }
    }
    command.mut_args(|argument| {
        let names = argument.get_value_names().unwrap_or_default();
        let hint = match names.first().map(|name| name.as_str()) {
            Some("URL") => ValueHint::Url,
            Some(name) if name.starts_with("FILE") => ValueHint::FilePath,
            _ => return argument,
        };
        argument.value_hint(hint)
    })
}

fn with_long(command: Command, long: &str, change: impl FnOnce(Arg) -> Arg) -> Command {
    let id =
        command.get_arguments().find(|argument| argument.get_long() == Some(long)).map(Arg::get_id).cloned();
    match id {
        Some(id) => command.mut_arg(id, change),
        None => command,
    }
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
    let lines: String = lines.iter().map(|(name, told)| format!("  {name:width$}  {told}\n")).collect();
    format!("Environment:\n{lines}\n{EXAMPLES}")
}

/// Reads the process's arguments, the first of which is the program's name.
///
/// # Errors
/// Help, the version or a usage error.
pub(super) fn read(words: Vec<OsString>) -> Result<Invocation, Answer> {
    if let Some(choice) = color(&words) {
        paint::choose(choice);
    }
    let mut secrets = Secrets::among(&words);
    match interpret(words, &mut secrets) {
        Ok(invocation) => Ok(invocation),
        Err(error) => Err(Answer { error, secrets }),
    }
}

/// Reads `--color` before clap parses the arguments, because clap's errors need it.
fn color(words: &[OsString]) -> Option<Choice> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let value = |(index, word): (usize, &&str)| match word
        .strip_prefix("--color")
        .or(word.strip_prefix("--colour"))
    {
        Some("") => words.get(index + 1).copied().and_then(Choice::from_word),
        Some(rest) => rest.strip_prefix('=').and_then(Choice::from_word),
        None => None,
    };
    words.iter().enumerate().find_map(value)
}

fn interpret(mut words: Vec<OsString>, secrets: &mut Secrets) -> Result<Invocation, Error> {
    let mut command = command();
    command.build();
    if let Some(error) = suggest::host_for_help(&command, &words) {
        return Err(error);
    }
    let raw = raw_matches(&command, &words)?;
    let mut warnings = Vec::new();
    if let Some((name, matches)) = raw.subcommand()
        && let Some(subcommand) = command.find_subcommand(name).cloned()
    {
        if let Some(error) = not_text(&subcommand, matches) {
            return Err(error);
        }
        warnings.extend(on_the_command_line(&subcommand, matches));
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
    let mut cli = Cli::from_arg_matches(&matches)?;
    if let super::Command::Bench(args) = &mut cli.command
        && let Some(options) = args.repeat.versus.clone()
    {
        args.other = Some(Box::new(with_other_options(&command, &words, &options, secrets)?));
    }
    let of_subcommand = matches.subcommand().map(|(_, matches)| matches);
    let is_quiet =
        of_subcommand.is_some_and(|matches| matches!(matches.try_get_one("quiet"), Ok(Some(true))));
    warnings.extend(of_subcommand.and_then(open_password_file));
    Ok(Invocation { command: cli.command, warnings, is_quiet })
}

/// The options of `bench` with those of `--versus`, which override the given ones.
fn with_other_options(
    command: &Command,
    words: &[OsString],
    options: &str,
    secrets: &mut Secrets,
) -> Result<BenchArgs, Error> {
    let bench = command.find_subcommand("bench").cloned().unwrap_or_default();
    let refused = |message: String| bench.clone().error(ErrorKind::InvalidValue, message);
    let told = |error: Error| refused(format!("--versus: {}", error.render()));
    let other = versus::split(options).map_err(refused)?;
    other.iter().for_each(|word| secrets.add_urls(&word.to_string_lossy()));
    let of_bench = |words: &[OsString]| -> Result<ArgMatches, Error> {
        let matches = raw_matches(command, words)?;
        Ok(matches.subcommand_matches("bench").cloned().unwrap_or_default())
    };
    let alone: Vec<OsString> = ["hitless", "bench"].iter().map(OsString::from).chain(other.clone()).collect();
    let said = of_bench(&alone).map_err(told)?;
    let all = versus::words(&bench, &of_bench(words)?, &said, other).map_err(refused)?;
    let matches = command.clone().try_get_matches_from(&all).map_err(told)?;
    let matches = matches.subcommand_matches("bench").cloned().unwrap_or_default();
    BenchArgs::from_arg_matches(&matches).map_err(told)
}

/// The options with their values as typed, unchecked.
fn raw_matches(command: &Command, words: &[OsString]) -> Result<ArgMatches, Error> {
    let raw = raw(command.clone());
    match raw.clone().try_get_matches_from(words) {
        // The file may supply what is missing.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            raw.ignore_errors(true).try_get_matches_from(words)
        }
        other => other,
    }
    .map_err(|error| suggest::explain(error, command, words))
}

fn raw(command: Command) -> Command {
    let command = command.mut_args(|argument| match argument.get_action() {
        ArgAction::Set | ArgAction::Append => argument.value_parser(OsStringValueParser::new()),
        _ => argument,
    });
    command.mut_subcommands(raw)
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
fn not_text(command: &Command, matches: &ArgMatches) -> Option<Error> {
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
fn on_the_command_line(command: &Command, matches: &ArgMatches) -> Vec<String> {
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

fn open_password_file(matches: &ArgMatches) -> Option<String> {
    let path: &Path = matches.try_get_one::<PathBuf>("password_file").ok().flatten()?;
    let is_open = std::fs::metadata(path).is_ok_and(|metadata| secrets::is_open_to_others(&metadata));
    is_open.then(|| format!("--password-file: other users may read {path:?}; run chmod 600 on it"))
}

/// U+2060 WORD JOINER, which has no width. It keeps clap from replacing `{n}` in a help text by a line break.
const JOINER: char = '\u{2060}';

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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        std::iter::once(&"hitless").chain(words).map(OsString::from).collect()
    }

    fn refused(typed: &[&str]) -> String {
        match read(words(typed)) {
            Ok(_) => panic!("{typed:?} is taken"),
            Err(answer) => answer.text(),
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
        let mut command = command();
        command.build();
        let raw = raw_matches(&command, &words(&familiar)).expect("options");
        let (_, matches) = raw.subcommand().expect("a command");
        let bench = command.find_subcommand("bench").expect("a command");
        for (long, value) in ours {
            let argument =
                bench.get_arguments().find(|argument| argument.get_long() == Some(long)).expect(long);
            assert_eq!(matches.get_one::<OsString>(argument.get_id().as_str()).expect(long), value, "{long}");
        }
        assert!(matches.get_flag("quiet"));
        for (alias, long) in [("rps", "rate"), ("data-size", "value-size")] {
            assert!(ALIASES.contains(&(alias, long)));
            assert!(read(words(&["bench", &format!("--{alias}"), "5"])).is_ok(), "{alias}");
        }
    }

    #[test]
    fn color_is_read_before_parsing() {
        assert_eq!(color(&words(&["bench", "--color", "never"])), Some(Choice::Never));
        assert_eq!(color(&words(&["--colour=always", "bench", "--nonsense"])), Some(Choice::Always));
        assert_eq!(color(&words(&["bench", "--color", "sometimes"])), None);
        assert_eq!(color(&words(&["bench", "--color"])), None);
    }

    #[test]
    fn visible_passwords_are_warned_of_unless_quiet() {
        let url = "redis://ann:Xq7k@127.0.0.1";
        let warned = |typed: &[&str]| read(words(typed)).expect("options").warnings().join("\n");
        let told = warned(&["bench", "--url", url]);
        assert!(told.contains("--url: ") && told.contains("HITLESS_URL") && !told.contains("Xq7k"), "{told}");
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
