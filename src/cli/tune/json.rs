//! The report of a sweep as JSON, version 1: every sample and the recommendation. Figures that were not measured are
//! absent.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::phrases;
use super::report_input::ReportInput;
use super::sweep::{Handoff, RateSearchResult, SweepResult};
use crate::cli::report::json::config;
use crate::load::tuner::row::Row;
use crate::load::tuner::step::HandoffEffect;
use crate::load::{Latency, Report};

/// The document that is written.
pub(super) fn document(input: &ReportInput<'_>) -> Value {
    let result = input.result;
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    put("version", 1.into());
    put("config", swept_config(input));
    put("elapsed_seconds", seconds(result.elapsed));
    put("interrupted", result.interrupted.into());
    put("rounds", result.rounds.into());
    put("settings", result.rows.iter().filter(|row| row.is_measured()).map(setting).collect());
    if let Some(recommendation) = recommendation(input) {
        put("recommendation", recommendation);
    }
    put(
        "ceilings",
        result.ceilings.iter().map(|ceiling| with_text(ceiling, phrases::ceiling(ceiling))).collect(),
    );
    if let Some(rate) = &result.rate {
        put("largest_rate", largest_rate(rate));
    }
    match &result.handoff {
        Handoff::Skipped => {}
        Handoff::Failed(why) => put("handoff", json!({ "failed": why })),
        Handoff::Measured { proxied, effect } => put("handoff", handoff(*proxied, effect)),
    }
    Value::Object(document)
}

fn seconds(time: Duration) -> Value {
    ((time.as_secs_f64() * 1e3).round() / 1e3).into()
}

/// Serialization cannot fail: the values are numbers and names.
fn value(what: impl serde::Serialize) -> Value {
    serde_json::to_value(what).unwrap_or(Value::Null)
}

/// The configuration as `bench` reports it, with lists for the swept settings.
fn swept_config(input: &ReportInput<'_>) -> Value {
    let resolved = input.resolved;
    let mut all = config(&resolved.endpoint, &resolved.workload, &[], &resolved.effective);
    all.retain(|name, _| {
        !matches!(name.as_str(), "duration_seconds" | "moving_at_seconds" | "rate" | "verify")
    });
    let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    put("shards", input.grid.shards.clone().into());
    put("connections_per_shard", input.grid.connections.clone().into());
    put("tasks_per_shard", input.grid.tasks.clone().into());
    put("step_seconds", seconds(input.tuning.step));
    put("rounds", input.tuning.rounds.into());
    put("all_rounds", input.tuning.all_rounds.into());
    put("tolerance", input.tuning.tolerance.into());
    if let Some(slo) = &input.tuning.slo {
        let limits = slo.0.iter().map(|(quantile, limit)| {
            (format!("{quantile}").replace('.', "_"), Value::from(limit.as_nanos() as f64 / 1e3))
        });
        put("slo_us", Value::Object(limits.collect()));
    }
    Value::Object(all)
}

fn setting(row: &Row) -> Value {
    let mut all = numbers(row);
    all.insert("rounds".to_owned(), row.rounds().into());
    all.insert("healthy".to_owned(), row.is_healthy().into());
    all.insert("samples".to_owned(), value(&row.samples));
    Value::Object(all)
}

/// A setting and its medians.
fn numbers(row: &Row) -> Map<String, Value> {
    let mut all = match value(row.setting) {
        Value::Object(all) => all,
        _ => Map::new(),
    };
    let mut put = |name: &str, number: Option<f64>| {
        if let Some(number) = number {
            all.insert(name.to_owned(), ((number * 1e3).round() / 1e3).into());
        }
    };
    put("throughput_per_second", Some(row.throughput()));
    for (name, read) in LATENCIES {
        put(name, row.latency(read));
    }
    put("client_cpu_ns_per_command", row.median(|sample| sample.client_cpu_ns_per_command));
    put("core_use", row.median(|sample| sample.core_use));
    put("server_use", row.median(|sample| sample.server_use));
    all
}

type ReadLatency = fn(&Latency) -> f64;

fn recommendation(input: &ReportInput<'_>) -> Option<Value> {
    let result: &SweepResult = input.result;
    let found = result.recommendation.as_ref()?;
    let row = result.rows.get(found.row)?;
    let mut all = numbers(row);
    let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    put("reason", value(found.reason));
    put("because", phrases::reason(result, found, input.tuning.slo.as_ref()).into());
    put("share_of_best", found.share_of_best.into());
    put("tolerance", found.tolerance.into());
    put("noise", value(found.noise));
    put("config", phrases::config(row.setting).into());
    put("flags", phrases::flags(row.setting).into());
    let at = |place: usize| result.rows.get(place).map(numbers).map_or(Value::Null, Value::Object);
    put("best", at(found.best));
    put("balanced", at(found.balanced));
    Some(Value::Object(all))
}

fn with_text(what: impl serde::Serialize, text: String) -> Value {
    let mut all = value(what);
    if let Some(all) = all.as_object_mut() {
        all.insert("text".to_owned(), text.into());
    }
    all
}

fn largest_rate(found: &super::sweep::RateSearchResult) -> Value {
    let probe = |probe: &super::sweep::Probe| {
        json!({
            "rate": probe.rate,
            "met": probe.met,
            "throughput_per_second": probe.report.throughput_per_second,
            "failed": probe.report.commands.failed,
            "latency_us": value(probe.report.latency_us),
        })
    };
    let RateSearchResult { largest, probes } = found;
    let mut all = Map::new();
    if let Some(largest) = largest {
        all.insert("rate".to_owned(), (*largest).into());
    }
    all.insert("probes".to_owned(), probes.iter().map(probe).collect());
    Value::Object(all)
}

fn handoff(proxied: bool, effect: &HandoffEffect) -> Value {
    let run = |report: &Report| {
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| match value {
            Value::Null => {}
            value => drop(all.insert(name.to_owned(), value)),
        };
        put("throughput_per_second", report.throughput_per_second.into());
        put("failed", report.commands.failed.into());
        put("latency_us", value(report.latency_us));
        put("latency_during_handoff_us", value(report.latency_during_handoff_us));
        put("longest_gap_us", value(report.longest_gap_us));
        put("handoffs", value(report.maintenance.handoffs));
        put("handoff_duration_us", value(report.maintenance.handoff_duration_us));
        Value::Object(all)
    };
    json!({ "proxied": proxied, "steady": run(&effect.steady), "moved": run(&effect.moved) })
}

const LATENCIES: [(&str, ReadLatency); 4] = [
    ("p50_us", |latency| latency.p50),
    ("p99_us", |latency| latency.p99),
    ("p99_9_us", |latency| latency.p99_9),
    ("max_us", |latency| latency.max),
];
