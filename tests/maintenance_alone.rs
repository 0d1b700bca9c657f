//! Tests that need a process of their own: they count descriptors, threads, memory and log lines.

mod common;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use common::Redis;
use common::drivers;
use common::fixture::{
    ENDLESS, Events, Fixture, WAIT_MAX, connected_to, eventually, is_announced, is_handed_off, pause, stats,
    sum,
};
use common::log::Log;
use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, Config, cmd};

/// Runs one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The targets of this process's descriptors, and the names of its threads except those of the tests.
fn held() -> Vec<String> {
    let paths = |path: &str| fs::read_dir(path).expect("Linux").filter_map(|entry| Some(entry.ok()?.path()));
    // A descriptor that closed in the meantime is left out.
    let targets = paths("/proc/self/fd").filter_map(|path| fs::read_link(path).ok());
    let targets = targets.map(|target| target.to_string_lossy().into_owned());
    // The runtime never closes the eventfd of an executor.
    let targets = targets.filter(|target| !target.contains("eventfd"));
    let names = paths("/proc/self/task").filter_map(|path| fs::read_to_string(path.join("comm")).ok());
    // A test's thread is named after the test, with its module where it has one.
    let is_test = |name: &str| ["mv_", "ob_", "maintenance_al"].iter().any(|start| name.starts_with(start));
    targets.chain(names.filter(|name| !is_test(name))).collect()
}

/// The entries of [`held`] that were not there before.
fn left_over(before: &[String]) -> Vec<String> {
    let (mut left, mut now) = (before.to_vec(), held());
    now.retain(|one| match left.iter().position(|other| other == one) {
        Some(place) => {
            left.swap_remove(place);
            false
        }
        None => true,
    });
    now
}

/// Resident memory and its peak since the last call, in KiB.
fn memory() -> (i64, i64) {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.trim_end_matches("kB").trim().parse().expect("a number")
    };
    // Some kernels reject the reset; the peak is then that of the whole process.
    let _ = fs::write("/proc/self/clear_refs", "5");
    (field("VmRSS:"), field("VmHWM:"))
}

/// Raises the limit on open descriptors to the hard limit.
#[expect(unsafe_code, reason = "two system calls that no crate of ours wraps")]
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one `rlimit`, which `limit` is, and keeps no reference to it.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the call reads one `rlimit`, which `limit` is, and keeps no reference to it.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
fn mv_client_close_mid_handoff_on_sockets() {
    let _alone = alone();
    let fixture = Fixture::new(2);
    // The first client creates what the process creates once.
    block_on(fixture.client(2, 2).shutdown(WAIT_MAX)).expect("nothing is open");
    eventually("the server has seen the client close", || fixture.connections(0).is_empty());
    let before = held();
    let client = fixture.client(2, 6);
    fixture.rehearse(1, "FAULT stall");
    fixture.announce(ENDLESS, "");
    fixture.events.wait("dialed", 4, |event| matches!(event, Event::HandoffStarted { .. }));
    eventually("the successors wait for the first reply", || fixture.connections(1).len() == 4);
    block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
    // The shutdown waited for no handoff.
    assert!(fixture.events.results().iter().all(|result| result.name() == "abandoned"));
    assert_eq!(fixture.events.results().len(), 4);
    // A stalled server does not notice the closed connections.
    fixture.rehearse(1, "FAULT off");
    let mut left = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < WAIT_MAX {
        left = left_over(&before);
        if left.is_empty() {
            break;
        }
        pause();
    }
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// Every connection of two shards receives the same MOVING three times at once, in three rounds.
#[test]
fn mv_storm_1000_on_sockets() {
    let _alone = alone();
    raise_descriptor_limit();
    let connections: usize =
        std::env::var("HITLESS_STORM").map_or(500, |count| count.parse().expect("a number"));
    let fixture = Fixture::new(2);
    let client = fixture.client(2, connections);
    fixture.rehearse(0, "ALL FAULT duplicate 3");
    let mut after = Vec::new();
    for round in 0..3 {
        let (from, to) = (round % 2, (round + 1) % 2);
        fixture.events.clear();
        let (resting, _) = memory();
        let begin = Instant::now();
        fixture.moves((from, to), ENDLESS, "");
        fixture.events.wait("handed off", 2 * connections, is_handed_off);
        let taken = begin.elapsed();
        eventually("the predecessors are closed", || connected_to(&client, fixture.address(from)) == 0);
        assert_eq!(connected_to(&client, fixture.address(to)), 2 * connections);
        assert_eq!(fixture.events.count(is_announced), 1);
        assert_eq!(fixture.events.results().len(), 2 * connections);
        let (rests, most) = memory();
        println!(
            "{} connections in {taken:?}; memory {resting} KiB, at most {} KiB more, {} KiB more after it",
            2 * connections,
            most - resting,
            rests - resting
        );
        after.push(rests);
    }
    // A shard hands off a third of its connections at once, at most ten.
    let most = stats(&client).iter().map(|stats| stats.maintenance.permits_in_use_max).max();
    assert!(most.is_some_and(|most| (1..=10).contains(&most)), "{most:?} at once");
    let received = sum(&client, |sums| sums.notifications) as usize;
    println!("{received} copies read");
    assert!(received > 2 * connections, "{received}");
    assert!(stats(&client).iter().all(|stats| stats.lost == 0 && stats.dial_failures == 0));
    // Memory may grow with the first storm, and not with the next ones.
    let growth = after[2] - after[0];
    assert!(growth < 16 << 10, "{growth} KiB more after the third than after the first: {after:?}");
    block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
}

/// The count of this error code in the server's `INFO errorstats`.
fn errors(client: &Client, code: &str) -> u64 {
    let info: String = block_on(client.run(&cmd("INFO").arg("errorstats"))).expect("it answers");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("errorstat_{code}:count=")));
    line.map_or(0, |count| count.trim().parse().expect("a number"))
}

/// A server without notifications gets one request from each shard, and nothing is logged.
#[test]
fn ob_quiet_on_oss_redis_on_sockets() {
    let _alone = alone();
    let log = Log::listen();
    let redis = Redis::start();
    let events = Events::default();
    let start = |config: Config| {
        let client = drivers::start(events.watch(config)).expect("it starts");
        block_on(client.ready(WAIT_MAX)).expect("it is ready");
        client
    };
    let url = Config::from_url(&redis.url()).expect("a URL");
    let disabled = url.clone().maintenance(hitless::Maintenance::disabled());
    let observer = start(disabled.clone().shards(1).connections_per_shard(1));
    let before = errors(&observer, "ERR");
    // Such a server may reject CLIENT SETINFO as well; those errors are not counted here.
    let quiet = start(disabled.shards(2).connections_per_shard(50));
    let unrelated = errors(&observer, "ERR") - before;
    let before = errors(&observer, "ERR");
    let client = start(url.shards(2).connections_per_shard(50));
    assert_eq!(errors(&observer, "ERR") - before, unrelated + 2, "each shard has asked once");
    assert_eq!(sum(&client, |sums| sums.refused), 2);
    assert_eq!(events.count(|event| matches!(event, Event::NotOffered { denied: false, .. })), 2);
    for client in [client, quiet, observer] {
        block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
    }
    assert_eq!(log.text(), "");
}
