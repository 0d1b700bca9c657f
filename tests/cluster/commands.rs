//! What a client of a real cluster sends where.

use std::time::Instant;

use futures_lite::StreamExt;
use futures_lite::future::block_on;
use hitless::{ErrorKind, Outcome, cmd};

use crate::common::cluster::Cluster;
use crate::common::{WAIT_MAX, pause};
use crate::faults::client;

#[test]
fn commands_reach_all_nodes() {
    let cluster = Cluster::start_with(3, 0);
    let client = client(&cluster, 1);
    block_on(async {
        let pairs: Vec<(String, i64)> = (0..100).map(|number| (format!("key:{number}"), number)).collect();
        client.mset(&pairs).await.unwrap();
        let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
        let values: Vec<i64> = client.mget(&keys).await.unwrap();
        assert_eq!(values, (0..100).collect::<Vec<_>>());
        assert_eq!(client.dbsize().await.unwrap(), 100);
        let by_node: Vec<usize> = (0..3).map(|node| cluster.ask(node, "DBSIZE")).collect();
        assert!(by_node.iter().all(|keys| *keys > 10), "{by_node:?}");
        assert_eq!(client.exists(&keys).await.unwrap(), 100);

        let pipeline = client.pipeline();
        for key in &keys {
            pipeline.cmd(&cmd("INCRBY").arg(*key).arg(1000));
        }
        let replies: Vec<i64> = pipeline.run().await.unwrap();
        assert_eq!(replies, (1000..1100).collect::<Vec<_>>());
        assert_eq!(client.del(&keys).await.unwrap(), 100);

        let error = client.rename("a", "b").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::CrossSlot, Outcome::Unsent));
        let error = client.session().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    });
}

#[test]
fn scripts_transactions_and_blocking_commands_run_on_one_node() {
    let cluster = Cluster::start_with(3, 0);
    let client = client(&cluster, 0);
    block_on(async {
        for key in ["a", "b", "c"] {
            let script = hitless::command::Script::new("return redis.call('INCR', KEYS[1])");
            let value: i64 = script.run(&client, &[key], &[] as &[&str]).await.unwrap();
            assert_eq!(value, 1, "the script is unknown on each node at first");
            let job = client.blpop::<Option<(String, String)>>(&[format!("jobs:{key}")], 30);
            client.rpush(format!("jobs:{key}"), &["work"]).await.unwrap();
            assert_eq!(job.await.unwrap().unwrap().1, "work");
        }
    });
}

#[test]
fn sharded_subscription_follows_its_slot() {
    let cluster = Cluster::start();
    let client = client(&cluster, 0);
    block_on(async {
        let mut news = client.ssubscribe(&["news"]).await.unwrap().messages();
        let mut all = client.subscribe(&["all"]).await.unwrap().messages();
        client.spublish("news", "one").await.unwrap();
        client.publish("all", "one").await.unwrap();
        assert_eq!(news.next().await.unwrap().payload, "one");
        assert_eq!(all.next().await.unwrap().payload, "one");
        let slot: u16 = cluster.ask(0, "CLUSTER KEYSLOT news");
        let replica = cluster.replicas_of(cluster.primary_of(slot))[0];
        cluster.failover(replica);
        // The subscription is confirmed there some time later: until then the message reaches no subscriber.
        let begin = Instant::now();
        while client.spublish("news", "two").await.unwrap() == 0 {
            assert!(begin.elapsed() < WAIT_MAX);
            pause();
        }
        assert_eq!(news.next().await.unwrap().payload, "two");
    });
}
