//! `hitless bench --via tokio`: callers and connections in a tokio runtime, with and without io_uring.

mod common;

use std::process::Output;
use std::time::Duration;

use common::Redis;
use common::binary::{hitless, json, number, run, started, text};
use common::filter;
use common::fixture::eventually;
use common::pauses::retry_on_pause;
use common::rehearsal::Rehearsal;
use serde_json::{Value, json};

fn bench(arguments: &[&str]) -> Output {
    run(&[&["bench", "--via", "tokio", "--json", "-", "--quiet"], arguments].concat())
}

/// No command failed, and every reply was right.
#[track_caller]
fn assert_clean(report: &Value) {
    for count in ["failed", "ambiguous", "timed_out"] {
        assert_eq!(number(report, &format!("/commands/{count}")), 0.0, "{report:#}");
    }
    if report.get("verify").is_some() {
        assert!(number(report, "/verify/checked") > 0.0, "{report:#}");
        assert_eq!(number(report, "/verify/mismatched"), 0.0, "{report:#}");
    }
}

/// Time until a driver has read an announcement, dialed, and replaced a connection.
const GRACE: Duration = Duration::from_millis(20);

#[test]
fn a_moving_of_a_rehearsal_loses_nothing() {
    retry_on_pause(GRACE, || {
        let rehearsal = Rehearsal::start(&[]);
        let [from, to] = [0, 1].map(|listener: usize| rehearsal.listeners[listener].to_string());
        let url = format!("redis://{from}");
        let load = ["--url", &url, "--shards", "2", "--connections", "3", "--tasks", "16", "--verify"];
        let times = ["--ratio", "1:1", "--key-space", "1000", "--duration", "5s", "--json", "-"];
        let mut command = hitless(&[&["bench", "--via", "tokio"], &load[..], &times].concat());
        command.env("RUST_LOG", "hitless=info");
        let (child, mut stderr) = started(command, "the run begins");
        // The counters of the client at the start are read while the load begins.
        eventually("the load arrives", || number(&rehearsal.stats(), "/commands") > 20_000.0);
        let told = rehearsal.control(0, &format!("MOVING 1 {to}"));
        assert!(told.contains("6 of 6 connections"), "{told}");
        // A full pipe would stop the run.
        let rest = std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let report = json(&child.wait_with_output().expect("it ends"), 0);
        assert!(rest.join().is_ok_and(|read| read.is_ok()));
        assert_clean(&report);
        assert_eq!(number(&report, "/maintenance/handoffs/succeeded"), 6.0, "{report:#}");
        assert_eq!(report.pointer("/connections"), Some(&json!({ to: 6 })));
        let windows = report.pointer("/maintenance_windows").and_then(Value::as_array);
        assert_eq!(windows.map(Vec::len), Some(1), "both shards report one maintenance: {report:#}");
    });
}

#[test]
fn endpoints_in_this_process_move_and_repeats_start_anew() {
    retry_on_pause(GRACE, || {
        let load =
            ["--shards", "1", "--connections", "2", "--verify", "--key-space", "1000", "--repeat", "2"];
        let report = json(&bench(&[&load[..], &["--tls", "--duration", "2s"]].concat()), 0);
        assert_clean(&report);
        let repeats = report.pointer("/repeats").and_then(Value::as_array).expect("repeats");
        assert_eq!(repeats.len(), 2);
        for repeat in repeats {
            assert_clean(repeat);
            assert_eq!(number(repeat, "/maintenance/handoffs/expected"), 2.0, "{repeat:#}");
            assert_eq!(number(repeat, "/maintenance/handoffs/succeeded"), 2.0, "{repeat:#}");
        }
    });
}

#[test]
fn it_runs_where_io_uring_is_forbidden() {
    let redis = Redis::start();
    let url = redis.url();
    let forbidden = |arguments: &[&str]| {
        let mut command = hitless(&[&["bench", "--requests", "3000", "--json", "-"], arguments].concat());
        filter::without_io_uring(&mut command);
        command.output().expect("the binary runs")
    };
    let load = ["--url", &url, "--shards", "2", "--verify", "--key-space", "1000"];
    let report = json(&forbidden(&[&load[..], &["--via", "tokio"]].concat()), 0);
    assert_clean(&report);
    assert_eq!(number(&report, "/commands/answered"), 3000.0);
    // The others need it, and so do endpoints in this process.
    for arguments in [&["--url", &url, "--via", "client"][..], &["--via", "tokio"]] {
        let output = forbidden(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains("--security-opt seccomp="), "{said}");
        assert_eq!(said.contains("give the --url of a server"), !arguments.contains(&"--url"), "{said}");
    }
}

#[test]
fn an_open_loop_reports_what_it_offered() {
    let redis = Redis::start();
    let load = ["--url", &redis.url(), "--shards", "1", "--tasks", "16", "--no-load"];
    let open = ["--rate", "1000", "--requests", "500", "--command", "INCR {key}"];
    let report = json(&bench(&[&load[..], &open].concat()), 0);
    assert_clean(&report);
    assert_eq!(number(&report, "/commands/answered"), 500.0);
    assert_eq!(number(&report, "/offered/unsent"), 0.0);
    assert!(number(&report, "/client_cpu/idle_ns_per_second") >= 0.0);
    let elapsed = number(&report, "/elapsed_seconds");
    assert!(elapsed >= 0.499, "500 arrivals have gaps of 1 ms: {elapsed}");
}

#[test]
fn a_report_describes_the_workers() {
    let redis = Redis::start();
    let load = ["--url", &redis.url(), "--tasks", "8", "--pipeline", "8", "--requests", "4000"];
    let report = json(&bench(&[&load[..], &["--shards", "2"]].concat()), 0);
    assert_clean(&report);
    assert_eq!(report.pointer("/config/via"), Some(&"tokio".into()));
    assert_eq!(report.pointer("/config/shards"), Some(&2.into()));
    assert_eq!(report.pointer("/config/cores"), Some(&json!([null, null])), "workers are not pinned");
    assert!(number(&report, "/client_cpu_ns_per_command") > 0.0);
    assert_eq!(report.pointer("/caller_cpu_ns_per_command"), None, "callers share the workers' threads");
    assert_eq!(report.pointer("/shards").and_then(Value::as_array).map(Vec::len), Some(2));
    assert_eq!(report.pointer("/shards/0/commands"), None, "callers are on all workers");
    if std::fs::metadata("/proc/thread-self/schedstat").is_ok() {
        assert!(number(&report, "/shards/1/busy_share") > 0.0, "{report:#}");
    }
    let connections: f64 =
        report["connections"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_f64()).sum();
    assert_eq!(connections, 8.0);
    // The first core that this process may use.
    let first = core_of_this_process();
    let report = json(&bench(&[&load[..], &["--cores", &first]].concat()), 0);
    assert_eq!(report.pointer("/config/cores"), Some(&json!([first.parse::<u64>().expect("a number")])));
    assert_eq!(report.pointer("/shards/0/core"), report.pointer("/config/cores/0"));
    let output = run(&["bench", "--url", &redis.url(), "--via", "tokio", "--requests", "100"]);
    assert!(text(&output.stdout).contains(" · in tokio"), "{}", text(&output.stdout));
}

fn core_of_this_process() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list");
    list.trim().split([',', '-']).next().expect("a core").to_owned()
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    for (arguments, said) in [
        (&["tune", "--via", "tokio"][..], "--via: tokio does not apply to a sweep"),
        (&["bench", "--via", "tokio", "--cores", "4095"], "core 4095"),
        (&["bench", "--via", "tokio", "--cores", "0", "--shards", "2"], "--shards: got 2 shards for 1 core"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}
