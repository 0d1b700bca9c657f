//! Calls without room in the shard: they wait by default, and fail at once with `waiting_max(0)`.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::{Client, Config, ErrorKind, Outcome};

use crate::common::{Redis, drivers};

const CALLS: i64 = 100_000;
/// Only a call that waits forever reaches this limit.
const LONG: Duration = Duration::from_secs(120);

fn config(redis: &Redis) -> Config {
    Config::from_url(&redis.url()).unwrap().shards(1).command_timeout(LONG)
}

fn start(config: Config) -> Client {
    let client = drivers::start(config).unwrap();
    block_on(client.ready(LONG)).unwrap();
    client
}

fn wait_for_open_calls(client: &Client, calls: usize) {
    let start = Instant::now();
    while block_on(client.stats()).unwrap()[0].calls < calls {
        assert!(start.elapsed() < LONG / 2, "the shard does not take the calls");
        std::thread::yield_now();
    }
}

#[test]
fn a_hundred_thousand_calls_at_once_are_all_answered() {
    let redis = Redis::start();
    let client = start(config(&redis));
    let replies: Vec<_> = (0..CALLS).map(|_| client.incr("counter")).collect();
    for (index, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.wait().unwrap(), index as i64 + 1);
    }
    // The callers' runtime is another one than the driver's, if that has one.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..CALLS)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.incr("counter").await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    assert_eq!(client.get::<i64>("counter").wait().unwrap(), 2 * CALLS);
}

#[test]
fn calls_wait_for_a_full_shard() {
    const MORE_THAN_A_SHARD_HOLDS: usize = 40_000;
    let redis = Redis::start();
    let client = start(config(&redis));
    redis.signal(libc::SIGSTOP);
    let replies: Vec<_> = (0..MORE_THAN_A_SHARD_HOLDS).map(|_| client.incr("counter")).collect();
    let last = client.incr("counter");
    std::thread::scope(|scope| {
        let last = scope.spawn(|| last.wait());
        wait_for_open_calls(&client, MORE_THAN_A_SHARD_HOLDS + 1);
        redis.signal(libc::SIGCONT);
        assert_eq!(last.join().unwrap().unwrap(), MORE_THAN_A_SHARD_HOLDS as i64 + 1);
    });
    for (index, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.wait().unwrap(), index as i64 + 1);
    }
}

#[test]
fn waiting_max_0_fails_calls_at_once() {
    const OPEN_CALLS_MAX: usize = 30_000;
    let redis = Redis::start();
    let client = start(config(&redis).waiting_max(0));
    redis.signal(libc::SIGSTOP);
    let mut replies = Vec::new();
    for open in (0..OPEN_CALLS_MAX).step_by(1000) {
        replies.extend((0..1000).map(|_| client.incr("counter")));
        wait_for_open_calls(&client, open + 1000);
    }
    let error = client.incr("counter").wait().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::Unsent));
    redis.signal(libc::SIGCONT);
    for reply in replies {
        reply.wait().unwrap();
    }
}
