//! `hitless simulate`: the binary and its JSON report.

mod common;

use std::process::Output;

use common::binary::{json, run, text};
use serde_json::Value;

fn simulate(arguments: &[&str]) -> Output {
    run(&[&["simulate"], arguments].concat())
}

#[test]
fn simulations_run_and_are_counted() {
    let output = simulate(&["--seeds", "60", "--jobs", "2", "--json", "-", "--quiet"]);
    let report = json(&output, 0);
    assert_eq!((&report["worlds"], &report["violation"]), (&60.into(), &Value::Null));
    assert!(report["virtual_seconds"].as_f64().is_some_and(|time| time > 600.0), "{report}");
    assert!(report["handoffs"]["succeeded"].as_u64().is_some_and(|count| count > 20), "{report}");
}

#[test]
fn the_same_seed_gives_the_same_trace_in_two_processes() {
    let [one, other, another] =
        ["7", "7", "8"].map(|seed| text(&simulate(&["--seed", seed, "--trace"]).stdout).to_owned());
    assert_eq!(one.lines().filter(|line| line.contains("fingerprint")).count(), 1);
    let without_times =
        |text: &str| text.lines().filter(|line| !line.starts_with("worlds")).collect::<String>();
    assert_eq!(without_times(&one), without_times(&other));
    assert_ne!(without_times(&one), without_times(&another));
}

#[test]
fn invalid_options_are_a_usage_error() {
    for arguments in [&["--seeds", "x"][..], &["--seed", "1", "--seeds", "2"], &["--trace"]] {
        assert_eq!(simulate(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
