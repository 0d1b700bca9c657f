//! What a run leaves behind: the options of output, and the files and streams that they name.
//!
//! Every file is opened before the run: a run whose report cannot be kept is not worth its time. What goes wrong while
//! they are written is told after the report was printed, of each file by name, and the others are still written.

use std::fs::File;
use std::io::{self, Write};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Map, Value};

use super::Failure;
use super::compare::Earlier;
use super::json::Document;
use super::live;
use super::memtier;
use super::text::{self, Heading};
use crate::load::plot::{self, Format, Size};
use crate::load::{Report, hdr};

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Write the report as JSON to this file; with - to standard output, instead of the text
    #[arg(long, value_name = "FILE|-")]
    pub(super) json: Option<String>,
    /// Write the latencies of each interval as an HdrHistogram log (V2, nanoseconds), which HdrHistogram's own tools
    /// read
    #[arg(long, value_name = "FILE")]
    pub(super) hdr: Option<String>,
    /// Write the report in the shape of memtier_benchmark's --json-out-file, for tools that read that; what is not
    /// measured is 0 or absent
    #[arg(long, value_name = "FILE")]
    pub(super) memtier_json: Option<String>,
    /// Draw throughput and latency over time, with maintenance shaded and errors marked, and latency by percentile;
    /// may be given often
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = plot_file)]
    pub(super) plot: Vec<(String, Format)>,
    /// The size of the picture in pixels
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1200x800", value_parser = plot_size)]
    pub(super) plot_size: Size,
    /// Compare with an earlier report that --json has written: what is better, what is worse, and which options differed
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<String>,
    /// Show progress as a small table that is drawn anew in its place, instead of a line each second
    #[arg(long, conflicts_with = "quiet")]
    pub(super) live: bool,
    /// No progress; and with --json no text either
    #[arg(long)]
    pub(super) quiet: bool,
}

/// Where the report goes.
pub(super) struct Output {
    files: Vec<Sink>,
    json_to_stdout: bool,
    /// `None`: nowhere.
    text: Option<Box<dyn Write>>,
    /// How wide the terminal is that shows the text, if one does.
    width: Option<usize>,
    colored: bool,
    earlier: Option<Earlier>,
    plot_size: Size,
}

/// A file that is open, and what is to be written to it.
struct Sink {
    option: &'static str,
    path: String,
    file: File,
    content: Content,
}

#[derive(Debug, Clone, Copy)]
enum Content {
    Json,
    Hdr,
    Memtier,
    Plot(Format),
}

/// What is told of a run besides what was measured.
pub(super) struct Run {
    pub(super) heading: Heading,
    pub(super) config: Map<String, Value>,
}

impl Output {
    /// Reads the earlier report and opens the files.
    pub(super) fn new(args: &OutputArgs) -> Result<Output, Failure> {
        // Before the files are opened: the new report may take the old one's place.
        let earlier = args.compare.as_deref().map(Earlier::read).transpose();
        let earlier = earlier.map_err(|problem| Failure::Usage(format!("--compare: {problem}")))?;
        let json = args.json.as_deref().filter(|path| *path != "-");
        let plots = args.plot.iter().map(|(path, format)| ("--plot", path.as_str(), Content::Plot(*format)));
        let wanted = [
            json.map(|path| ("--json", path, Content::Json)),
            args.hdr.as_deref().map(|path| ("--hdr", path, Content::Hdr)),
            args.memtier_json.as_deref().map(|path| ("--memtier-json", path, Content::Memtier)),
        ];
        let mut files: Vec<Sink> = Vec::new();
        for (option, path, content) in wanted.into_iter().flatten().chain(plots) {
            if let Some(other) = files.iter().find(|sink| sink.path == path && !path.starts_with("/dev/")) {
                let message = format!("{option}: {} writes to {path} already", other.option);
                return Err(Failure::Usage(message));
            }
            let file = File::create(path)
                .map_err(|error| Failure::Usage(format!("{option}: cannot write to {path}: {error}")))?;
            files.push(Sink { option, path: path.to_owned(), file, content });
        }
        let json_to_stdout = args.json.as_deref() == Some("-");
        let silent = args.quiet && args.json.is_some();
        let (text, width): (Box<dyn Write>, Option<usize>) = match json_to_stdout {
            true => (Box::new(io::stderr()), live::width_of(io::stderr())),
            false => (Box::new(io::stdout()), live::width_of(io::stdout())),
        };
        Ok(Output {
            files,
            json_to_stdout,
            text: (!silent).then_some(text),
            colored: width.is_some() && !super::is_colorless(),
            width,
            earlier,
            plot_size: args.plot_size,
        })
    }

    /// Prints the report, then writes the files.
    pub(super) fn write(self, run: &Run, report: &Report) -> anyhow::Result<()> {
        let mut problems = Vec::new();
        let document = serde_json::to_value(Document::new(run.config.clone(), report));
        let document = document.context("could not put the report into JSON")?;
        if self.json_to_stdout {
            let mut out = io::stdout();
            let written = pretty(&document).and_then(|json| whole(&mut out, &json));
            problems.extend(written.context("could not write the report as JSON to standard output").err());
        }
        if let Some(mut out) = self.text {
            let mut text = text::report(&run.heading, report, self.width);
            if let Some(earlier) = &self.earlier {
                text.push('\n');
                text.push_str(&text::wrapped(
                    &earlier.compared(&document, self.width, self.colored),
                    self.width,
                ));
            }
            let written = whole(&mut out, text.as_bytes()).context("could not write the report");
            problems.extend(written.err());
        }
        for mut sink in self.files {
            let content = match sink.content {
                Content::Json => pretty(&document),
                Content::Memtier => memtier::document(&run.config, report).and_then(|json| pretty(&json)),
                Content::Hdr => hdr::log(&report.recorded).map_err(|problem| anyhow!(problem)),
                Content::Plot(format) => {
                    let picture = plot::run::picture(self.plot_size, run.heading.lines(), report);
                    picture.encode(format).map_err(|problem| anyhow!(problem))
                }
            };
            let written = content.and_then(|content| whole(&mut sink.file, &content));
            let Sink { option, path, .. } = sink;
            problems.extend(written.with_context(|| format!("{option}: could not write to {path}")).err());
        }
        let told: Vec<String> = problems.iter().map(|problem| format!("{problem:#}")).collect();
        if told.is_empty() { Ok(()) } else { Err(anyhow!(told.join("\n       "))) }
    }
}

pub(super) fn pretty(json: &Value) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(json)?;
    text.push(b'\n');
    Ok(text)
}

pub(super) fn whole(out: &mut impl Write, content: &[u8]) -> anyhow::Result<()> {
    out.write_all(content)?;
    Ok(out.flush()?)
}

/// A file whose name says which format it gets.
pub(super) fn plot_file(text: &str) -> Result<(String, Format), String> {
    let format = Format::of(text).ok_or("allowed: a file whose name ends in .svg or .png")?;
    Ok((text.to_owned(), format))
}

/// `WIDTHxHEIGHT` in pixels.
pub(super) fn plot_size(text: &str) -> Result<Size, String> {
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
