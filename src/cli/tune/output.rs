//! Where the report of a sweep goes. Every file is opened before the sweep: one that cannot be kept is not worth its
//! time.

use std::fs::File;
use std::io::{self, Write};

use anyhow::{Context, anyhow};

use super::Told;
use super::args::OutputArgs;
use super::{json, plot, text};
use crate::cli::Failure;
use crate::cli::output::{pretty, whole};
use crate::load::plot::{Format, Size};

pub(super) struct Output {
    json: Option<Json>,
    plots: Vec<(String, Format, File)>,
    plot_size: Size,
    /// `None`: nowhere.
    text: Option<Box<dyn Write>>,
}

struct Json {
    path: String,
    out: Box<dyn Write>,
}

impl Output {
    pub(super) fn new(args: &OutputArgs) -> Result<Output, Failure> {
        let create = |option: &str, path: &str| {
            File::create(path)
                .map_err(|error| Failure::Usage(format!("{option}: cannot write to {path}: {error}")))
        };
        let is_piped = args.json.as_deref() == Some("-");
        let json = match args.json.as_deref() {
            None => None,
            Some("-") => Some(Json { path: "standard output".to_owned(), out: Box::new(io::stdout()) }),
            Some(path) => Some(Json { path: path.to_owned(), out: Box::new(create("--json", path)?) }),
        };
        let mut plots = Vec::new();
        for (path, format) in &args.plot {
            plots.push((path.clone(), *format, create("--plot", path)?));
        }
        let is_silent = args.quiet && args.json.is_some();
        let text: Box<dyn Write> = if is_piped { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        Ok(Output { json, plots, plot_size: args.plot_size, text: (!is_silent).then_some(text) })
    }

    /// Prints the report, then writes the files. One that cannot be written does not keep back the others.
    pub(super) fn write(self, told: &Told<'_>) -> anyhow::Result<()> {
        let mut problems = Vec::new();
        if let Some(mut out) = self.text {
            let written =
                whole(&mut out, text::report(told).as_bytes()).context("could not write the report");
            problems.extend(written.err());
        }
        if let Some(Json { path, mut out }) = self.json {
            let written = pretty(&json::document(told)).and_then(|json| whole(&mut out, &json));
            problems.extend(written.with_context(|| format!("--json: could not write to {path}")).err());
        }
        for (path, format, mut out) in self.plots {
            let picture = plot::picture(self.plot_size, told).encode(format);
            let written = picture.map_err(|why| anyhow!(why)).and_then(|picture| whole(&mut out, &picture));
            problems.extend(written.with_context(|| format!("--plot: could not write to {path}")).err());
        }
        let problems: Vec<String> = problems.iter().map(|problem| format!("{problem:#}")).collect();
        if problems.is_empty() { Ok(()) } else { Err(anyhow!(problems.join("\n       "))) }
    }
}
