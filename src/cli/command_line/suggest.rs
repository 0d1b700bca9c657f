//! Options of other tools: the error names the `hitless` equivalent.

use std::ffi::OsString;

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// An option of redis-benchmark, valkey-benchmark, memtier_benchmark or dfly_bench.
struct ForeignOption {
    names: &'static [&'static str],
    /// The long option that is the equivalent. A command without it gets no hint.
    equivalent: &'static str,
    /// The hint, which follows the word `use`.
    hint: &'static str,
}

const fn foreign(
    names: &'static [&'static str],
    equivalent: &'static str,
    hint: &'static str,
) -> ForeignOption {
    ForeignOption { names, equivalent, hint }
}

/// Adds the equivalent to clap's error about an option of another tool.
pub(crate) fn explain(mut error: Error, command: &Command, words: &[OsString]) -> Error {
    let unknown = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(unknown))) => unknown.clone(),
        _ => return error,
    };
    let Some((_, subcommand)) = subcommand(command, words) else {
        return error;
    };
    if let Some(hint) = hint(subcommand, &unknown) {
        // clap's own hints are about a similar option.
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
        let tip = StyledStr::from(format!("use {hint}"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// The equivalent of an unknown option, if the command has one.
pub(crate) fn hint(command: &Command, unknown: &str) -> Option<&'static str> {
    let name = unknown.split('=').next().unwrap_or(unknown);
    let found = FOREIGN.iter().find(|foreign| foreign.names.contains(&name))?;
    let has_equivalent =
        command.get_arguments().any(|argument| argument.get_long() == Some(found.equivalent));
    has_equivalent.then_some(found.hint)
}

/// The error about `-h HOST`. Here `-h` is help, which is no answer to that.
pub(crate) fn reject_h_with_host(command: &Command, words: &[OsString]) -> Option<Error> {
    let (place, subcommand) = subcommand(command, words)?;
    let has_url = subcommand.get_arguments().any(|argument| argument.get_long() == Some("url"));
    let after = |short: &str| {
        let at = words.iter().skip(place).position(|word| word == short)? + place;
        let value = words.get(at + 1)?.to_str()?;
        let is_value = !value.is_empty() && !value.starts_with('-');
        is_value.then_some(value)
    };
    let host = after("-h").filter(|_| has_url)?;
    // An IPv6 address needs brackets.
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let port = after("-p").map(|port| format!(":{port}")).unwrap_or_default();
    let mut error = Error::new(ErrorKind::UnknownArgument).with_cmd(subcommand);
    error.insert(ContextKind::InvalidArg, ContextValue::String("-h HOST".to_owned()));
    let tip = StyledStr::from(format!("use --url redis://{host}{port}; -h alone is help"));
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    Some(error)
}

/// The subcommand among the words, and its place.
fn subcommand<'a>(command: &'a Command, words: &[OsString]) -> Option<(usize, &'a Command)> {
    let mut typed = words.iter().enumerate().skip(1);
    typed.find_map(|(place, word)| Some((place, command.find_subcommand(word)?)))
}

const FOREIGN: &[ForeignOption] = &[
    foreign(
        &["-c", "--clients"],
        "connections",
        "--connections N, which is per shard: redis-benchmark's clients are --shards times --connections, and \
         memtier's are per thread, as here",
    ),
    foreign(&["-p", "--port"], "url", "--url redis://HOST:PORT"),
    foreign(&["--host", "--server", "--h"], "url", "--url redis://HOST:PORT"),
    foreign(&["--uri"], "url", "--url URL, or -u URL"),
    foreign(&["-s", "-S", "--socket", "--unix-socket"], "url", "--url unix:///PATH"),
    foreign(&["--dbnum", "--select-db", "--db"], "url", "the URL: --url redis://HOST:PORT/DATABASE"),
    foreign(
        &["-a", "--pass", "--password", "--auth", "--authenticate"],
        "password-file",
        "the variable HITLESS_PASSWORD, or --password-file FILE: every user of this machine can read a password on \
         a command line",
    ),
    foreign(&["--username"], "user", "--user NAME, or the variable HITLESS_USERNAME"),
    foreign(
        &["-t", "--tests"],
        "ratio",
        "--ratio 1:0 for SET alone, --ratio 0:1 for GET alone, --command 'INCR {key}' for any other: a run measures \
         one mix, not a sequence of tests",
    ),
    foreign(
        &["--test-time", "--test_time", "--time"],
        "duration",
        "--duration N with a unit, e.g. --duration 10s",
    ),
    foreign(&["--rate-limiting"], "rate", "--rate N, in commands a second over all connections"),
    foreign(&["--data-size-range"], "value-size", "--value-size MIN-MAX"),
    foreign(&["--d"], "value-size", "--value-size N"),
    foreign(
        &["-r", "--keyspacelen", "--key-maximum", "--key_maximum"],
        "key-space",
        "--key-space N, the number of keys",
    ),
    foreign(
        &["--key-pattern", "--key-dist", "--key-stddev", "--key-median", "--key-zipf-exp"],
        "key-distribution",
        "--key-distribution KIND, e.g. zipf:0.99",
    ),
    foreign(&["--proactor_threads"], "shards", "--shards N, each a thread and a core"),
    foreign(
        &["--distinct-client-seed", "--randomize"],
        "seed",
        "--seed N: each caller derives its own sequence from it",
    ),
    foreign(&["--data-verify", "--verify-only"], "verify", "--verify"),
    foreign(&["--cacert", "--cacertdir"], "tls-ca", "--tls-ca FILE"),
    foreign(&["--cert"], "tls-cert", "--tls-cert FILE"),
    foreign(&["--key"], "tls-key", "--tls-key FILE"),
    foreign(&["--sni"], "tls-server-name", "--tls-server-name NAME"),
    foreign(
        &["--insecure", "--tls-skip-verify"],
        "tls-insecure-skip-verify",
        "--tls-insecure-skip-verify, only if you must",
    ),
    foreign(&["--tls-protocols"], "tls-min-version", "--tls-min-version 1.2, or 1.3"),
    foreign(
        &["--csv", "--json-out-file", "--out-file", "-o"],
        "json",
        "--json FILE, or --json - for standard output",
    ),
    foreign(&["--hdr-file-prefix"], "hdr", "--hdr FILE"),
    foreign(&["--print-percentiles"], "json", "--json FILE, which has every percentile"),
    foreign(&["-l", "--loop"], "duration", "--duration 365days, and Ctrl-C for the report"),
    foreign(&["-x", "--run-count"], "compare", "--compare OLD.json, to compare two runs"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::description;

    fn refused(arguments: &[&str]) -> String {
        let words: Vec<OsString> = ["hitless"].iter().chain(arguments).map(OsString::from).collect();
        let mut command = description::command();
        command.build();
        if let Some(error) = reject_h_with_host(&command, &words) {
            return error.render().to_string();
        }
        let error = command.clone().try_get_matches_from(&words).expect_err("an option of another tool");
        explain(error, &command, &words).render().to_string()
    }

    #[test]
    fn options_of_other_tools_name_the_equivalent() {
        let mut command = description::command();
        command.build();
        let bench = command.find_subcommand("bench").expect("a command");
        let has = |long: &str| bench.get_arguments().any(|argument| argument.get_long() == Some(long));
        let mut checked = 0;
        for foreign in FOREIGN.iter().filter(|foreign| has(foreign.equivalent)) {
            for name in foreign.names.iter().filter(|name| !is_taken(bench, name)) {
                let message = refused(&["bench", name, "1"]);
                let first = foreign.hint.split(' ').next().expect("a word");
                assert!(message.contains(&format!("'{name}'")) && message.contains("tip: use"), "{message}");
                assert!(message.contains(first), "{message}");
                checked += 1;
            }
        }
        assert!(checked > 50, "{checked}");
    }

    /// Whether the command has an option of this name, with any meaning.
    fn is_taken(command: &Command, name: &str) -> bool {
        command.get_arguments().any(|argument| {
            let longs = argument.get_long_and_visible_aliases().unwrap_or_default();
            let shorts = argument.get_short_and_visible_aliases().unwrap_or_default();
            longs.iter().any(|long| name == format!("--{long}"))
                || shorts.iter().any(|c| name == format!("-{c}"))
        })
    }

    #[test]
    fn hints_name_existing_options() {
        let mut command = description::command();
        command.build();
        let bench = command.find_subcommand("bench").expect("a command");
        let longs: Vec<&str> = bench.get_arguments().filter_map(clap::Arg::get_long).collect();
        for foreign in FOREIGN.iter().filter(|foreign| longs.contains(&foreign.equivalent)) {
            for word in foreign.hint.split([' ', ',', ':', ';']).filter(|word| word.starts_with("--")) {
                assert!(longs.contains(&word.trim_start_matches('-')), "{word} of {:?}", foreign.names);
            }
        }
    }

    #[test]
    fn h_with_a_host_names_the_url_option() {
        for (arguments, url) in [
            (&["bench", "-h", "10.0.0.1", "-p", "6380"][..], "--url redis://10.0.0.1:6380;"),
            (&["bench", "-h", "db", "-n", "5"], "--url redis://db;"),
            (&["doctor", "-h", "::1"], "--url redis://[::1];"),
        ] {
            let message = refused(arguments);
            assert!(message.contains(url), "{message}");
        }
        let help = refused(&["bench", "-h"]);
        assert!(help.contains("Usage:") && !help.contains("tip:"), "{help}");
        assert!(refused(&["simulate", "-h", "x"]).contains("Usage:"), "it has no --url to name");
    }

    #[test]
    fn unknown_options_are_left_to_clap() {
        assert!(refused(&["bench", "--conections", "8"]).contains("'--connections'"));
        assert!(!refused(&["bench", "--xyzzy"]).contains("tip: use"));
    }
}
