//! `stats` counts each command once, by its result.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::CommandStats;
use hitless::{Client, Config, ErrorKind, cmd};

use crate::common::Redis;
use crate::common::drivers::start;

/// Only a call that waits forever reaches this limit.
const LONG: Duration = Duration::from_secs(60);

fn total(client: &Client) -> CommandStats {
    let mut total = CommandStats::default();
    for stats in block_on(client.stats()).unwrap() {
        total.merge(&stats.commands);
    }
    total
}

#[test]
fn every_command_is_counted_once_by_its_result() {
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).unwrap().shards(2).command_timeout(LONG);
    let client = start(config).unwrap();
    block_on(client.ready(LONG)).unwrap();
    let clones = [client.clone(), client.clone()];
    for number in 0..500 {
        clones[number % 2].incr("counter").wait().unwrap();
    }
    let pipeline = client.pipeline();
    pipeline.set("text", "a").incr("text").incr("counter");
    block_on(pipeline.run::<Vec<hitless::Result<hitless::Frame>>>()).unwrap();
    client.incr("text").wait().unwrap_err();
    client.set("key", "value").fire_and_forget().unwrap();
    // A command that is rejected by its name never reaches the shard.
    client.run::<()>(&cmd("SUBSCRIBE").arg("channel")).wait().unwrap_err();
    assert_eq!(block_on(client.incr("counter")).unwrap(), 502);
    let start = Instant::now();
    while total(&client).answered < 504 {
        assert!(start.elapsed() < LONG / 2, "{:?}", total(&client));
    }
    let counted = total(&client);
    assert_eq!((counted.issued, counted.answered, counted.failed, counted.cancelled), (504, 504, 0, 0));
    assert_eq!(counted.errors, [(ErrorKind::Server, 2)].into());
    let latency = &counted.latency;
    assert_eq!(latency.count(), 504);
    assert!(
        latency.percentile(50.0) <= latency.percentile(99.0) && latency.percentile(99.0) <= latency.max()
    );
    assert!(latency.mean().unwrap() > Duration::ZERO);

    redis.signal(libc::SIGSTOP);
    let cancelled = client.incr("counter");
    let kept = client.incr("counter");
    while block_on(client.stats()).unwrap().iter().map(|stats| stats.calls).sum::<usize>() < 2 {
        std::thread::yield_now();
    }
    drop(cancelled);
    client.incr("counter").timeout(Duration::from_millis(5)).wait().unwrap_err();
    clones[1].ping().timeout(Duration::ZERO).wait().unwrap_err();
    while total(&client).timeouts() < 2 || total(&client).cancelled < 1 {
        assert!(start.elapsed() < LONG, "{:?}", total(&client));
    }
    redis.signal(libc::SIGCONT);
    kept.wait().unwrap();
    let counted = total(&client);
    assert_eq!((counted.answered, counted.cancelled, counted.timeouts()), (505, 1, 2));
    assert_eq!(counted.issued, counted.answered + counted.failed + counted.cancelled);
}
