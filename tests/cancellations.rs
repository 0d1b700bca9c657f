//! Callers on many threads who change their minds: what they leave behind disturbs nobody, and stays nowhere.

mod common;

use std::time::Duration;

use common::Redis;
use futures_lite::future::{block_on, poll_once};
use hitless::{Client, Config};

const THREADS: u64 = 8;
const CALLS: u64 = 12_500;
const GRACE: Duration = common::PATIENCE;

/// What one thread did with its own counter.
struct Told {
    answered: u64,
    called: u64,
    /// What the last answer said.
    last: i64,
}

/// Calls, and then waits, leaves at once, or leaves after a look; in the order that the seed says.
fn caller(client: Client, key: String, seed: u64) -> Told {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kept = Vec::new();
    let mut told = Told { answered: 0, called: 0, last: 0 };
    for _ in 0..CALLS {
        told.called += 1;
        let mut reply = client.incr(&key);
        match random.u8(..4) {
            0 => drop(reply),
            1 => drop(block_on(poll_once(&mut reply))),
            2 => kept.push(reply),
            _ => {
                // What is awaited later has been called before.
                kept.push(reply);
                for reply in kept.drain(..) {
                    let count = reply.wait().unwrap();
                    assert!(count > told.last, "replies belong to their calls, in their order");
                    told.answered += 1;
                    told.last = count;
                }
            }
        }
    }
    told
}

#[test]
fn a_hundred_thousand_cancellations_leave_nothing_behind() {
    let redis = Redis::start();
    let config = Config::from_url(&redis.url()).unwrap().shards(2).connections_per_shard(2);
    let client = Client::start(config).unwrap();
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
        let told = caller.join().unwrap();
        let counted = client.get::<i64>(format!("counter:{thread}")).wait().unwrap() as u64;
        // Nothing is executed twice; of what was left, some never was.
        assert!((told.answered..=told.called).contains(&counted), "{counted} of {}", told.called);
    }
    let is_idle =
        || block_on(client.stats()).unwrap().iter().all(|stats| stats.calls == 0 && stats.in_flight == 0);
    while !is_idle() {}
    block_on(client.shutdown(GRACE)).unwrap();
}
