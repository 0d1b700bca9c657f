//! The figures of two reports. The spread of the repeated runs decides whether a difference is real.

use serde_json::{Map, Value, json};

use super::rank_test::{least_p_value, p_value};
use crate::load::tuner::row::median;

/// A number of a report and how to read it.
pub(super) struct Figure {
    pub(super) name: &'static str,
    path: &'static str,
    pub(super) unit: Unit,
    more_is_better: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Rate,
    Nanos,
    Micros,
    Count,
}

/// One figure of both reports.
pub(super) struct ComparedFigure {
    pub(super) figure: &'static Figure,
    /// The median over the runs of each report; `None` if it was not measured.
    pub(super) then: Option<f64>,
    pub(super) now: Option<f64>,
    /// The probability of such a difference by chance; `None` if one report lacks the figure.
    pub(super) p: Option<f64>,
    pub(super) verdict: Verdict,
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Better,
    Worse,
    /// The difference is within the spread of the runs.
    Same,
    /// With so few runs, no difference can be significant.
    TooFewRuns,
    /// Only one of the reports has it.
    OnlyInOne,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::Same => "same",
            Verdict::TooFewRuns => "not_enough_runs",
            Verdict::OnlyInOne => "measured_once_only",
        }
    }
}

impl ComparedFigure {
    pub(super) fn ratio(&self) -> Option<f64> {
        let (then, now) = (self.then?, self.now?);
        (then > 0.0).then(|| now / then)
    }

    pub(super) fn json(&self) -> Value {
        let mut all = Map::new();
        let mut put = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
        put("name", self.figure.name.into());
        put("path", self.figure.path.into());
        for (name, number) in
            [("then", self.then), ("now", self.now), ("ratio", self.ratio()), ("p_value", self.p)]
        {
            if let Some(number) = number {
                put(name, json!(number));
            }
        }
        put("verdict", self.verdict.word().into());
        all.into()
    }
}

/// How many runs a report holds.
pub(super) fn runs(report: &Value) -> usize {
    of_runs(report).len()
}

/// The runs of a report: its repeats, or the report itself if it has none.
pub(super) fn of_runs(report: &Value) -> Vec<&Value> {
    match report.get("repeats").and_then(Value::as_array) {
        Some(repeats) if !repeats.is_empty() => repeats.iter().collect(),
        _ => vec![report],
    }
}

/// Compares all figures that either report has.
pub(super) fn compare(then: &Value, now: &Value) -> Vec<ComparedFigure> {
    let (then, now) = (of_runs(then), of_runs(now));
    let read = |runs: &[&Value], path: &str| -> Vec<f64> {
        runs.iter().filter_map(|run| run.pointer(path).and_then(Value::as_f64)).collect()
    };
    let both = |figure: &'static Figure| {
        let (then, now) = (read(&then, figure.path), read(&now, figure.path));
        (!then.is_empty() || !now.is_empty()).then(|| compared(figure, &then, &now))
    };
    FIGURES.iter().filter_map(both).collect()
}

fn compared(figure: &'static Figure, then: &[f64], now: &[f64]) -> ComparedFigure {
    let p = p_value(then, now);
    let medians = (median(then.to_vec()), median(now.to_vec()));
    let verdict = match (medians, p) {
        ((Some(before), Some(after)), Some(p)) => {
            let is_better = (after > before) == figure.more_is_better;
            match p {
                _ if least_p_value(then.len(), now.len()) >= ALPHA => Verdict::TooFewRuns,
                p if p >= ALPHA || before == after => Verdict::Same,
                _ if is_better => Verdict::Better,
                _ => Verdict::Worse,
            }
        }
        _ => Verdict::OnlyInOne,
    };
    ComparedFigure { figure, then: medians.0, now: medians.1, p, verdict }
}

/// The number of runs per report from which on a difference can be significant.
pub(super) fn runs_needed() -> usize {
    (1..).find(|&runs| least_p_value(runs, runs) < ALPHA).unwrap_or(usize::MAX)
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
    // Where reports of queues and of subscribers have it.
    Figure { name: "failed", path: "/failed", unit: Unit::Count, more_is_better: false },
    Figure { name: "gaps", path: "/pubsub/gaps", unit: Unit::Count, more_is_better: false },
    Figure { name: "lagged", path: "/pubsub/lagged", unit: Unit::Count, more_is_better: false },
    Figure { name: "reconnects", path: "/reconnects", unit: Unit::Count, more_is_better: false },
];

/// The name of the statistical test in the JSON.
pub(super) const TEST: &str = "mann-whitney-u";
/// The significance level. A comparison covers about 20 figures: at the customary 5 %, most comparisons of equal runs
/// would report a difference.
pub(super) const ALPHA: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of runs with these throughputs.
    fn report(throughputs: &[f64]) -> Value {
        let run = |rate: &f64| json!({ "throughput_per_second": rate });
        let mut report = run(&throughputs[0]);
        if throughputs.len() > 1 {
            report["repeats"] = throughputs.iter().map(run).collect();
        }
        report
    }

    fn verdict(then: &[f64], now: &[f64]) -> Verdict {
        let all = compare(&report(then), &report(now));
        assert_eq!(all.len(), 1, "there is one figure");
        all[0].verdict
    }

    const BASE: [f64; 5] = [100.0, 104.0, 98.0, 101.0, 103.0];

    #[test]
    fn a_difference_beyond_the_spread_is_better_or_worse() {
        let more = BASE.map(|rate| rate + 10.0);
        assert_eq!(verdict(&BASE, &more), Verdict::Better);
        assert_eq!(verdict(&more, &BASE), Verdict::Worse);
        let a_little_more = BASE.map(|rate| rate + 2.5);
        assert_eq!(verdict(&BASE, &a_little_more), Verdict::Same, "2 % are within the spread");
        let steady = [100.0, 100.1, 100.2, 100.3, 100.4];
        let barely = steady.map(|rate| rate + 1.0);
        assert_eq!(verdict(&steady, &barely), Verdict::Better, "1 % is beyond a small spread");
        assert_eq!(verdict(&BASE, &BASE), Verdict::Same);
    }

    #[test]
    fn few_runs_are_never_significant() {
        assert_eq!(verdict(&[100.0], &[500.0]), Verdict::TooFewRuns);
        assert_eq!(verdict(&[100.0], &BASE.map(|rate| rate * 9.0)), Verdict::TooFewRuns);
        assert_eq!(
            verdict(&BASE[..4], &BASE[..4].iter().map(|rate| rate * 9.0).collect::<Vec<_>>()),
            Verdict::TooFewRuns
        );
        assert_eq!(runs_needed(), 5);
    }

    #[test]
    fn less_latency_is_better_and_medians_are_shown() {
        let runs = |p99: f64| -> Value {
            let run = |n: u32| json!({ "latency_us": { "p99": p99 + f64::from(n) } });
            json!({ "repeats": (0..5).map(run).collect::<Vec<_>>() })
        };
        let all = compare(&runs(100.0), &runs(50.0));
        let [only] = &all[..] else { panic!("one figure") };
        assert_eq!((only.then, only.now, only.verdict), (Some(102.0), Some(52.0), Verdict::Better));
        let json = only.json();
        assert_eq!((json["name"].as_str(), json["verdict"].as_str()), (Some("latency p99"), Some("better")));
        assert!(json["p_value"].as_f64().is_some_and(|p| p < ALPHA) && json["ratio"].is_number());
    }

    #[test]
    fn a_figure_of_only_one_report_is_marked() {
        let (with, without) = (json!({ "longest_gap_us": 7.0 }), json!({}));
        let all = compare(&with, &without);
        assert_eq!((all.len(), all[0].verdict, all[0].p), (1, Verdict::OnlyInOne, None));
        assert_eq!(all[0].json().get("now"), None);
    }
}
