//! The generated table of commands agrees with the server: on flags, keys and policies, and on the keys of many calls.
//!
//! The table is no public API, so its files are included here. `scripts/command-table` generates it.

#[allow(dead_code, unused_imports, reason = "the cluster uses the rest")]
#[path = "../../src/proto/cluster/commands/mod.rs"]
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod description;
mod differences;
mod shapes;
#[allow(dead_code, reason = "the cluster uses the rest")]
#[path = "../../src/proto/cluster/slot.rs"]
mod slot;

use std::collections::{BTreeMap, BTreeSet};

use commands::{CommandSpec, KeyAccess, find};
use common::Redis;
use common::cluster::Cluster;
use description::Description;
use redis::{Connection, Value};
use slot::Slot;

fn connect(redis: &Redis) -> Connection {
    redis::Client::open(redis.url()).unwrap().get_connection().unwrap()
}

/// The server's commands and subcommands, each as its `COMMAND` describes it.
fn commands_of(connection: &mut Connection) -> BTreeMap<String, Description> {
    let mut pending: Vec<Value> = redis::cmd("COMMAND").query(connection).unwrap();
    let mut found = BTreeMap::new();
    while let Some(entry) = pending.pop() {
        let (name, description, subcommands) = Description::of_server(entry);
        found.insert(name, description);
        pending.extend(subcommands);
    }
    found
}

fn in_table(name: &str) -> Option<&'static CommandSpec> {
    let mut words = name.split(' ').map(str::as_bytes);
    find(words.next()?, words.next())
}

/// The name as the table of differences has it: `Redis 7.0.15`.
fn name_of(redis: &Redis) -> String {
    redis.server.name.replace(" server v=", " ")
}

#[test]
fn table_says_what_the_server_says() {
    let redis = Redis::start();
    let server = name_of(&redis);
    let is_source = differences::SERVERS.contains(&&*server);
    let mut found = BTreeSet::new();
    for (name, said) in commands_of(&mut connect(&redis)) {
        let Some(spec) = in_table(&name).filter(|spec| spec.name == name) else {
            assert!(!is_source, "{name} is missing; run scripts/command-table");
            continue;
        };
        let table = Description::of_table(spec);
        // The places of keys are the same on all servers of all versions.
        assert_eq!(table.places(), said.places(), "{name}");
        found.extend(table.differences(&said).into_iter().map(|what| (name.clone(), what)));
    }
    let listed = differences::DIFFERENCES.iter().filter(|(of, ..)| *of == server);
    let listed: BTreeSet<_> = listed.map(|(_, name, what)| ((*name).to_owned(), *what)).collect();
    assert!(!is_source || found == listed, "run scripts/command-table: {found:?} instead of {listed:?}");
}

#[test]
fn keys_of_usual_calls_are_those_of_getkeys() {
    let redis = Redis::start();
    let mut connection = connect(&redis);
    let known = commands_of(&mut connection);
    let calls = shapes::CALLS.iter().map(|call| shapes::words(call));
    let calls: Vec<_> = calls.filter(|call| known.contains_key(spec_of(call).name)).collect();
    assert!(calls.len() >= 150, "{} calls", calls.len());
    for (call, said) in calls.iter().zip(keys_of(&mut connection, &calls)) {
        assert_eq!(keys_in_table(call), said.unwrap_or_default(), "{call:?}");
    }
}

#[test]
fn keys_of_random_calls_are_those_of_getkeys() {
    let redis = Redis::start();
    let mut connection = connect(&redis);
    let mut random = fastrand::Rng::with_seed(7);
    let known = commands_of(&mut connection);
    let names = known.keys().filter(|name| in_table(name).is_some_and(|spec| spec.name == **name));
    let names: Vec<&String> = names.filter(|name| !OTHERWISE.contains(&&***name)).collect();
    let call = |_| {
        let name = names[random.usize(..names.len())];
        shapes::random(&mut random, name)
    };
    let calls: Vec<_> = (0..10_000).map(call).collect();
    let said = keys_of(&mut connection, &calls);
    let mut compared = 0;
    for (call, said) in calls.iter().zip(said) {
        if let Some(said) = said {
            compared += 1;
            assert_eq!(keys_in_table(call), said, "{call:?}");
        }
    }
    assert!(compared > 1_000, "{compared} calls");
}

#[test]
fn slots_are_those_of_the_server() {
    let cluster = Cluster::start_with(1, 0);
    let mut connection = cluster.connect(0);
    let mut random = fastrand::Rng::with_seed(7);
    let byte =
        |random: &mut fastrand::Rng| if random.bool() { random.u8(..) } else { b"{}ab"[random.usize(..4)] };
    let keys: Vec<Vec<u8>> =
        (0..2_000).map(|_| (0..random.usize(..20)).map(|_| byte(&mut random)).collect()).collect();
    let mut pipeline = redis::pipe();
    for key in &keys {
        pipeline.cmd("CLUSTER").arg("KEYSLOT").arg(key);
    }
    let slots: Vec<u16> = pipeline.query(&mut connection).unwrap();
    for (key, slot) in keys.iter().zip(slots) {
        assert_eq!(Slot::of(key).get(), slot, "{}", key.escape_ascii());
    }
}

fn spec_of(call: &[String]) -> &'static CommandSpec {
    find(call[0].as_bytes(), call.get(1).map(String::as_bytes))
        .unwrap_or_else(|| panic!("{call:?} is not in the table"))
}

/// The keys, without the channels of sharded pub/sub, which are no keys to `COMMAND GETKEYS`.
fn keys_in_table(call: &[String]) -> Vec<String> {
    let spec = spec_of(call);
    let keys = || spec.keys(call).map(|index| call[index].clone()).collect();
    if spec.keys.iter().any(|key| key.access == KeyAccess::NotKey) { Vec::new() } else { keys() }
}

/// What `COMMAND GETKEYS` replies to each call; `None` for an error.
fn keys_of(connection: &mut Connection, calls: &[Vec<String>]) -> Vec<Option<Vec<String>>> {
    let mut pipeline = redis::pipe();
    pipeline.ignore_errors();
    for call in calls {
        pipeline.cmd("COMMAND").arg("GETKEYS").arg(call);
    }
    let replies: Vec<redis::RedisResult<Vec<String>>> = pipeline.query(connection).unwrap();
    replies.into_iter().map(Result::ok).collect()
}

/// Commands of whose mistaken calls the servers find different keys. Behind both `STORE` and `STOREDIST`, Redis finds two keys as
/// the table does, and Valkey one. With a key and `KEYS`, Redis 7.0 finds the key, and later servers find none.
const OTHERWISE: [&str; 3] = ["GEORADIUS", "GEORADIUSBYMEMBER", "MIGRATE"];
