//! `hitless licenses`: prints the license texts that must accompany the program.
//!
//! The binary is often copied without its repository, and the license of its font requires the notice in every copy.

use std::io::{self, Write};

use anyhow::Context;
use clap::Args;

use crate::cli::exit::{Failure, SUCCESS};

/// Options of `hitless licenses`: there are none.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LicensesArgs {}

/// Prints the texts and returns the exit code.
pub(crate) fn run() -> Result<u8, Failure> {
    let mut out = io::stdout();
    let written = write_to(&mut out).and_then(|()| out.flush());
    written.context("could not write the licenses").map_err(Failure::Failed)?;
    Ok(SUCCESS)
}

fn write_to(out: &mut impl Write) -> io::Result<()> {
    for (subject, text) in LICENSES {
        writeln!(out, "==== {subject}\n\n{}\n", text.trim_end())?;
    }
    Ok(())
}

const LICENSES: &[(&str, &str)] = &[
    ("hitless, at your choice: the MIT license", include_str!("../../LICENSE-MIT")),
    ("hitless, at your choice: the Apache license 2.0", include_str!("../../LICENSE-APACHE")),
    ("the font in pictures, DejaVu Sans", include_str!("../../LICENSE-DEJAVU")),
];

const EXAMPLES: &str = "\
Examples:
  hitless licenses > LICENSES
      To ship with a copy of the binary, e.g. in a container image.

Exit codes:
  0 all well · 1 the texts could not be written · 2 usage";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_of_the_font_is_printed() {
        let mut out = Vec::new();
        write_to(&mut out).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("text");
        for notice in ["MIT License", "Apache License", "Bitstream Vera Fonts Copyright", "Tavmjong Bah"] {
            assert!(text.contains(notice), "{notice}");
        }
    }
}
