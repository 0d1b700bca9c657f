//! The live table: a few lines on the terminal that are redrawn in place.
//!
//! It needs only the terminal's width, cursor movement and erasing. The cursor stays visible, so that an abrupt end
//! leaves nothing to restore. A line of the log first erases the table, so that the two never mix.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cli::units::{grouped, micros};
use crate::load::{Limit, Percentiles, Second};

fn drawn() -> MutexGuard<'static, Vec<usize>> {
    DRAWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The width and height of the terminal behind standard error, in characters.
pub(crate) fn size() -> (usize, usize) {
    match terminal_size::terminal_size_of(io::stderr()) {
        Some((width, height)) if width.0 > 0 => (usize::from(width.0).max(WIDTH_MIN), usize::from(height.0)),
        _ => (WIDTH, HEIGHT),
    }
}

/// The width of the terminal behind a stream; `None` if there is none.
pub(crate) fn width_of(stream: impl AsFd + IsTerminal) -> Option<usize> {
    let width = |(width, _): (terminal_size::Width, _)| usize::from(width.0).max(WIDTH_MIN);
    let is_terminal = stream.is_terminal();
    is_terminal.then(|| terminal_size::terminal_size_of(stream).map_or(WIDTH, width))
}

/// Draws these lines in place of the previous ones.
pub(crate) fn draw(lines: &[String]) {
    let (width, height) = size();
    let mut drawn = drawn();
    // One write: the terminal never shows half a table.
    let mut text = erase_sequence(&drawn, width);
    drawn.clear();
    // One line less than the height: the cursor stands below. One column less than the width: some terminals wrap a
    // full line.
    for line in lines.iter().take(height.saturating_sub(1).max(1)) {
        let line = cut(line, width - 1);
        drawn.push(line.chars().count());
        text.push_str(&line);
        text.push('\n');
    }
    // A closed terminal must not end the run.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Leaves the drawn lines in place. Later output goes below them.
pub(crate) fn finish() {
    drawn().clear();
}

/// Moves from below the drawn lines to the first one and erases them. A terminal that has become narrower has wrapped
/// them.
fn erase_sequence(drawn: &[usize], width: usize) -> String {
    let rows: usize = drawn.iter().map(|length| length.div_ceil(width).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A{ERASE}") }
}

/// As much of a line as fits.
pub(crate) fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    short.truncate(short.trim_end_matches([' ', '·']).len());
    short + "…"
}

/// Standard error for the log, which erases the table before it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut drawn = drawn();
        if !drawn.is_empty() {
            let away = erase_sequence(&drawn, size().0);
            drawn.clear();
            io::stderr().write_all(away.as_bytes())?;
        }
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The lines of the table. None is longer than `width`, unless the terminal is very narrow.
pub(crate) fn table(second: &Second, limit: Limit, width: usize) -> Vec<String> {
    let mut lines = vec![header(second, limit, width)];
    let recent = (second.p50, second.p99, second.p99_9, second.max);
    let overall = second.overall;
    let of_all = |part: fn(Percentiles) -> Duration| overall.map(part);
    let so_far = (
        of_all(|tail| tail.p50),
        of_all(|tail| tail.p99),
        of_all(|tail| tail.p99_9),
        of_all(|tail| tail.max),
    );
    let rate = second.answered as f64 / second.elapsed.as_secs_f64().max(1e-3);
    lines.push(row("", "commands/s", ["p50", "p99", "p99.9", "max"].map(str::to_owned), width));
    for (name, rate, (p50, p99, p99_9, max)) in
        [("last second", second.throughput_per_second, recent), ("so far", rate, so_far)]
    {
        let cells = [p50, p99, p99_9, max].map(latency);
        lines.push(row(name, &grouped(rate as u64), cells, width));
    }
    lines.push(format!("answered {} · failed {}", grouped(second.answered), grouped(second.failed)));
    lines.push(maintenance(second).unwrap_or_else(|| "no maintenance".to_owned()));
    lines.extend(second.connections.map(|connections| format!("connections {connections}")));
    lines
}

/// The progress of the run, with a bar if it fits.
fn header(second: &Second, limit: Limit, width: usize) -> String {
    let (text, share) = match limit {
        Limit::Duration(whole) => {
            let text = format!("{} s of {} s", second.elapsed.as_secs(), whole.as_secs_f64());
            (text, second.elapsed.as_secs_f64() / whole.as_secs_f64().max(1e-9))
        }
        Limit::Requests(all) => {
            let text = format!("{} of {}", grouped(second.issued), grouped(all));
            (text, second.issued as f64 / all.max(1) as f64)
        }
    };
    let room = width.saturating_sub(text.chars().count() + 5).min(40);
    if room < 8 {
        return text;
    }
    let full = ((share.clamp(0.0, 1.0) * room as f64).round() as usize).min(room);
    format!("{text}  [{}{}]", "#".repeat(full), "-".repeat(room - full))
}

/// One line of the table, with as many cells as fit.
fn row(name: &str, rate: &str, cells: [String; 4], width: usize) -> String {
    let (name, first) = if width < 60 { (short(name), 8) } else { (name, 12) };
    let mut line = format!("{name:first$}{rate:>11}");
    for cell in cells {
        if line.chars().count() + 10 > width {
            break;
        }
        line.push_str(&format!("{cell:>9}"));
    }
    line
}

fn short(name: &str) -> &str {
    name.trim_start_matches("last ")
}

pub(crate) fn latency(latency: Option<Duration>) -> String {
    latency.map_or_else(|| "-".to_owned(), |latency| micros(latency.as_nanos() as f64 / 1e3))
}

/// The maintenance of the last second, if there was one.
pub(crate) fn maintenance(second: &Second) -> Option<String> {
    let Some(moving) = second.moving else { return second.maintenance.map(str::to_owned) };
    let mut text = format!("MOVING → {}", moving.to);
    if moving.connections > 0 {
        text.push_str(&format!(" · {}/{} handed off", moving.handed_off, moving.connections));
    }
    Some(text)
}

/// The length of each line of the table that is on the terminal now.
static DRAWN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Erases from the cursor to the end of the screen.
const ERASE: &str = "\x1b[J";
/// The assumed size of a terminal that reports none, and the smallest width that is drawn for.
const WIDTH: usize = 80;
const WIDTH_MIN: usize = 20;
const HEIGHT: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_its_terminal() {
        for width in [40, 60, 80, 200] {
            for limit in [Limit::Duration(Duration::from_secs(10)), Limit::Requests(5_000_000)] {
                let lines = table(&Second::example(), limit, width);
                assert_eq!(lines.len(), 7);
                for line in &lines {
                    assert!(line.chars().count() < width, "{line:?} in {width} columns");
                }
            }
        }
        let lines = table(&Second::example(), Limit::Duration(Duration::from_secs(10)), 80);
        assert_eq!(lines[0], "3 s of 10 s  [############----------------------------]");
        assert_eq!(lines[1], "             commands/s      p50      p99    p99.9      max");
        assert_eq!(lines[2], "last second     812,345  78.1 µs  1.20 ms  3.10 ms  9.90 ms");
        assert_eq!(lines[3], "so far          666,222  77.0 µs  1.10 ms  3.00 ms  9.90 ms");
        assert_eq!(lines[4], "answered 2,000,000 · failed 7");
        assert_eq!(lines[5..], ["no maintenance", "connections 4"]);
    }

    #[test]
    fn a_narrower_terminal_has_wrapped_the_lines() {
        assert_eq!(erase_sequence(&[], 80), "");
        assert_eq!(erase_sequence(&[10, 79, 0], 80), "\r\x1b[3A\x1b[J");
        assert_eq!(erase_sequence(&[10, 79, 0], 40), "\r\x1b[4A\x1b[J");
    }

    #[test]
    fn long_lines_are_cut() {
        assert_eq!(cut("answered 5 · failed 7", 40), "answered 5 · failed 7");
        assert_eq!(cut("answered 5 · failed 7", 13), "answered 5…");
    }
}
