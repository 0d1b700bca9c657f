//! Calls that wait for room in the mailbox of a shard, or for a shard that is blocked.

mod common;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::Redis;
use futures_lite::future::block_on;
use hitless::{Client, Config, ErrorKind, Outcome};

/// The capacity of a mailbox.
const MAILBOX: usize = 8192;
/// Only a call that waits forever reaches this limit.
const LONG: Duration = Duration::from_secs(120);

fn config(redis: &Redis) -> Config {
    Config::from_url(&redis.url()).unwrap().shards(1).command_timeout(LONG)
}

fn start(config: Config) -> Client {
    let client = Client::start(config).unwrap();
    block_on(client.ready(LONG)).unwrap();
    client
}

/// Blocks the client's shard while `meanwhile` runs, so that its mailbox fills up.
fn while_blocked<T>(client: &Client, meanwhile: impl FnOnce() -> T) -> T {
    let (entered, is_in) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let keeper = scope.spawn(move || {
            block_on(client.run_on(0, move |_| async move {
                entered.send(()).unwrap();
                // A test that fails meanwhile drops the sender, which ends the block as well.
                let _ = released.recv();
            }))
        });
        is_in.recv().unwrap();
        let result = meanwhile();
        drop(release);
        keeper.join().unwrap().unwrap();
        result
    })
}

/// Tasks on a shard have room of their own, however many callers on other threads wait.
#[test]
fn tasks_on_a_full_shard_have_room() {
    const MORE_THAN_A_SHARD_HOLDS: usize = 40_000;
    let redis = Redis::start();
    let client = start(config(&redis));
    redis.signal(libc::SIGSTOP);
    let replies: Vec<_> = (0..MORE_THAN_A_SHARD_HOLDS).map(|_| client.incr("counter")).collect();
    let last = client.incr("counter");
    std::thread::scope(|scope| {
        let last = scope.spawn(|| last.wait());
        let start = Instant::now();
        while block_on(client.stats()).unwrap()[0].calls <= MORE_THAN_A_SHARD_HOLDS {
            assert!(start.elapsed() < LONG / 2, "the shard does not take the calls");
            std::thread::yield_now();
        }
        let ping = block_on(client.run_on(0, |shard| async move {
            shard.ping().timeout(Duration::ZERO).await.unwrap_err().kind()
        }));
        assert_eq!(ping.unwrap(), ErrorKind::Timeout);
        redis.signal(libc::SIGCONT);
        assert_eq!(last.join().unwrap().unwrap(), MORE_THAN_A_SHARD_HOLDS as i64 + 1);
    });
    drop(replies);
}

#[test]
fn a_full_mailbox_fails_calls_at_once_with_waiting_max_0() {
    let redis = Redis::start();
    let client = start(config(&redis).waiting_max(0));
    let (kept, error) = while_blocked(&client, || {
        let kept: Vec<_> = (0..MAILBOX).map(|_| client.incr("counter")).collect();
        (kept, client.incr("counter").wait().unwrap_err())
    });
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::Unsent));
    assert!(error.to_string().contains("waiting_max"), "{error}");
    for reply in kept {
        reply.wait().unwrap();
    }
}

#[test]
fn a_deadline_holds_while_the_shard_is_blocked() {
    const SHORT: Duration = Duration::from_millis(20);
    let redis = Redis::start();
    let client = start(config(&redis).connections_per_shard(1));
    let (later, kept) = while_blocked(&client, || {
        // `early` is in the mailbox; `late` waits for room behind it.
        let early = client.incr("counter").timeout(SHORT);
        let kept: Vec<_> = (0..9000).map(|_| client.incr("counter")).collect();
        let late = client.incr("counter").timeout(SHORT);
        let later = client.incr("counter").timeout(Duration::ZERO).timeout(LONG);
        for reply in [early, late] {
            let error = reply.wait().unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unsent));
        }
        (later, kept)
    });
    let last = kept.len() as i64 + 1;
    assert_eq!(later.wait().unwrap(), last, "expired calls are not sent");
    for (index, reply) in kept.into_iter().enumerate() {
        assert_eq!(reply.wait().unwrap(), index as i64 + 1);
    }
}

#[test]
fn calls_that_wait_are_bounded_in_number_and_in_time() {
    let redis = Redis::start();
    let client = start(config(&redis).waiting_max(2).command_timeout(Duration::from_millis(100)));
    while_blocked(&client, || {
        let _kept: Vec<_> = (0..MAILBOX).map(|_| client.incr("counter")).collect();
        let other = client.clone();
        let waiting = [client.incr("counter"), other.incr("counter")];
        let refused = client.incr("counter").wait().unwrap_err();
        assert_eq!((refused.kind(), refused.outcome()), (ErrorKind::Overloaded, Outcome::Unsent));
        for reply in waiting {
            let late = reply.wait().unwrap_err();
            assert_eq!((late.kind(), late.outcome()), (ErrorKind::Timeout, Outcome::Unsent));
        }
        // Calls that timed out have freed their room.
        let again = client.incr("counter").wait().unwrap_err();
        assert_eq!((again.kind(), again.outcome()), (ErrorKind::Timeout, Outcome::Unsent));
    });
}

#[test]
fn fire_and_forget_calls_keep_their_order_without_room() {
    let redis = Redis::start();
    let client = start(config(&redis));
    for handle in [client.clone(), client.by_key(), client.least_loaded(), client.on_callers_core()] {
        let more = MAILBOX + 1000;
        while_blocked(&client, || {
            for number in 0..more {
                handle.rpush("list", &[number]).fire_and_forget().unwrap();
            }
        });
        // This call runs after the waiting ones.
        assert_eq!(handle.llen("list").wait().unwrap(), more as i64);
        let list: Vec<usize> = handle.lrange("list", 0, -1).wait().unwrap();
        assert!(list.is_sorted());
        handle.del(&["list"]).wait().unwrap();
    }
    // No other future is polled here that could send the waiting calls.
    while_blocked(&client, || {
        for _ in 0..MAILBOX + 1000 {
            client.incr("counter").fire_and_forget().unwrap();
        }
    });
    let observer = start(config(&redis));
    let start = Instant::now();
    while observer.get::<Option<usize>>("counter").wait().unwrap() != Some(MAILBOX + 1000) {
        assert!(start.elapsed() < LONG / 2, "the waiting calls are not sent");
        std::thread::yield_now();
    }
    block_on(client.run_on(0, |shard| async move { shard.set("key", "1").fire_and_forget() }))
        .unwrap()
        .unwrap();
    while observer.get::<Option<String>>("key").wait().unwrap().is_none() {
        assert!(start.elapsed() < LONG, "the call is not sent");
        std::thread::yield_now();
    }
    block_on(client.shutdown(LONG)).unwrap();
    let error = client.incr("counter").fire_and_forget().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ShutDown, Outcome::Unsent));
}
