//! The output options, and the report that goes to the files and streams that they name.

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Map, Value};

use crate::cli::exit::Failure;
use crate::cli::report::compare::Baseline;
use crate::cli::report::json;
use crate::cli::report::published::Published;
use crate::cli::report::sink::{self, Sink};
use crate::cli::report::tables::{self, RepeatedRun};
use crate::cli::report::text::{self, Heading};
use crate::cli::terminal::live;
use crate::cli::terminal::style::Styles;
use crate::load::hdr;
use crate::load::plot::{self, Format, Size};

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Write the report as JSON to this file; - writes it to standard output, in place of the text
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<String>,
    /// Write the latencies of each interval as an HdrHistogram log (V2, nanoseconds), which HdrHistogram's own tools
    /// read
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr: Option<String>,
    /// Write the report in the format of memtier_benchmark's --json-out-file; figures that are not measured are 0 or
    /// absent
    #[arg(long, value_name = "FILE")]
    pub(crate) memtier_json: Option<String>,
    /// Draw throughput and latency over time, with maintenance shaded and errors marked, and latency by percentile;
    /// repeatable
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = plot_file)]
    pub(crate) plot: Vec<(String, Format)>,
    /// The size of the picture in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1200x800", value_parser = plot_size)]
    pub(crate) plot_size: Size,
    /// Compare with an earlier report of --json: which figures are better or worse, and which options differ
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<String>,
    /// Show progress as a small table that is redrawn in place, instead of a line each second
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) live: bool,
    /// Show no progress; with --json, no text either
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// The destinations of a report.
pub(crate) struct Output {
    sinks: Vec<(Sink, ReportKind)>,
    /// `None` if no text is wanted.
    text: Option<Box<dyn Write>>,
    /// The columns of the terminal that shows the text; `None` without a terminal.
    width: Option<usize>,
    styles: Styles,
    baseline: Option<Baseline>,
    plot_size: Size,
}

#[derive(Debug, Clone, Copy)]
enum ReportKind {
    Json,
    Hdr,
    Memtier,
    Plot(Format),
}

/// The description of a run that accompanies its measurements.
pub(crate) struct RunDescription<R> {
    pub(crate) heading: Heading,
    pub(crate) config: Map<String, Value>,
    /// All repeats; the report is one of them.
    pub(crate) repeats: Vec<R>,
    /// The alternating runs with the options of `--versus`.
    pub(crate) versus: Option<Baseline>,
}

impl Output {
    /// Reads the earlier report and opens the files.
    pub(crate) fn new(args: &OutputArgs) -> Result<Output, Failure> {
        // Before the files are opened: the new report may replace the old one.
        let baseline = args.compare.as_deref().map(Baseline::read).transpose();
        let baseline = baseline.map_err(|problem| Failure::Usage(format!("--compare: {problem}")))?;
        let mut sinks = Vec::new();
        sinks.extend(sink::open("--json", args.json.as_deref())?.map(|sink| (sink, ReportKind::Json)));
        if let Some(path) = &args.hdr {
            sinks.push((sink::file("--hdr", path)?, ReportKind::Hdr));
        }
        if let Some(path) = &args.memtier_json {
            sinks.push((sink::file("--memtier-json", path)?, ReportKind::Memtier));
        }
        for (path, format) in &args.plot {
            sinks.push((sink::file("--plot", path)?, ReportKind::Plot(*format)));
        }
        sink::check_distinct(sinks.iter().map(|(sink, _)| sink))?;
        let is_silent = args.quiet && args.json.is_some();
        // With JSON on standard output, the text goes to standard error.
        let (text, width, styles): (Box<dyn Write>, _, _) = match args.json.as_deref() {
            Some("-") => (Box::new(io::stderr()), live::width_of(io::stderr()), Styles::of(&io::stderr())),
            _ => (Box::new(io::stdout()), live::width_of(io::stdout()), Styles::of(&io::stdout())),
        };
        let text = (!is_silent).then_some(text);
        Ok(Output { sinks, text, styles, width, baseline, plot_size: args.plot_size })
    }

    /// Prints the report, then writes the files.
    pub(crate) fn write<R: Published>(self, run: &RunDescription<R>, report: &R) -> anyhow::Result<()> {
        let mut document = json::document(run.config.clone(), report, &run.repeats)?;
        let baseline = self.baseline.as_ref().or(run.versus.as_ref());
        if let Some(baseline) = baseline {
            baseline.add_to(&mut document);
        }
        let mut written = Vec::new();
        if let Some(mut out) = self.text {
            let mut text = report.text(&run.heading, self.width);
            let rows: Vec<RepeatedRun<'_>> = run.repeats.iter().map(row).collect();
            text.push_str(&tables::repeats(&rows, self.width));
            if let Some(baseline) = baseline {
                text.push('\n');
                let comparison = baseline.text(&document, self.width, self.styles);
                text.push_str(&text::wrapped(&comparison, self.width));
            }
            written.push(sink::write_whole(&mut out, text.as_bytes()).context("could not write the report"));
        }
        let overlay = baseline.map(Baseline::overlay);
        for (mut sink, content) in self.sinks {
            let content = match content {
                ReportKind::Json => Ok(sink::pretty(&document)),
                ReportKind::Memtier => report.memtier(&run.config).map(|json| sink::pretty(&json)),
                ReportKind::Hdr => hdr::log(report.recorded()).map_err(|problem| anyhow!(problem)),
                ReportKind::Plot(format) => {
                    let picture = plot::run::picture(
                        self.plot_size,
                        run.heading.lines(),
                        report.drawn(),
                        overlay.as_ref(),
                    );
                    picture.encode(format).map_err(|problem| anyhow!(problem))
                }
            };
            written.push(sink.write(content));
        }
        sink::combine(written)
    }
}

fn row<R: Published>(report: &R) -> RepeatedRun<'_> {
    RepeatedRun {
        per_second: report.throughput_per_second(),
        latency: report.latency(),
        failed: report.failed(),
        seconds: report.elapsed_seconds(),
    }
}

/// A file name whose ending selects the format.
pub(crate) fn plot_file(text: &str) -> Result<(String, Format), String> {
    let format = Format::of(text).ok_or("allowed: a file whose name ends in .svg or .png")?;
    Ok((text.to_owned(), format))
}

/// `WIDTHxHEIGHT` in pixels.
pub(crate) fn plot_size(text: &str) -> Result<Size, String> {
    let (least, most) = (Size::MIN, Size::MAX);
    let allowed = || {
        let Size { width, height } = least;
        format!(
            "allowed: WIDTHxHEIGHT in pixels, {width}x{height} to {}x{}, e.g. 1200x800",
            most.width, most.height
        )
    };
    let (width, height) = text.split_once(['x', '×']).ok_or_else(allowed)?;
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| allowed());
    let size = Size { width: number(width)?, height: number(height)? };
    let fits = (least.width..=most.width).contains(&size.width)
        && (least.height..=most.height).contains(&size.height);
    if fits { Ok(size) } else { Err(allowed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_pictures_have_bounds() {
        assert_eq!(plot_size("1200x800"), Ok(Size { width: 1200, height: 800 }));
        for nonsense in ["1200", "0x0", "10x10", "1e9x5", "99999x99999", "axb", ""] {
            let problem = plot_size(nonsense).unwrap_err();
            assert!(problem.contains("480x360 to 8000x8000"), "{problem}");
        }
        assert_eq!(plot_file("a.PNG"), Ok(("a.PNG".to_owned(), Format::Png)));
        assert!(plot_file("a.pdf").unwrap_err().contains(".svg or .png"));
    }
}
