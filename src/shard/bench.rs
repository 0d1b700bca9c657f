//! The scenarios of a shard on glommio, to count their instructions.

use bytes::Bytes;

use super::{Reply, Shard, bare};
use crate::command::FromReply;
use crate::driver::bench::{Bench, Counted, KEY, TOGETHER, VALUE, value};

/// Runs `rounds` rounds of a scenario, after some that warm it up, and returns the number of commands. `counted` is called before
/// and after each of the three parts of a round.
///
/// # Panics
/// If there is no such scenario, or a reply is not what it should be.
pub(crate) fn run(scenario: &str, rounds: usize, counted: Counted<'_>) -> usize {
    let value = value();
    let push = format!(">2\r\n${}\r\n{PUSH}\r\n*1\r\n$3\r\nkey\r\n", PUSH.len());
    let array = |count: usize| format!("*{count}\r\n{}", value.repeat(count));
    let get = |shard: &Shard| shard.get::<Bytes>(KEY);
    let keys: Vec<&str> = vec![KEY; 100];
    match scenario {
        "get" => count(TOGETHER, &value, get, rounds, counted),
        "get-alone" => count(1, &value, get, rounds, counted),
        "get-push" => count(TOGETHER, &format!("{push}{value}"), get, rounds, counted),
        "set" => count(TOGETHER, "+OK\r\n", |shard| shard.set(KEY, VALUE), rounds, counted),
        "mget-100" => count(1, &array(100), |shard| shard.mget::<Vec<Bytes>>(&keys), rounds, counted),
        "pipeline-64" => {
            let send = |shard: &Shard| {
                let pipeline = shard.pipeline();
                for _ in 0..TOGETHER {
                    pipeline.get(KEY);
                }
                pipeline.run::<Vec<Bytes>>()
            };
            count(1, &value.repeat(TOGETHER), send, rounds, counted) * TOGETHER
        }
        _ => panic!("no scenario {scenario}"),
    }
}

/// Counts a connected pool of one connection, whose server answers each of `together` commands with `reply`.
fn count<T: FromReply>(
    together: usize,
    reply: &str,
    send: impl Fn(&Shard) -> Reply<T>,
    rounds: usize,
    counted: Counted<'_>,
) -> usize {
    let (shard, id) = bare::shard();
    // A connection whose pushes nothing handles is replaced after some thousands of them.
    shard.on_push(PUSH, |_| ()).expect("a name for pushes");
    let (shared, shards) = (shard.shared.clone(), (0..together).map(|_| shard.clone()).collect());
    // Dropping the last handle would shut it down, which takes an executor.
    std::mem::forget(shard);
    Bench::new(shared, id, shards, send, reply).run(rounds, counted)
}

const PUSH: &str = "news";
