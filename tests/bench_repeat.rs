//! `hitless bench --repeat`, `--versus` and `--compare`: repeated runs, and the comparison of two groups of runs.

mod common;

use std::process::Output;

use common::binary::{endpoint, json, run, text};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let small = ["bench", "--no-load", "--shards", "1", "--tasks", "4"];
    run(&[&small, arguments].concat())
}

/// A run with `--json -`, which must succeed.
fn report(arguments: &[&str]) -> Value {
    json(&bench(&[arguments, &["--json", "-", "--quiet"]].concat()), 0)
}

fn throughputs(report: &Value) -> Vec<f64> {
    let repeats = report["repeats"].as_array().expect("repeats");
    repeats.iter().filter_map(|run| run["throughput_per_second"].as_f64()).collect()
}

fn verdict<'a>(report: &'a Value, path: &str) -> &'a str {
    let figures = report["comparison"]["figures"].as_array().expect("figures");
    let figure = figures.iter().find(|figure| figure["path"] == path).expect("the figure");
    figure["verdict"].as_str().expect("a verdict")
}

#[test]
fn every_run_is_kept_and_the_median_one_is_reported() {
    let (_endpoints, url) = endpoint("FAULT off");
    let report = report(&["--url", &url, "--requests", "200", "--repeat", "3"]);
    let mut all = throughputs(&report);
    assert_eq!(all.len(), 3, "{report:#}");
    all.sort_by(f64::total_cmp);
    assert_eq!(report["throughput_per_second"].as_f64(), Some(all[1]));
    for run in report["repeats"].as_array().expect("repeats") {
        assert_eq!(run["commands"]["answered"], 200);
    }
}

#[test]
fn endpoints_in_this_process_move_anew_in_every_run() {
    let report = report(&["--duration", "1s", "--repeat", "2", "--connections", "1"]);
    for run in report["repeats"].as_array().expect("repeats") {
        assert_eq!(run["maintenance"]["handoffs"]["succeeded"], 1, "{run:#}");
    }
}

#[test]
fn a_slow_server_is_worse_than_the_spread_of_runs() {
    let ((_fast, url), (_slow, other)) = (endpoint("FAULT off"), endpoint("FAULT delay 10"));
    let versus = format!("--url '{other}'");
    let arguments = ["--url", &url, "--requests", "40", "--repeat", "5", "--versus", &versus];
    let mut seen = Vec::new();
    // One pause of the machine during a fast run can hide the difference.
    for _ in 0..3 {
        let report = report(&arguments);
        assert_eq!(report["versus"]["repeats"].as_array().map(Vec::len), Some(5));
        let differences = report["comparison"]["config_differences"].as_array().expect("a list");
        assert!(differences.iter().any(|difference| difference["name"] == "endpoint"), "{differences:#?}");
        let paths = ["/throughput_per_second", "/latency_us/p50"];
        let verdicts = paths.map(|path| verdict(&report, path).to_owned());
        if verdicts == ["better", "better"] {
            return;
        }
        seen.push(verdicts);
    }
    panic!("three comparisons failed: {seen:?}");
}

#[test]
fn single_runs_are_compared_without_a_verdict() {
    let (_endpoints, url) = endpoint("FAULT off");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.json");
    let path = path.to_str().expect("text");
    let load = ["--url", &url, "--requests", "100"];
    let first = bench(&[&load[..], &["--json", path, "--quiet"]].concat());
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let picture = folder.path().join("both.svg");
    let picture = picture.to_str().expect("text");
    let again = [&load[..], &["--compare", path, "--plot", picture]].concat();
    let report = report(&again);
    assert_eq!(report["comparison"]["runs"], serde_json::json!({ "then": 1, "now": 1 }));
    assert_eq!(verdict(&report, "/throughput_per_second"), "not_enough_runs");
    assert!(report.get("repeats").is_none() && report.get("versus").is_none());
    assert!(std::fs::read_to_string(picture).expect("a picture").contains("earlier"));
    let output = bench(&again);
    assert!(text(&output.stdout).contains("Not enough runs to tell better from worse: 1 then and 1 now"));
}

#[test]
fn options_of_versus_are_checked_and_named() {
    for (options, message) in [
        ("", "names no option"),
        ("--connections '8", "a quote is not closed"),
        ("--connections 0", "--connections"),
        ("--no-such-option", "--no-such-option"),
        ("--repeat 3", "--repeat applies to both"),
    ] {
        let output = bench(&["--versus", options]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options}: {said}");
        assert!(said.contains("--versus") && said.contains(message), "{options}: {said}");
    }
    let secret = bench(&["--versus", "--url redis://:Xq7k@127.0.0.1 --connections 0"]);
    let said = text(&secret.stderr);
    assert_eq!(secret.status.code(), Some(2), "{said}");
    assert!(!said.contains("Xq7k"), "{said}");
    let both = bench(&["--versus", "--tasks 2", "--compare", "/nonexistent"]);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both.stderr));
}
