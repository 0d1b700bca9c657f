//! Callers on many threads that cancel their calls: a cancelled call affects no other call and leaves nothing behind.

use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use hitless::{Client, Config};

use crate::common::Redis;
use crate::common::drivers::start;

const THREADS: u64 = 8;
const CALLS: u64 = 12_500;
const GRACE: Duration = crate::common::WAIT_MAX;

/// The calls of one thread, which increments its own counter.
struct Calls {
    answered: u64,
    called: u64,
    /// The value of the last reply.
    last: i64,
}

/// Calls, and then drops the reply, drops it after one poll, keeps it, or awaits all kept replies, as the seed
/// decides.
fn caller(client: Client, key: String, seed: u64) -> Calls {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kept = Vec::new();
    let mut calls = Calls { answered: 0, called: 0, last: 0 };
    for _ in 0..CALLS {
        calls.called += 1;
        let mut reply = client.incr(&key);
        match random.u8(..4) {
            0 => drop(reply),
            1 => drop(block_on(poll_once(&mut reply))),
            2 => kept.push(reply),
            _ => {
                // Replies that are awaited later were called earlier.
                kept.push(reply);
                for reply in kept.drain(..) {
                    let count = reply.wait().unwrap();
                    assert!(count > calls.last, "replies belong to their calls, in their order");
                    calls.answered += 1;
                    calls.last = count;
                }
            }
        }
    }
    calls
}

#[test]
fn a_hundred_thousand_cancellations_leave_nothing_behind() {
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).unwrap().shards(2).connections_per_shard(2);
    let client = start(config).unwrap();
    block_on(client.ready(GRACE)).unwrap();
    let callers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let client = match thread % 3 {
                0 => client.clone(),
                1 => client.by_key(),
                _ => client.least_loaded(),
            };
            std::thread::spawn(move || caller(client, format!("counter:{thread}"), thread))
        })
        .collect();
    for (thread, caller) in callers.into_iter().enumerate() {
        let calls = caller.join().unwrap();
        let counted = client.get::<i64>(format!("counter:{thread}")).wait().unwrap() as u64;
        // No command runs twice, and a dropped call may never run.
        assert!((calls.answered..=calls.called).contains(&counted), "{counted} of {}", calls.called);
    }
    let is_idle =
        || block_on(client.stats()).unwrap().iter().all(|stats| stats.calls == 0 && stats.in_flight == 0);
    while !is_idle() {}
    block_on(client.shutdown(GRACE)).unwrap();
}
