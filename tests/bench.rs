//! `hitless bench`, run as a user runs it: the built binary, its streams and its exit codes.

#![cfg(feature = "cli")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use hitless::rehearsal::{Endpoints, EndpointsConfig};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitless"));
    command.arg("bench").args(arguments);
    // What the tests' own environment says must not change what is tested.
    command.env_remove("HITLESS_URL").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    bench(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

/// A run with `--json -`, which must exit with `code`.
fn report(arguments: &[&str], code: i32) -> Value {
    let output = run(&[arguments, &["--json", "-", "--quiet"]].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}\n{}", text(&output.stdout));
    serde_json::from_slice(&output.stdout).expect("standard output is JSON and nothing else")
}

fn number(report: &Value, path: &str) -> f64 {
    let found = report.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {path} in {report:#}"))
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
    for more in [&["--pipeline", "8"][..], &["--via", "client"], &["--key-distribution", "zipf:1"]] {
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
fn a_command_of_the_users_own() {
    let arguments = ["--command", "SET {key} 'a {value} b'", "--requests", "500", "--shards", "1"];
    let report = report(&arguments, 0);
    assert_eq!(number(&report, "/commands/answered"), 500.0);
}

#[test]
fn commands_that_fail_are_counted_and_the_exit_code_says_so() {
    let arguments = ["--command", "NOSUCHCOMMAND {key}", "--requests", "300", "--shards", "1"];
    let report = report(&arguments, 1);
    assert_eq!(number(&report, "/commands/failed"), 300.0);
    assert_eq!(number(&report, "/commands/answered"), 0.0);
    assert_eq!(report.pointer("/latency_us"), None);
    let errors = report.pointer("/errors").and_then(Value::as_object).expect("errors by kind");
    assert_eq!(errors.values().filter_map(Value::as_u64).sum::<u64>(), 300);
}

#[test]
fn the_text_is_data_and_the_rest_is_not() {
    let short = ["--requests", "200", "--key-space", "100", "--shards", "1"];
    let output = run(&short);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("throughput") && stdout.contains("coordinated omission"), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours");
    assert_eq!(text(&output.stderr), "", "no progress where nobody watches");

    let output = run(&[&short[..], &["--json", "-"]].concat());
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok());
    assert!(text(&output.stderr).contains("throughput"));
}

#[test]
fn json_goes_to_a_file_and_the_text_to_standard_output() {
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
fn nonsense_is_a_usage_error_that_names_the_option() {
    for (arguments, named) in [
        (&["--tasks", "0"][..], &["--tasks", "1 to"][..]),
        (&["--verify", "--value-size", "8"], &["--value-size", "31 to"]),
        (&["--verify", "--key-space", "3"], &["--key-space", "allowed"]),
        (&["--verify", "--command", "PING"], &["--verify", "--command"]),
        (&["--url", "http://localhost"], &["--url"]),
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
fn an_endpoint_that_is_not_there_is_code_3() {
    // Nobody listens on a port that was free a moment ago.
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

/// Starts a run that would take an hour, and waits until it is under way.
fn started(arguments: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut command = bench(&[&["--duration", "1h"], arguments].concat());
    command.env("RUST_LOG", "hitless=info").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    wait_for(&mut stderr, "the run begins");
    (child, stderr)
}

fn wait_for(stderr: &mut impl BufRead, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("a line"), 0, "it ended before {text:?}");
    }
}

fn signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a process id");
    // SAFETY: a plain system call; the child is ours and has not been waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
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
    wait_for(&mut stderr, "lost a connection");
    signal(&child, libc::SIGINT);
    // Its log must not fill the pipe.
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
    let arguments = ["--verify", "--key-space", "1000", "--shards", "1", "--json", "-", "--quiet"];
    for kind in [libc::SIGINT, libc::SIGTERM] {
        let (child, mut stderr) = started(&arguments);
        signal(&child, kind);
        let output = child.wait_with_output().expect("it ends");
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).expect("text");
        assert_eq!(output.status.code(), Some(0), "{rest}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report.pointer("/interrupted"), Some(&Value::Bool(true)));
        assert_eq!(number(&report, "/verify/mismatched"), 0.0);
        assert_eq!(number(&report, "/commands/answered"), number(&report, "/commands/issued"));
    }
}
