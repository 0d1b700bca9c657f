//! A blocked shard thread is reported, with the name of the code where it is known, and the errors that follow say so.

mod common;

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use common::Redis;
use futures_lite::future::{block_on, yield_now};
use hitless::observe::Event;
use hitless::{Client, Config, ErrorKind};

const GRACE: Duration = Duration::from_secs(5);
const BLOCKED: Duration = Duration::from_millis(600);

/// A client of one shard, and the receiver of its events about a blocked thread.
fn client(redis: &Redis, timeout: Duration) -> (Client, Receiver<(Duration, Option<&'static str>)>) {
    let (sender, blocks) = mpsc::channel();
    let config = Config::from_url(&redis.url()).unwrap().shards(1).connections_per_shard(1);
    let config = config.command_timeout(timeout).on_event(move |_, event| {
        if let Event::Blocked { duration, by, .. } = event {
            // The test may have ended and dropped the receiver.
            let _ = sender.send((*duration, *by));
        }
    });
    let client = Client::start(config).unwrap();
    block_on(client.ready(GRACE)).unwrap();
    (client, blocks)
}

/// Blocks the thread, as code on a shard must not do.
fn block() {
    let (_sender, receiver) = mpsc::channel::<()>();
    assert!(receiver.recv_timeout(BLOCKED).is_err());
}

#[test]
fn a_closure_that_blocks_is_named() {
    let redis = Redis::start();
    let (client, blocks) = client(&redis, GRACE);
    block_on(client.run_on(0, |_| async { block() })).unwrap();
    // A pause of the machine is reported too, without a name.
    let named = blocks.iter().find_map(|(duration, by)| Some((duration, by?)));
    let (duration, by) = named.unwrap();
    assert!(duration >= BLOCKED && by.contains("a_closure_that_blocks_is_named"), "{duration:?} by {by}");
}

#[test]
fn a_task_that_blocks_explains_the_timeouts() {
    let redis = Redis::start();
    let (client, blocks) = client(&redis, Duration::from_millis(200));
    redis.signal(libc::SIGSTOP);
    let call = client.run_on(0, |shard| async move {
        let reply = shard.incr("counter");
        glommio::spawn_local(async {
            yield_now().await;
            block();
        })
        .detach();
        reply.await
    });
    let error = block_on(call).unwrap().unwrap_err();
    redis.signal(libc::SIGCONT);
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("thread was blocked for"), "{error}");
    assert!(blocks.iter().any(|(duration, _)| duration >= BLOCKED / 2));
}

/// Replies that arrived while the thread was blocked are read before deadlines are checked.
#[test]
fn replies_received_during_a_block_are_no_timeouts() {
    let redis = Redis::start();
    let (client, _blocks) = client(&redis, Duration::from_millis(200));
    let call = client.run_on(0, |shard| async move {
        let reply = shard.incr("counter");
        while shard.stats().in_flight == 0 {
            yield_now().await;
        }
        block();
        reply.await
    });
    assert_eq!(block_on(call).unwrap().unwrap(), 1);
}
