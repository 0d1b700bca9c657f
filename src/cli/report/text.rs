//! The report as text, for people.

use std::fmt::Write;

use crate::cli::report::costs::write_costs;
use crate::cli::report::machine;
use crate::cli::report::tables::{self, SHOWN_MAX};
use crate::cli::units::{grouped, micros, plural};
use crate::cli::wrap::wrap;
use crate::load::{
    Cleanup, KEY_PREFIX, LoopKind, MaintenanceReport, Report, ValueSize, VerifyReport, Via, Workload,
};

/// The description of a run above its report.
#[derive(Debug)]
pub(crate) struct Heading {
    endpoint: String,
    /// `None` without TLS.
    tls: Option<String>,
    load: String,
    /// `None` for a load without keys of its own.
    keys: Option<String>,
}

impl Heading {
    pub(crate) fn new(endpoint: &str, workload: &Workload, shards: usize, each: usize) -> Heading {
        let mut load = format!(
            "{} · {} × {} on {}",
            workload.mix,
            plural(shards, "shard"),
            plural(workload.tasks, "caller"),
            plural(each, "connection"),
        );
        // Writing to a string cannot fail.
        if workload.pipeline > 1 {
            let _ = write!(load, " · {} commands at a time", grouped(workload.pipeline as u64));
        }
        load.push_str(match workload.via {
            Via::Shard => "",
            Via::Client => " · through Client",
            Via::Tokio => " · in tokio",
        });
        if let Some(rate) = workload.rate {
            let _ = write!(load, " · {} commands/s wanted, {} arrivals", grouped(rate), workload.arrivals);
        }
        if !workload.think.is_zero() {
            let _ = write!(load, " · {} think time", humantime::format_duration(workload.think));
        }
        if !workload.warm_up.is_zero() {
            let _ = write!(load, " · after {} of warm-up", humantime::format_duration(workload.warm_up));
        }
        let mut values = match workload.values {
            ValueSize { min, max } if min == max => plural(max, "byte"),
            ValueSize { min, max } => format!("{min} to {max} bytes"),
        };
        if let Some(compressible) = workload.compressible {
            let _ = write!(values, ", {} % compressible", compressible * 100.0);
        }
        let keys = format!(
            "{}{}, {} · values of {values} · seed {}",
            grouped(workload.key_space),
            key_names(workload),
            workload.keys,
            workload.seed,
        );
        Heading { keys: Some(keys), ..Heading::of(endpoint, load) }
    }

    /// For a load that this text describes.
    pub(crate) fn of(endpoint: &str, load: String) -> Heading {
        Heading { endpoint: endpoint.to_owned(), tls: None, load, keys: None }
    }

    /// A line for each part.
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "endpoint      {}", self.endpoint)?;
        if let Some(tls) = &self.tls {
            writeln!(out, "TLS           {tls}")?;
        }
        writeln!(out, "load          {}", self.load)?;
        match &self.keys {
            Some(keys) => writeln!(out, "keys          {keys}"),
            None => Ok(()),
        }
    }

    /// The endpoint and the load, a line each, for a picture.
    pub(crate) fn lines(&self) -> [&str; 2] {
        [&self.endpoint, &self.load]
    }

    /// Sets the description of TLS.
    pub(crate) fn tls(mut self, tls: Option<String>) -> Heading {
        self.tls = tls;
        self
    }
}

/// The names and the expiry of the keys, if they are not the default.
fn key_names(workload: &Workload) -> String {
    let mut text = String::new();
    if (workload.key_prefix.as_str(), workload.key_minimum) != (KEY_PREFIX, 0) {
        let first = workload.key_minimum;
        let _ = write!(text, " from {}{first:012} on", workload.key_prefix.escape_debug());
    }
    if let Some(ttl) = workload.ttl {
        let _ = write!(text, " that expire after {}", humantime::format_duration(ttl));
    }
    text
}

/// The whole report for a terminal with `width` columns; `None` does not limit the width.
pub(crate) fn report(heading: &Heading, report: &Report, width: Option<usize>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut out, heading, report, width.unwrap_or(usize::MAX));
    wrapped(&out, width)
}

/// Breaks long lines between words. The continuation of a line with a name is aligned with its text.
pub(crate) fn wrapped(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.map(|width| width.max(WIDTH_MIN)) else { return text.to_owned() };
    let mut out = String::new();
    for line in text.lines() {
        let has_name = |(name, _): &(&str, &str)| name.ends_with("  ");
        match line.split_at_checked(INDENT).filter(has_name) {
            Some((name, text)) => out.push_str(&format!("{name}{}\n", wrap(text, INDENT, width))),
            None => out.push_str(&format!("{}\n", wrap(line, 0, width))),
        }
    }
    out
}

fn write_report(out: &mut String, heading: &Heading, report: &Report, width: usize) -> std::fmt::Result {
    let commands = &report.commands;
    for problem in &report.problems {
        writeln!(out, "{problem}\n")?;
    }
    if report.interrupted {
        writeln!(out, "Interrupted; the figures cover the time until then.\n")?;
    }
    heading.write(out)?;
    writeln!(out)?;
    let throughput = grouped(report.throughput_per_second.round() as u64);
    writeln!(out, "throughput    {throughput} commands/s")?;
    if let Some(offered) = &report.offered {
        write!(out, "offered       {} commands/s", grouped(offered.per_second.round() as u64))?;
        match offered.unsent {
            0 => writeln!(out)?,
            unsent => writeln!(out, "; {} were due but never sent: all callers were busy", grouped(unsent))?,
        }
    }
    writeln!(
        out,
        "answered      {} of {} in {:.2} s",
        grouped(commands.answered),
        grouped(commands.issued),
        report.elapsed_seconds,
    )?;
    if commands.from_warm_up > 0 {
        writeln!(
            out,
            "              {} of them were sent in the warm-up and ended after it",
            grouped(commands.from_warm_up)
        )?;
    }
    if commands.missing > 0 {
        writeln!(out, "              {} found no value", grouped(commands.missing))?;
    }
    if commands.failed > 0 {
        write_failures(out, report)?;
    }
    write_costs(out, report)?;
    machine::write(out, &report.machine)?;
    write_checks(out, report)?;
    tables::write_latencies(out, report, width)?;
    tables::write_kinds(out, report, width)?;
    tables::write_windows(out, report, width)?;
    write_connections(out, report)?;
    if let Some(cleanup) = &report.cleanup {
        write_cleanup(out, cleanup)?;
    }
    writeln!(out)?;
    writeln!(out, "{}", loop_explanation(report.loop_kind))
}

pub(super) fn write_cleanup(out: &mut String, cleanup: &Cleanup) -> std::fmt::Result {
    writeln!(out, "cleanup       {} keys removed", grouped(cleanup.removed))?;
    match &cleanup.error {
        Some(error) => writeln!(out, "              keys may be left: {error}"),
        None => Ok(()),
    }
}

/// Writes the results of --verify and of the handoffs, and a pause that may have caused a failure.
fn write_checks(out: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(verify) = &report.verify {
        write_verified(out, verify)?;
        if verify.mismatched > 0 {
            let means =
                "which delays replies but changes none; it may explain a counter that could not be read";
            machine::write_pause(out, &report.machine, means)?;
        }
    }
    if !report.maintenance.is_empty() {
        write_maintenance(out, &report.maintenance)?;
    }
    if !report.maintenance.handoffs.are_complete() {
        machine::write_pause(out, &report.machine, "which may be the cause")?;
    }
    Ok(())
}

fn write_failures(out: &mut String, report: &Report) -> std::fmt::Result {
    let commands = &report.commands;
    writeln!(
        out,
        "failed        {} ({} may have been executed, {} timed out)",
        grouped(commands.failed),
        grouped(commands.ambiguous),
        grouped(commands.timed_out),
    )?;
    for (kind, count) in &report.errors {
        write!(out, "              {kind}: {}", grouped(*count))?;
        match report.error_examples.get(kind) {
            Some(example) => writeln!(out, ", e.g. {example}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_verified(out: &mut String, verify: &VerifyReport) -> std::fmt::Result {
    let outcome = match verify.mismatched {
        0 => "all correct".to_owned(),
        wrong => format!("{} WRONG", grouped(wrong)),
    };
    writeln!(out, "verify        {} checks, {outcome}", grouped(verify.checked))?;
    for example in &verify.examples {
        writeln!(out, "              {example}")?;
    }
    let audit = &verify.audit;
    let counter = audit.counter.map_or_else(|| "unknown".to_owned(), grouped);
    write!(out, "              INCR audit: counter {counter}, ")?;
    write!(out, "{} answered", grouped(audit.answered))?;
    match audit.ambiguous {
        0 => writeln!(out),
        perhaps => writeln!(out, ", {} more perhaps executed", grouped(perhaps)),
    }
}

pub(super) fn write_maintenance(out: &mut String, seen: &MaintenanceReport) -> std::fmt::Result {
    writeln!(out)?;
    let mut name = "maintenance";
    let mut label = || std::mem::take(&mut name);
    for moving in seen.movings.iter().take(SHOWN_MAX) {
        let (from, to, grace) = (moving.from, moving.to, moving.grace_seconds);
        let at = moving.at_seconds;
        writeln!(out, "{:12}  MOVING at {at:.2} s: {from} → {to}, {grace} s of grace", label())?;
    }
    match seen.movings.len().saturating_sub(SHOWN_MAX) {
        0 => {}
        more => writeln!(out, "{:12}  and {more} more", label())?,
    }
    let handoffs = &seen.handoffs;
    match handoffs.expected {
        Some(expected) => {
            let (done, all) = (grouped(handoffs.succeeded), grouped(expected));
            write!(out, "{:12}  {done} of {all} connections handed off", label())?;
        }
        None => write!(out, "{:12}  {} handoffs succeeded", label(), grouped(handoffs.succeeded))?,
    }
    let (failed, superseded) = (handoffs.failed, handoffs.superseded);
    for (count, what) in [(failed, "failed"), (superseded, "superseded by a newer announcement")] {
        if count > 0 {
            write!(out, ", {} {what}", grouped(count))?;
        }
    }
    match &seen.handoff_duration_us {
        Some(took) => writeln!(out, " · {} in the median, {} at most", micros(took.p50), micros(took.max))?,
        None => writeln!(out)?,
    }
    if !handoffs.are_complete() {
        writeln!(out, "{:12}  NOT ALL: a connection that stays behind is closed by its server", "")?;
    }
    writeln!(
        out,
        "{:12}  {} notifications, {} of them duplicates, {} malformed",
        "",
        grouped(seen.notifications),
        grouped(seen.duplicates),
        grouped(seen.malformed),
    )
}

fn write_connections(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out)?;
    for (place, (peer, count)) in report.connections.iter().enumerate() {
        let name = if place == 0 { "connections" } else { "" };
        writeln!(out, "{name:12}  {count} to {peer}")?;
    }
    if report.reconnects > 0 {
        writeln!(out, "reconnects    {}", grouped(report.reconnects))?;
    }
    for (place, server) in report.servers.iter().enumerate() {
        let name = if place == 0 { "servers" } else { "" };
        let throughput = grouped(server.throughput_per_second.round() as u64);
        writeln!(out, "{name:12}  {throughput} commands/s at {}", server.endpoint)?;
    }
    if report.shards.len() < 2 {
        return Ok(());
    }
    for (index, shard) in report.shards.iter().enumerate() {
        let Some(throughput) = shard.throughput_per_second else {
            continue;
        };
        let core = shard.core.map_or_else(String::new, |core| format!(" on core {core}"));
        let throughput = grouped(throughput.round() as u64);
        writeln!(out, "shard {index:<6}  {throughput} commands/s{core}")?;
    }
    Ok(())
}

fn loop_explanation(loop_kind: LoopKind) -> &'static str {
    match loop_kind {
        LoopKind::Closed => {
            "Closed loop: each caller waits for its reply before it sends again. A stall\n\
             also delays the commands that would have met it, so that the percentiles\n\
             look better than what independent users see (coordinated omission).\n\
             --rate N opens the loop."
        }
        LoopKind::Open => {
            "Open loop: latency counts from the time at which a command was due, so a\n\
             stall shows in every command that was due during it. Service time counts\n\
             from the send."
        }
    }
}

/// In narrower terminals, words do not fit.
const WIDTH_MIN: usize = 20;
/// The column of the text in a line with a name.
const INDENT: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Problem;

    #[test]
    fn every_figure_is_shown() {
        let workload = Workload {
            rate: Some(5000),
            pipeline: 8,
            warm_up: std::time::Duration::from_secs(2),
            compressible: Some(0.5),
            ..Workload::default()
        };
        let heading = Heading::new("127.0.0.1:7001", &workload, 1, 4).tls(Some("1.3 or later".to_owned()));
        let report = super::report(&heading, &crate::cli::report::testing::full(), None);
        for part in [
            "endpoint      127.0.0.1:7001\n",
            "TLS           1.3 or later\n",
            "SET:GET 1:10 · 1 shard × 64 callers on 4 connections · 8 commands at a time",
            "5,000 commands/s wanted, even arrivals · after 2s of warm-up\n",
            "offered       102 commands/s; 3 were due but never sent: all callers were busy\n",
            "100,000, uniform · values of 64 bytes, 50 % compressible · seed 1\n",
            "throughput    100 commands/s\n",
            "answered      1,000 of 1,002 in 10.00 s\n",
            "4 of them were sent in the warm-up and ended after it\n",
            "3 found no value",
            "failed        2 (1 may have been executed, 1 timed out)\n",
            "timeout: 2, e.g. no reply in 1 s\n",
            "client CPU    532 ns a command, and 100 ns on the callers' threads\n",
            "              waiting costs 4.00 ms of CPU a second without any command; a command adds 492 ns\n",
            "the shards ran 1.2 % of the time",
            "bytes         3.60 kB/s of commands, 7.10 kB/s of replies\n",
            "hits     p50     p99",
            "GET                 100       2  99.7 % 2.00 µs",
            "machine       longest pause 3.20 s at 4.10 s",
            "900 checks, 1 WRONG",
            "the machine stood still for 3.20 s in this run, which delays replies but changes none",
            "the machine stood still for 3.20 s in this run, which may be the cause\n",
            "INCR audit: counter 61, 60 answered, 1 more perhaps executed",
            "maintenance   MOVING at 5.00 s: 127.0.0.1:7001 → 127.0.0.1:7002, 2 s of grace\n",
            "              6 of 9 connections handed off, 1 failed, 1 superseded by a newer announcement · \
             800 µs in the median, 1.50 ms at most\n",
            "              NOT ALL: a connection",
            "              16 notifications, 14 of them duplicates, 1 malformed\n",
            "in handoffs  1.00 µs",
            "service time",
            "longest gap   7.50 µs",
            "connections   8 to 127.0.0.1:7002\n",
            "reconnects    1\n",
            "Open loop",
        ] {
            assert!(report.contains(part), "{part:?} is missing in:\n{report}");
        }
    }

    #[test]
    fn a_report_fits_its_terminal() {
        let heading = Heading::new("127.0.0.1:7001", &Workload::default(), 1, 4);
        let report = crate::cli::report::testing::full();
        for width in [40, 60, 80] {
            let text = super::report(&heading, &report, Some(width));
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest.is_some_and(|most| most <= width), "{longest:?} in {width} columns:\n{text}");
            assert!(text.contains("  p50  ") && text.contains("     max\n"), "{text}");
        }
    }

    #[test]
    fn a_problem_is_the_first_line() {
        let heading = Heading::new("127.0.0.1:7001", &Workload::default(), 1, 4);
        let mut report = crate::cli::report::testing::full();
        report.interrupted = true;
        report.problems = vec![Problem::example("NOTHING WAS MEASURED: none of 64")];
        let text = super::report(&heading, &report, None);
        assert!(text.starts_with("NOTHING WAS MEASURED: none of 64\n\nInterrupted; "), "{text}");
    }

    #[test]
    fn maintenance_is_shown_only_if_there_was_any() {
        let heading = Heading::new("127.0.0.1:7001", &Workload::default(), 1, 4);
        let mut report = crate::cli::report::testing::full();
        let moving = report.maintenance.movings[0].clone();
        report.maintenance.movings = vec![moving; 12];
        report.maintenance.handoffs.succeeded = 9;
        let text = super::report(&heading, &report, None);
        assert!(text.contains("and 2 more\n") && !text.contains("NOT ALL"), "{text}");
        report.maintenance = MaintenanceReport::default();
        report.latency_during_handoff_us = None;
        let text = super::report(&heading, &report, None);
        assert!(!text.contains("handed off") && !text.contains("in handoffs"), "{text}");
    }
}
