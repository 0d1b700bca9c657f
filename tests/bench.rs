//! `hitless bench`: the binary, its streams and its exit codes.

use std::io::{BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Output};
use std::time::Duration;

use common::binary::{self, hitless, number, signal, text, wait_for_line};
use common::pauses::retry_on_pause;
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use serde_json::Value;

mod common;

fn run(arguments: &[&str]) -> Output {
    binary::run(&[&["bench"], arguments].concat())
}

/// The report of a run that ends with this code.
fn report(arguments: &[&str], code: i32) -> Value {
    binary::json(&run(&[arguments, &["--json", "-", "--quiet"]].concat()), code)
}

/// Starts a run of one hour and waits until it has begun.
fn started(arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut command = hitless(&[&["bench", "--duration", "1h"], arguments].concat());
    command.env("RUST_LOG", "hitless=info");
    binary::started(command, "the run begins")
}

#[test]
fn a_short_run_reports_what_was_done() {
    let report = report(&["--requests", "5000", "--key-space", "1000", "--shards", "1"], 0);
    assert_eq!(number(&report, "/version"), 1.0);
    assert_eq!(number(&report, "/commands/issued"), 5000.0);
    assert_eq!(number(&report, "/commands/answered"), 5000.0);
    for count in ["failed", "ambiguous", "timed_out", "missing"] {
        assert_eq!(number(&report, &format!("/commands/{count}")), 0.0);
    }
    assert_eq!(report.pointer("/errors"), Some(&Value::Object(Default::default())));
    assert_eq!(report.pointer("/verify"), None, "absent means not measured");
    assert_eq!(report.pointer("/service_time_us"), None);
    let quantiles = ["min", "p50", "p90", "p99", "p99_9", "p99_99", "max"];
    let latencies = quantiles.map(|name| number(&report, &format!("/latency_us/{name}")));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{latencies:?}");
    assert!(number(&report, "/latency_us/mean") > 0.0);
    assert!(number(&report, "/longest_gap_us") >= number(&report, "/latency_us/max") * 0.99);
    assert!(number(&report, "/client_cpu_ns_per_command") > 0.0);
    assert!(number(&report, "/elapsed_seconds") > 0.0);
    assert!(number(&report, "/throughput_per_second") > 0.0);
    assert_eq!(number(&report, "/shards/0/commands"), 5000.0);
    assert_eq!(number(&report, "/config/tasks_per_shard"), 64.0);
    assert_eq!(number(&report, "/config/requests"), 5000.0);
    let connections = report.pointer("/connections").and_then(Value::as_object);
    let live: f64 = connections.into_iter().flatten().filter_map(|(_, n)| n.as_f64()).sum();
    assert_eq!(live, 4.0, "{report:#}");
}

#[test]
fn every_reply_is_checked() {
    for more in [
        &["--pipeline", "8"][..],
        &["--via", "client"],
        &["--via", "tokio"],
        &["--key-distribution", "zipf:1"],
    ] {
        let common = ["--verify", "--requests", "20000", "--ratio", "1:1", "--key-space", "500"];
        let sizes = ["--value-size", "40-400", "--tasks", "10", "--shards", "1"];
        let report = report(&[&common[..], &sizes, more].concat(), 0);
        assert_eq!(number(&report, "/verify/mismatched"), 0.0);
        assert!(number(&report, "/verify/checked") > 5000.0, "{report:#}");
        let audit = number(&report, "/verify/audit/counter");
        assert!(audit > 1000.0);
        assert_eq!(audit, number(&report, "/verify/audit/answered"));
    }
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let report = report(&["--rate", "2000", "--requests", "1000", "--shards", "1"], 0);
    assert_eq!(report.pointer("/loop").and_then(Value::as_str), Some("open"));
    // A thousand arrivals span 999 intervals; a busy machine can only make it longer.
    assert!(number(&report, "/elapsed_seconds") >= 0.4995);
    assert!(number(&report, "/service_time_us/p50") <= number(&report, "/latency_us/p50"));
}

#[test]
fn a_custom_command_is_sent() {
    let arguments = ["--command", "SET {key} 'a {value} b'", "--requests", "500", "--shards", "1"];
    let report = report(&arguments, 0);
    assert_eq!(number(&report, "/commands/answered"), 500.0);
}

#[test]
fn failed_commands_are_counted_and_exit_with_1() {
    let arguments = ["--command", "NOSUCHCOMMAND {key}", "--requests", "300", "--shards", "1"];
    let report = report(&arguments, 1);
    assert_eq!(number(&report, "/commands/failed"), 300.0);
    assert_eq!(number(&report, "/commands/answered"), 0.0);
    assert_eq!(report.pointer("/latency_us"), None);
    let errors = report.pointer("/errors").and_then(Value::as_object).expect("errors by kind");
    assert_eq!(errors.values().filter_map(Value::as_u64).sum::<u64>(), 300);
}

#[test]
fn the_report_goes_to_standard_output_alone() {
    let short = ["--requests", "200", "--key-space", "100", "--shards", "1"];
    let output = run(&short);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("throughput") && stdout.contains("coordinated omission"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colors");
    assert_eq!(text(&output.stderr), "", "no progress without a terminal");

    let output = run(&[&short[..], &["--json", "-"]].concat());
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok());
    assert!(text(&output.stderr).contains("throughput"));
}

#[test]
fn json_goes_to_a_file_and_text_to_stdout() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("report.json");
    let path = path.to_str().expect("a path that is text");
    let output = run(&["--requests", "200", "--key-space", "100", "--shards", "1", "--json", path]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("throughput"));
    let written = std::fs::read(path).expect("a report");
    let report: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(number(&report, "/commands/answered"), 200.0);
}

#[test]
fn a_usage_error_names_the_option() {
    for (arguments, named) in [
        (&["--tasks", "0"][..], &["--tasks", "1 to"][..]),
        (&["--verify", "--value-size", "8"], &["--value-size", "31 to"]),
        (&["--verify", "--key-space", "3"], &["--key-space", "allowed"]),
        (&["--verify", "--command", "PING"], &["--verify", "--command"]),
        (&["--url", "http://localhost"], &["--url"]),
        (&["--url", "redis://localhost", "--moving-at", "1s"], &["--moving-at", "hitless rehearse"]),
        (&["--moving-at", "10s"], &["--moving-at", "before the end", "--duration"]),
        (&["--moving-at", "1s", "--moving-at", "1000ms"], &["--moving-at", "1s is given twice"]),
        (&["--url", "redis://localhost", "--tls"], &["--tls", "write rediss://"]),
        (&["--tls", "--tls-ca", "/nonexistent/ca.pem"], &["--tls-ca", "in this process"]),
        (&["--tls-cert", "/nonexistent/c.pem"], &["--tls-key"]),
        (&["--tls-min-version", "1.1"], &["--tls-min-version", "1.2, 1.3"]),
        (&["--pipeline", "1,16"], &["--pipeline", "it takes one number; hitless tune sweeps lists"]),
        (&["--tasks", "4000", "--pipeline", "10"], &["--tasks", "--pipeline", "--tasks 1 to 3000"]),
        (&["--shards", "2", "--cores", "0"], &["--shards: got 2 shards for 1 core in --cores"]),
        (&["--tls-insecure-skip-verify"], &["--tls-insecure-skip-verify", "--tls"]),
        (&["--maint", "perhaps"], &["--maint", "auto, enabled, disabled"]),
        (&["--json", "/nonexistent/report.json"], &["--json"]),
        (&["--no-such-option"], &["--no-such-option"]),
    ] {
        let output = run(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(named.iter().all(|name| stderr.contains(name)), "{arguments:?}: {stderr}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn an_unreachable_endpoint_exits_with_code_3() {
    // A port that was free a moment ago has no listener.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let url = format!("redis://:s3cret@{address}");
    let output = run(&["--url", &url, "--connect-timeout", "500ms", "--shards", "1"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains(&address.to_string()), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_run_outlives_its_endpoint_and_says_what_failed() {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let config = EndpointsConfig { listen, ..EndpointsConfig::default() };
    let endpoints = Endpoints::start(config).expect("endpoints");
    let url = format!("redis://{}", endpoints.addresses()[0]);
    let arguments = ["--url", &url, "--shards", "1", "--timeout", "300ms", "--json", "-", "--quiet"];
    let (child, mut stderr) = started(&arguments);
    endpoints.stop().expect("they stop");
    wait_for_line(&mut stderr, "lost a connection");
    signal(&child, libc::SIGINT);
    // The child blocks when its log fills the pipe, so a thread drains it.
    let rest = std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
    let output = child.wait_with_output().expect("it ends");
    assert!(rest.join().is_ok_and(|read| read.is_ok()));
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let failed = number(&report, "/commands/failed");
    assert!(failed > 0.0, "{report:#}");
    assert_eq!(number(&report, "/commands/issued"), number(&report, "/commands/answered") + failed);
    let errors = report.pointer("/errors").and_then(Value::as_object).expect("errors by kind");
    assert_eq!(errors.values().filter_map(Value::as_f64).sum::<f64>(), failed);
}

#[test]
fn ctrl_c_still_gives_the_report() {
    for kind in [libc::SIGINT, libc::SIGTERM] {
        let redis = common::Redis::start();
        let url = redis.url();
        let arguments = ["--verify", "--key-space", "1000", "--shards", "1", "--json", "-", "--quiet"];
        let (child, mut stderr) = started(&[&arguments[..], &["--url", &url]].concat());
        // The preload sends SET only; the run itself sends GET.
        common::fixture::eventually("the load arrives", || redis.statistics().contains("cmdstat_get"));
        signal(&child, kind);
        let output = child.wait_with_output().expect("it ends");
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).expect("text");
        assert_eq!(output.status.code(), Some(128 + kind), "{rest}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report.pointer("/interrupted"), Some(&Value::Bool(true)));
        assert_eq!(number(&report, "/verify/mismatched"), 0.0);
        assert_eq!(number(&report, "/commands/answered"), number(&report, "/commands/issued"));
    }
}

/// The maintenance figures of a run without maintenance.
fn assert_no_maintenance(report: &Value) {
    for count in ["notifications", "duplicates", "malformed"] {
        assert_eq!(number(report, &format!("/maintenance/{count}")), 0.0);
    }
    for count in ["started", "succeeded", "failed", "superseded"] {
        assert_eq!(number(report, &format!("/maintenance/handoffs/{count}")), 0.0);
    }
    for absent in ["/latency_during_handoff_us", "/maintenance/handoff_duration_us"] {
        assert_eq!(report.pointer(absent), None, "absent means not measured");
    }
    assert_eq!(report.pointer("/maintenance/handoffs/expected"), None, "no move was requested");
}

#[test]
fn a_run_without_maintenance_reports_zeros() {
    let disabled = ["--maint", "disabled", "--duration", "200ms"];
    let stays = ["--no-moving", "--duration", "200ms"];
    for (more, mode) in [(&disabled[..], "disabled"), (&["--requests", "200"], "auto"), (&stays[..], "auto")]
    {
        let report = report(&[more, &["--key-space", "100", "--shards", "1"]].concat(), 0);
        assert_no_maintenance(&report);
        assert_eq!(report.pointer("/maintenance/movings"), None);
        assert_eq!(report.pointer("/config/moving_at_seconds"), Some(&Value::Array(Vec::new())));
        let config = report.pointer("/config/maintenance.mode").and_then(Value::as_str);
        assert_eq!(config, Some(mode));
    }
}

#[test]
fn handoffs_under_tls_fail_no_command() {
    retry_on_pause(GRACE, || {
        let moves =
            ["--tls", "--verify", "--duration", "3s", "--moving-at", "1s", "--value-size", "40-40000"];
        let common = ["--key-space", "1000", "--shards", "1", "--connections", "3", "--tasks", "16"];
        let report = report(&[&moves[..], &common].concat(), 0);
        assert_eq!(number(&report, "/commands/failed"), 0.0, "{report:#}");
        assert_eq!(number(&report, "/verify/mismatched"), 0.0);
        assert_eq!(number(&report, "/maintenance/handoffs/succeeded"), 3.0);
        let to = report.pointer("/maintenance/movings/0/to").and_then(Value::as_str).expect("an address");
        assert_eq!(report.pointer("/connections"), Some(&serde_json::json!({ to: 3 })));
        let tls = report.pointer("/config/tls").and_then(Value::as_str).expect("the TLS settings");
        assert!(tls.starts_with("1.2 or later, trusts ") && !tls.contains("system"), "{tls}");
        assert!(!report.to_string().contains("PRIVATE KEY"));
    });
}

#[test]
fn a_moving_is_not_followed_with_maintenance_disabled() {
    let move_at_once = ["--maint", "disabled", "--moving-at", "1ms", "--duration", "300ms"];
    let common = ["--key-space", "100", "--shards", "1", "--connections", "2"];
    let arguments = [&move_at_once[..], &common].concat();
    let report = report(&arguments, 0);
    assert_no_maintenance(&report);
    let from = report.pointer("/maintenance/movings/0/from").and_then(Value::as_str).expect("an address");
    assert_ne!(report.pointer("/maintenance/movings/0/to").and_then(Value::as_str), Some(from));
    assert!(number(&report, "/maintenance/movings/0/at_seconds") >= 0.001);
    assert_eq!(report.pointer("/connections"), Some(&serde_json::json!({ from: 2 })));

    let output = run(&arguments);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("maintenance   MOVING at ") && stdout.contains("1 s of grace"), "{stdout}");
}

#[test]
fn ctrl_c_does_not_wait_for_later_moves() {
    let moves = ["--moving-at", "1ms", "--moving-at", "30m", "--maint", "disabled"];
    let arguments = [&moves[..], &["--key-space", "100", "--shards", "1", "--json", "-", "--quiet"]].concat();
    let (child, mut stderr) = started(&arguments);
    wait_for_line(&mut stderr, "MOVING");
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    // On a busy machine the signal can arrive before the first reply. A run that measured nothing fails.
    let measured_nothing =
        report.pointer("/answered_share").and_then(Value::as_f64).is_none_or(|share| share < 0.9);
    let code = output.status.code();
    assert!(code == Some(128 + libc::SIGINT) || measured_nothing && code == Some(1), "{code:?}: {report:#}");
    assert_eq!(report.pointer("/interrupted"), Some(&Value::Bool(true)));
    let movings = report.pointer("/maintenance/movings").and_then(Value::as_array).expect("one move");
    assert_eq!((movings.len(), number(&report, "/maintenance/movings/0/grace_seconds")), (1, 5.0));
}

/// Moves follow each other after 300 ms, and a handoff takes a few turns of each thread.
const GRACE: Duration = Duration::from_millis(20);

/// Every connection has followed each of these moves, and no command failed.
fn assert_followed(report: &Value, moves: usize) {
    for count in ["failed", "ambiguous", "timed_out"] {
        assert_eq!(number(report, &format!("/commands/{count}")), 0.0, "{report:#}");
    }
    assert_eq!(number(report, "/verify/mismatched"), 0.0, "{report:#}");
    let movings = report.pointer("/maintenance/movings").and_then(Value::as_array).expect("moves");
    assert_eq!(movings.len(), moves);
    let connections = number(report, "/config/shards") * number(report, "/config/connections_per_shard");
    let handoffs = ["expected", "started", "succeeded"].map(|name| {
        let count = number(report, &format!("/maintenance/handoffs/{name}"));
        assert_eq!(count, connections * moves as f64, "{name} in {report:#}");
        count
    });
    assert!(number(report, "/maintenance/notifications") >= handoffs[0]);
    assert_eq!(number(report, "/maintenance/handoffs/failed"), 0.0);
    assert_eq!(number(report, "/reconnects"), 0.0, "a successor is not made after a loss");
    let last = movings[moves - 1].pointer("/to").and_then(Value::as_str).expect("an address");
    assert_eq!(report.pointer("/connections"), Some(&serde_json::json!({ last: connections as u64 })));
    let quantiles = ["p50", "p99", "p99_9", "max"];
    let latencies = quantiles.map(|name| number(report, &format!("/latency_during_handoff_us/{name}")));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{latencies:?}");
    let took = ["p50", "max"].map(|name| number(report, &format!("/maintenance/handoff_duration_us/{name}")));
    assert!(took.is_sorted() && took[0] > 0.0, "{took:?}");
}

#[test]
fn a_moving_half_way_hands_every_connection_off() {
    retry_on_pause(GRACE, || {
        for via in ["shard", "client", "tokio"] {
            let common = ["--verify", "--key-space", "1000", "--connections", "3", "--via", via];
            let report = report(&[&common[..], &["--duration", "2s"]].concat(), 0);
            assert_followed(&report, 1);
            assert!(number(&report, "/maintenance/movings/0/at_seconds") >= 1.0);
            assert_eq!(report.pointer("/config/moving_at_seconds"), Some(&serde_json::json!([1.0])));
        }
    });
}

#[test]
fn connections_move_back_while_the_previous_grace_still_runs() {
    retry_on_pause(GRACE, || {
        let at = ["300ms", "600ms", "900ms", "1200ms", "1500ms", "1800ms", "2100ms", "2400ms", "2700ms"];
        let moves: Vec<&str> = at.iter().flat_map(|at| ["--moving-at", at]).collect();
        let common = ["--verify", "--key-space", "1000", "--ratio", "1:1", "--duration", "4s"];
        assert_followed(&report(&[&common[..], &moves].concat(), 0), 9);
    });
}

#[test]
fn an_interrupted_run_completes_its_handoffs() {
    retry_on_pause(GRACE, || {
        let common = ["--verify", "--key-space", "1000", "--moving-at", "200ms", "--json", "-", "--quiet"];
        let (child, mut stderr) = started(&common);
        wait_for_line(&mut stderr, "MOVING");
        signal(&child, libc::SIGINT);
        let rest = std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
        let output = child.wait_with_output().expect("it ends");
        assert!(rest.join().is_ok_and(|read| read.is_ok()));
        assert_eq!(output.status.code(), Some(128 + libc::SIGINT), "{}", text(&output.stdout));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(
            number(&report, "/maintenance/handoffs/succeeded"),
            number(&report, "/maintenance/handoffs/expected")
        );
    });
}
