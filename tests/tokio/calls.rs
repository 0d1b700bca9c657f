//! Single calls: deadlines, cancellation, floods of calls, and pushes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::future::poll_once;
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use hitless::{Client, Config, ErrorKind, Frame, Outcome, cmd};

use crate::common::{Redis, WAIT_MAX, free_port};
use crate::{SHORT, config, in_both, started, wait_for_open_calls, wait_until};

#[test]
fn deadlines_hold_and_say_how_far_the_command_came() {
    in_both(|| async {
        let redis = Redis::start();
        let client = started(config(&redis).connections_per_shard(1)).await;
        for expected in 1..=100 {
            let reply = client.incr("counter").timeout(WAIT_MAX).timeout(2 * WAIT_MAX);
            assert_eq!(reply.await.expect("it is in time"), expected);
        }
        redis.signal(libc::SIGSTOP);
        let error = client.incr("counter").timeout(SHORT).await.expect_err("no reply comes");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Ambiguous), "{error}");
        wait_for_open_calls(&client, 0).await;
        redis.signal(libc::SIGCONT);
        // The server executes the written command, and its late reply goes to no other call.
        assert_eq!(client.incr("counter").await.expect("it serves"), 102);

        let url = format!("redis://127.0.0.1:{}", free_port());
        let nowhere = Config::from_url(&url).expect("a URL").command_timeout(WAIT_MAX);
        let client = Client::start_in_tokio(nowhere).expect("it starts");
        let error = client.incr("counter").timeout(SHORT).await.expect_err("there is no server");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unsent), "{error}");
        wait_for_open_calls(&client, 0).await;
    });
}

#[test]
fn cancelled_calls_give_their_slots_back() {
    in_both(|| async {
        let redis = Redis::start();
        let client = started(config(&redis).shards(2).connections_per_shard(1)).await;
        redis.signal(libc::SIGSTOP);
        let handles = [client.clone(), client.clone()];
        let mut replies: Vec<_> = (0..100).map(|n| handles[n % 2].incr("counter")).collect();
        for reply in &mut replies {
            assert!(poll_once(reply).await.is_none());
        }
        let aborted: Vec<_> = (0..100)
            .map(|n| {
                let handle = handles[n % 2].clone();
                tokio::spawn(async move { handle.incr("counter").await.map(drop) })
            })
            .collect();
        wait_for_open_calls(&client, 200).await;
        drop(replies);
        aborted.iter().for_each(tokio::task::JoinHandle::abort);
        let in_time = tokio::time::timeout(SHORT, client.incr("counter")).await;
        assert!(in_time.is_err(), "the runtime's own timeout cancels as well");
        wait_for_open_calls(&client, 0).await;
        redis.signal(libc::SIGCONT);
        // Commands that were written before their calls left may still run, and their replies go to no other call.
        for expected in 1..=10 {
            assert_eq!(client.incr("other").await.expect("it serves"), expected);
        }
    });
}

#[test]
fn forty_thousand_calls_at_once_are_all_answered() {
    const CALLS: i64 = 40_000;
    let redis = Redis::start();
    in_both(|| async {
        let client = started(config(&redis)).await;
        client.set("counter", 0).await.expect("it serves");
        let tasks: Vec<_> = (0..CALLS)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.incr("counter").await })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic").expect("there is room");
        }
        // One task waits for all of them at the same time.
        let mut open = Vec::new();
        for mut reply in (0..CALLS).map(|_| client.incr("counter")).collect::<Vec<_>>() {
            match poll_once(&mut reply).await {
                Some(counted) => drop(counted.expect("there is room")),
                None => open.push(reply),
            }
        }
        for reply in open {
            reply.await.expect("there is room");
        }
        assert_eq!(client.get::<i64>("counter").await.expect("a number"), 2 * CALLS);
        client.shutdown(WAIT_MAX).await.expect("all are answered");
    });
}

/// The endpoint sends a push to each connection, and the handler runs on whatever worker reads it.
#[test]
fn pushes_reach_their_handler() {
    in_both(|| async {
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let endpoints =
            Endpoints::start(EndpointsConfig { listen, ..Default::default() }).expect("endpoints");
        let config = Config::new(endpoints.addresses()[0].into()).shards(2).connections_per_shard(2);
        let client = started(config).await;
        let received: Arc<Mutex<Vec<Vec<Frame>>>> = Arc::default();
        let sink = received.clone();
        let handler = move |items: &[Frame]| {
            sink.lock().expect("no panic").push(items.to_vec());
        };
        client.on_push("HELLO", handler).await.expect("the name is free");
        client.on_push("panics", |_| panic!("as planned")).await.expect("the name is free");
        let push = |bytes: &str| client.run::<()>(&cmd("REHEARSE").arg("PUSH").arg(bytes));
        push(r">2\r\n$5\r\nhello\r\n:1\r\n").await.expect("it is sent");
        push(r">1\r\n+panics\r\n").await.expect("it is sent");
        push(r">1\r\n+unknown\r\n").await.expect("it is sent");
        let count = async || received.lock().expect("no panic").len() == 4;
        wait_until("one for each connection", count).await;
        let pushes = async || {
            client.stats().await.expect("it runs").iter().map(|stats| stats.pushes).sum::<u64>() == 12
        };
        wait_until("all are read", pushes).await;
        assert_eq!(*received.lock().expect("no panic"), vec![vec![Frame::Integer(1)]; 4]);
        for name in ["MOVING", "migrated", ""] {
            let error =
                client.on_push(name, |_| {}).await.expect_err("the client handles it, or it is no name");
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Config, Outcome::Unsent));
        }
        client.shutdown(WAIT_MAX).await.expect("nothing is open");
        assert_eq!(Arc::strong_count(&received), 1, "the pools drop their handlers");
        let late = client.on_push("late", |_| {}).await;
        assert_eq!(late.expect_err("it is shut down").kind(), ErrorKind::ShutDown);
    });
}

/// A handler may call the client: it runs without a lock.
#[test]
fn handlers_of_pushes_may_call_the_client() {
    in_both(|| async {
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let endpoints =
            Endpoints::start(EndpointsConfig { listen, ..Default::default() }).expect("endpoints");
        let config = Config::new(endpoints.addresses()[0].into()).connections_per_shard(1);
        let client = started(config).await;
        let handle = client.clone();
        let count = move |_: &[Frame]| handle.incr("heard").fire_and_forget().expect("it is accepted");
        client.on_push("hello", count).await.expect("the name is free");
        for _ in 0..10 {
            client
                .run::<()>(&cmd("REHEARSE").arg("PUSH").arg(r">1\r\n+hello\r\n"))
                .await
                .expect("it is sent");
        }
        let heard = async || client.get::<Option<i64>>("heard").await.expect("a number") == Some(10);
        wait_until("all are counted", heard).await;
        client.shutdown(Duration::from_secs(5)).await.expect("nothing is open");
    });
}
