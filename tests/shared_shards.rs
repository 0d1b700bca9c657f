//! Several clients on the threads of one: each has its own pool, lifecycle and statistics.

mod common;

use std::collections::HashSet;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::Redis;
use futures_lite::future::block_on;
use hitless::{Client, Config, ErrorKind, Outcome, ShardStats, cmd};

const GRACE: Duration = Duration::from_secs(5);
const SHARDS: usize = 2;

/// Serializes tests that count the threads or descriptors of the process.
static ALONE: Mutex<()> = Mutex::new(());

fn config(redis: &Redis) -> Config {
    Config::from_url(&redis.url()).unwrap().connections_per_shard(2)
}

/// Three clients of three servers; the first one owns the threads.
fn three(redis: &[Redis; 3]) -> [Client; 3] {
    let first = Client::start(config(&redis[0]).shards(SHARDS)).unwrap();
    let second = Client::start_with(&first, config(&redis[1])).unwrap();
    let third = Client::start_with(&second, config(&redis[2]).shards(SHARDS)).unwrap();
    let clients = [first, second, third];
    clients.iter().for_each(|client| block_on(client.ready(GRACE)).unwrap());
    clients
}

fn servers() -> [Redis; 3] {
    std::array::from_fn(|_| Redis::start())
}

/// The threads of this process with a shard's name; an executor has two.
fn shard_threads() -> usize {
    let names = fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path().join("comm"));
    // A thread may end between the two calls.
    let names = names.filter_map(|name| fs::read_to_string(name).ok());
    names.filter(|name| name.starts_with("hitless-") && name.trim_end().ends_with(char::is_numeric)).count()
}

fn on_each_shard(client: &Client) -> Vec<(std::thread::ThreadId, Option<usize>)> {
    let thread_and_cpu = |shard: hitless::Shard| async move { (std::thread::current().id(), shard.cpu()) };
    block_on(client.run_on_each_shard(thread_and_cpu)).unwrap()
}

fn stats(client: &Client) -> Vec<ShardStats> {
    block_on(client.stats()).unwrap()
}

#[test]
fn clients_share_threads_and_nothing_else() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let redis = servers();
    let [first, second, third] = three(&redis);
    assert_eq!(shard_threads(), 2 * SHARDS, "as many as the first client's alone");
    let threads = on_each_shard(&first);
    assert_eq!(threads.iter().collect::<HashSet<_>>().len(), SHARDS);
    for client in [&second, &third] {
        assert_eq!((on_each_shard(client), client.shards()), (threads.clone(), SHARDS));
    }
    for (client, value) in [(&first, "1"), (&second, "2"), (&third, "3")] {
        client.set("key", value).wait().unwrap();
        assert!(stats(client).iter().all(|stats| stats.ready == 2 && stats.connections.len() == 1));
    }
    let values = [&first, &second, &third].map(|client| client.get::<i64>("key").wait().unwrap());
    assert_eq!(values, [1, 2, 3], "each talks to its own server");

    // The client that started the threads may shut down before the others.
    block_on(first.shutdown(GRACE)).unwrap();
    assert_eq!(first.ping().wait().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(second.incr("key").wait().unwrap(), 3);
    assert!(stats(&second).iter().all(|stats| stats.ready == 2 && stats.lost == 0));
    let fourth = Client::start_with(&first, config(&redis[0])).expect("the threads are alive");
    assert_eq!(fourth.incr("key").wait().unwrap(), 2);
    drop(second);
    assert_eq!(third.incr("key").wait().unwrap(), 4);
    block_on(fourth.shutdown(GRACE)).unwrap();
    assert_eq!(shard_threads(), 2 * SHARDS);
    block_on(third.shutdown(GRACE)).unwrap();
    while shard_threads() > 0 {
        std::thread::yield_now();
    }
    let late = Client::start_with(&third, config(&redis[0])).map(drop).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::ShutDown, "{late}");
}

#[test]
fn a_dead_executor_restarts_for_all_its_clients() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let redis = servers();
    let clients = three(&redis);
    let [first, second, third] = &clients;
    block_on(third.shutdown(GRACE)).unwrap();
    // One call is in flight on each shard when a task of another client ends one executor.
    let pop = cmd("BLPOP").arg("never").arg(0);
    let waiting = [second.clone(), second.clone()].map(|clone| clone.run::<()>(&pop));
    let fatal = |_| async {
        let task = async {
            futures_lite::future::yield_now().await;
            panic!("of a detached task")
        };
        glommio::spawn_local(task).detach();
        std::future::pending::<()>().await;
    };
    assert_eq!(block_on(first.run_on(1, fatal)).unwrap_err().kind(), ErrorKind::ShutDown);
    for client in [first, second] {
        block_on(client.ready(GRACE)).unwrap();
        for clone in [client.clone(), client.clone()] {
            assert!(clone.incr("alive").wait().unwrap() > 0);
        }
    }
    second.rpush("never", &["a", "b"]).wait().unwrap();
    let ends = waiting.map(|waiting| waiting.wait().err().map(|error| error.outcome()));
    assert!(ends.contains(&None) && ends.contains(&Some(Outcome::Ambiguous)), "{ends:?}");
    assert_eq!(
        third.ping().wait().unwrap_err().kind(),
        ErrorKind::ShutDown,
        "the third client was shut down before"
    );
    block_on(first.shutdown(GRACE)).unwrap();
    block_on(second.shutdown(GRACE)).unwrap();
}

#[test]
fn shutdown_on_a_shared_thread_is_an_error() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let redis = servers();
    let [first, second, third] = three(&redis);
    let shutdown = first.run_on(0, move |_| async move { second.shutdown(GRACE).await });
    assert_eq!(block_on(shutdown).unwrap().unwrap_err().kind(), ErrorKind::Misuse);
    block_on(first.shutdown(GRACE)).unwrap();
    block_on(third.shutdown(GRACE)).unwrap();
}

#[test]
fn settings_of_the_threads_must_agree() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let redis = Redis::start();
    let first = Client::start(config(&redis).shards(SHARDS)).unwrap();
    let other = |config: Config| Client::start_with(&first, config).map(drop).unwrap_err();
    let spin = Duration::from_micros(10);
    for (config, setting) in [
        (config(&redis).shards(SHARDS + 1), "shards"),
        (config(&redis).cores([usize::MAX]), "cores"),
        (config(&redis).spin_before_park(spin), "spin_before_park"),
        (config(&redis).connections_per_shard(0), "connections_per_shard"),
    ] {
        let error = other(config);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().starts_with(setting), "{error}");
    }
    block_on(first.shutdown(GRACE)).unwrap();
}

/// The runtime keeps one descriptor of each ended executor. A client on existing threads starts no executor.
#[test]
fn short_lived_clients_on_shared_threads_leak_no_descriptors() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let redis = Redis::start();
    let first = Client::start(config(&redis).shards(1)).unwrap();
    block_on(first.ready(GRACE)).unwrap();
    let start_and_stop = || {
        let client = Client::start_with(&first, config(&redis)).unwrap();
        block_on(client.ready(GRACE)).unwrap();
        block_on(client.shutdown(GRACE)).unwrap();
    };
    start_and_stop();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    (0..100).for_each(|_| start_and_stop());
    // The last connections may still be closing.
    while open() > before + 10 {
        std::thread::yield_now();
    }
    block_on(first.shutdown(GRACE)).unwrap();
}
