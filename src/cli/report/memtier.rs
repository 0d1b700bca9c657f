//! The report in the JSON format of memtier_benchmark, for tools that read it.
//!
//! Times are milliseconds, and bytes are those of answered commands and their replies. Only `Totals` has a time
//! series; the kinds of commands have figures of the whole run. The bytes of single seconds are not recorded and are
//! 0. Clients are connections, as in memtier.

use anyhow::anyhow;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::load::{BytesPerSecond, CommandReport, Report, hdr};

/// The whole document.
pub(crate) fn document(config: &Map<String, Value>, report: &Report) -> anyhow::Result<Value> {
    let totals = totals(report)?;
    let mut stats = Map::new();
    stats.insert("Runtime".to_owned(), runtime(report));
    stats.extend(kinds(report)?);
    stats.insert("Totals".to_owned(), totals);
    Ok(json!({
        "configuration": configuration(config),
        "run information": {
            "Threads count": config.get("shards"),
            "Connections per thread": config.get("connections_per_shard"),
            "Requests per client": config.get("requests").unwrap_or(&json!(0)),
            "Format version": 2,
        },
        "ALL STATS": stats,
    }))
}

fn configuration(config: &Map<String, Value>) -> Value {
    let endpoint = config.get("endpoint").and_then(Value::as_str).unwrap_or_default();
    // The name of an endpoint in this process has a suffix behind a comma.
    let endpoint = endpoint.split(',').next().unwrap_or_default();
    let (server, port) = endpoint.rsplit_once(':').unwrap_or((endpoint, "0"));
    let is_path = endpoint.contains('/');
    let number = |name: &str| config.get(name).cloned().unwrap_or(json!(0));
    let (least, most) = (config.pointer(&["value_size", "min"]), config.pointer(&["value_size", "max"]));
    json!({
        "server": if is_path { "" } else { server },
        "port": if is_path { 0 } else { port.parse::<u16>().unwrap_or_default() },
        "unix socket": if is_path { endpoint } else { "" },
        "address family": "Unspecified",
        "protocol": "resp3",
        "run_count": 1,
        "requests": number("requests"),
        "rate_limit": number("rate"),
        "clients": number("connections_per_shard"),
        "threads": number("shards"),
        "test_time": number("duration_seconds"),
        "ratio": config.get("ratio").cloned().unwrap_or(json!("0:0")),
        "pipeline": number("pipeline"),
        "data_size": most,
        "data_size_range": format!("{least}:{most}"),
        "data_verify": if config.get("verify") == Some(&Value::Bool(true)) { "true" } else { "false" },
        "key_prefix": config.get("key_prefix").cloned().unwrap_or(json!("key:")),
        "key_minimum": number("key_minimum"),
        "key_maximum": last_key(config),
        "select-db": number("database"),
    })
}

fn last_key(config: &Map<String, Value>) -> Option<u64> {
    let number = |name: &str| config.get(name).and_then(Value::as_u64);
    Some(number("key_minimum").unwrap_or_default() + number("key_space")?.saturating_sub(1))
}

/// Looks up a value inside another.
trait Pointer {
    fn pointer(&self, path: &[&str]) -> Value;
}

impl Pointer for Map<String, Value> {
    fn pointer(&self, path: &[&str]) -> Value {
        let (Some(first), rest) = (path.first(), path.iter().skip(1)) else { return Value::Null };
        let found = rest.fold(self.get(*first), |value, name| value.and_then(|value| value.get(name)));
        found.cloned().unwrap_or(json!(0))
    }
}

fn runtime(report: &Report) -> Value {
    let start = (report.started_at_unix_seconds * 1e3).round() as u64;
    let length = (report.elapsed_seconds * 1e3).round() as u64;
    json!({
        "Start time": start,
        "Finish time": start + length,
        "Total duration": length,
        "Time unit": "MILLISECONDS",
        // memtier writes a string as well.
        "Interrupted": if report.interrupted { "true" } else { "false" },
    })
}

/// The figures of a group of commands.
struct GroupFigures<'a> {
    count: u64,
    per_second: f64,
    hits: u64,
    misses: u64,
    bytes: BytesPerSecond,
    latency: &'a Histogram<u64>,
}

fn totals(report: &Report) -> anyhow::Result<Value> {
    let each = |part: fn(&CommandReport) -> Option<u64>| report.by_command.values().filter_map(part).sum();
    let mut fields = stats(
        &GroupFigures {
            count: report.commands.answered,
            per_second: report.throughput_per_second,
            hits: each(|kind| kind.hits),
            misses: each(|kind| kind.misses),
            bytes: report.bytes_per_second,
            latency: &report.recorded.latency,
        },
        report,
    )?;
    let reconnects = rounded(report.reconnects as f64 / report.elapsed_seconds.max(1e-9), 2);
    fields.insert("Connection Errors/sec".to_owned(), reconnects);
    fields.insert("Connection Errors".to_owned(), report.reconnects.into());
    fields.insert("Time-Serie".to_owned(), Value::Object(seconds(report)));
    Ok(Value::Object(fields))
}

/// Each kind of command by its memtier name: `Gets`, `Sets`, `Lpushs`.
fn kinds(report: &Report) -> anyhow::Result<Map<String, Value>> {
    let mut kinds = Map::new();
    for (name, kind) in &report.by_command {
        let Some(latency) = report.recorded.by_command.get(name) else { continue };
        let part = GroupFigures {
            count: kind.count,
            per_second: kind.throughput_per_second,
            hits: kind.hits.unwrap_or_default(),
            misses: kind.misses.unwrap_or_default(),
            bytes: kind.bytes_per_second,
            latency,
        };
        let (first, rest) = name.split_at_checked(1).unwrap_or_default();
        kinds.insert(format!("{first}{}s", rest.to_lowercase()), Value::Object(stats(&part, report)?));
    }
    Ok(kinds)
}

fn stats(part: &GroupFigures<'_>, report: &Report) -> anyhow::Result<Map<String, Value>> {
    let each_second = |count: u64| rounded(count as f64 / report.elapsed_seconds.max(1e-9), 2);
    let kilobytes = |bytes: f64| rounded(bytes / 1024.0, 2);
    let (sent, received) = (part.bytes.sent, part.bytes.received);
    let mut fields = Map::new();
    for (name, value) in [
        ("Count", json!(part.count)),
        ("Ops/sec", rounded(part.per_second, 2)),
        ("Hits/sec", each_second(part.hits)),
        ("Misses/sec", each_second(part.misses)),
        ("Latency", millis(part.latency.mean())),
        ("KB/sec", kilobytes(sent + received)),
        ("KB/sec RX/TX", kilobytes(sent + received)),
        ("KB/sec RX", kilobytes(received)),
        ("KB/sec TX", kilobytes(sent)),
    ] {
        fields.insert(name.to_owned(), value);
    }
    fields.extend(spread(part.latency));
    let mut percentiles = quantiles(part.latency);
    let encoded = hdr::encoded(&in_micros(part.latency)?).map_err(|problem| anyhow!(problem))?;
    percentiles.insert("Histogram log format".to_owned(), json!({ "Compressed Histogram": encoded }));
    fields.insert("Percentile Latencies".to_owned(), Value::Object(percentiles));
    Ok(fields)
}

/// The figures of each second. An interval counts for the second in which it begins.
fn seconds(report: &Report) -> Map<String, Value> {
    let mut all = Map::new();
    let mut intervals = report.recorded.timeline.intervals().peekable();
    while let Some(mut whole) = intervals.next() {
        let second = whole.from.as_secs();
        while let Some(next) = intervals.next_if(|next| next.from.as_secs() == second) {
            whole.answered += next.answered;
            if whole.latency.add(&next.latency).is_err() {
                debug_assert!(false, "histograms of one shape");
            }
        }
        let mut fields = Map::new();
        fields.insert("Bytes RX".to_owned(), json!(0));
        fields.insert("Bytes TX".to_owned(), json!(0));
        fields.insert("Count".to_owned(), json!(whole.answered));
        if whole.answered > 0 {
            fields.extend(spread(&whole.latency));
            fields.extend(quantiles(&whole.latency));
        }
        all.insert(second.to_string(), Value::Object(fields));
    }
    all
}

fn spread(latency: &Histogram<u64>) -> [(String, Value); 4] {
    let sum = latency.mean() * latency.len() as f64;
    [
        ("Average Latency".to_owned(), millis(latency.mean())),
        ("Accumulated Latency".to_owned(), json!((sum / 1e6) as u64)),
        ("Min Latency".to_owned(), millis(latency.min() as f64)),
        ("Max Latency".to_owned(), millis(latency.max() as f64)),
    ]
}

fn quantiles(latency: &Histogram<u64>) -> Map<String, Value> {
    let each = QUANTILES.iter();
    each.map(|(name, at)| ((*name).to_owned(), millis(latency.value_at_quantile(*at) as f64))).collect()
}

fn in_micros(latency: &Histogram<u64>) -> anyhow::Result<Histogram<u64>> {
    let mut micros = Histogram::new_with_bounds(1, LATENCY_MAX_US, SIGNIFICANT_DIGITS)?;
    for step in latency.iter_recorded() {
        let value = (step.value_iterated_to() / 1000).max(1);
        micros.saturating_record_n(value, step.count_at_value());
    }
    Ok(micros)
}

/// Nanoseconds as milliseconds, with three decimals as in memtier.
fn millis(nanos: f64) -> Value {
    rounded(nanos / 1e6, 3)
}

fn rounded(number: f64, digits: i32) -> Value {
    let scale = 10f64.powi(digits);
    json!((number * scale).round() / scale)
}

/// The default percentiles of memtier_benchmark.
const QUANTILES: [(&str, f64); 3] = [("p50.00", 0.5), ("p99.00", 0.99), ("p99.90", 0.999)];
/// Its histograms hold microseconds, up to a minute.
const LATENCY_MAX_US: u64 = 60_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ratio: &str) -> Map<String, Value> {
        let config = json!({
            "endpoint": "127.0.0.1:7001, in this process",
            "shards": 2, "connections_per_shard": 4, "ratio": ratio, "pipeline": 8,
            "value_size": { "min": 16, "max": 64 }, "duration_seconds": 10.0, "verify": true,
        });
        config.as_object().cloned().unwrap()
    }

    #[test]
    fn the_shape_is_memtiers() {
        let report = crate::cli::report::testing::full();
        let document = document(&config("1:10"), &report).unwrap();
        for (path, expected) in [
            ("/configuration/server", json!("127.0.0.1")),
            ("/configuration/port", json!(7001)),
            ("/configuration/clients", json!(4)),
            ("/configuration/data_size_range", json!("16:64")),
            ("/run information/Threads count", json!(2)),
            ("/ALL STATS/Runtime/Total duration", json!(10_000)),
            ("/ALL STATS/Runtime/Interrupted", json!("false")),
            ("/ALL STATS/Totals/Count", json!(1000)),
            ("/ALL STATS/Totals/Ops~1sec", json!(100.0)),
            ("/ALL STATS/Totals/Hits~1sec", json!(99.7)),
            ("/ALL STATS/Totals/Misses~1sec", json!(0.3)),
            ("/ALL STATS/Totals/Connection Errors", json!(1)),
            ("/ALL STATS/Totals/KB~1sec", json!(10.45)),
            ("/ALL STATS/Totals/KB~1sec TX", json!(3.52)),
            ("/ALL STATS/Gets/Count", json!(1000)),
            ("/ALL STATS/Gets/Hits~1sec", json!(99.7)),
            ("/ALL STATS/Totals/Time-Serie/0/Count", json!(3)),
        ] {
            assert_eq!(document.pointer(path), Some(&expected), "{path} in {document:#}");
        }
        // Milliseconds: the example's three commands took one, two and seven microseconds.
        for (path, expected) in [
            ("/ALL STATS/Totals/Latency", 0.003),
            ("/ALL STATS/Totals/Max Latency", 0.007),
            ("/ALL STATS/Totals/Percentile Latencies/p50.00", 0.002),
            ("/ALL STATS/Totals/Percentile Latencies/p99.90", 0.007),
            ("/ALL STATS/Totals/Time-Serie/0/p99.00", 0.007),
            ("/ALL STATS/Gets/Percentile Latencies/p50.00", 0.002),
        ] {
            assert_eq!(document.pointer(path).and_then(Value::as_f64), Some(expected), "{path}");
        }
        let histogram = "/ALL STATS/Totals/Percentile Latencies/Histogram log format/Compressed Histogram";
        let histogram = document.pointer(histogram).and_then(Value::as_str).unwrap();
        assert!(histogram.starts_with("HISTFAAA"), "{histogram}");
    }
}
