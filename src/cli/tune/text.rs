//! The report of a sweep as text, for people.

use std::fmt::Write;

use super::phrases::{self, percent};
use super::progress::minutes;
use super::report_input::ReportInput;
use super::sweep::{Handoff, RateSearchResult, SweepResult};
use crate::cli::report::machine;
use crate::cli::units::{grouped, micros, plural};
use crate::cli::wrap::wrap;
use crate::load::tuner::row::{Row, Setting};
use crate::load::tuner::step::HandoffEffect;

/// The whole report.
pub(super) fn report(input: &ReportInput<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, input);
    out
}

fn write_report(out: &mut String, input: &ReportInput<'_>) -> std::fmt::Result {
    let result = input.result;
    if let Some(problem) = phrases::nothing_measured(&result.rows) {
        writeln!(out, "{problem}\n")?;
    }
    if result.interrupted {
        writeln!(out, "Interrupted; the figures cover the time until then.\n")?;
    }
    write_heading(out, input)?;
    writeln!(out)?;
    write_table(out, result)?;
    writeln!(out)?;
    write_recommendation(out, input)?;
    if let Some(rate) = &result.rate {
        write_rate(out, input, rate)?;
    }
    write_handoff(out, input)
}

fn write_heading(out: &mut String, input: &ReportInput<'_>) -> std::fmt::Result {
    let workload = &input.resolved.workload;
    writeln!(out, "endpoint      {}", input.resolved.endpoint)?;
    write!(out, "load          {} · {} keys, {}", workload.mix, grouped(workload.key_space), workload.keys)?;
    match workload.pipeline {
        1 => writeln!(out)?,
        pipeline => writeln!(out, " · {} commands at a time", grouped(pipeline as u64))?,
    }
    let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    writeln!(out, "shards        {}", list(&input.grid.shards))?;
    writeln!(out, "connections   {} a shard", list(&input.grid.connections))?;
    writeln!(out, "tasks         {} a shard", list(&input.grid.tasks))?;
    if let Some(slo) = &input.tuning.slo {
        writeln!(out, "objective     {}", phrases::objective(slo))?;
    }
    let result = input.result;
    writeln!(
        out,
        "measured      {} of {}, {} of {} each, in {} altogether",
        plural(result.rounds, "round"),
        input.tuning.rounds,
        plural(result.rows.len(), "setting"),
        humantime::format_duration(input.tuning.step),
        minutes(result.elapsed),
    )
}

fn write_table(out: &mut String, result: &SweepResult) -> std::fmt::Result {
    writeln!(
        out,
        "{:>3}{:>6}{:>7}{:>7}{:>12}{:>9}{:>9}{:>9}{:>6}{:>7}",
        "", "shards", "conns", "tasks", "commands/s", "p50", "p99", "CPU/cmd", "core", "server"
    )?;
    let chosen = result.recommendation.as_ref().map(|found| found.row);
    let (mut scouted, mut unhealthy) = (false, false);
    for (place, row) in result.rows.iter().enumerate().filter(|(_, row)| row.is_measured()) {
        let mark = if chosen == Some(place) { "→" } else { "" };
        let hint = match (row.is_healthy(), row.rounds()) {
            (false, _) => {
                unhealthy = true;
                " !"
            }
            (true, 0) => {
                scouted = true;
                " ·"
            }
            _ => "",
        };
        writeln!(out, "{}", cells(mark, row, hint).trim_end())?;
    }
    if scouted {
        writeln!(
            out,
            "   · measured in the scouting round only: far below the best, or beyond the objective"
        )?;
    }
    if unhealthy {
        writeln!(out, "   ! commands failed, or none was answered")?;
    }
    Ok(())
}

fn cells(mark: &str, row: &Row, hint: &str) -> String {
    let Setting { shards, connections, tasks } = row.setting;
    let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), micros);
    let share =
        |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0));
    format!(
        "{mark:>3}{shards:>6}{connections:>7}{tasks:>7}{:>12}{:>9}{:>9}{:>9}{:>6}{:>7}{hint}",
        grouped(row.throughput().round() as u64),
        time(row.latency(|latency| latency.p50)),
        time(row.latency(|latency| latency.p99)),
        time(row.median(|sample| sample.client_cpu_ns_per_command).map(|nanos| nanos / 1e3)),
        share(row.median(|sample| sample.core_use)),
        share(row.median(|sample| sample.server_use)),
    )
}

fn write_recommendation(out: &mut String, input: &ReportInput<'_>) -> std::fmt::Result {
    let result = input.result;
    let Some(found) = &result.recommendation else {
        return write_nothing_found(out, input);
    };
    let Some(row) = result.rows.get(found.row) else { return Ok(()) };
    writeln!(out, "recommended   {}", row.setting)?;
    writeln!(out, "              {} ({} of the best)", figures(row), percent(found.share_of_best))?;
    write_wrapped(out, "because of", &phrases::reason(result, found, input.tuning.slo.as_ref()))?;
    if result.ceilings.is_empty() {
        write_wrapped(out, "limited by", &phrases::no_bottleneck(row))?;
    }
    for (place, ceiling) in result.ceilings.iter().enumerate() {
        write_wrapped(out, if place == 0 { "limited by" } else { "" }, &phrases::ceiling(ceiling))?;
    }
    if let Some(balanced) = result.rows.get(found.balanced).filter(|_| found.balanced != found.row) {
        writeln!(out, "balanced      {}: the best throughput for its latency", balanced.setting)?;
        writeln!(out, "              {}", figures(balanced))?;
    }
    write_wrapped(out, "noise", &phrases::noise(found.noise, result.rounds))?;
    if let Some(others) = phrases::interference(row) {
        write_wrapped(out, "", &others)?;
    }
    writeln!(out, "Config        {}", phrases::config(row.setting))?;
    writeln!(out, "measured by   hitless bench {}", phrases::flags(row.setting))
}

/// Writes a label, and words in as many lines as they need.
fn write_wrapped(out: &mut String, label: &str, words: &str) -> std::fmt::Result {
    writeln!(out, "{label:12}  {}", wrap(words, 14, COLUMNS))
}

fn figures(row: &Row) -> String {
    let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), micros);
    format!(
        "{} commands/s, p50 {}, p99 {}",
        grouped(row.throughput().round() as u64),
        time(row.latency(|latency| latency.p50)),
        time(row.latency(|latency| latency.p99)),
    )
}

/// Writes the setting that comes nearest, if none is good enough.
fn write_nothing_found(out: &mut String, input: &ReportInput<'_>) -> std::fmt::Result {
    let rows = &input.result.rows;
    let Some(slo) = input.tuning.slo.as_ref().filter(|_| rows.iter().any(Row::is_healthy)) else {
        writeln!(out, "recommended   nothing: commands fail at every setting")?;
        let errors = rows.iter().flat_map(|row| row.samples.iter()).flat_map(|sample| sample.errors.keys());
        let kinds: std::collections::BTreeSet<&&str> = errors.collect();
        return match kinds.is_empty() {
            true => Ok(()),
            false => writeln!(
                out,
                "              errors: {}; hitless bench shows them",
                kinds.into_iter().copied().collect::<Vec<_>>().join(", ")
            ),
        };
    };
    writeln!(out, "recommended   nothing: no setting meets {}", phrases::objective(slo))?;
    let loads = rows.iter().filter(|row| row.is_healthy()).filter_map(|row| Some((slo.load_of(row)?, row)));
    match loads.min_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((_, row)) => writeln!(out, "nearest       {}: {}", row.setting, figures(row)),
        None => Ok(()),
    }
}

fn write_rate(out: &mut String, input: &ReportInput<'_>, rate: &RateSearchResult) -> std::fmt::Result {
    let objective = input.tuning.slo.as_ref().map(phrases::objective).unwrap_or_default();
    writeln!(out)?;
    let Some(largest) = rate.largest else {
        return writeln!(out, "largest rate  none that was tried meets {objective}, in an open loop");
    };
    writeln!(out, "largest rate  {} commands/s meet {objective}, in an open loop", grouped(largest))?;
    let at = rate.probes.iter().rev().find(|probe| probe.met && probe.rate == largest);
    if let Some(latency) = at.and_then(|probe| probe.report.latency_us.as_ref()) {
        let (p50, p99, p99_9) = (micros(latency.p50), micros(latency.p99), micros(latency.p99_9));
        writeln!(
            out,
            "              p50 {p50}, p99 {p99}, p99.9 {p99_9}, of {} rates tried",
            rate.probes.len()
        )?;
    }
    Ok(())
}

fn write_handoff(out: &mut String, input: &ReportInput<'_>) -> std::fmt::Result {
    match &input.result.handoff {
        Handoff::Skipped => Ok(()),
        Handoff::Failed(why) => {
            writeln!(out)?;
            writeln!(out, "handoff       could not be measured: {why}")?;
            writeln!(
                out,
                "              this command cannot make a server move; put hitless rehearse --upstream URL in"
            )?;
            writeln!(out, "              front of it, and measure the cost with hitless bench --url")
        }
        Handoff::Measured { proxied, effect } => write_effect(out, *proxied, effect),
    }
}

fn write_effect(out: &mut String, proxied: bool, effect: &HandoffEffect) -> std::fmt::Result {
    let HandoffEffect { steady, moved } = effect;
    let handoffs = &moved.maintenance.handoffs;
    let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), micros);
    let p99 = |report: &crate::load::Report| time(report.latency_us.map(|latency| latency.p99));
    writeln!(out)?;
    writeln!(
        out,
        "handoff       {} of {} connections handed off, {} commands failed{}",
        grouped(handoffs.succeeded),
        grouped(handoffs.expected.unwrap_or(0)),
        grouped(moved.commands.failed),
        if proxied { "; through a proxy in this process" } else { "" },
    )?;
    if proxied {
        writeln!(
            out,
            "              (this command cannot make a server move, so that all figures include the proxy)"
        )?;
    }
    let during = time(moved.latency_during_handoff_us.map(|latency| latency.p99));
    writeln!(
        out,
        "              p99 {} before, {during} for commands that overlapped a handoff",
        p99(steady)
    )?;
    writeln!(
        out,
        "              longest gap of a caller {} without, {} with it",
        time(steady.longest_gap_us),
        time(moved.longest_gap_us),
    )?;
    for problem in steady.problems.iter().chain(&moved.problems) {
        write_wrapped(out, "", &problem.message)?;
    }
    match moved.is_clean() {
        true => Ok(()),
        false => machine::write_pause(out, &moved.machine, "which may be the cause"),
    }
}

/// The most columns of a line of words.
const COLUMNS: usize = 80;
