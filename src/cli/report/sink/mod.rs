//! The destinations of reports. Each is checked before the work begins, so that no run is lost to a file that cannot
//! be written. A report that cannot be written is named in the error, and the others are still written.

mod destination;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::Value;

use self::destination::Destination;
use crate::cli::exit::Failure;

/// The checked destination of an option. A command opens all destinations with [`open`] or [`file`] and compares them
/// with [`check_distinct`] before its work begins, and writes each of them at most once, at the end. An existing file
/// keeps its content until then.
pub(crate) struct Sink {
    option: &'static str,
    name: String,
    /// `None` for standard output.
    destination: Option<Destination>,
}

/// Checks the destination of an option: a file, or standard output for `-`.
///
/// # Errors
/// The error names the option, the file and the problem.
pub(crate) fn open(option: &'static str, path: Option<&str>) -> Result<Option<Sink>, Failure> {
    match path {
        None => Ok(None),
        Some("-") => Ok(Some(Sink { option, name: "standard output".to_owned(), destination: None })),
        Some(path) => {
            let allowed = "a file that can be written, or - for standard output";
            check(option, Path::new(path), allowed).map(Some)
        }
    }
}

/// Checks the file of an option that does not take `-`.
///
/// # Errors
/// The error names the option, the file and the problem.
pub(crate) fn file(option: &'static str, path: impl AsRef<Path>) -> Result<Sink, Failure> {
    let (path, allowed) = (path.as_ref(), "a file that can be written");
    match path.as_os_str() == "-" {
        true => Err(Failure::Usage(format!("{option}: cannot write to {path:?}; allowed: {allowed}"))),
        false => check(option, path, allowed),
    }
}

fn check(option: &'static str, path: &Path, allowed: &str) -> Result<Sink, Failure> {
    let failure = |error: io::Error| {
        Failure::Usage(format!("{option}: cannot write to {path:?}: {error}; allowed: {allowed}"))
    };
    let destination = Destination::open(path).map_err(failure)?;
    Ok(Sink { option, name: path.display().to_string(), destination: Some(destination) })
}

/// Rejects two reports in one file.
///
/// # Errors
/// The error names both options and the file.
pub(crate) fn check_distinct<'a>(sinks: impl IntoIterator<Item = &'a Sink>) -> Result<(), Failure> {
    let mut seen: Vec<&Sink> = Vec::new();
    for sink in sinks {
        let is_same = |other: &&&Sink| match (&sink.destination, &other.destination) {
            (Some(one), Some(other)) => one.is_same_file(other),
            _ => false,
        };
        if let Some(other) = seen.iter().find(is_same) {
            let Sink { option, name, .. } = sink;
            let message =
                format!("{option}: {} writes to {name:?} already; allowed: another file", other.option);
            return Err(Failure::Usage(message));
        }
        seen.push(sink);
    }
    Ok(())
}

impl Sink {
    /// Writes the content, or passes on the error that prevented it.
    ///
    /// # Errors
    /// The error names the option and the file.
    pub(crate) fn write(&mut self, content: anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
        let written = content.and_then(|content| match &mut self.destination {
            None => write_whole(&mut io::stdout(), &content),
            Some(destination) => Ok(destination.write(&content)?),
        });
        written.with_context(|| format!("{}: could not write to {}", self.option, self.name))
    }

    /// Writes a document.
    ///
    /// # Errors
    /// The error names the option and the file.
    pub(crate) fn write_json(&mut self, document: &Value) -> anyhow::Result<()> {
        self.write(Ok(pretty(document)))
    }
}

/// A document as indented JSON.
pub(crate) fn pretty(document: &Value) -> Vec<u8> {
    format!("{document:#}\n").into_bytes()
}

/// Writes the content and flushes it.
pub(crate) fn write_whole(out: &mut impl Write, content: &[u8]) -> anyhow::Result<()> {
    out.write_all(content)?;
    Ok(out.flush()?)
}

/// The result of writing several reports. The error names every failed one. A closed pipe counts only if nothing else
/// failed: its reader has seen enough.
pub(crate) fn combine(written: impl IntoIterator<Item = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut problems: Vec<anyhow::Error> = written.into_iter().filter_map(Result::err).collect();
    match problems.iter().all(is_closed_pipe) {
        true => problems.truncate(1),
        false => problems.retain(|problem| !is_closed_pipe(problem)),
    }
    match problems.len() {
        0 => Ok(()),
        1 => problems.pop().map_or(Ok(()), Err),
        _ => {
            let messages: Vec<String> = problems.iter().map(|problem| format!("{problem:#}")).collect();
            Err(anyhow!(messages.join("\n       ")))
        }
    }
}

/// Whether a pipe has lost its reader.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_file_are_one_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let one = file("--json", path("a")).unwrap_or_else(|_| panic!("a file"));
        let same = file("--hdr", path("./a")).unwrap_or_else(|_| panic!("a file"));
        let other = file("--hdr", path("b")).unwrap_or_else(|_| panic!("a file"));
        let refused = check_distinct([&one, &other, &same]);
        assert!(matches!(refused, Err(Failure::Usage(why)) if why.starts_with("--hdr: --json writes to")));
        assert!(check_distinct([&one, &other]).is_ok());
        let device = || file("--json", "/dev/null").unwrap_or_else(|_| panic!("a device"));
        assert!(check_distinct([&device(), &device()]).is_ok());
        assert!(matches!(file("--hdr", "-"), Err(Failure::Usage(why)) if why.contains("allowed: a file")));
    }

    #[test]
    fn a_closed_pipe_hides_no_other_error() {
        let closed = || Err(anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)));
        let full = |name: &str| Err(anyhow!("{name} is full"));
        assert!(combine([Ok(()), Ok(())]).is_ok());
        assert!(is_closed_pipe(&combine([closed(), Ok(()), closed()]).expect_err("closed")));
        let failure = combine([closed(), full("a"), full("b")]).expect_err("full");
        assert_eq!(failure.to_string(), "a is full\n       b is full");
        assert!(!is_closed_pipe(&combine([full("a"), closed()]).expect_err("full")));
    }
}
