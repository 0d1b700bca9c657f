//! `hitless bench` on a machine that pauses: SIGSTOP and SIGCONT stop the run as a hypervisor would.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use common::binary::{hitless, signal};
use common::pauses::retry_on_pause;
use serde_json::Value;

mod common;

/// Pauses of the machine that are longer than this may hide the pause of this test.
const SPARE: Duration = Duration::from_millis(10);
/// How long the run is stopped. The run must measure this time, so the test needs a real clock.
const PAUSE: Duration = Duration::from_millis(400);

/// The output of a run that is stopped once.
fn paused_run(redis: &common::Redis, arguments: &[&str]) -> Output {
    let before = redis.statistics();
    let url = redis.url();
    let load = ["bench", "--no-load", "--shards", "1", "--tasks", "4", "--url", &url];
    let mut command = hitless(&[&load[..], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the binary runs");
    common::fixture::eventually("the load arrives", || {
        let now = redis.statistics();
        now.contains("cmdstat_get") && now != before
    });
    signal(&child, libc::SIGSTOP);
    let begin = Instant::now();
    common::fixture::eventually("the pause is over", || begin.elapsed() >= PAUSE);
    signal(&child, libc::SIGCONT);
    child.wait_with_output().expect("it ends")
}

fn assert_machine_is_blamed(redis: &common::Redis) {
    let output = paused_run(redis, &["--duration", "3s", "--json", "-", "--quiet"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let pause = report["machine"]["pause_max_us"].as_f64().expect("a pause");
    assert!(pause >= 0.9 * PAUSE.as_micros() as f64, "{:#}", report["machine"]);
    assert!(report["machine"]["pause_share"].as_f64().is_some_and(|share| share > 0.05));
    let disturbances = report["machine"]["disturbances"].as_array().expect("disturbances");
    assert!(disturbances.iter().any(|one| one["kind"] == "pause"), "{disturbances:#?}");
    assert!(disturbances.iter().any(|one| one["kind"] == "pauses"), "{disturbances:#?}");
    if std::fs::metadata("/proc/thread-self/schedstat").is_ok() {
        assert!(report["machine"]["run_queue_wait_share"].is_number(), "{:#}", report["machine"]);
        assert!(report["shards"][0]["busy_share"].is_number(), "{:#}", report["shards"]);
    }
}

#[test]
fn a_machine_pause_is_not_blamed_on_the_server() {
    let redis = common::Redis::start();
    // On a busy machine another wait can be longer than the pause of this test, and then the pause explains no latency.
    retry_on_pause(SPARE, || assert_machine_is_blamed(&redis));
}

#[test]
fn the_text_report_blames_the_machine() {
    let redis = common::Redis::start();
    let output = paused_run(&redis, &["--duration", "3s"]);
    let report = String::from_utf8(output.stdout).expect("text");
    assert!(
        report.contains("\nmachine       longest pause ") && report.contains("NOT THE SERVER: "),
        "{report}"
    );
}
