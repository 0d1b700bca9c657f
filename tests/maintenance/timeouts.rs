//! Timeouts relaxed by maintenance, and deadlines of the caller.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::{Client, ErrorKind, Maintenance, Outcome};

use crate::common::fixture::{ENDLESS, Fixture, WAIT_MAX, eventually, sum};

const TIMEOUT: Duration = Duration::from_millis(150);
const ATTEMPTS: usize = 20;

/// A client with a short timeout, and a long one during maintenance.
fn short_timeout_client(fixture: &Fixture) -> Client {
    let long = Maintenance::auto().relaxed_timeout(WAIT_MAX).window_max(2 * WAIT_MAX);
    fixture.client_with(|config| {
        config.shards(1).connections_per_shard(1).command_timeout(TIMEOUT).maintenance(long)
    })
}

fn open_window(fixture: &Fixture, client: &Client) {
    fixture.rehearse(0, &format!("MIGRATING {ENDLESS}"));
    eventually("the window is open", || sum(client, |sums| sums.windows_open) == 1);
}

#[test]
fn rt_inflight_and_queued_covered_on_sockets() {
    let fixture = Fixture::new(1);
    let client = short_timeout_client(&fixture);
    let answer = || {
        fixture.rehearse(0, "FAULT delay 500");
        let result = block_on(client.incr("counter"));
        fixture.rehearse(0, "FAULT off");
        result
    };
    open_window(&fixture, &client);
    let begin = Instant::now();
    assert_eq!(answer().expect("it is waited for"), 1);
    assert!(begin.elapsed() > 2 * TIMEOUT);
    fixture.rehearse(0, "MIGRATED");
    eventually("the window is closed", || sum(&client, |sums| sums.windows_open) == 0);
}

#[test]
fn a_timeout_without_maintenance_names_none() {
    let fixture = Fixture::new(1);
    let client = short_timeout_client(&fixture);
    fixture.rehearse(0, "FAULT stall");
    let error = block_on(client.incr("counter")).expect_err("it is late");
    assert_eq!((error.kind(), error.maintenance()), (ErrorKind::Timeout, None), "{error}");
}

#[test]
fn rt_user_deadline_wins_on_sockets() {
    let fixture = Fixture::new(1);
    let client = short_timeout_client(&fixture);
    open_window(&fixture, &client);
    fixture.rehearse(0, "FAULT stall");
    let attempt = || {
        let begin = Instant::now();
        let error = block_on(client.incr("counter").timeout(2 * TIMEOUT)).expect_err("no reply comes");
        (error, begin.elapsed())
    };
    // A machine may pause the shard's thread for so long that it cannot say how far the command has come.
    let told = |(error, _): &(hitless::Error, _)| !error.to_string().contains("too busy to say more");
    let (error, elapsed) =
        std::iter::repeat_with(attempt).take(ATTEMPTS).find(told).expect("the shard runs now and then");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Ambiguous), "{error}");
    assert_eq!(error.maintenance(), Some("MIGRATING"), "{error}");
    assert!((2 * TIMEOUT..WAIT_MAX).contains(&elapsed), "not the relaxed timeout: {elapsed:?}");
}

/// The end of the maintenance is never announced: the window closes by itself, and timeouts are ordinary again.
#[test]
fn rt_lost_closer_on_sockets() {
    let fixture = Fixture::new(1);
    let relaxed =
        Maintenance::auto().relaxed_timeout(Duration::from_millis(600)).window_max(Duration::from_secs(1));
    let client = fixture.client_with(|config| {
        config.shards(1).connections_per_shard(1).command_timeout(TIMEOUT).maintenance(relaxed)
    });
    fixture.rehearse(0, "MIGRATING 30");
    eventually("the window is open", || sum(&client, |sums| sums.windows_open) == 1);
    eventually("the window closes by itself", || sum(&client, |sums| sums.windows_open) == 0);
    fixture.rehearse(0, "FAULT stall");
    let error = block_on(client.incr("counter")).expect_err("it is late");
    assert_eq!((error.kind(), error.maintenance()), (ErrorKind::Timeout, None), "{error}");
}
