//! Handles and pools: how calls are spread, and the order that each handle keeps.

use hitless::{Client, ErrorKind, cmd};

use crate::common::{Redis, WAIT_MAX};
use crate::{config, in_both, started, wait_for_open_calls};

/// A handle of each kind.
fn kinds(client: &Client) -> [Client; 4] {
    [client.clone(), client.by_key(), client.least_loaded(), client.on_callers_core()]
}

async fn open_calls(client: &Client) -> Vec<usize> {
    client.stats().await.expect("it runs").iter().map(|stats| stats.calls).collect()
}

#[test]
fn fire_and_forget_calls_keep_their_order() {
    const CALLS: usize = 5_000;
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis).shards(2).connections_per_shard(2)).await;
        for handle in kinds(&client) {
            for number in 0..CALLS {
                handle.rpush("list", &[number]).fire_and_forget().expect("it is accepted");
            }
            // This call runs after those before it.
            assert_eq!(handle.llen("list").await.expect("a length"), CALLS as i64);
            let list: Vec<usize> = handle.lrange("list", 0, -1).await.expect("a list");
            assert!(list.is_sorted());
            handle.del(&["list"]).await.expect("it serves");
        }
        client.shutdown(WAIT_MAX).await.expect("nothing is open");
    });
}

#[test]
fn calls_of_one_handle_keep_their_order_among_tasks() {
    const CALLS: i64 = 500;
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis).shards(2).connections_per_shard(2)).await;
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let handle = kinds(&client)[task % 4].clone();
                tokio::spawn(async move {
                    let key = format!("counter:{task}");
                    handle.del(&[&key]).await.expect("it serves");
                    for expected in (0..CALLS).step_by(5) {
                        let replies: Vec<_> = (0..5).map(|_| handle.incr(&key)).collect();
                        for (index, reply) in replies.into_iter().enumerate() {
                            assert_eq!(reply.await.expect("it serves"), expected + 1 + index as i64);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

#[test]
fn handles_by_key_keep_the_order_of_a_key() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis).shards(2).connections_per_shard(2)).await;
        let handles = [client.by_key(), client.by_key()];
        let calls: Vec<_> = (0..1000).map(|number| handles[number % 2].rpush("list", &[number])).collect();
        for (index, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.expect("it serves"), index as i64 + 1);
        }
        let list: Vec<usize> = handles[0].lrange("list", 0, -1).await.expect("a list");
        assert_eq!(list, (0..1000).collect::<Vec<_>>());
        // Many keys use every connection.
        for number in 0..200 {
            handles[0].set(format!("key:{number}"), number).await.expect("it serves");
        }
        let stats = client.stats().await.expect("it runs");
        assert!(stats.iter().all(|stats| stats.commands.answered > 0), "{stats:#?}");
        client.del(&["list"]).await.expect("it serves");
    });
}

#[test]
fn least_loaded_handles_fill_the_pools_alike() {
    in_both(|| async {
        let redis = Redis::start();
        let client = started(config(&redis).shards(2).connections_per_shard(2)).await;
        redis.signal(libc::SIGSTOP);
        let handles: Vec<_> = (0..8).map(|_| client.least_loaded()).collect();
        let open: Vec<_> = handles.iter().map(|handle| handle.incr("counter")).collect();
        wait_for_open_calls(&client, 8).await;
        assert_eq!(open_calls(&client).await, [4, 4]);
        // A handle stays where its open calls are.
        let more: Vec<_> = (0..6).map(|_| handles[0].incr("counter")).collect();
        let mut calls = open_calls(&client).await;
        calls.sort_unstable();
        assert_eq!(calls, [4, 10]);
        redis.signal(libc::SIGCONT);
        for reply in open.into_iter().chain(more) {
            reply.await.expect("it is answered");
        }
        assert_eq!(open_calls(&client).await, [0, 0]);
    });
}

#[test]
fn handles_of_the_callers_core_serve() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis).shards(2).connections_per_shard(2)).await;
        client.set("counter", 0).await.expect("it serves");
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let handle = client.on_callers_core();
                tokio::spawn(async move {
                    for _ in 0..100 {
                        handle.incr("counter").await.expect("it serves");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(client.get::<i64>("counter").await.expect("a number"), 800);
    });
}

#[test]
fn clones_use_all_connections_of_all_pools() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis).shards(2).connections_per_shard(3)).await;
        assert_eq!((client.shards(), client.config().shard_cores()), (2, &[None, None][..]));
        let mut connections = std::collections::BTreeSet::new();
        for handle in (0..6).map(|_| client.clone()).collect::<Vec<_>>() {
            let id: i64 = handle.run(&cmd("CLIENT").arg("ID")).await.expect("a number");
            connections.insert(id);
        }
        assert_eq!(connections.len(), 6);
        let stats = client.stats().await.expect("it runs");
        assert_eq!(
            stats.iter().map(|stats| (stats.ready, stats.commands.answered)).collect::<Vec<_>>(),
            [(3, 3); 2]
        );
        // One pool is the default.
        assert_eq!(started(config(&redis)).await.shards(), 1);
    });
}

#[test]
fn pipelines_and_transactions_run_as_one() {
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis).shards(2).connections_per_shard(2)).await;
        client.del(&["a", "b", "counter"]).await.expect("it serves");
        for handle in kinds(&client) {
            handle.del(&["a", "counter"]).await.expect("it serves");
            let pipeline = handle.pipeline();
            pipeline.set("a", "one").get("a").incr("counter").incr("a");
            let replies: ((), String, i64, hitless::Result<i64>) = pipeline.run().await.expect("replies");
            assert_eq!((replies.1.as_str(), replies.2), ("one", 1));
            assert_eq!(replies.3.expect_err("it is no number").kind(), ErrorKind::Server);
            let transaction = handle.transaction();
            transaction.incr("counter");
            transaction.incr("counter");
            let counted: (i64, i64) = transaction.run().await.expect("it runs");
            assert_eq!(counted, (2, 3));
        }
        // Transactions of several tasks on one connection do not mix.
        let client = started(config(&redis).connections_per_shard(1)).await;
        client.del(&["counter"]).await.expect("it serves");
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let handle = client.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        let transaction = handle.transaction();
                        transaction.incr("counter");
                        transaction.incr("counter");
                        let (first, second): (i64, i64) = transaction.run().await.expect("it runs");
                        assert_eq!(second, first + 1);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}
