//! Two runs side by side: what is better, what is worse, and whether they are the same experiment at all.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;

use serde_json::Value;

use super::paint::{Ink, Paint};
use super::units::{grouped, micros};

/// The largest report that is read: ours are a thousandth of that.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Terminals below this have no room for the table in full.
const NARROW: usize = 70;
/// Runs differ by so much without any reason, which is then called the same.
const SAME: f64 = 0.02;
/// What is part of the configuration, and may differ from run to run without making it another experiment.
const IRRELEVANT: &[&str] = &["seed", "client_name", "password", "username", "credentials"];
/// What an endpoint in this process is called, besides its address, which is another one each time.
const EMBEDDED: &str = ", in this process";

/// A report of an earlier run.
#[derive(Debug)]
pub(super) struct Earlier {
    path: String,
    report: Value,
}

/// A number of a report, and how it is read.
struct Figure {
    name: &'static str,
    path: &'static str,
    unit: Unit,
    more_is_better: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Rate,
    Nanos,
    Micros,
    Count,
}

const fn latency(name: &'static str, path: &'static str) -> Figure {
    Figure { name, path, unit: Unit::Micros, more_is_better: false }
}

const FIGURES: &[Figure] = &[
    Figure { name: "throughput", path: "/throughput_per_second", unit: Unit::Rate, more_is_better: true },
    Figure {
        name: "client CPU a command",
        path: "/client_cpu_ns_per_command",
        unit: Unit::Nanos,
        more_is_better: false,
    },
    latency("latency mean", "/latency_us/mean"),
    latency("latency p50", "/latency_us/p50"),
    latency("latency p90", "/latency_us/p90"),
    latency("latency p99", "/latency_us/p99"),
    latency("latency p99.9", "/latency_us/p99_9"),
    latency("latency p99.99", "/latency_us/p99_99"),
    latency("latency max", "/latency_us/max"),
    latency("with failed p99", "/latency_with_failures_us/p99"),
    latency("with failed max", "/latency_with_failures_us/max"),
    latency("in handoffs p50", "/latency_during_handoff_us/p50"),
    latency("in handoffs p99", "/latency_during_handoff_us/p99"),
    latency("in handoffs max", "/latency_during_handoff_us/max"),
    latency("service time p50", "/service_time_us/p50"),
    latency("service time p99", "/service_time_us/p99"),
    latency("longest gap", "/longest_gap_us"),
    Figure { name: "failed", path: "/commands/failed", unit: Unit::Count, more_is_better: false },
    Figure { name: "reconnects", path: "/reconnects", unit: Unit::Count, more_is_better: false },
];

impl Earlier {
    /// Reads a report, or says why a file is none.
    pub(super) fn read(path: &str) -> Result<Earlier, String> {
        let read = |error| format!("cannot read {path}: {error}");
        let mut text = String::new();
        let file = File::open(path).map_err(read)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(read)?;
        let report: Value = serde_json::from_str(&text)
            .map_err(|error| format!("{path} is not JSON ({error}); give it what --json has written"))?;
        let none = |what: &str| format!("{path} is no report of `hitless bench --json`: {what}");
        match report.get("version").and_then(Value::as_u64) {
            Some(1) => {}
            Some(version) => return Err(none(&format!("version {version}, and 1 is what is known here"))),
            None => return Err(none("it has no \"version\"")),
        }
        if report.get("throughput_per_second").and_then(Value::as_f64).is_none() {
            return Err(none("it has no \"throughput_per_second\""));
        }
        Ok(Earlier { path: path.to_owned(), report })
    }

    /// The comparison as text, for a terminal of so many columns; without one, as wide as it is.
    pub(super) fn compared(&self, now: &Value, width: Option<usize>, paint: Paint) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, now, width.is_some_and(|width| width < NARROW), paint);
        out
    }

    /// In narrow terminals the earlier figure is left out: the ratio says what it was.
    fn write(&self, out: &mut String, now: &Value, narrow: bool, paint: Paint) -> std::fmt::Result {
        let (name_width, gap) = if narrow { (15, " ") } else { (22, "   ") };
        let row = |name: &str, then: &str, now: &str| {
            let name: String = name.chars().take(name_width).collect();
            if narrow { format!("{name:15}{now:>10}") } else { format!("{name:22}{then:>14}{now:>14}") }
        };
        writeln!(out, "compared with {}", self.path)?;
        let key = if narrow { "now/then" } else { "now/then (within 2 %: same)" };
        writeln!(out, "{}{gap}{key}", row("", "then", "now"))?;
        for figure in FIGURES {
            let read = |report: &Value| report.pointer(figure.path).and_then(Value::as_f64);
            let (then, now) = (read(&self.report), read(now));
            if then.is_none() && now.is_none() {
                continue;
            }
            let shown = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |n| figure.unit.show(n));
            write!(out, "{}{gap}", row(figure.name, &shown(then), &shown(now)))?;
            match (then, now) {
                (Some(then), Some(now)) => writeln!(out, "{}", verdict(figure, then, now, paint))?,
                _ if narrow => writeln!(out, "only once")?,
                _ => writeln!(out, "measured once only")?,
            }
        }
        let differences = differences(&self.report, now);
        if !differences.is_empty() {
            writeln!(out, "\nNOT THE SAME EXPERIMENT, so the figures do not compare like with like:")?;
            for (name, then, now) in differences {
                writeln!(out, "  {name}: {then} then, {now} now")?;
            }
        }
        for (report, which) in [(&self.report, "earlier"), (now, "present")] {
            if report.get("interrupted") == Some(&Value::Bool(true)) {
                writeln!(out, "The {which} run was interrupted.")?;
            }
        }
        Ok(())
    }
}

impl Unit {
    fn show(self, number: f64) -> String {
        match self {
            Unit::Rate => format!("{} /s", grouped(number.round() as u64)),
            Unit::Nanos => format!("{number:.0} ns"),
            Unit::Micros => micros(number),
            Unit::Count => grouped(number as u64),
        }
    }
}

fn verdict(figure: &Figure, then: f64, now: f64, paint: Paint) -> String {
    let word = |more: bool| match more == figure.more_is_better {
        true => paint.with(Ink::Good, "better"),
        false => paint.with(Ink::Error, "worse"),
    };
    if then == now {
        return "same".to_owned();
    }
    if then <= 0.0 {
        return word(true);
    }
    let ratio = now / then;
    match (ratio - 1.0).abs() <= SAME {
        true => format!("× {ratio:<5.2} same"),
        false => format!("× {ratio:<5.2} {}", word(ratio > 1.0)),
    }
}

/// The options and settings that differ: name, then, now.
fn differences(then: &Value, now: &Value) -> Vec<(String, String, String)> {
    let empty = serde_json::Map::new();
    let config = |report: &Value| report.get("config").and_then(Value::as_object).unwrap_or(&empty).clone();
    let (then, now) = (config(then), config(now));
    let mut names: Vec<&String> = now.keys().collect();
    names.extend(then.keys().filter(|name| !now.contains_key(*name)));
    let shown = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "not set".to_owned(),
        Some(Value::String(text)) if text.ends_with(EMBEDDED) => EMBEDDED.trim_start_matches(", ").to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let relevant = names.into_iter().filter(|name| !IRRELEVANT.contains(&name.as_str()));
    let pairs = relevant.map(|name| (name.clone(), shown(then.get(name)), shown(now.get(name))));
    pairs.filter(|(_, then, now)| then != now).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn earlier(report: Value) -> Earlier {
        Earlier { path: "old.json".to_owned(), report }
    }

    #[test]
    fn each_figure_says_which_way_is_better() {
        let then = json!({
            "throughput_per_second": 1000.0, "client_cpu_ns_per_command": 500.0,
            "latency_us": { "p50": 100.0, "p99": 1000.0, "max": 5000.0 },
            "commands": { "failed": 0 }, "longest_gap_us": 7.0,
        });
        let now = json!({
            "throughput_per_second": 1500.0, "client_cpu_ns_per_command": 505.0,
            "latency_us": { "p50": 50.0, "p99": 2000.0, "max": 5000.0 },
            "commands": { "failed": 3 },
        });
        let text = earlier(then.clone()).compared(&now, None, Paint::new(false));
        let line = |name: &str| {
            let found = text.lines().find(|line| line.starts_with(name));
            found
                .unwrap_or_else(|| panic!("no {name} in:\n{text}"))
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(line("throughput"), "throughput 1,000 /s 1,500 /s × 1.50 better");
        assert_eq!(line("client CPU"), "client CPU a command 500 ns 505 ns × 1.01 same");
        assert_eq!(line("latency p50"), "latency p50 100 µs 50.0 µs × 0.50 better");
        assert_eq!(line("latency p99"), "latency p99 1.00 ms 2.00 ms × 2.00 worse");
        assert_eq!(line("latency max"), "latency max 5.00 ms 5.00 ms same");
        assert_eq!(line("failed"), "failed 0 3 worse");
        assert_eq!(line("longest gap"), "longest gap 7.00 µs - measured once only");
        let narrow = earlier(then).compared(&now, Some(40), Paint::new(false));
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.contains("latency p99       2.00 ms × 2.00  worse\n"), "{narrow}");
        assert!(!text.contains("service time") && !text.contains("NOT THE SAME") && !text.contains('\x1b'));
    }

    #[test]
    fn colours_are_there_only_if_they_are_wanted() {
        let report = |rate: f64| json!({ "throughput_per_second": rate });
        assert!(
            earlier(report(1.0))
                .compared(&report(2.0), None, Paint::new(true))
                .contains("\x1b[32mbetter\x1b[0m")
        );
        assert!(
            earlier(report(2.0))
                .compared(&report(1.0), None, Paint::new(true))
                .contains("\x1b[31mworse\x1b[0m")
        );
    }

    #[test]
    fn what_makes_it_another_experiment_is_named() {
        let report = |tasks: u64, endpoint: &str, more: Value| {
            let mut config = json!({ "tasks_per_shard": tasks, "endpoint": endpoint, "seed": tasks });
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "config": config, "interrupted": tasks == 64 })
        };
        let then = report(64, "127.0.0.1:1, in this process", json!({ "rate": 5000 }));
        let now = report(128, "127.0.0.1:2, in this process", json!({}));
        let text = earlier(then.clone()).compared(&now, None, Paint::new(false));
        assert!(text.contains("NOT THE SAME EXPERIMENT"), "{text}");
        assert!(text.contains("  tasks_per_shard: 64 then, 128 now\n"), "{text}");
        assert!(text.contains("  rate: 5000 then, not set now\n"), "{text}");
        assert!(text.contains("The earlier run was interrupted."), "{text}");
        assert!(!text.contains("seed") && !text.contains("endpoint"), "{text}");
        assert_eq!(differences(&then, &then), []);
        let elsewhere = report(64, "redis.example:6379", json!({ "rate": 5000 }));
        let expected = ("endpoint", "in this process", "redis.example:6379");
        let expected = [(expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned())];
        assert_eq!(differences(&then, &elsewhere), expected);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        for (text, why) in [
            ("hello", "is not JSON"),
            ("[1, 2]", "it has no \"version\""),
            ("{\"version\": 2}", "version 2"),
            ("{\"version\": 1}", "throughput_per_second"),
        ] {
            let path = directory.path().join("old.json");
            std::fs::write(&path, text).unwrap();
            let problem = Earlier::read(path.to_str().unwrap()).unwrap_err();
            assert!(problem.contains(why) && problem.contains("old.json"), "{problem}");
        }
        assert!(Earlier::read("/nonexistent/old.json").unwrap_err().contains("cannot read /nonexistent"));
    }
}
