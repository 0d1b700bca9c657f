//! The file of `--config`: a table for each command, with the command's long options as keys.
//!
//! ```toml
//! [bench]
//! url = "redis://app:secret@db.example:6379"     # then only you should be able to read the file
//! connections = 8
//! duration = "30s"
//! moving-at = ["2s", "4s"]                       # a repeatable option takes a list
//! verify = true
//! ```
//!
//! The values become words of the command line, so that clap checks them like typed ones.

use std::ffi::OsString;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::command_line::suggest;
use crate::cli::options::secrets::{self, Secrets};

/// A well-formed file.
pub(crate) struct ConfigFile {
    name: String,
    tables: Vec<Table>,
    is_open: bool,
}

struct Table {
    name: String,
    line: usize,
    entries: Vec<OptionEntry>,
}

struct OptionEntry {
    key: String,
    line: usize,
    value: OptionValue,
}

/// A value as the command line takes it.
#[derive(Debug)]
enum OptionValue {
    Switch(bool),
    One(String),
    List(Vec<String>),
    /// A kind of value that no option takes.
    Other(&'static str),
}

impl ConfigFile {
    /// Reads a file and adds its passwords to `secrets`.
    ///
    /// # Errors
    /// The error names the file and the line. It does not quote the line, which may hold a password.
    pub(crate) fn read(path: &Path, secrets: &mut Secrets) -> Result<ConfigFile, String> {
        let name = path.display().to_string();
        let failure =
            |error: std::io::Error| format!("--config: cannot read {name:?}: {error}; allowed: a TOML file");
        let file = std::fs::File::open(path).map_err(failure)?;
        let is_open = file.metadata().is_ok_and(|metadata| secrets::is_open_to_others(&metadata));
        let mut text = String::new();
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failure)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("--config: {name:?} is too long; allowed: up to {FILE_BYTES_MAX} bytes"));
        }
        let file = ConfigFile::parse(&name, &text)?;
        for entry in file.tables.iter().flat_map(|table| &table.entries) {
            entry.value.texts().for_each(|text| secrets.add_urls(text));
        }
        Ok(ConfigFile { is_open, ..file })
    }

    fn parse(name: &str, text: &str) -> Result<ConfigFile, String> {
        let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
        let start = |span: Range<usize>| line(span.start);
        let content = DeTable::parse(text).map_err(|error| {
            let at = error.span().map(|span| format!(", line {}", start(span))).unwrap_or_default();
            format!("--config: {name}{at}: {}", error.message())
        })?;
        let mut tables = Vec::new();
        for (key, value) in content.get_ref() {
            let (table, at) = (key.get_ref().to_string(), start(key.span()));
            let DeValue::Table(entries) = value.get_ref() else {
                return Err(format!(
                    "--config: {name}, line {at}: {table}: options belong in the table of their command, e.g. [bench]"
                ));
            };
            let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| OptionEntry {
                line: start(key.span()),
                key: AsRef::<str>::as_ref(key.get_ref()).to_owned(),
                value: OptionValue::of(value.get_ref()),
            };
            let mut entries: Vec<OptionEntry> = entries.iter().map(entry).collect();
            // In file order, so that the first mistake is the one that is reported.
            entries.sort_by_key(|entry| entry.line);
            tables.push(Table { name: table, line: at, entries });
        }
        tables.sort_by_key(|table| table.line);
        Ok(ConfigFile { name: name.to_owned(), tables, is_open: false })
    }

    /// The words to add to the command line of this subcommand. `is_given` tells whether the command line or the
    /// environment, which take precedence, set the option with this id.
    ///
    /// # Errors
    /// The error names the file, the line, the key and what is allowed.
    pub(crate) fn words(
        &self,
        command: &Command,
        subcommand: &Command,
        is_given: impl Fn(&str) -> bool,
    ) -> Result<Vec<OsString>, String> {
        let mut words = Vec::new();
        for table in &self.tables {
            let Some(owner) = command.find_subcommand(&table.name) else {
                let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
                let why = format!("[{}] is not a command; allowed: {}", table.name, known.join(", "));
                return Err(self.at(table.line, &why));
            };
            for entry in &table.entries {
                let at_entry =
                    |why: String| self.at(entry.line, &format!("[{}] {}: {why}", table.name, entry.key));
                let argument = argument(owner, &entry.key).map_err(at_entry)?;
                let more = entry.value.words(argument).map_err(at_entry)?;
                if owner.get_name() != subcommand.get_name() || is_overridden(owner, argument, &is_given) {
                    continue;
                }
                check(owner, &more).map_err(at_entry)?;
                words.extend(more);
            }
        }
        self.check_together(subcommand, &words)?;
        Ok(words.into_iter().map(OsString::from).collect())
    }

    /// A warning if the file holds a password and other users may read it.
    pub(crate) fn warning(&self) -> Option<String> {
        let mut values =
            self.tables.iter().flat_map(|table| &table.entries).flat_map(|entry| entry.value.texts());
        let has_password = values.any(secrets::has_password);
        let name = &self.name;
        (self.is_open && has_password).then(|| {
            format!("--config: {name} holds a password, and other users may read it; run chmod 600 on it")
        })
    }

    /// Rejects keys that conflict with each other.
    fn check_together(&self, subcommand: &Command, words: &[String]) -> Result<(), String> {
        match refusal(subcommand, words) {
            Some(error) if error.kind() == ErrorKind::ArgumentConflict => {
                Err(format!("--config: {}: {}", self.name, first_part(&error)))
            }
            _ => Ok(()),
        }
    }

    fn at(&self, line: usize, why: &str) -> String {
        format!("--config: {}, line {line}: {why}", self.name)
    }
}

impl OptionValue {
    fn of(value: &DeValue<'_>) -> OptionValue {
        match value {
            DeValue::Boolean(is_on) => OptionValue::Switch(*is_on),
            DeValue::Array(values) => {
                let texts: Option<Vec<String>> = values.iter().map(|value| scalar(value.get_ref())).collect();
                texts.map_or(OptionValue::Other("a list of lists or tables"), OptionValue::List)
            }
            DeValue::Datetime(_) => OptionValue::Other("a date"),
            DeValue::Table(_) => OptionValue::Other("a table"),
            other => scalar(other).map_or(OptionValue::Other("an unsupported number"), OptionValue::One),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            OptionValue::One(text) => std::slice::from_ref(text),
            OptionValue::List(texts) => texts,
            OptionValue::Switch(_) | OptionValue::Other(_) => &[],
        };
        texts.iter().map(String::as_str)
    }

    /// The value as words of the command line, if the option takes such a value.
    fn words(&self, argument: &Arg) -> Result<Vec<String>, String> {
        let long = argument.get_long().unwrap_or_default();
        let is_switch = !argument.get_action().takes_values();
        let takes_many = matches!(argument.get_action(), ArgAction::Append)
            || argument.get_value_delimiter().is_some()
            || argument.get_num_args().is_some_and(|range| range.max_values() > 1);
        let names = argument.get_value_names().unwrap_or_default();
        let name = names.first().map_or("VALUE", |name| name.as_str());
        match self {
            OptionValue::Switch(is_on) if is_switch => {
                Ok(is_on.then(|| format!("--{long}")).into_iter().collect())
            }
            _ if is_switch => Err(format!("got {}; allowed: true or false", self.kind())),
            OptionValue::One(text) => Ok(vec![format!("--{long}={text}")]),
            OptionValue::List(texts) if name == "LIST" => Ok(vec![format!("--{long}={}", texts.join(","))]),
            OptionValue::List(texts) if takes_many => Ok(match argument.get_value_delimiter() {
                Some(delimiter) => vec![format!("--{long}={}", texts.join(&delimiter.to_string()))],
                None => texts.iter().map(|text| format!("--{long}={text}")).collect(),
            }),
            _ => {
                let many = if takes_many || name == "LIST" { ", or a list of them" } else { "" };
                Err(format!("got {}; allowed: {name}, as a string or a number{many}", self.kind()))
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            OptionValue::Switch(_) => "true or false",
            OptionValue::One(_) => "a string or a number",
            OptionValue::List(_) => "a list",
            OptionValue::Other(kind) => kind,
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => {
            Some(u64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// The option that a key names.
fn argument<'a>(owner: &'a Command, key: &str) -> Result<&'a Arg, String> {
    let is_it = |argument: &&Arg| {
        argument.get_long() == Some(key)
            || argument.get_all_aliases().is_some_and(|names| names.contains(&key))
    };
    let found = owner.get_arguments().filter(|_| !NOT_IN_A_FILE.contains(&key)).find(is_it);
    found.ok_or_else(|| {
        if let Some(instead) = suggest::hint(owner, &format!("--{key}")) {
            return format!("is not an option; use {instead}");
        }
        // clap suggests the closest option.
        let error = refusal(owner, &[format!("--{}", key.replace('_', "-"))]);
        let near = match error.as_ref().and_then(|error| error.get(ContextKind::SuggestedArg)) {
            Some(ContextValue::String(near)) => Some(near.trim_start_matches('-').to_owned()),
            // With hyphens it is an option, and clap misses only its value.
            _ if key.contains('_') => Some(key.replace('_', "-")),
            _ => None,
        };
        let near =
            near.filter(|near| owner.get_arguments().any(|argument| argument.get_long() == Some(near)));
        match near {
            Some(near) => format!("is not an option; did you mean {near}?"),
            None => {
                format!("is not an option; allowed: the long options of hitless {} --help", owner.get_name())
            }
        }
    })
}

/// Whether the command line or the environment sets this option or one that excludes it.
fn is_overridden(owner: &Command, argument: &Arg, is_given: impl Fn(&str) -> bool) -> bool {
    let excludes = |one: &Arg, other: &Arg| {
        let (name, instead) = (one.get_id().as_str(), other.get_id().as_str());
        let is_conflict = |conflict: &&Arg| conflict.get_id() == other.get_id();
        ALTERNATIVES.contains(&(name, instead)) || owner.get_arg_conflicts_with(one).iter().any(is_conflict)
    };
    owner.get_arguments().filter(|other| is_given(other.get_id().as_str())).any(|other| {
        other.get_id() == argument.get_id() || excludes(argument, other) || excludes(other, argument)
    })
}

/// Whether clap takes these values.
fn check(owner: &Command, words: &[String]) -> Result<(), String> {
    match refusal(owner, words) {
        Some(error) if matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) => {
            Err(first_part(&error))
        }
        _ => Ok(()),
    }
}

fn refusal(owner: &Command, words: &[String]) -> Option<clap::Error> {
    let name = owner.get_name().to_owned();
    owner.clone().try_get_matches_from(std::iter::once(&name).chain(words)).err()
}

/// The error without the usage lines.
fn first_part(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let part = text.split("\n\n").next().unwrap_or(&text);
    let lines: Vec<&str> = part.trim_start_matches("error: ").lines().map(str::trim).collect();
    lines.join(" ")
}

/// The longest file that is read. All options together are far shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Options that replace each other and are no conflict for clap: if one is given, the file's other one is ignored.
const ALTERNATIVES: [(&str, &str); 1] = [("shards", "cores")];
/// Options that a file cannot set.
const NOT_IN_A_FILE: [&str; 3] = ["config", "help", "version"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::description;

    fn words(text: &str, given: &[&str]) -> Result<Vec<String>, String> {
        let mut command = description::command();
        command.build();
        let bench = command.find_subcommand("bench").expect("a command");
        let words = ConfigFile::parse("f.toml", text)?.words(&command, bench, |id| given.contains(&id))?;
        Ok(words.into_iter().map(|word| word.into_string().expect("text")).collect())
    }

    #[test]
    fn keys_are_long_options() {
        let text = "[bench]\nconnections = 8\nmoving-at = [\"2s\", \"4s\"]\nverify = true\nno-load = false\n\
                    key-distribution = 'zipf:0.9'\nkey-space = 0x10\nthreads = 1_0\n[doctor]\nshards = 2\n";
        let expected = [
            "--connections=8",
            "--moving-at=2s",
            "--moving-at=4s",
            "--verify",
            "--key-distribution=zipf:0.9",
            "--key-space=16",
            "--shards=10",
        ];
        assert_eq!(words(text, &[]).expect("words"), expected);
        assert!(words("", &[]).expect("words").is_empty());
    }

    #[test]
    fn lists_are_taken_where_the_command_line_takes_them() {
        assert_eq!(words("[bench]\ncores = [1, 3]\n", &[]).expect("words"), ["--cores=1,3"]);
        let mut command = description::command();
        command.build();
        let tune = command.find_subcommand("tune").expect("a command");
        let text = "[tune]\ntasks = [16, 64]\nconnections = \"1,2\"\n";
        let file = ConfigFile::parse("f.toml", text).expect("a file");
        let swept = file.words(&command, tune, |_| false).expect("words");
        assert_eq!(swept, ["--tasks=16,64", "--connections=1,2"]);
    }

    #[test]
    fn given_options_override_the_file() {
        let text = "[bench]\nduration = \"1s\"\nshards = 2\n";
        assert_eq!(words(text, &["duration"]).expect("words"), ["--shards=2"]);
        assert_eq!(
            words(text, &["requests"]).expect("words"),
            ["--shards=2"],
            "--requests excludes --duration"
        );
        assert_eq!(
            words(text, &["cores"]).expect("words"),
            ["--duration=1s"],
            "--cores goes before --shards"
        );
    }

    #[test]
    fn a_mistake_names_its_line_and_what_is_allowed() {
        for (text, parts) in [
            (
                "[bench]\n\nconections = 8",
                &["f.toml, line 3: [bench] conections", "did you mean connections?"][..],
            ),
            ("[bench]\nmoving_at = \"1s\"", &["line 2", "did you mean moving-at?"]),
            ("[bench]\nclients = 50", &["clients", "--connections N"]),
            ("[bench]\nxyzzy = 1", &["xyzzy", "hitless bench --help"]),
            ("[bench]\nconfig = \"other.toml\"", &["config: is not an option"]),
            ("[bench]\nhelp = true", &["help: is not an option"]),
            ("[bench]\nconnections = true", &["line 2", "connections: got true or false", "allowed: N"]),
            (
                "[bench]\nconnections = [1, 2]",
                &["connections: got a list; allowed: N, as a string or a number"],
            ),
            ("[bench]\nmoving-at = [[1]]", &["moving-at: got a list of lists", "or a list of them"]),
            ("[bench]\nconnections = 1979-05-27", &["connections: got a date"]),
            ("[bench]\nverify = \"yes\"", &["verify: got a string or a number; allowed: true or false"]),
            ("[bench]\nconnections = 0", &["line 2", "connections: invalid value '0'", "1 to 4096"]),
            ("[bench]\nconnections = -3", &["'-3'", "1 to 4096"]),
            ("[bench]\nmaint = \"maybe\"", &["line 2", "possible values: auto, enabled, disabled"]),
            ("[bench]\nduration = 10", &["line 2", "a unit"]),
            ("[bench]\nrequests = 9\nduration = \"1s\"", &["f.toml: ", "--requests", "cannot be used with"]),
            ("[bnch]\nx = 1", &["line 1: [bnch] is not a command", "bench, "]),
            ("connections = 8", &["line 1: connections: ", "[bench]"]),
            ("[doctor]\nshrads = 8", &["[doctor] shrads", "did you mean shards?"]),
            ("[bench]\nx = ", &["f.toml, line 2: "]),
            ("[bench]\nrate = 1\nrate = 2", &["line 3", "duplicate"]),
        ] {
            let error = words(text, &[]).expect_err(text);
            assert!(error.starts_with("--config: "), "{error}");
            assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }

    #[test]
    fn errors_never_quote_the_line() {
        for text in ["[bench]\nurl = \"redis://:Xq7k@h", "[bench]\nurl = Xq7k", "[bench]\nurl = \"a\" Xq7k"] {
            let error = words(text, &[]).expect_err(text);
            assert!(!error.contains("Xq7k"), "{error}");
        }
    }
}
