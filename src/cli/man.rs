//! `hitless man`: writes the manual pages, from the same descriptions as `--help`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

use crate::cli::exit::{Failure, SUCCESS};
use crate::cli::options::help;
use crate::cli::report::sink;

/// Options of `hitless man`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Write hitless.1, hitless-bench.1 and so on into this directory, which is created if needed [default: write
    /// hitless.1 to standard output]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Writes the pages of this command line and returns the exit code.
pub(crate) fn run(args: &ManArgs, command: Command) -> Result<u8, Failure> {
    let pages = pages(command).context("could not make the pages").map_err(Failure::Failed)?;
    let Some(directory) = &args.directory else {
        let mut out = io::stdout();
        let first = pages.first().map(|(_, page)| page.as_slice()).unwrap_or_default();
        let written = out.write_all(first).and_then(|()| out.flush());
        written.context("could not write the page").map_err(Failure::Failed)?;
        return Ok(SUCCESS);
    };
    let failure = |error: io::Error, path: &std::path::Path| {
        Failure::Usage(format!("DIR: cannot write to {path:?}: {error}; allowed: a directory"))
    };
    std::fs::create_dir_all(directory).map_err(|error| failure(error, directory))?;
    let sink = |(name, page): (String, Vec<u8>)| Ok((sink::file("DIR", directory.join(name))?, page));
    let sinks = pages.into_iter().map(sink).collect::<Result<Vec<_>, Failure>>()?;
    let written = sinks.into_iter().map(|(mut sink, page)| sink.write(Ok(page)));
    sink::combine(written).map_err(Failure::Failed)?;
    Ok(SUCCESS)
}

/// Each page with the name of its file; the page of the whole command comes first.
fn pages(command: Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut top = command.disable_help_subcommand(true);
    top.build();
    let mut pages = vec![page(&top)?];
    for subcommand in top.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        pages.push(page(subcommand)?);
    }
    Ok(pages)
}

fn page(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // The renderer expects that there is something to render.
    let (has_subcommands, has_version) = (command.has_subcommands(), command.get_version().is_some());
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .manual("hitless")
        .source(concat!("hitless ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(notes_as_sections(&notes).as_bytes());
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok((format!("{name}.1"), help::without_joiners(&String::from_utf8_lossy(&page)).into_bytes()))
}

/// The text below the options: each heading becomes a section, and lines are kept as they are.
fn notes_as_sections(notes: &str) -> String {
    let mut out = String::new();
    let mut is_open = false;
    for line in notes.lines() {
        let heading = line.strip_suffix(':').filter(|heading| is_heading(heading));
        if let Some(heading) = heading {
            let end = if is_open { ".fi\n" } else { "" };
            out.push_str(&format!("{end}.SH {}\n.nf\n", quoted(&heading.to_uppercase())));
            is_open = true;
            continue;
        }
        if !is_open {
            out.push_str(".SH NOTES\n.nf\n");
            is_open = true;
        }
        out.push_str(&escaped(line));
        out.push('\n');
    }
    if is_open {
        out.push_str(".fi\n");
    }
    out
}

/// Whether a line is a heading: one or two words at the margin.
fn is_heading(text: &str) -> bool {
    text.starts_with(char::is_uppercase) && text.split(' ').count() <= 2
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\(dq"))
}

/// Escapes a line for roff: its special characters, hyphens (so that options can be copied) and a leading dot.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('·', "\\(bu");
    match line.starts_with('.') {
        true => format!("\\&{line}"),
        false => line,
    }
}

const EXAMPLES: &str = "\
Examples:
  hitless man | man -l -
      Read the page of the whole command.
  hitless man ~/.local/share/man/man1
      Install all pages; read one with man hitless-bench.

Exit codes:
  0 all well · 1 a page could not be made · 2 usage, or the directory cannot be written";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::description;

    #[test]
    fn every_command_has_a_page_with_every_option() {
        let pages = pages(description::command()).expect("pages");
        let mut command = description::command();
        command.build();
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            let file = format!("hitless-{}.1", subcommand.get_name());
            let (_, page) = pages.iter().find(|(name, _)| *name == file).expect("a page");
            let page = std::str::from_utf8(page).expect("text").replace('\\', "");
            for argument in subcommand.get_opts().filter(|argument| !argument.is_hide_set()) {
                let long = argument.get_long().expect("every option has a long name");
                assert!(page.contains(&format!("--{long}")), "{file}: --{long}");
            }
        }
        assert_eq!(pages[0].0, "hitless.1");
        let (_, bench) = pages.iter().find(|(name, _)| name == "hitless-bench.1").expect("a page");
        let bench = std::str::from_utf8(bench).expect("text");
        assert!(bench.contains("{n} (a number"), "{bench}");
    }

    #[test]
    fn examples_keep_their_lines_and_are_escaped() {
        let notes = "Examples:\n  hitless x --y 'a\\b'\n.so /etc/passwd\n\nExit codes:\n  0 · 1";
        let expected = ".SH \"EXAMPLES\"\n.nf\n  hitless x \\-\\-y \\(aqa\\eb\\(aq\n\\&.so /etc/passwd\n\n.fi\n\
                        .SH \"EXIT CODES\"\n.nf\n  0 \\(bu 1\n.fi\n";
        assert_eq!(notes_as_sections(notes), expected);
        assert_eq!(notes_as_sections("a note"), ".SH NOTES\n.nf\na note\n.fi\n");
        assert_eq!(notes_as_sections(""), "");
    }
}
