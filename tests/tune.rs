//! `hitless tune`: the binary, its streams and its exit codes. Unit tests of the tuner check its decisions on
//! artificial samples; these tests check that it measures and reports.

mod common;

use std::io::{BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Output};
use std::time::Duration;

use common::binary::{
    self, endpoint, hitless, json, lines_about_the_run, number, signal, text, wait_for_line,
};
use common::pauses::retry_on_pause;
use serde_json::Value;

/// As long as the service time of the slow endpoint.
const SPARE: Duration = Duration::from_millis(10);

fn run(arguments: &[&str]) -> Output {
    binary::run(&[&["tune"], arguments].concat())
}

/// The report of a short sweep that exits with `code`.
fn report(arguments: &[&str], code: i32) -> Value {
    let short = [("--step", "30ms"), ("--rounds", "2"), ("--key-space", "100"), ("--json", "-")];
    let left = short.iter().filter(|(option, _)| !arguments.contains(option));
    let left: Vec<&str> = left.flat_map(|(option, value)| [*option, *value]).collect();
    json(&run(&[&left[..], arguments, &["--quiet"]].concat()), code)
}

fn list<'a>(report: &'a Value, path: &str) -> &'a [Value] {
    let found = report.pointer(path).and_then(Value::as_array);
    found.unwrap_or_else(|| panic!("no list at {path} in {report:#}"))
}

#[test]
fn every_setting_is_measured_and_one_is_recommended() {
    // A step of 30 ms measures nothing if the machine pauses for as long.
    retry_on_pause(SPARE, || {
        let sweep = ["--shards", "1", "--connections", "1,2", "--tasks", "1,8", "--all-rounds"];
        let report = report(&sweep, 0);
        assert_eq!(number(&report, "/version"), 1.0);
        assert_eq!(report.pointer("/config/connections_per_shard"), Some(&serde_json::json!([1, 2])));
        assert_eq!(report.pointer("/interrupted"), Some(&Value::Bool(false)));
        // One caller cannot use two connections, so that setting is left out.
        let settings = list(&report, "/settings");
        assert_eq!(settings.len(), 3, "{report:#}");
        for setting in settings {
            assert_eq!(number(setting, "/rounds"), 2.0);
            assert_eq!(list(setting, "/samples").len(), 2);
            let quantiles = ["p50_us", "p99_us", "p99_9_us", "max_us"];
            assert!(quantiles.map(|name| number(setting, &format!("/{name}"))).is_sorted());
            assert!(number(setting, "/throughput_per_second") > 0.0);
            assert!(number(setting, "/client_cpu_ns_per_command") > 0.0);
            assert!((0.0..=1.0).contains(&number(setting, "/core_use")));
        }
        let recommended = report.pointer("/recommendation").expect("a recommendation");
        let [shards, connections, tasks] = ["shards", "connections_per_shard", "tasks_per_shard"]
            .map(|name| number(recommended, &format!("/{name}")));
        let same = |setting: &&Value| {
            number(setting, "/connections_per_shard") == connections
                && number(setting, "/tasks_per_shard") == tasks
        };
        assert!(settings.iter().any(|setting| same(&setting)));
        let said = |name: &str| recommended.pointer(name).and_then(Value::as_str).expect("words").to_owned();
        assert_eq!(said("/config"), format!(".shards({shards}).connections_per_shard({connections})"));
        assert_eq!(said("/flags"), format!("--shards {shards} --connections {connections} --tasks {tasks}"));
        assert!(["knee", "edge_of_tasks", "edge_of_connections"].contains(&said("/reason").as_str()));
        // The recommended options work as printed.
        let flags = said("/flags");
        let bench = ["bench", "--requests", "100"].into_iter().chain(flags.split(' '));
        let again = binary::run(&bench.collect::<Vec<_>>());
        assert_eq!(again.status.code(), Some(0));
    });
}

#[test]
fn a_handoff_is_measured_at_the_recommended_setting() {
    let (_endpoints, url) = endpoint("FAULT off");
    let sweep = ["--shards", "1", "--connections", "2", "--tasks", "4", "--rounds", "1"];
    // After a pause of the machine during a handoff, it may be that no command was answered during the handoff.
    retry_on_pause(SPARE, || {
        for (more, proxied) in [(&[][..], false), (&["--url", &url], true)] {
            let report = report(&[&sweep[..], more].concat(), 0);
            assert_eq!(report.pointer("/handoff/proxied"), Some(&Value::Bool(proxied)), "{report:#}");
            assert_eq!(number(&report, "/handoff/moved/handoffs/expected"), 2.0);
            assert_eq!(number(&report, "/handoff/moved/handoffs/succeeded"), 2.0);
            assert_eq!(number(&report, "/handoff/moved/failed"), 0.0);
            assert!(number(&report, "/handoff/steady/longest_gap_us") > 0.0);
            assert!(number(&report, "/handoff/moved/latency_during_handoff_us/p99") > 0.0);
        }
    });
}

#[test]
fn a_serial_server_gets_few_callers_recommended() {
    let (_endpoints, url) = endpoint("FAULT service 10");
    let sweep = ["--shards", "1", "--connections", "1", "--tasks", "1,4,16", "--no-handoff"];
    let load = ["--url", &url, "--step", "300ms", "--key-space", "10"];
    // A pause of the machine moves replies from one step into the next.
    retry_on_pause(SPARE, || {
        let report = report(&[&sweep[..], &load].concat(), 0);
        let settings = list(&report, "/settings");
        let most = settings.last().expect("settings");
        let is_bounded = settings.iter().all(|one| number(one, "/throughput_per_second") < 105.0);
        assert!(is_bounded, "{report:#}");
        // Sixteen callers wait in line, each for sixteen services of 10 ms.
        assert!(number(most, "/p50_us") > 16.0 * 10_000.0 * 0.8, "{report:#}");
        // With four callers one command always waits to be served, even when their thread is late by a few services.
        assert!(number(&report, "/recommendation/tasks_per_shard") <= 4.0, "{report:#}");
    });
}

#[test]
fn a_latency_objective_is_met_or_reported_as_missed() {
    // A step of 30 ms measures nothing if the machine pauses for as long.
    retry_on_pause(SPARE, || {
        let (_endpoints, url) = endpoint("FAULT delay 5");
        let sweep = ["--url", &url, "--shards", "1", "--connections", "1", "--tasks", "2,4", "--no-handoff"];
        let met = report(&[&sweep[..], &["--slo", "p50=10s,max=20s", "--find-rate"]].concat(), 0);
        assert_eq!(met.pointer("/config/slo_us"), Some(&serde_json::json!({ "p50": 1e7, "max": 2e7 })));
        assert!(number(&met, "/largest_rate/rate") > 0.0, "{met:#}");
        assert!(!list(&met, "/largest_rate/probes").is_empty());
        let missed = report(&[&sweep[..], &["--slo", "p50=4ms"]].concat(), 1);
        assert_eq!(missed.pointer("/recommendation"), None, "{missed:#}");
        let output = run(&[&sweep[..], &["--slo", "p50=4ms", "--step", "30ms", "--rounds", "1"]].concat());
        let stdout = text(&output.stdout);
        assert!(stdout.contains("no setting meets p50 ≤ 4.00 ms") && stdout.contains("nearest"), "{stdout}");
    });
}

#[test]
fn a_sweep_without_answers_says_so_first() {
    let (_endpoints, url) = endpoint("FAULT answer readonly");
    let sweep = ["--url", &url, "--no-load", "--shards", "1", "--connections", "1", "--tasks", "2"];
    let short = ["--step", "30ms", "--rounds", "1", "--no-handoff"];
    let output = run(&[&sweep[..], &short].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("NOTHING WAS MEASURED"), "{}", text(&output.stdout));
    let quiet = run(&[&sweep[..], &short, &["--quiet", "--json", "-"]].concat());
    assert!(text(&quiet.stderr).contains("error: NOTHING WAS MEASURED"), "{}", text(&quiet.stderr));
}

#[test]
fn the_text_report_has_a_table_and_a_command_line() {
    // A step of 30 ms measures nothing if the machine pauses for as long.
    retry_on_pause(SPARE, || {
        let sweep =
            ["--shards", "1", "--connections", "2", "--tasks", "1,64", "--step", "30ms", "--rounds", "1"];
        let output = run(&[&sweep[..], &["--key-space", "100", "--no-handoff"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let stdout = text(&output.stdout);
        for part in ["commands/s", "  →", "recommended   1 shard × 2 connections", "limited by", "altogether"]
        {
            assert!(stdout.contains(part), "{part:?} is missing in:\n{stdout}");
        }
        assert!(stdout.contains("Config        .shards(1).connections_per_shard(2)\n"), "{stdout}");
        assert!(stdout.contains("hitless bench --shards 1 --connections 2 --tasks "), "{stdout}");
        let stderr = text(&output.stderr);
        assert_eq!(lines_about_the_run(stderr).next(), None, "no progress without a terminal: {stderr}");
    });
}

#[test]
fn a_usage_error_names_the_option() {
    for (arguments, named) in [
        (&["--connections", "4,x"][..], &["--connections", "1 to 4096"][..]),
        (&["--shards", "2", "--cores", "0"], &["--shards", "--cores"]),
        (&["--slo", "p99<2ms"], &["--slo", "p99=2ms"]),
        (&["--duration", "3s"], &["--duration", "--step"]),
        (&["--url", "http://localhost"], &["--url"]),
        (&["--json", "/nonexistent/tune.json"], &["--json"]),
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
    let output = run(&["--url", &url, "--connect-timeout", "300ms", "--shards", "1"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains(&address.to_string()) && !stderr.contains("s3cret"), "{stderr}");
}

/// Starts a sweep of several hours and waits until its `runs`th run has begun.
fn started(runs: usize, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let endless = ["tune", "--rounds", "100", "--json", "-", "--quiet", "--shards", "1"];
    let mut command = hitless(&[&endless, arguments].concat());
    command.env("RUST_LOG", "hitless=info");
    let (child, mut stderr) = binary::started(command, "the run begins");
    (1..runs).for_each(|_| wait_for_line(&mut stderr, "the run begins"));
    (child, stderr)
}

#[test]
fn ctrl_c_reports_the_finished_steps() {
    // Each step has two runs, of which one is a warm-up, so the third run is the second step.
    for (runs, step, is_empty) in [(1, "1h", true), (5, "20ms", false)] {
        let (child, mut stderr) = started(runs, &["--step", step, "--tasks", "4,8", "--key-space", "100"]);
        signal(&child, libc::SIGINT);
        // The child blocks when its log fills the pipe, so a thread drains it.
        let rest = std::thread::spawn(move || {
            let mut rest = String::new();
            stderr.read_to_string(&mut rest).map(|_| rest)
        });
        let output = child.wait_with_output().expect("it ends");
        let rest = rest.join().expect("no panic").expect("text");
        assert_eq!(output.status.code(), Some(128 + libc::SIGINT), "{rest}");
        if is_empty {
            assert!(rest.contains("interrupted before anything was measured"), "{rest}");
            continue;
        }
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report.pointer("/interrupted"), Some(&Value::Bool(true)));
        assert!(!list(&report, "/settings").is_empty());
        assert_eq!(report.pointer("/handoff"), None);
    }
}
