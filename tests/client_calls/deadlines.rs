//! Deadlines of single calls through a client: they hold in every state of a call, and their errors have the exact
//! outcome.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::{Client, Config, Error, ErrorKind, Outcome};

use crate::common::Redis;
use crate::common::drivers::start;

const SHORT: Duration = Duration::from_millis(20);
/// Only a call that waits forever reaches this limit.
const LONG: Duration = Duration::from_secs(60);

fn client(url: &str) -> Client {
    let config = Config::from_url(url).unwrap().shards(1).connections_per_shard(1).command_timeout(LONG);
    start(config).unwrap()
}

fn connected(redis: &Redis) -> Client {
    let client = client(&redis.url());
    block_on(client.ready(LONG)).unwrap();
    client
}

fn what(error: &Error) -> (ErrorKind, Outcome) {
    (error.kind(), error.outcome())
}

/// Waits until the shard holds no call. While the server does not answer, only the deadline frees the slot.
fn wait_for_free_slots(client: &Client) {
    let start = Instant::now();
    while block_on(client.stats()).unwrap()[0].calls > 0 {
        assert!(start.elapsed() < LONG / 2, "the shard still holds the slots");
        std::thread::yield_now();
    }
}

#[test]
fn a_written_call_past_its_deadline_is_ambiguous() {
    let redis = Redis::start();
    let client = connected(&redis);
    redis.signal(libc::SIGSTOP);
    let error = client.incr("counter").timeout(SHORT).wait().unwrap_err();
    assert_eq!(what(&error), (ErrorKind::Timeout, Outcome::Ambiguous));
    let transaction = client.transaction();
    transaction.incr("counter");
    let error = block_on(transaction.run::<(i64,)>().timeout(SHORT)).unwrap_err();
    assert_eq!(what(&error), (ErrorKind::Timeout, Outcome::Ambiguous));
    wait_for_free_slots(&client);
    redis.signal(libc::SIGCONT);
    // The server executes the written commands, and their late replies go to no other call.
    assert_eq!(client.incr("counter").timeout(LONG).wait().unwrap(), 3);
}

#[test]
fn queued_calls_past_their_deadline_are_unsent_with_a_cause() {
    let client = client(&format!("redis://127.0.0.1:{}", crate::common::free_port()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // When the machine does not schedule the shard, the outcome is unknown; the test tries again.
    let exact = (0..50).find_map(|_| {
        let error = runtime.block_on(client.incr("counter").timeout(SHORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        (error.outcome() == Outcome::Unsent && error.to_string().contains("refused")).then_some(error)
    });
    let text = exact.expect("the shard never said that nothing was sent").to_string();
    assert!(text.starts_with("INCR at 127.0.0.1:") && text.contains("not sent within 20ms"), "{text}");
    wait_for_free_slots(&client);
}

#[test]
fn a_dropped_reply_gives_its_slot_back() {
    let redis = Redis::start();
    let client = connected(&redis);
    redis.signal(libc::SIGSTOP);
    let replies: Vec<_> = (0..100).map(|_| client.incr("counter")).collect();
    while block_on(client.stats()).unwrap()[0].calls < 100 {
        std::thread::yield_now();
    }
    drop(replies);
    wait_for_free_slots(&client);
    redis.signal(libc::SIGCONT);
}
