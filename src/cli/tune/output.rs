//! The destinations of a sweep's report.

use std::io::{self, Write};

use anyhow::{Context, anyhow};

use super::args::OutputArgs;
use super::report_input::ReportInput;
use super::{json, plot, text};
use crate::cli::exit::Failure;
use crate::cli::report::sink::{self, Sink};
use crate::load::plot::{Format, Size};

pub(super) struct Output {
    json: Option<Sink>,
    plots: Vec<(Sink, Format)>,
    plot_size: Size,
    /// `None` if no text is wanted.
    text: Option<Box<dyn Write>>,
}

impl Output {
    /// Opens all destinations before the sweep.
    pub(super) fn new(args: &OutputArgs) -> Result<Output, Failure> {
        let json = sink::open("--json", args.json.as_deref())?;
        let plot = |(path, format): &(String, Format)| Ok((sink::file("--plot", path)?, *format));
        let plots = args.plot.iter().map(plot).collect::<Result<Vec<_>, Failure>>()?;
        sink::check_distinct(json.iter().chain(plots.iter().map(|(sink, _)| sink)))?;
        let is_piped = args.json.as_deref() == Some("-");
        let is_silent = args.quiet && args.json.is_some();
        let text: Box<dyn Write> = if is_piped { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        Ok(Output { json, plots, plot_size: args.plot_size, text: (!is_silent).then_some(text) })
    }

    /// Prints the report, then writes the files. A failed write does not prevent the others.
    pub(super) fn write(self, input: &ReportInput<'_>) -> anyhow::Result<()> {
        let mut written = Vec::new();
        if let Some(mut out) = self.text {
            let text = text::report(input);
            written.push(sink::write_whole(&mut out, text.as_bytes()).context("could not write the report"));
        }
        if let Some(mut sink) = self.json {
            written.push(sink.write_json(&json::document(input)));
        }
        for (mut sink, format) in self.plots {
            let picture = plot::picture(self.plot_size, input).encode(format);
            written.push(sink.write(picture.map_err(|why| anyhow!(why))));
        }
        sink::combine(written)
    }
}
