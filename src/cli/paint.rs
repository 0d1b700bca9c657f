//! Colours, where somebody sees them and wants them: `--color`, then `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`, and the
//! terminal.

use std::env;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU8, Ordering};

use clap::builder::styling::{AnsiColor, Style};

/// What `--color` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Auto,
    Always,
    Never,
}

/// What words are written in, by what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Heading,
    Good,
    Warning,
    Error,
}

/// A brush for one stream, which may be dry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

/// One for the whole process: it has one command line.
static CHOICE: AtomicU8 = AtomicU8::new(Choice::Auto as u8);

/// Remembers what the command line says.
pub(super) fn choose(choice: Choice) {
    CHOICE.store(choice as u8, Ordering::Relaxed);
}

impl Choice {
    /// The words that `--color` takes.
    pub(super) const WORDS: [&'static str; 3] = ["auto", "always", "never"];

    pub(super) fn from_word(word: &str) -> Option<Choice> {
        match word {
            "auto" => Some(Choice::Auto),
            "always" => Some(Choice::Always),
            "never" => Some(Choice::Never),
            _ => None,
        }
    }
}

impl Paint {
    /// For what is written to this stream.
    pub(super) fn of(stream: &impl IsTerminal) -> Paint {
        let is_on = match CHOICE.load(Ordering::Relaxed) {
            always if always == Choice::Always as u8 => true,
            never if never == Choice::Never as u8 => false,
            _ => wanted(|name| env::var(name).ok(), stream.is_terminal()),
        };
        Paint::new(is_on)
    }

    /// For a test, or for whoever has decided already.
    pub(super) fn new(is_on: bool) -> Paint {
        Paint { is_on }
    }

    pub(super) fn is_on(self) -> bool {
        self.is_on
    }

    /// The text, in this ink if the brush is not dry.
    pub(super) fn with(self, ink: Ink, text: &str) -> String {
        let style = match ink {
            Ink::Heading => Style::new().bold(),
            Ink::Good => AnsiColor::Green.on_default(),
            Ink::Warning => AnsiColor::Yellow.on_default(),
            Ink::Error => AnsiColor::Red.on_default(),
        };
        match self.is_on {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }
}

/// What the environment says: <https://no-color.org> and <https://bixense.com/clicolors>.
fn wanted(variable: impl Fn(&str) -> Option<String>, is_terminal: bool) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let is_zero = |name: &str| variable(name).is_some_and(|value| value == "0");
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") {
        return true;
    }
    is_terminal && !is_zero("CLICOLOR") && variable("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_unless_the_environment_says_otherwise() {
        for (variables, at_a_terminal, in_a_pipe) in [
            (&[][..], true, false),
            (&[("NO_COLOR", "1")], false, false),
            (&[("NO_COLOR", "")], true, false),
            (&[("CLICOLOR", "0")], false, false),
            (&[("CLICOLOR", "1")], true, false),
            (&[("CLICOLOR_FORCE", "1")], true, true),
            (&[("CLICOLOR_FORCE", "0")], true, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, false),
            (&[("TERM", "dumb")], false, false),
            (&[("TERM", "xterm")], true, false),
        ] {
            let variable =
                |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(wanted(variable, true), at_a_terminal, "{variables:?}");
            assert_eq!(wanted(variable, false), in_a_pipe, "{variables:?}");
        }
    }

    #[test]
    fn a_dry_brush_leaves_no_trace() {
        assert_eq!(Paint::new(false).with(Ink::Error, "bad"), "bad");
        assert_eq!(Paint::new(true).with(Ink::Error, "bad"), "\u{1b}[31mbad\u{1b}[0m");
        for word in Choice::WORDS {
            assert!(Choice::from_word(word).is_some(), "{word}");
        }
    }
}
