//! The report as JSON: version 1 of the published shape.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::ResolvedConfig;
use crate::load::{Delivery, DeliveryKind, Limit, Mix, QueueType, WeightedCommand, Workload};

/// The document that is written.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a, R> {
    version: u32,
    config: Map<String, Value>,
    #[serde(flatten)]
    report: &'a R,
}

impl<'a, R> Document<'a, R> {
    pub(crate) fn new(config: Map<String, Value>, report: &'a R) -> Document<'a, R> {
        Document { version: 1, config, report }
    }
}

/// The document of a run, with all repeats if there are several.
///
/// # Errors
/// An error of serialization, which no report causes.
pub(crate) fn document<R: Serialize>(
    config: Map<String, Value>,
    report: &R,
    repeats: &[R],
) -> anyhow::Result<Value> {
    let json = || -> serde_json::Result<Value> {
        let mut document = serde_json::to_value(Document::new(config, report))?;
        if let (Some(all), true) = (document.as_object_mut(), repeats.len() > 1) {
            all.insert("repeats".to_owned(), serde_json::to_value(repeats)?);
        }
        Ok(document)
    };
    json().context("could not put the report into JSON")
}

/// Every effective value of a run: the load's, then the client's.
pub(crate) fn config(
    endpoint: &str,
    workload: &Workload,
    moves: &[Duration],
    client: &ResolvedConfig,
) -> Map<String, Value> {
    let mut config = Map::new();
    let mut put = |name: &str, value: Value| drop(config.insert(name.to_owned(), value));
    put("endpoint", endpoint.into());
    put("shards", client.shard_cores().len().into());
    put("cores", client.shard_cores().to_vec().into());
    put("tasks_per_shard", workload.tasks.into());
    put("via", workload.via.to_string().into());
    match &workload.mix {
        Mix::Ratio { set, get } => put("ratio", format!("{set}:{get}").into()),
        Mix::Commands(shares) => match shares.as_slice() {
            [only] => put("command", only.command.to_string().into()),
            several => {
                let share = |share: &WeightedCommand| json!({ "command": share.command.to_string(), "ratio": share.ratio });
                put("commands", several.iter().map(share).collect());
            }
        },
    }
    match workload.limit {
        Limit::Duration(time) => put("duration_seconds", time.as_secs_f64().into()),
        Limit::Requests(requests) => put("requests", requests.into()),
    }
    if let Some(rate) = workload.rate {
        put("rate", rate.into());
        put("arrivals", workload.arrivals.to_string().into());
    }
    put("warm_up_seconds", workload.warm_up.as_secs_f64().into());
    put("think_seconds", workload.think.as_secs_f64().into());
    put("key_space", workload.key_space.into());
    put("key_prefix", workload.key_prefix.as_str().into());
    put("key_minimum", workload.key_minimum.into());
    if let Some(ttl) = workload.ttl {
        put("ttl_seconds", ttl.as_secs_f64().into());
    }
    put("key_distribution", workload.keys.to_string().into());
    put("value_size", json!({ "min": workload.values.min, "max": workload.values.max }));
    if let Some(compressible) = workload.compressible {
        put("value_compressible", compressible.into());
    }
    put("pipeline", workload.pipeline.into());
    put("load", workload.loads().into());
    put("verify", workload.verify.into());
    put("seed", workload.seed.into());
    put("moving_at_seconds", moves.iter().map(Duration::as_secs_f64).collect());
    for (name, text) in client.fields() {
        config.entry(name).or_insert_with(|| typed(text));
    }
    config
}

/// Every effective value of a run of deliveries: the load's, then the client's.
pub(crate) fn delivery_config(
    endpoint: &str,
    delivery: &Delivery,
    moves: &[Duration],
    client: &ResolvedConfig,
) -> Map<String, Value> {
    let mut config = Map::new();
    let mut put = |name: &str, value: Value| drop(config.insert(name.to_owned(), value));
    put("endpoint", endpoint.into());
    put("shards", client.shard_cores().len().into());
    put("cores", client.shard_cores().to_vec().into());
    put("via", delivery.via.to_string().into());
    match delivery.kind {
        DeliveryKind::Queue { producers, consumers, queue } => {
            put("workload", "queue".into());
            put("producers", producers.into());
            put("consumers", consumers.into());
            let queue = if queue == QueueType::List { "list" } else { "stream" };
            put("queue", queue.into());
        }
        DeliveryKind::PubSub { publishers, subscribers, channels } => {
            put("workload", "pubsub".into());
            put("publishers", publishers.into());
            put("subscribers", subscribers.into());
            put("channels", channels.into());
        }
    }
    match delivery.limit {
        Limit::Duration(time) => put("duration_seconds", time.as_secs_f64().into()),
        Limit::Requests(requests) => put("requests", requests.into()),
    }
    if let Some(rate) = delivery.rate {
        put("rate", rate.into());
    }
    put("warm_up_seconds", delivery.warm_up.as_secs_f64().into());
    put("key_prefix", delivery.key_prefix.as_str().into());
    put("moving_at_seconds", moves.iter().map(Duration::as_secs_f64).collect());
    for (name, text) in client.fields() {
        config.entry(name).or_insert_with(|| typed(text));
    }
    config
}

/// A setting as JSON: a number or a boolean by its type, and null if it is not set.
fn typed(text: String) -> Value {
    match (text.parse::<u64>(), text.as_str()) {
        (_, "(none)") => Value::Null,
        (Ok(number), _) => number.into(),
        (_, "true") => true.into(),
        (_, "false") => false.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::testing::full;
    use crate::load::{MaintenanceReport, Report};

    #[test]
    fn the_document_has_the_published_shape() {
        let report = full();
        let document = serde_json::to_value(Document::new(Map::new(), &report)).expect("JSON");
        for (path, number) in [
            ("/version", 1.0),
            ("/elapsed_seconds", 10.0),
            ("/answered_share", 0.995),
            ("/commands/issued", 1002.0),
            ("/commands/from_warm_up", 4.0),
            ("/commands/answered", 1000.0),
            ("/commands/failed", 2.0),
            ("/commands/ambiguous", 1.0),
            ("/commands/timed_out", 1.0),
            ("/errors/timeout", 2.0),
            ("/verify/checked", 900.0),
            ("/verify/mismatched", 1.0),
            ("/throughput_per_second", 100.0),
            ("/offered/per_second", 101.5),
            ("/offered/unsent", 3.0),
            ("/client_cpu_ns_per_command", 531.5),
            ("/client_cpu/busy_share", 0.0125),
            ("/client_cpu/idle_ns_per_second", 4e6),
            ("/client_cpu/above_idle_ns_per_command", 491.5),
            ("/bytes_per_second/sent", 3600.0),
            ("/bytes_per_second/received", 7100.0),
            ("/by_command/GET/count", 1000.0),
            ("/by_command/GET/failed", 2.0),
            ("/by_command/GET/hits", 997.0),
            ("/by_command/GET/misses", 3.0),
            ("/by_command/GET/latency_us/p99", 4.0),
            ("/latency_us/min", 1.0),
            ("/latency_us/mean", 2.0),
            ("/latency_us/p50", 2.0),
            ("/latency_us/p90", 3.0),
            ("/latency_us/p99", 4.0),
            ("/latency_us/p99_9", 5.0),
            ("/latency_us/p99_99", 6.0),
            ("/latency_us/max", 7.125),
            ("/latency_with_failures_us/max", 500_000.0),
            ("/latency_during_handoff_us/p50", 2.0),
            ("/latency_during_handoff_us/p99", 4.0),
            ("/latency_during_handoff_us/p99_9", 5.0),
            ("/latency_during_handoff_us/max", 7.125),
            ("/longest_gap_us", 7.5),
            ("/maintenance/notifications", 16.0),
            ("/maintenance/duplicates", 14.0),
            ("/maintenance/malformed", 1.0),
            ("/maintenance/handoffs/expected", 9.0),
            ("/maintenance/handoffs/started", 8.0),
            ("/maintenance/handoffs/succeeded", 6.0),
            ("/maintenance/handoffs/failed", 1.0),
            ("/maintenance/handoffs/superseded", 1.0),
            ("/maintenance/handoff_duration_us/p50", 800.0),
            ("/maintenance/handoff_duration_us/max", 1500.0),
            ("/maintenance/movings/0/at_seconds", 5.0),
            ("/maintenance/movings/0/grace_seconds", 2.0),
            ("/machine/pause_max_us", 3_200_000.0),
            ("/machine/run_queue_wait_share", 0.125),
            ("/machine/steal_share", 0.004),
            ("/connections/127.0.0.1:7002", 8.0),
            ("/shards/0/core", 1.0),
            ("/shards/0/commands", 1000.0),
            ("/shards/0/throughput_per_second", 100.0),
        ] {
            assert_eq!(document.pointer(path).and_then(Value::as_f64), Some(number), "{path}");
        }
        assert!(document.pointer("/config").is_some_and(Value::is_object));
    }

    #[test]
    fn every_repeat_is_kept_as_a_report() {
        let report = full();
        let slower = Report { throughput_per_second: 90.0, ..full() };
        let all = document(Map::new(), &report, &[report.clone(), slower]).expect("JSON");
        assert_eq!(all.pointer("/repeats/0/throughput_per_second"), Some(&json!(100.0)));
        assert_eq!(all.pointer("/repeats/1/throughput_per_second"), Some(&json!(90.0)));
        assert_eq!(all.pointer("/repeats/1/latency_us/p50"), Some(&json!(2.0)));
        let one = document(Map::new(), &report, std::slice::from_ref(&report)).expect("JSON");
        assert_eq!(one.get("repeats"), None);
    }

    #[test]
    fn what_was_not_measured_is_absent() {
        let mut report = full();
        report.verify = None;
        report.latency_us = None;
        report.client_cpu_ns_per_command = None;
        report.latency_during_handoff_us = None;
        report.maintenance = MaintenanceReport::default();
        let document = serde_json::to_value(Document::new(Map::new(), &report)).expect("JSON");
        for name in ["verify", "latency_us", "latency_during_handoff_us", "client_cpu_ns_per_command"] {
            assert_eq!(document.get(name), None);
        }
        // A count is present even if it is zero.
        let handoffs = json!({ "started": 0, "succeeded": 0, "failed": 0, "superseded": 0 });
        let nothing = json!({ "notifications": 0, "duplicates": 0, "malformed": 0, "handoffs": handoffs });
        assert_eq!(document.get("maintenance"), Some(&nothing));
    }

    #[test]
    fn numbers_stay_numbers() {
        assert_eq!(typed("4".to_owned()), Value::from(4));
        assert_eq!(typed("true".to_owned()), Value::from(true));
        assert_eq!(typed("(none)".to_owned()), Value::Null);
        assert_eq!(typed("10s".to_owned()), Value::from("10s"));
    }
}
