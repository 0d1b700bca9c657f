//! The tables of a report: latencies, kinds of commands, repeats and maintenance windows.

use std::fmt::Write;

use crate::cli::units::{bytes, grouped, micros};
use crate::load::{Latency, Report};

/// A column of a table. A lower `importance` is more important.
struct Column {
    name: &'static str,
    importance: u8,
    width: usize,
}

const fn column(name: &'static str, importance: u8) -> Column {
    Column { name, importance, width: 8 }
}

/// Which columns fit beside a first one of `first` characters.
fn fitting(columns: &[Column], first: usize, width: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|place| columns.get(*place).map(|column| column.importance));
    let (mut room, mut kept) = (width.saturating_sub(first), vec![false; columns.len()]);
    for place in order {
        let (Some(column), Some(keep)) = (columns.get(place), kept.get_mut(place)) else { continue };
        // A less important column must not replace one that did not fit.
        *keep = column.width <= room;
        room = if *keep { room - column.width } else { 0 };
    }
    kept
}

fn write_table_row(
    out: &mut String,
    first: &str,
    columns: &[Column],
    kept: &[bool],
    cells: &[String],
) -> std::fmt::Result {
    write!(out, "{first:12}")?;
    for ((column, cell), _) in columns.iter().zip(cells).zip(kept).filter(|(_, keep)| **keep) {
        write!(out, "{cell:>0$}", column.width)?;
    }
    writeln!(out)
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.to_owned()).collect()
}

pub(crate) fn write_latencies(out: &mut String, report: &Report, width: usize) -> std::fmt::Result {
    let rows = [
        ("latency", report.latency_us.as_ref()),
        ("with failed", report.latency_with_failures_us.as_ref()),
        ("in handoffs", report.latency_during_handoff_us.as_ref()),
        ("service time", report.service_time_us.as_ref()),
    ];
    if rows.iter().all(|(_, row)| row.is_none()) {
        return Ok(());
    }
    let kept = fitting(&LATENCIES, 12, width);
    writeln!(out)?;
    write_table_row(out, "", &LATENCIES, &kept, &names(&LATENCIES))?;
    for (name, row) in rows {
        let Some(row) = row else { continue };
        let numbers = [row.min, row.mean, row.p50, row.p90, row.p99, row.p99_9, row.p99_99, row.max];
        write_table_row(out, name, &LATENCIES, &kept, &numbers.map(micros))?;
    }
    if let Some(gap) = report.longest_gap_us {
        writeln!(out, "longest gap   {} between two completions of one caller", micros(gap))?;
    }
    write_coverage(out, report)
}

/// Writes a row for each kind of command, if there are several or one that can miss.
pub(crate) fn write_kinds(out: &mut String, report: &Report, width: usize) -> std::fmt::Result {
    let kinds = &report.by_command;
    if kinds.len() < 2 && kinds.values().all(|kind| kind.hits.is_none()) {
        return Ok(());
    }
    let kept = fitting(&KINDS, 12, width);
    writeln!(out)?;
    write_table_row(out, "", &KINDS, &kept, &names(&KINDS))?;
    for (name, kind) in kinds {
        let cell = |part: fn(&Latency) -> f64| {
            kind.latency_us.as_ref().map_or_else(|| "-".to_owned(), |latency| micros(part(latency)))
        };
        let hits = kind.hits.filter(|_| kind.count > 0);
        let bytes_per_second = kind.bytes_per_second.sent + kind.bytes_per_second.received;
        let cells = [
            grouped(kind.throughput_per_second.round() as u64),
            grouped(kind.failed),
            hits.map_or_else(|| "-".to_owned(), |hits| hit_share(hits, kind.count)),
            cell(|latency| latency.p50),
            cell(|latency| latency.p99),
            cell(|latency| latency.p99_9),
            cell(|latency| latency.max),
            bytes(bytes_per_second),
        ];
        // A long name must not move the columns.
        let name: String = name.chars().take(11).collect();
        write_table_row(out, &name, &KINDS, &kept, &cells)?;
    }
    Ok(())
}

/// In percent, rounded down so that 100 % means all.
fn hit_share(hits: u64, all: u64) -> String {
    let percent = (hits as f64 / all.max(1) as f64 * 1000.0).floor() / 10.0;
    format!("{percent} %")
}

/// Says which commands the percentiles cover, unless they cover all.
fn write_coverage(out: &mut String, report: &Report) -> std::fmt::Result {
    let commands = &report.commands;
    let unsent = report.offered.map_or(0, |offered| offered.unsent);
    if commands.failed == 0 && unsent == 0 {
        return Ok(());
    }
    write!(out, "percentiles   of the {} answered commands", grouped(commands.answered))?;
    if commands.failed > 0 {
        write!(
            out,
            "; \"with failed\" adds the {} that failed, at the time each took ({} timed out)",
            grouped(commands.failed),
            grouped(commands.timed_out),
        )?;
    }
    match unsent {
        0 => writeln!(out),
        unsent => writeln!(out, "; the {} never sent are in neither", grouped(unsent)),
    }
}

/// The figures of one of several runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RepeatedRun<'a> {
    pub(crate) per_second: f64,
    pub(crate) latency: Option<&'a Latency>,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
}

/// A row for each repeat in the order of the runs; empty for a single run.
pub(crate) fn repeats(runs: &[RepeatedRun<'_>], width: Option<usize>) -> String {
    let mut out = String::new();
    if runs.len() > 1 {
        // Writing to a string cannot fail.
        let _ = write_repeats(&mut out, runs, width.unwrap_or(usize::MAX));
    }
    out
}

fn write_repeats(out: &mut String, runs: &[RepeatedRun<'_>], width: usize) -> std::fmt::Result {
    let kept = fitting(&INTERVALS, 12, width);
    writeln!(out, "\nAll runs; the report shows the one with the median throughput.")?;
    write_table_row(out, "", &INTERVALS, &kept, &names(&INTERVALS))?;
    for (place, run) in runs.iter().enumerate() {
        let name = format!("run {}", place + 1);
        let cells = cells(run.per_second, run.latency, run.failed, run.seconds);
        write_table_row(out, &name, &INTERVALS, &kept, &cells)?;
    }
    Ok(())
}

/// The cells of [`INTERVALS`] for a run or a part of it.
fn cells(per_second: f64, latency: Option<&Latency>, failed: u64, seconds: f64) -> [String; 7] {
    let cell =
        |part: fn(&Latency) -> f64| latency.map_or_else(|| "-".to_owned(), |latency| micros(part(latency)));
    [
        grouped(per_second.round() as u64),
        cell(|latency| latency.p50),
        cell(|latency| latency.p99),
        cell(|latency| latency.p99_9),
        cell(|latency| latency.max),
        grouped(failed),
        format!("{seconds:.1} s"),
    ]
}

/// Writes the figures before, during and after each maintenance window.
pub(crate) fn write_windows(out: &mut String, report: &Report, width: usize) -> std::fmt::Result {
    let kept = fitting(&INTERVALS, 12, width);
    for window in report.maintenance_windows.iter().take(SHOWN_MAX) {
        writeln!(out)?;
        write!(out, "{} from {:.2} s", window.kind, window.from_seconds)?;
        match window.to_seconds {
            Some(to) => write!(out, " for {}", micros((to - window.from_seconds) * 1e6))?,
            None => write!(out, " to the end")?,
        }
        writeln!(out)?;
        write_table_row(out, "", &INTERVALS, &kept, &names(&INTERVALS))?;
        for (name, moment) in
            [("  before", &window.before), ("  during", &window.during), ("  after", &window.after)]
        {
            let Some(moment) = moment else { continue };
            let cells = cells(
                moment.throughput_per_second,
                moment.latency_us.as_ref(),
                moment.failed,
                moment.seconds,
            );
            write_table_row(out, name, &INTERVALS, &kept, &cells)?;
        }
    }
    match report.maintenance_windows.len().saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}

/// The most moves, and the most maintenance windows, that are listed one by one.
pub(crate) const SHOWN_MAX: usize = 10;
const LATENCIES: [Column; 8] = [
    column("min", 5),
    column("mean", 7),
    column("p50", 0),
    column("p90", 6),
    column("p99", 1),
    column("p99.9", 3),
    column("p99.99", 4),
    column("max", 2),
];
const KINDS: [Column; 8] = [
    Column { name: "/s", importance: 0, width: 11 },
    column("failed", 6),
    column("hits", 3),
    column("p50", 2),
    column("p99", 1),
    column("p99.9", 5),
    column("max", 4),
    Column { name: "bytes/s", importance: 7, width: 10 },
];
const INTERVALS: [Column; 7] = [
    Column { name: "/s", importance: 0, width: 11 },
    column("p50", 2),
    column("p99", 1),
    column("p99.9", 5),
    column("max", 3),
    column("failed", 4),
    column("length", 6),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{MaintenanceWindow, ReportInterval};

    fn tables(report: &Report, width: usize) -> String {
        let mut out = String::new();
        write_latencies(&mut out, report, width).expect("a string");
        write_windows(&mut out, report, width).expect("a string");
        out
    }

    #[test]
    fn failures_have_their_own_line() {
        let mut report = crate::cli::report::testing::full();
        let text = tables(&report, usize::MAX);
        assert!(
            text.contains("with failed  1.00 µs 2.00 µs 2.00 µs 3.00 µs 4.00 µs 5.00 µs 6.00 µs"),
            "{text}"
        );
        assert!(text.contains("500 ms\n"), "{text}");
        let held = "percentiles   of the 1,000 answered commands; \"with failed\" adds the 2 that failed, at the time \
                    each took (1 timed out); the 3 never sent are in neither\n";
        assert!(text.contains(held), "{text}");
        report.latency_us = None;
        let text = tables(&report, usize::MAX);
        assert!(text.contains("with failed") && !text.contains("\nlatency"), "{text}");
        report.commands.failed = 0;
        report.latency_with_failures_us = None;
        report.offered = None;
        let text = tables(&report, usize::MAX);
        assert!(!text.contains("with failed") && !text.contains("percentiles"), "{text}");
    }

    #[test]
    fn every_repeat_has_a_line() {
        let report = crate::cli::report::testing::full();
        let run = RepeatedRun {
            per_second: report.throughput_per_second,
            latency: report.latency_us.as_ref(),
            failed: report.commands.failed,
            seconds: report.elapsed_seconds,
        };
        assert_eq!(repeats(&[run], None), "");
        let text = repeats(&[run, run], Some(80));
        assert!(
            text.contains("run 1               100 2.00 µs 4.00 µs") && text.contains("run 2  "),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn maintenance_windows_are_shown_with_their_surroundings() {
        let mut report = crate::cli::report::testing::full();
        let moment = |rate: f64, failed| ReportInterval {
            at_seconds: 0.0,
            seconds: 2.0,
            answered: 10,
            failed,
            throughput_per_second: rate,
            latency_us: report.latency_us,
        };
        let window = MaintenanceWindow {
            kind: "MOVING",
            from_seconds: 5.0,
            to_seconds: Some(5.0125),
            before: Some(moment(45_004.0, 0)),
            during: Some(ReportInterval { latency_us: None, ..moment(29_524.0, 3) }),
            after: None,
        };
        report.maintenance_windows = vec![window; 12];
        let text = tables(&report, usize::MAX);
        for part in [
            "MOVING from 5.00 s for 12.5 ms\n",
            "  before         45,004 2.00 µs 4.00 µs 5.00 µs 7.12 µs       0   2.0 s\n",
            "  during         29,524       -       -       -       -       3   2.0 s\n",
            "and 2 more\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert!(!text.contains("  after"), "{text}");
        for width in [40, 60, 80] {
            let mut text = String::new();
            write_windows(&mut text, &report, width).expect("a string");
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(
                longest.is_some_and(|longest| longest <= width),
                "{longest:?} in {width} columns:\n{text}"
            );
            assert!(text.contains("45,004"), "{text}");
        }
    }
}
