//! `hitless bench --workload queue`: every element is accounted for, on lists and streams, and through moves.

mod common;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use common::Redis;
use common::binary::{self, endpoint, hitless, number, read_log, started, stderr, stdout};
use common::pauses::retry_on_pause;
use futures_lite::future::block_on;
use hitless::options::{XgroupOptions, XreadGroupOptions};
use hitless::{Client, Config};
use serde_json::Value;

/// A move is announced a second before its connections close, and a warm-up takes half a second: pauses of the machine that are
/// longer may fail commands.
const SPARE: Duration = Duration::from_millis(100);

fn run(arguments: &[&str]) -> Output {
    binary::run(&[&["bench", "--workload", "queue", "--shards", "1"], arguments].concat())
}

/// The report of a run that ends with this code.
fn report(arguments: &[&str], code: i32) -> Value {
    binary::json(&run(&[arguments, &["--json", "-", "--quiet"]].concat()), code)
}

/// Checks that every element was found once, and returns how many there were.
#[track_caller]
fn assert_complete(report: &Value) -> f64 {
    let count = |name: &str| number(report, &format!("/queue/{name}"));
    for fault in ["lost", "doubled", "unexpected"] {
        assert_eq!(count(fault), 0.0, "{fault}: {report:#}");
    }
    assert_eq!(count("pushed"), count("popped") + count("returned") + count("left"), "{report:#}");
    let latencies = ["min", "p50", "p90", "p99", "p99_9", "p99_99", "max"];
    let latencies = latencies.map(|name| count(&format!("latency_us/{name}")));
    assert!(latencies.is_sorted() && latencies[0] > 0.0, "{latencies:?}");
    assert_eq!(number(report, "/failed"), 0.0);
    count("pushed")
}

fn assert_complete_through_moves(via: &str) {
    // A number of elements, not a time: a busy machine sends all of them as well.
    let moves = ["--requests", "600", "--moving-at", "500ms", "--moving-at", "1500ms"];
    let tasks = ["--producers", "3", "--consumers", "5", "--rate", "200", "--via", via];
    let report = report(&[&moves[..], &tasks].concat(), 0);
    assert_eq!(assert_complete(&report), 600.0);
    assert_eq!(number(&report, "/queue/left"), 0.0, "consumers keep up at this rate: {report:#}");
    let movings = report.pointer("/maintenance/movings").and_then(Value::as_array);
    assert_eq!(movings.map(Vec::len), Some(2), "{report:#}");
    // The shared connections, at least.
    assert!(number(&report, "/maintenance/handoffs/succeeded") >= 8.0, "{report:#}");
    assert_eq!(number(&report, "/connections_left_behind"), 0.0);
    assert_eq!(report.pointer("/config/via").and_then(Value::as_str), Some(via));
}

#[test]
fn queue_is_complete_through_moves_wherever_its_tasks_run() {
    for via in ["shard", "client", "tokio"] {
        retry_on_pause(SPARE, || assert_complete_through_moves(via));
    }
}

#[test]
fn queue_is_complete_on_a_server() {
    let redis = Redis::start();
    let url = redis.url();
    for queue in ["list", "stream"] {
        for via in ["shard", "client", "tokio"] {
            let tasks = ["--producers", "2", "--consumers", "3", "--requests", "500", "--rate", "1000"];
            let report = report(
                &[&tasks[..], &["--queue", queue, "--via", via, "--url", &url, "--cleanup"]].concat(),
                0,
            );
            assert_eq!(assert_complete(&report), 500.0);
            assert_eq!(report.pointer("/config/queue").and_then(Value::as_str), Some(queue));
            assert_eq!(report.pointer("/cleanup/error"), None);
        }
    }
    assert!(!redis.statistics().contains("db0:keys"), "no key is left: {}", redis.statistics());
}

#[test]
fn more_consumers_than_the_default_of_connections_wait() {
    let redis = Redis::start();
    let report =
        report(&["--consumers", "24", "--requests", "200", "--rate", "400", "--url", &redis.url()], 0);
    assert_eq!(assert_complete(&report), 200.0);
    let connections = report.pointer("/connections").and_then(Value::as_object);
    let live: f64 = connections.into_iter().flatten().filter_map(|(_, count)| count.as_f64()).sum();
    assert!(live >= 24.0, "{report:#}");
}

/// A client that reads the stream of a run, in this group.
fn intruder(redis: &Redis, group: &str) -> (Client, String) {
    let client = Client::start(Config::from_url(&redis.url()).unwrap().shards(1)).unwrap();
    let keys: Vec<String> = block_on(client.keys("key:queue:*")).unwrap();
    let [key] = <[String; 1]>::try_from(keys).expect("the stream of the run");
    // The group of the run exists.
    drop(block_on(client.xgroup_create(&key, group, "0", XgroupOptions::new())));
    (client, key)
}

/// What one `XREADGROUP` returns: the id of an entry, and the text of its element.
fn entry(client: &Client, group: &str, key: &str) -> (String, String) {
    type Streams = Vec<(String, Vec<(String, Vec<(String, String)>)>)>;
    let options = XreadGroupOptions::new().count(1);
    let read = client.xreadgroup_blocking::<Streams>(group, "intruder", 5000, options, &[(key, ">")]);
    let (_, mut entries) = block_on(read).expect("an entry").remove(0);
    let (id, mut fields) = entries.remove(0);
    (id, fields.remove(0).1)
}

#[test]
fn a_stolen_element_is_lost_and_a_copied_one_is_doubled() {
    for (group, fault, other) in [("hitless", "lost", "doubled"), ("copies", "doubled", "lost")] {
        let redis = Redis::start();
        let url = redis.url();
        let arguments =
            ["bench", "--workload", "queue", "--queue", "stream", "--shards", "1", "--duration", "2s"];
        let more = ["--rate", "200", "--consumers", "1", "--url", &url, "--json", "-", "--quiet"];
        let mut command = hitless(&[&arguments[..], &more].concat());
        command.env("RUST_LOG", "hitless=info");
        let (child, mut log) = started(command, "the run begins");
        let (client, key) = intruder(&redis, group);
        let (id, text) = entry(&client, group, &key);
        match fault {
            // Otherwise it is found among those that a consumer was given.
            "lost" => drop(block_on(client.xdel(&key, &[id])).unwrap()),
            _ => drop(block_on(client.xadd::<String>(&key, "*", [("element", text)])).unwrap()),
        }
        std::io::copy(&mut log, &mut std::io::sink()).expect("its log");
        let output = child.wait_with_output().expect("it ends");
        let report = binary::json(&output, 1);
        assert_eq!(number(&report, &format!("/queue/{fault}")), 1.0, "{report:#}");
        assert_eq!(number(&report, &format!("/queue/{other}")), 0.0, "{report:#}");
    }
}

fn assert_warm_up_is_not_measured() {
    let report = report(&["--warm-up", "500ms", "--duration", "500ms", "--rate", "200", "--no-moving"], 0);
    let pushed = assert_complete(&report);
    let measured = number(&report, "/throughput_per_second") * number(&report, "/elapsed_seconds");
    assert!(measured < pushed * 0.8, "{report:#}");
    assert_eq!(number(&report, "/config/warm_up_seconds"), 0.5);
}

#[test]
fn warm_up_counts_and_is_not_measured() {
    retry_on_pause(SPARE, assert_warm_up_is_not_measured);
}

#[test]
fn the_text_of_a_queue_says_where_its_elements_went() {
    let output = run(&["--requests", "50"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for part in
        ["4 producers → a list → 4 consumers", "pushed        50\n", "lost          0\n", "latency       p50"]
    {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_full_server_takes_nothing_and_says_so() {
    // The server refuses every RPUSH, so that nothing is measured.
    let redis = Redis::start_with(&["--maxmemory", "1"]);
    let report = report(&["--duration", "300ms", "--url", &redis.url()], 1);
    assert_eq!(number(&report, "/queue/pushed"), 0.0);
    assert_eq!(report.pointer("/problems/0/kind").and_then(Value::as_str), Some("nothing_measured"));
    assert!(number(&report, "/failed") > 0.0, "{report:#}");
}

#[test]
fn a_server_without_streams_cannot_be_prepared() {
    let (_endpoints, url) = endpoint("STATS");
    let output = run(&["--queue", "stream", "--duration", "300ms", "--url", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("XGROUP"), "{}", stderr(&output));
}

#[test]
fn options_that_do_not_go_together_are_refused_by_name() {
    for (arguments, parts) in [
        (
            &["--workload", "queue", "--queue", "stream"][..],
            &["--queue: ", "have no streams; give the --url"][..],
        ),
        (&["--consumers", "2"], &["--consumers: ", "--workload queue"]),
        (&["--workload", "queue", "--channels", "2"], &["--channels: ", "--workload pubsub"]),
        (&["--workload", "queue", "--pipeline", "2"], &["--pipeline: ", "--workload kv"]),
        (&["--workload", "queue", "--consumers", "0"], &["--consumers", "from 1 to 4096"]),
        (&["--workload", "queue", "--queue", "heap"], &["--queue", "list, stream"]),
        (&["--workload", "cache"], &["--workload", "kv, queue, pubsub"]),
        (&["--versus", "--workload queue"], &["--versus: ", "another --workload"]),
        (&["--workload", "queue", "--versus", "--workload kv"], &["--versus: ", "another --workload"]),
        (&["--workload", "queue", "--memtier-json", "a.json"], &["--memtier-json: ", "has no place for"]),
        (&["--workload", "queue", "--url", "redis://a", "--url", "redis://b"], &["--url: ", "one server"]),
    ] {
        let output = binary::run(&[&["bench"], arguments].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn an_option_file_describes_a_queue() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("queue.toml");
    let text = "[bench]\nworkload = \"queue\"\nproducers = 2\nconsumers = 3\nrequests = 50\nshards = 1\n";
    std::fs::write(&path, text).expect("a file");
    let config = path.to_str().expect("text");
    let output = hitless(&["bench", "--config", config, "--json", "-", "--quiet"]).output().expect("it runs");
    let report = binary::json(&output, 0);
    assert_eq!(assert_complete(&report), 50.0);
    assert_eq!(number(&report, "/config/consumers"), 3.0);
    std::fs::write(&path, "[bench]\nconsumers = 3\n").expect("a file");
    let said = stderr(&hitless(&["bench", "--config", config]).output().expect("it runs"));
    assert!(said.contains("--consumers: ") && said.contains("--workload queue"), "{said}");
}

#[test]
fn the_log_and_the_picture_hold_every_latency() {
    let folder = tempfile::tempdir().expect("a folder");
    let [log, svg, png] = ["run.hlog", "run.svg", "run.png"].map(|name| folder.path().join(name));
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let files = ["--hdr", &text(&log), "--plot", &text(&svg), "--plot", &text(&png)];
    // A number of elements, not a time: on a busy machine the run takes longer, and sends all of them.
    let load = ["--requests", "400", "--rate", "200", "--moving-at", "500ms", "--consumers", "3"];
    let output = run(&[&files[..], &load, &["--json", "-", "--quiet"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_complete(&report);
    let arrived = number(&report, "/queue/popped") + number(&report, "/queue/returned");
    let (latency, intervals) = read_log(&log);
    assert_eq!(latency.len() as f64, arrived, "{report:#}");
    let timeline = report["timeline"].as_array().expect("a timeline");
    assert_eq!(timeline.iter().map(|one| number(one, "/answered")).sum::<f64>(), arrived);
    assert_eq!(intervals, timeline.len(), "{report:#}");
    assert!(intervals >= 15, "two seconds, in tenths: {intervals}");
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let reported = number(&report, &format!("/latency_us/{name}"));
        assert_eq!(latency.value_at_quantile(quantile) as f64 / 1e3, reported, "{name}");
        assert_eq!(number(&report, &format!("/queue/latency_us/{name}")), reported, "{name}");
    }
    assert_eq!(report.pointer("/maintenance_windows/0/kind").and_then(Value::as_str), Some("MOVING"));
    let picture = std::fs::read_to_string(&svg).expect("a picture");
    for part in ["throughput, elements/s", "all elements", "MOVING"] {
        assert!(picture.contains(part), "{part:?} is not in the picture");
    }
    assert!(std::fs::read(&png).expect("a picture").starts_with(b"\x89PNG"));
}

#[test]
fn runs_are_repeated_and_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.json");
    let path = path.to_str().expect("text");
    let load = ["--requests", "60", "--rate", "1000", "--consumers", "2"];
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
    let versus = report(&[&load[..], &["--versus", "--consumers 1", "--repeat", "2"]].concat(), 0);
    assert_eq!(versus["repeats"].as_array().map(Vec::len), Some(2));
    assert_eq!(versus["versus"]["repeats"].as_array().map(Vec::len), Some(2));
    assert_eq!(number(&versus, "/versus/config/consumers"), 1.0);
    for one in versus["repeats"].as_array().into_iter().flatten() {
        assert_complete(one);
    }
}
