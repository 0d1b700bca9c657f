//! Text styles for terminals. `--color` decides first, then `NO_COLOR`, `CLICOLOR_FORCE` and `CLICOLOR`, then whether
//! the stream is a terminal.

use std::env;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU8, Ordering};

use clap::builder::styling;
use clap::builder::styling::AnsiColor;

/// The value of `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// The style of a text, by its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Heading,
    Good,
    Warning,
    Error,
}

/// Text styles for one output stream; disabled when it is not a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Styles {
    is_enabled: bool,
}

/// Remembers the value of `--color`.
pub(crate) fn set_color_choice(choice: ColorChoice) {
    COLOR_CHOICE.store(choice as u8, Ordering::Relaxed);
}

impl ColorChoice {
    /// The values of `--color`.
    pub(crate) const VALUES: [&'static str; 3] = ["auto", "always", "never"];

    pub(crate) fn from_value(text: &str) -> Option<ColorChoice> {
        match text {
            "auto" => Some(ColorChoice::Auto),
            "always" => Some(ColorChoice::Always),
            "never" => Some(ColorChoice::Never),
            _ => None,
        }
    }
}

impl Styles {
    /// The styles for this stream.
    pub(crate) fn of(stream: &impl IsTerminal) -> Styles {
        let is_enabled = match COLOR_CHOICE.load(Ordering::Relaxed) {
            always if always == ColorChoice::Always as u8 => true,
            never if never == ColorChoice::Never as u8 => false,
            _ => environment_wants(|name| env::var(name).ok(), stream.is_terminal()),
        };
        Styles::new(is_enabled)
    }

    /// Enabled or disabled styles, for tests.
    pub(crate) fn new(is_enabled: bool) -> Styles {
        Styles { is_enabled }
    }

    pub(crate) fn is_enabled(self) -> bool {
        self.is_enabled
    }

    /// The text in this style, or as it is if styles are disabled.
    pub(crate) fn apply(self, style: Style, text: &str) -> String {
        let ansi = match style {
            Style::Heading => styling::Style::new().bold(),
            Style::Good => AnsiColor::Green.on_default(),
            Style::Warning => AnsiColor::Yellow.on_default(),
            Style::Error => AnsiColor::Red.on_default(),
        };
        match self.is_enabled {
            true => format!("{ansi}{text}{ansi:#}"),
            false => text.to_owned(),
        }
    }
}

/// Whether the environment asks for colors, see <https://no-color.org> and <https://bixense.com/clicolors>.
fn environment_wants(variable: impl Fn(&str) -> Option<String>, is_terminal: bool) -> bool {
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

/// One value for the whole process, which has one command line.
static COLOR_CHOICE: AtomicU8 = AtomicU8::new(ColorChoice::Auto as u8);

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
            assert_eq!(environment_wants(variable, true), at_a_terminal, "{variables:?}");
            assert_eq!(environment_wants(variable, false), in_a_pipe, "{variables:?}");
        }
    }

    #[test]
    fn disabled_styles_leave_the_text_unchanged() {
        assert_eq!(Styles::new(false).apply(Style::Error, "bad"), "bad");
        assert_eq!(Styles::new(true).apply(Style::Error, "bad"), "\u{1b}[31mbad\u{1b}[0m");
        for word in ColorChoice::VALUES {
            assert!(ColorChoice::from_value(word).is_some(), "{word}");
        }
    }
}
