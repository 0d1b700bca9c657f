//! The tests of redis-rs 1.8.1 that need a connection of their own, with what they check. Each says which one it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::StreamExt;
use futures_lite::future::zip;
use hitless::redis_rs::Connection;
use hitless::{Client, Config};
use redis::aio::transaction_async;
use redis::{AsyncCommands, ErrorKind, RedisError, RedisResult, cmd, pipe};
use tokio::sync::Notify;

use crate::GRACE;
use crate::common::Redis;

/// A connection whose commands may take long: the tests check what they do, on machines that are busy as well.
async fn connect(url: &str) -> Connection {
    let config = Config::from_url(url).unwrap().shards(1).command_timeout(GRACE).connect_timeout(GRACE);
    Connection::from(Client::start(config).unwrap())
}

/// No key is watched on the connection that the handle uses now.
async fn assert_unwatched(connection: &mut Connection) {
    let info: String = cmd("CLIENT").arg("INFO").query_async(connection).await.unwrap();
    assert!(info.contains("watch=0") || !info.contains("watch"), "{info}");
}

/// `test_async::test_client_tracking_doesnt_block_execution`
#[tokio::test]
async fn invalidations_are_not_taken_for_replies() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let (one, two): (i32, i32) = pipe()
        .cmd("CLIENT")
        .arg("TRACKING")
        .arg("ON")
        .ignore()
        .get("key_1")
        .ignore()
        .set("key_1", 42)
        .ignore()
        .set("key_2", 43)
        .ignore()
        .get("key_1")
        .get("key_2")
        .set("key_1", 42)
        .ignore()
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!((one, two), (42, 43));
    assert_eq!(connection.get("key_1").await, Ok(42));
    let info: redis::Value = cmd("CLIENT").arg("TRACKINGINFO").query_async(&mut connection).await.unwrap();
    assert!(format!("{info:?}").contains("'on'") || format!("{info:?}").contains("\"on\""), "{info:?}");
}

/// `test_basic::test_real_transaction`
#[tokio::test]
async fn watch_and_pipeline_are_a_transaction() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    cmd("SET").arg("the_key").arg(42).exec_async(&mut connection).await.unwrap();
    let response = loop {
        cmd("WATCH").arg("the_key").exec_async(&mut connection).await.unwrap();
        let value: isize = cmd("GET").arg("the_key").query_async(&mut connection).await.unwrap();
        let response: Option<(isize,)> = pipe()
            .atomic()
            .set("the_key", value + 1)
            .ignore()
            .get("the_key")
            .query_async(&mut connection)
            .await
            .unwrap();
        if let Some(response) = response {
            break response;
        }
    };
    assert_eq!(response, (43,));
}

/// `test_basic::test_real_transaction_highlevel`
#[tokio::test]
async fn transaction_function_reads_and_writes() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    connection.set::<_, _, ()>("the_key", 42).await.unwrap();
    let response: (isize,) =
        transaction_async(connection, &["the_key"], |mut connection, mut pipe| async move {
            let value: isize = connection.get("the_key").await?;
            pipe.set("the_key", value + 1).ignore().get("the_key").query_async(&mut connection).await
        })
        .await
        .unwrap();
    assert_eq!(response, (43,));
}

/// `test_async::transaction::test_simple_case_success`
#[tokio::test]
async fn undisturbed_transaction_runs_once() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let values: Vec<usize> =
        transaction_async(connection.clone(), &["x", "y"], |mut connection, mut pipe| async move {
            let pipe = pipe.set("x", 42).ignore().set("y", 21).ignore().get("x").get("y");
            pipe.query_async(&mut connection).await
        })
        .await
        .unwrap();
    assert_eq!(values, [42, 21]);
    assert_unwatched(&mut connection).await;
}

/// `test_async::transaction::test_transaction_should_retry_on_watch`
#[tokio::test]
async fn disturbed_transaction_runs_again() {
    let redis = Redis::start();
    let (mut one, mut two) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let (attempts, begun, disturbed) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let transaction = transaction_async(one.clone(), &["x", "y"], |mut connection, mut pipe| {
        let (attempts, begun, disturbed) = (attempts.clone(), begun.clone(), disturbed.clone());
        async move {
            begun.notify_one();
            disturbed.notified().await;
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            pipe.set("x", attempt).ignore().get("x").query_async(&mut connection).await
        }
    });
    let disturb = async {
        begun.notified().await;
        two.set::<_, _, ()>("x", "interfering_value").await.unwrap();
        disturbed.notify_one();
        // The next attempt is left alone.
        begun.notified().await;
        disturbed.notify_one();
    };
    let (values, ()): (RedisResult<Vec<usize>>, ()) =
        tokio::time::timeout(GRACE, zip(transaction, disturb)).await.unwrap();
    assert_eq!(values, Ok(vec![1]));
    assert_unwatched(&mut one).await;
}

/// `test_async::transaction::test_transaction_should_retry_on_none_from_closure`
#[tokio::test]
async fn transaction_runs_until_its_closure_has_a_result() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let values: Vec<usize> = transaction_async(connection.clone(), &["x", "y"], |_, _| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        async move { Ok((attempt > 1).then(|| vec![attempt])) }
    })
    .await
    .unwrap();
    assert_eq!(values, [2]);
    assert_unwatched(&mut connection).await;
}

/// `test_async::transaction::test_transaction_abort_if_internal_function_returns_error`
#[tokio::test]
async fn error_of_the_closure_ends_a_transaction() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let error = || RedisError::from((ErrorKind::Io, "Internal error"));
    let result = transaction_async::<_, _, (), _, _>(connection.clone(), &["z"], |_, _| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed);
        async move { if attempt > 1 { Err(error()) } else { Ok(None) } }
    })
    .await;
    assert_eq!((result, attempts.load(Ordering::Relaxed)), (Err(error()), 3));
    assert_unwatched(&mut connection).await;
}

/// `test_basic::test_blocking_sorted_set_api`
#[tokio::test]
async fn blocking_pops_of_sorted_sets_return_their_ends() {
    type Popped = Option<(String, Vec<(String, f64)>)>;
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    for (key, member, score) in [
        ("a", "1a", 1),
        ("b", "2b", 2),
        ("c", "3c", 3),
        ("d", "4d", 4),
        ("a", "5a", 5),
        ("b", "6b", 6),
        ("c", "7c", 7),
        ("d", "8d", 8),
    ] {
        connection.zadd::<_, _, _, ()>(key, member, score).await.unwrap();
    }
    let least: Option<(String, String, f64)> = connection.bzpopmin("b", 0.0).await.unwrap();
    let most: Option<(String, String, f64)> = connection.bzpopmax("b", 0.0).await.unwrap();
    assert_eq!(least, Some(("b".into(), "2b".into(), 2.0)));
    assert_eq!(most, Some(("b".into(), "6b".into(), 6.0)));
    let all = ["a", "b", "c", "d"];
    let least: Popped = connection.bzmpop_min(0.0, &all[..], 1).await.unwrap();
    let most: Popped = connection.bzmpop_max(0.0, &all[..], 1).await.unwrap();
    assert_eq!(least, Some(("a".into(), vec![("1a".into(), 1.0)])));
    assert_eq!(most, Some(("a".into(), vec![("5a".into(), 5.0)])));
}

/// `test_async::pub_sub::test_pub_sub_subscription_to_multiple_channels` and `test_pub_sub_unsubscription`, with the
/// subscriptions of the client in place of redis-rs's `PubSub`.
#[tokio::test]
async fn subscriptions_of_the_client_replace_pub_sub() {
    let redis = Redis::start();
    let mut connection = connect(&redis.url()).await;
    let subscribed = connection.client().subscribe(&["phonewave", "foo", "bar"]).await.unwrap();
    let mut messages = subscribed.messages();
    for (channel, payload) in [("phonewave", "banana"), ("foo", "foobar")] {
        connection.publish::<_, _, ()>(channel, payload).await.unwrap();
        let message = tokio::time::timeout(GRACE, messages.next()).await.unwrap().expect("a message");
        assert_eq!((&message.channel[..], &message.payload[..]), (channel.as_bytes(), payload.as_bytes()));
    }
    drop(messages);
    // The server hears of it a moment later.
    let subscribers = async {
        loop {
            let (_, count): (String, u32) =
                cmd("PUBSUB").arg("NUMSUB").arg("phonewave").query_async(&mut connection).await.unwrap();
            if count == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(GRACE, subscribers).await.expect("the server unsubscribes");
}
