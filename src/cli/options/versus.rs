//! `--versus 'OPTIONS'`: the same command line with other options, whose runs alternate with the given ones.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};

use crate::cli::options::secrets::{self, Secrets};

/// Splits the text into words as a shell does.
///
/// # Errors
/// The error says what is wrong with the quotes.
pub(crate) fn split(text: &str) -> Result<Vec<OsString>, String> {
    // The text is not repeated: it may hold a password.
    let words = shlex::split(text)
        .ok_or("--versus: a quote is not closed; allowed: options of bench, quoted as in a shell")?;
    match words.is_empty() {
        true => {
            Err("--versus: it names no option; allowed: options of bench, e.g. '--connections 8'".to_owned())
        }
        false => Ok(words.into_iter().map(OsString::from).collect()),
    }
}

/// The options for display: a URL that may hold a password is hidden.
pub(crate) fn shown(text: &str) -> String {
    let words = shlex::split(text).unwrap_or_default();
    Secrets::found_in(&words).hide(text)
}

/// Whether one of the options has a URL with a password.
pub(crate) fn has_password(text: &str) -> bool {
    let value = |word: &str| match word.split_once('=') {
        Some((option, value)) if option.starts_with('-') => secrets::has_password(value),
        _ => secrets::has_password(word),
    };
    shlex::split(text).unwrap_or_default().iter().any(|word| value(word))
}

/// The words of a command line with the `other` options, and with the `given` ones that they do not override.
///
/// # Errors
/// The error names an option that applies to both.
pub(crate) fn words(
    subcommand: &Command,
    given: &ArgMatches,
    other: &ArgMatches,
    words: Vec<OsString>,
) -> Result<Vec<OsString>, String> {
    let is_typed =
        |matches: &ArgMatches, id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    if let Some(id) = SHARED_OPTIONS.into_iter().find(|id| is_known(other, id) && is_typed(other, id)) {
        return Err(format!("--versus: --{id} applies to both; give it outside of --versus"));
    }
    let mut all = vec![OsString::from("hitless"), subcommand.get_name().into()];
    for argument in subcommand.get_arguments() {
        let (id, Some(long)) = (argument.get_id().as_str(), argument.get_long()) else { continue };
        let is_shared = SHARED_OPTIONS.contains(&id);
        if is_shared || !is_known(given, id) || !is_typed(given, id) || is_typed(other, id) {
            continue;
        }
        let values = given.try_get_raw(id).ok().flatten().into_iter().flatten();
        match argument.get_action() {
            ArgAction::Set | ArgAction::Append => all.extend(values.map(|value| with_value(long, value))),
            _ => all.push(format!("--{long}").into()),
        }
    }
    all.extend(words);
    Ok(all)
}

/// clap panics when it is asked for an option that the command does not have.
fn is_known(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok()
}

fn with_value(long: &str, value: &std::ffi::OsStr) -> OsString {
    let mut word = OsString::from(format!("--{long}="));
    word.push(value);
    word
}

/// Options that apply to both command lines, so that `--versus` cannot set them.
const SHARED_OPTIONS: [&str; 7] = ["versus", "repeat", "compare", "json", "quiet", "config", "color"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_together_as_in_a_shell() {
        let expected = ["--command", "GET {key}", "--tasks=2"].map(OsString::from);
        assert_eq!(split("--command 'GET {key}' --tasks=2"), Ok(expected.into()));
        assert!(split("--command 'GET").is_err_and(|why| why.contains("a quote is not closed")));
        assert!(split("  ").is_err_and(|why| why.contains("names no option")));
    }

    #[test]
    fn a_password_is_known_and_not_repeated() {
        for text in ["--url redis://:Xq7k@h", "--url='redis://a:Xq7k@h' --tasks 2"] {
            assert!(has_password(text), "{text}");
            let shown = shown(text);
            assert!(!shown.contains("Xq7k") && shown.contains("--url"), "{shown}");
        }
        assert!(!has_password("--url redis://h --tasks 2"));
        assert_eq!(shown("--connections 8"), "--connections 8");
    }
}
