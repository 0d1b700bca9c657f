//! `hitless bench --workload pubsub`: subscribers check every message, also through moves and lost connections.

mod common;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use common::Redis;
use common::binary::{self, hitless, number, read_log, started, stderr, stdout};
use common::pauses::retry_on_pause;
use futures_lite::StreamExt;
use futures_lite::future::block_on;
use hitless::{Client, Config, cmd};
use serde_json::Value;

/// A move is announced a second before its connections close: pauses of the machine that are longer may fail commands.
const SPARE: Duration = Duration::from_millis(100);

fn run(arguments: &[&str]) -> Output {
    binary::run(&[&["bench", "--workload", "pubsub", "--shards", "1"], arguments].concat())
}

/// The report of a run that ends with this code.
fn report(arguments: &[&str], code: i32) -> Value {
    binary::json(&run(&[arguments, &["--json", "-", "--quiet"]].concat()), code)
}

/// Checks that every message came once and in order, and returns how many were published.
#[track_caller]
fn assert_complete(report: &Value, subscribers: f64) -> f64 {
    let count = |name: &str| number(report, &format!("/pubsub/{name}"));
    for fault in ["gaps", "unannounced", "announced_gaps", "duplicates", "reordered", "lagged", "unexpected"]
    {
        assert_eq!(count(fault), 0.0, "{fault}: {report:#}");
    }
    let all = count("published") * subscribers;
    assert_eq!([count("expected"), count("delivered")], [all, all], "{report:#}");
    let latencies = ["min", "p50", "p90", "p99", "p99_9", "p99_99", "max"];
    let latencies = latencies.map(|name| count(&format!("latency_us/{name}")));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{latencies:?}");
    count("published")
}

fn assert_complete_through_moves(via: &str) {
    // A number of messages, not a time: a busy machine sends all of them as well.
    let moves = ["--requests", "600", "--moving-at", "500ms", "--moving-at", "1500ms"];
    let tasks = ["--publishers", "2", "--subscribers", "3", "--channels", "5", "--rate", "200"];
    let report = report(&[&moves[..], &tasks, &["--via", via]].concat(), 0);
    assert_eq!(assert_complete(&report, 3.0), 600.0);
    let movings = report.pointer("/maintenance/movings").and_then(Value::as_array);
    assert_eq!(movings.map(Vec::len), Some(2), "{report:#}");
    assert!(number(&report, "/maintenance/handoffs/succeeded") >= 8.0, "{report:#}");
    assert_eq!(number(&report, "/connections_left_behind"), 0.0);
}

#[test]
fn every_message_comes_once_through_moves() {
    for via in ["shard", "client", "tokio"] {
        retry_on_pause(SPARE, || assert_complete_through_moves(via));
    }
}

#[test]
fn every_message_comes_once_from_a_server() {
    let redis = Redis::start();
    for via in ["shard", "client", "tokio"] {
        let tasks = ["--requests", "400", "--rate", "1000", "--subscribers", "2", "--via", via];
        let report = report(&[&tasks[..], &["--url", &redis.url()]].concat(), 0);
        assert_eq!(assert_complete(&report, 2.0), 400.0);
        let config = |name: &str| number(&report, &format!("/config/{name}"));
        assert_eq!([config("publishers"), config("subscribers"), config("channels")], [1.0, 2.0, 4.0]);
    }
}

#[test]
fn a_lost_connection_is_announced_and_not_a_fault() {
    let redis = Redis::start();
    let url = redis.url();
    let arguments = ["bench", "--workload", "pubsub", "--shards", "1", "--requests", "400"];
    let more = ["--publishers", "4", "--rate", "200", "--url", &url, "--json", "-", "--quiet"];
    let mut command = hitless(&[&arguments[..], &more].concat());
    command.env("RUST_LOG", "hitless=info");
    let (child, mut log) = started(command, "the run begins");
    let other = Client::start(Config::from_url(&url).unwrap().shards(1)).unwrap();
    // The subscribers' connection; publishers notice nothing.
    let killed: i64 =
        block_on(other.run(&cmd("CLIENT").args(["KILL", "TYPE", "pubsub"]))).expect("the command is known");
    assert_eq!(killed, 1);
    std::io::copy(&mut log, &mut std::io::sink()).expect("its log");
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    // Each of four subscribers is told about each of four channels.
    assert_eq!(number(&report, "/pubsub/announced_gaps"), 16.0);
    for fault in ["unannounced", "duplicates", "reordered", "lagged"] {
        assert_eq!(number(&report, &format!("/pubsub/{fault}")), 0.0, "{report:#}");
    }
}

#[test]
fn a_repeated_message_fails_the_run() {
    let redis = Redis::start();
    let url = redis.url();
    let arguments = ["bench", "--workload", "pubsub", "--shards", "1", "--duration", "2s", "--rate", "200"];
    let mut command = hitless(&[&arguments[..], &["--url", &url, "--json", "-", "--quiet"]].concat());
    command.env("RUST_LOG", "hitless=info");
    let (child, mut log) = started(command, "the run begins");
    let other = Client::start(Config::from_url(&url).unwrap().shards(1)).unwrap();
    let mut messages = block_on(other.psubscribe(&["key:channel:*"])).unwrap().messages();
    let message = block_on(messages.next()).expect("a message");
    block_on(other.publish(&message.channel[..], &message.payload[..])).unwrap();
    std::io::copy(&mut log, &mut std::io::sink()).expect("its log");
    let report = binary::json(&child.wait_with_output().expect("it ends"), 1);
    // Each of four subscribers hears it twice.
    assert_eq!(number(&report, "/pubsub/duplicates"), 4.0, "{report:#}");
    assert_eq!(number(&report, "/pubsub/gaps"), 0.0, "{report:#}");
}

#[test]
fn the_text_of_subscribers_says_what_came() {
    let output = run(&["--requests", "50", "--subscribers", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "1 publisher → 4 channels → 2 subscribers",
        "published     50\nreceived      100 of 100 expected\ngaps          0\n",
        "latency       p50",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_user_without_the_channels_cannot_subscribe() {
    let redis = Redis::start_with(&["--user", "app", "on", ">pw", "~*", "resetchannels", "+@all"]);
    let url = redis.url().replace("redis://", "redis://app:pw@");
    let output = run(&["--duration", "300ms", "--url", &url, "--quiet"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("SUBSCRIBE") && stderr(&output).contains("NOPERM"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn options_that_do_not_go_together_are_refused_by_name() {
    for (arguments, parts) in [
        (&["--subscribers", "2"][..], &["--subscribers: ", "--workload pubsub"][..]),
        (&["--workload", "pubsub", "--queue", "list"], &["--queue: ", "--workload queue"]),
        (&["--workload", "pubsub", "--cleanup"], &["--cleanup: ", "--workload kv or queue"]),
        (&["--workload", "pubsub", "--live"], &["--live: ", "only runs of commands show progress"]),
        (&["--workload", "pubsub", "--command", "PING"], &["--command: ", "--workload kv"]),
        (&["--workload", "pubsub", "--channels", "0"], &["--channels", "from 1 to 10000"]),
    ] {
        let output = binary::run(&[&["bench"], arguments].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn the_log_and_the_picture_hold_every_latency() {
    let folder = tempfile::tempdir().expect("a folder");
    let [log, svg, png] = ["run.hlog", "run.svg", "run.png"].map(|name| folder.path().join(name));
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let files = ["--hdr", &text(&log), "--plot", &text(&svg), "--plot", &text(&png)];
    // A number of elements, not a time: on a busy machine the run takes longer, and sends all of them.
    let load = ["--requests", "400", "--rate", "200", "--moving-at", "500ms", "--subscribers", "3"];
    let output = run(&[&files[..], &load, &["--json", "-", "--quiet"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_complete(&report, 3.0);
    let arrived = number(&report, "/pubsub/delivered");
    let (latency, intervals) = read_log(&log);
    assert_eq!(latency.len() as f64, arrived, "{report:#}");
    let timeline = report["timeline"].as_array().expect("a timeline");
    assert_eq!(timeline.iter().map(|one| number(one, "/answered")).sum::<f64>(), arrived);
    assert_eq!(intervals, timeline.len(), "{report:#}");
    assert!(intervals >= 15, "two seconds, in tenths: {intervals}");
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let reported = number(&report, &format!("/latency_us/{name}"));
        assert_eq!(latency.value_at_quantile(quantile) as f64 / 1e3, reported, "{name}");
        assert_eq!(number(&report, &format!("/pubsub/latency_us/{name}")), reported, "{name}");
    }
    assert_eq!(report.pointer("/maintenance_windows/0/kind").and_then(Value::as_str), Some("MOVING"));
    let picture = std::fs::read_to_string(&svg).expect("a picture");
    for part in ["throughput, messages/s", "all messages", "MOVING"] {
        assert!(picture.contains(part), "{part:?} is not in the picture");
    }
    assert!(std::fs::read(&png).expect("a picture").starts_with(b"\x89PNG"));
}

#[test]
fn runs_are_repeated_and_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.json");
    let path = path.to_str().expect("text");
    let load = ["--requests", "60", "--rate", "1000", "--subscribers", "2"];
    let first = run(&[&load[..], &["--repeat", "2", "--json", path]].concat());
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert!(stdout(&first).contains("\nrun 2 "), "{}", stdout(&first));
    let picture = folder.path().join("both.svg");
    let picture = picture.to_str().expect("text");
    let compared = report(&[&load[..], &["--compare", path, "--plot", picture]].concat(), 0);
    assert_eq!(compared["comparison"]["runs"], serde_json::json!({ "then": 2, "now": 1 }));
    let figures = compared["comparison"]["figures"].as_array().expect("figures");
    for path in ["/throughput_per_second", "/latency_us/p99"] {
        assert!(figures.iter().any(|figure| figure["path"] == path), "{path}: {figures:#?}");
    }
    assert!(std::fs::read_to_string(picture).expect("a picture").contains("earlier"));
    let versus = report(&[&load[..], &["--versus", "--subscribers 1", "--repeat", "2"]].concat(), 0);
    assert_eq!(versus["repeats"].as_array().map(Vec::len), Some(2));
    assert_eq!(versus["versus"]["repeats"].as_array().map(Vec::len), Some(2));
    assert_eq!(number(&versus, "/versus/config/subscribers"), 1.0);
    for one in versus["repeats"].as_array().into_iter().flatten() {
        assert_complete(one, 2.0);
    }
}
