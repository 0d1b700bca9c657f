//! Messages to the user on standard error.

use std::io::{self, Write};

use super::style::{Style, Styles};

/// Prints an error.
pub(crate) fn print_error(problem: &str) {
    print("error", Style::Error, problem);
}

/// Prints a line with a label. A closed stream has no reader to inform.
pub(crate) fn print(label: &str, style: Style, text: &str) {
    let mut err = io::stderr();
    let label = Styles::of(&err).apply(style, &format!("{label}:"));
    let _ = writeln!(err, "{label} {text}");
}
