//! Timeouts that are relaxed while maintenance is announced, and those that are the caller's own.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::{Client, ErrorKind, Maintenance, Outcome};

use crate::common::stage::{ENDLESS, PATIENCE, Stage, eventually, sum};

const TIMEOUT: Duration = Duration::from_millis(150);

/// A client that is in a hurry, except during maintenance.
fn hurried(stage: &Stage) -> Client {
    let patient = Maintenance::auto().relaxed_timeout(PATIENCE).window_max(2 * PATIENCE);
    stage.client_with(|config| {
        config.shards(1).connections_per_shard(1).command_timeout(TIMEOUT).maintenance(patient)
    })
}

fn open_window(stage: &Stage, client: &Client) {
    stage.rehearse(0, &format!("MIGRATING {ENDLESS}"));
    eventually("it has heard of it", || sum(client, |sums| sums.windows_open) == 1);
}

#[test]
fn rt_inflight_and_queued_covered_on_sockets() {
    let stage = Stage::new(1);
    let client = hurried(&stage);
    let answer = || {
        stage.rehearse(0, "FAULT delay 500");
        let result = block_on(client.incr("counter"));
        stage.rehearse(0, "FAULT off");
        result
    };
    open_window(&stage, &client);
    let begin = Instant::now();
    assert_eq!(answer().expect("it is waited for"), 1);
    assert!(begin.elapsed() > 2 * TIMEOUT);
    stage.rehearse(0, "MIGRATED");
    eventually("it has heard of the end", || sum(&client, |sums| sums.windows_open) == 0);
}

#[test]
fn a_reply_that_is_late_without_maintenance_is_a_timeout_that_names_none() {
    let stage = Stage::new(1);
    let client = hurried(&stage);
    stage.rehearse(0, "FAULT stall");
    let error = block_on(client.incr("counter")).expect_err("it is late");
    assert_eq!((error.kind(), error.maintenance()), (ErrorKind::Timeout, None), "{error}");
}

#[test]
fn rt_user_deadline_wins_on_sockets() {
    let stage = Stage::new(1);
    let client = hurried(&stage);
    open_window(&stage, &client);
    stage.rehearse(0, "FAULT stall");
    let limited = client.run_on(0, |shard| async move {
        let begin = Instant::now();
        let limited = shard.incr("counter").timeout(2 * TIMEOUT).await;
        (limited, begin.elapsed())
    });
    let (limited, elapsed) = block_on(limited).expect("no panic");
    let error = limited.expect_err("nobody answers");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Ambiguous), "{error}");
    assert_eq!(error.maintenance(), Some("MIGRATING"), "{error}");
    assert!((2 * TIMEOUT..PATIENCE).contains(&elapsed), "not the relaxed timeout: {elapsed:?}");
}

/// Nobody says that it is over: after the longest time that it can take, what is late is late.
#[test]
fn rt_lost_closer_on_sockets() {
    let stage = Stage::new(1);
    let relaxed =
        Maintenance::auto().relaxed_timeout(Duration::from_millis(600)).window_max(Duration::from_secs(1));
    let client = stage.client_with(|config| {
        config.shards(1).connections_per_shard(1).command_timeout(TIMEOUT).maintenance(relaxed)
    });
    stage.rehearse(0, "MIGRATING 30");
    eventually("it has heard of it", || sum(&client, |sums| sums.windows_open) == 1);
    eventually("nobody says that it ends, and it does", || sum(&client, |sums| sums.windows_open) == 0);
    stage.rehearse(0, "FAULT stall");
    let error = block_on(client.incr("counter")).expect_err("it is late");
    assert_eq!((error.kind(), error.maintenance()), (ErrorKind::Timeout, None), "{error}");
}
