//! Text styles for terminals. `--color` decides first, then `NO_COLOR`, `CLICOLOR_FORCE` and `CLICOLOR`, then whether
//! the stream is a terminal.

use std::env;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU8, Ordering};

use clap::builder::styling::{AnsiColor, Style};

/// The value of `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Auto,
    Always,
    Never,
}

/// The style of a text, by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Heading,
    Good,
    Warning,
    Error,
}

/// Text styles for one output stream; disabled when it is not a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

/// One value for the whole process, which has one command line.
static CHOICE: AtomicU8 = AtomicU8::new(Choice::Auto as u8);

/// Remembers the value of `--color`.
pub(super) fn choose(choice: Choice) {
    CHOICE.store(choice as u8, Ordering::Relaxed);
}

impl Choice {
    /// The values of `--color`.
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
    /// The styles for this stream.
    pub(super) fn of(stream: &impl IsTerminal) -> Paint {
        let is_on = match CHOICE.load(Ordering::Relaxed) {
            always if always == Choice::Always as u8 => true,
            never if never == Choice::Never as u8 => false,
            _ => wanted(|name| env::var(name).ok(), stream.is_terminal()),
        };
        Paint::new(is_on)
    }

    /// Enabled or disabled styles, for tests.
    pub(super) fn new(is_on: bool) -> Paint {
        Paint { is_on }
    }

    pub(super) fn is_on(self) -> bool {
        self.is_on
    }

    /// The text in this style, or as it is if styles are disabled.
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

/// Whether the environment asks for colors, see <https://no-color.org> and <https://bixense.com/clicolors>.
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
    fn the_environment_overrides_the_terminal() {
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
    fn disabled_styles_leave_the_text_unchanged() {
        assert_eq!(Paint::new(false).with(Ink::Error, "bad"), "bad");
        assert_eq!(Paint::new(true).with(Ink::Error, "bad"), "\u{1b}[31mbad\u{1b}[0m");
        for word in Choice::WORDS {
            assert!(Choice::from_word(word).is_some(), "{word}");
        }
    }
}
