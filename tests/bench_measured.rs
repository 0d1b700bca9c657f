//! The output and exit code of `hitless bench` when it measured little or nothing. The endpoints answer later than a
//! run lasts, so no test depends on the speed of the machine.

mod common;

use std::process::Output;

use common::binary::{endpoint, json, number, run, text};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    run(&[&["bench", "--no-load"], arguments].concat())
}

/// The report of a run with `--json -` that exits with `code`, and its standard error.
fn report(arguments: &[&str], code: i32) -> (Value, String) {
    let output = bench(&[arguments, &["--json", "-", "--quiet"]].concat());
    (json(&output, code), text(&output.stderr).to_owned())
}

fn problem(report: &Value) -> Option<&str> {
    report.pointer("/problems/0/kind").and_then(Value::as_str)
}

/// The warm-up and the measured time both end before the first reply, which takes [`DELAY`].
const SHORTER_THAN_AN_ANSWER: [&str; 6] = ["--warm-up", "300ms", "--duration", "300ms", "--timeout", "1m"];
const DELAY: &str = "FAULT delay 1000";
const DELAY_US: f64 = 1e6;

/// Repeats a check up to three times: callers send at the start of the warm-up, and a machine that pauses until its
/// end spoils the check.
fn up_to_three_times(check: impl Fn() -> Result<(), String>) {
    let tries: Vec<_> = (0..3).map_while(|_| check().err()).collect();
    assert!(tries.len() < 3, "{}", tries.join("\n"));
}

#[test]
fn a_stall_across_the_end_of_warm_up_is_measured() {
    let (_endpoints, url) = endpoint(DELAY);
    for via in ["shard", "client", "tokio"] {
        up_to_three_times(|| {
            let callers = ["--url", &url, "--shards", "1", "--tasks", "8", "--via", via];
            let (report, _) = report(&[&callers[..], &SHORTER_THAN_AN_ANSWER].concat(), 0);
            if number(&report, "/commands/from_warm_up") != 8.0 {
                return Err(format!("{report:#}"));
            }
            assert_eq!(number(&report, "/commands/answered"), 8.0, "{report:#}");
            assert_eq!(number(&report, "/commands/issued"), 8.0);
            let shortest = number(&report, "/latency_us/min");
            assert!(shortest >= DELAY_US * 0.99, "the whole latency counts: {report:#}");
            assert!(number(&report, "/longest_gap_us") >= DELAY_US * 0.99);
            assert_eq!(number(&report, "/answered_share"), 1.0);
            assert_eq!(report.pointer("/problems"), None);
            Ok(())
        });
    }
}

#[test]
fn an_open_loop_that_could_not_send_is_a_failure() {
    let (_endpoints, url) = endpoint(DELAY);
    let load = ["--url", &url, "--shards", "1", "--tasks", "8", "--rate", "10000"];
    let load = [&load[..], &SHORTER_THAN_AN_ANSWER].concat();
    up_to_three_times(|| {
        let (report, stderr) = report(&load, 1);
        if number(&report, "/commands/answered") != 8.0 {
            return Err(format!("{report:#}"));
        }
        // Eight callers wait from the start on, so every command due in the measured time stays unsent.
        assert_eq!(number(&report, "/offered/unsent"), 3000.0);
        assert_eq!(number(&report, "/offered/per_second"), 10_000.0);
        assert_eq!(problem(&report), Some("too_few_answered"));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("TOO LITTLE WAS ANSWERED: 0.2 % of the commands (8 of 3008;"), "{stderr}");
        Ok(())
    });
    let output = bench(&load);
    let first = text(&output.stdout).lines().next().unwrap_or_default().to_owned();
    assert!(first.contains("WAS ANSWERED") || first.contains("NOTHING WAS MEASURED"), "{first}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_run_without_an_answer_says_so_first() {
    let (_endpoints, url) = endpoint("FAULT delay 500");
    let common = ["--url", &url, "--shards", "1", "--tasks", "2"];
    let late = ["--timeout", "50ms", "--duration", "100ms"];
    // The run ends after a nanosecond, before it sends a command.
    let nothing_sent = ["--duration", "1ns"];
    for load in [&late[..], &nothing_sent] {
        let (report, stderr) = report(&[&common[..], load].concat(), 1);
        assert_eq!(number(&report, "/commands/answered"), 0.0);
        assert_eq!(problem(&report), Some("nothing_measured"), "{report:#}");
        assert!(stderr.contains("error: NOTHING WAS MEASURED"), "{stderr}");
    }
}

#[test]
fn a_server_that_answers_nothing_is_named_beside_others() {
    let ((_fast, one), (_slow, other)) = (endpoint("FAULT off"), endpoint("FAULT delay 500"));
    let load = ["--url", &one, "--url", &other, "--shards", "2", "--tasks", "2", "--duration", "300ms"];
    let (report, _) = report(&[&load[..], &["--timeout", "60ms"]].concat(), 1);
    let problems = report.pointer("/problems").and_then(Value::as_array).expect("problems");
    let slow = other.trim_start_matches("redis://");
    let names_it = |problem: &Value| {
        let message = problem["message"].as_str().unwrap_or_default();
        problem["kind"] == "server_too_few_answered" && message.contains(slow)
    };
    assert!(problems.iter().any(names_it), "{problems:#?}");
    assert!(number(&report, "/servers/1/offered") > 0.0);
    assert_eq!(number(&report, "/servers/1/commands"), 0.0);
}

#[test]
fn commands_in_flight_use_up_the_requests_first() {
    let (_endpoints, url) = endpoint(DELAY);
    let load = ["--url", &url, "--shards", "1", "--tasks", "8", "--warm-up", "300ms", "--timeout", "1m"];
    // With fewer requests than callers, all commands in flight still count, and the first that ends may send another.
    for (requests, answered) in [("20", 20.0..=20.0), ("3", 8.0..=10.0)] {
        up_to_three_times(|| {
            let (report, _) = report(&[&load[..], &["--requests", requests]].concat(), 0);
            if number(&report, "/commands/from_warm_up") != 8.0 {
                return Err(format!("{report:#}"));
            }
            let (issued, got) = (number(&report, "/commands/issued"), number(&report, "/commands/answered"));
            assert!(answered.contains(&got) && issued == got, "{report:#}");
            Ok(())
        });
    }
}
