//! Hooks of a shard: push handlers, shard groups, resolvers and deadlines.

mod common;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::{Redis, run_on_executor};
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use hitless::{Config, ErrorKind, Frame, Outcome, Shard, ShardGroup, cmd};

const GRACE: Duration = common::WAIT_MAX;

fn endpoints() -> (Endpoints, Config) {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let endpoints = Endpoints::start(EndpointsConfig { listen, ..Default::default() }).unwrap();
    let config = Config::new(endpoints.addresses()[0].into());
    (endpoints, config)
}

/// Lets the endpoint send these bytes and waits until the shard has read them.
async fn push(shard: &Shard, bytes: &str) {
    shard.run::<()>(&cmd("REHEARSE").arg("PUSH").arg(bytes)).await.unwrap();
    // Bytes that were sent before the reply to PING have been read when it arrives.
    shard.ping().await.unwrap();
}

const HELLO: &str = r">2\r\n$5\r\nhello\r\n:1\r\n";

#[test]
fn pushes_reach_only_the_handler_of_their_name() {
    let (_endpoints, config) = endpoints();
    run_on_executor(move || async move {
        let shard = Shard::connect(config.connections_per_shard(1)).await.unwrap();
        let received: Rc<RefCell<Vec<Vec<Frame>>>> = Rc::default();
        let sink = received.clone();
        shard.on_push("HELLO", move |items| sink.borrow_mut().push(items.to_vec())).unwrap();
        push(&shard, HELLO).await;
        push(&shard, r">1\r\n+unknown\r\n>1\r\n:7\r\n>0\r\n").await;
        push(&shard, &r">2\r\n+Hello\r\n+x\r\n".repeat(3)).await;
        let x = Frame::Simple("x".into());
        assert_eq!(*received.borrow(), [vec![Frame::Integer(1)], vec![x.clone()], vec![x.clone()], vec![x]]);
        assert_eq!(shard.stats().pushes, 7);
        for name in ["MOVING", "migrated", ""] {
            let error = shard.on_push(name, |_| {}).unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Config, Outcome::Unsent));
        }
        shard.shutdown(GRACE).await.unwrap();
        assert_eq!(Rc::strong_count(&received), 1, "the shard drops its handlers");
        assert_eq!(shard.on_push("late", |_| {}).unwrap_err().kind(), ErrorKind::ShutDown);
    });
}

#[test]
fn handlers_may_use_the_shard_and_panics_are_contained() {
    let (_endpoints, config) = endpoints();
    run_on_executor(move || async move {
        let shard = Shard::connect(config.connections_per_shard(1)).await.unwrap();
        let (replies, handle) = (Rc::new(RefCell::new(Vec::new())), shard.clone());
        let replying = replies.clone();
        let handler = move |items: &[Frame]| {
            handle.on_push("other", |_| {}).unwrap();
            // A new handler of the same name replaces this one, even while this one runs.
            let replies = replying.clone();
            handle.on_push("hello", move |_| replies.borrow_mut().clear()).unwrap();
            replying.borrow_mut().push(handle.incr("heard"));
            assert!(items.is_empty(), "as planned");
        };
        shard.on_push("hello", handler).unwrap();
        push(&shard, HELLO).await;
        let reply = replies.borrow_mut().pop().unwrap();
        assert_eq!(reply.await.unwrap(), 1);
        replies.borrow_mut().push(shard.incr("heard"));
        push(&shard, HELLO).await;
        assert!(replies.borrow().is_empty());
        shard.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_first_member_of_a_shard_group_is_its_reporter() {
    let (_endpoints, config) = endpoints();
    let group = ShardGroup::new(2);
    let members: Vec<_> = (0..2)
        .map(|member| {
            let ((leave, left), (connected, is_connected)) = (mpsc::channel(), mpsc::channel());
            let (config, group) = (config.clone(), group.clone());
            let executor = glommio::LocalExecutorBuilder::default().spawn(move || async move {
                let shard = Shard::connect_in(&group, config).await.unwrap();
                assert_eq!(shard.cpu(), None, "the application owns the executor");
                connected.send(shard.index()).unwrap();
                left.recv().unwrap();
                shard.shutdown(GRACE).await.unwrap();
            });
            assert_eq!(is_connected.recv().unwrap(), member);
            (executor.unwrap(), leave)
        })
        .collect();
    let too_many = group.clone();
    run_on_executor(move || async move {
        let error = Shard::connect_in(&too_many, config).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("all 2 places"), "{error}");
    });
    for (member, (executor, leave)) in members.into_iter().enumerate() {
        let reporters: Vec<usize> = (0..3).filter(|index| group.is_reporter(*index)).collect();
        assert_eq!(reporters, [member]);
        leave.send(()).unwrap();
        executor.join().unwrap();
    }
    assert!((0..3).all(|index| !group.is_reporter(index)));
}

#[test]
fn a_failed_connection_frees_its_place_in_the_group() {
    let (_endpoints, config) = endpoints();
    let unreachable = format!("redis://127.0.0.1:{}?connect_timeout=50ms", common::free_port());
    run_on_executor(move || async move {
        let group = ShardGroup::new(1);
        let error =
            Shard::connect_in(&group, Config::from_url(&unreachable).unwrap()).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        let shard = Shard::connect_in(&group, config).await.unwrap();
        assert_eq!(shard.index(), 0);
        shard.ping().await.unwrap();
    });
}

#[test]
fn the_resolver_does_not_block_the_executor() {
    let (endpoints, _) = endpoints();
    let address = endpoints.addresses()[0];
    run_on_executor(move || async move {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (release, released) = mpsc::channel::<()>();
        let (asking, released) = (asked.clone(), Mutex::new(released));
        let resolver = move |host: &str, port: u16| {
            asking.lock().unwrap().push((host.to_owned(), port));
            // The executor must go on to release this call, so it must not wait for it.
            released.lock().unwrap().recv().unwrap();
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1)), address])
        };
        let config = Config::from_url("redis://cache.invalid:7001?connections_per_shard=1").unwrap();
        let connecting = glommio::spawn_local(Shard::connect(config.resolver(resolver)));
        while asked.lock().unwrap().is_empty() {
            futures_lite::future::yield_now().await;
        }
        release.send(()).unwrap();
        let shard = connecting.await.unwrap();
        shard.ping().await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [("cache.invalid".to_owned(), 7001)]);
        shard.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_failing_resolver_is_a_connect_error() {
    run_on_executor(|| async {
        // Long enough for a first reply, and for a panic that prints its backtrace.
        let config = || {
            Config::from_url("redis://cache.invalid:7001?connect_timeout=5s")
                .unwrap()
                .connections_per_shard(1)
        };
        let failing = config().resolver(|_: &str, _: u16| Err(io::Error::other("no such cache")));
        let panicking = config().resolver(|host: &str, _: u16| {
            assert!(host.is_empty(), "as planned");
            Ok(Vec::new())
        });
        let empty = config().resolver(|_: &str, _: u16| Ok(Vec::new()));
        let attempts =
            [(failing, "no such cache"), (panicking, "was interrupted"), (empty, "has no address")];
        let attempts = attempts.map(|(config, text)| (glommio::spawn_local(Shard::connect(config)), text));
        for (attempt, text) in attempts {
            let error = attempt.await.map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert!(error.to_string().contains(text), "{error}");
        }
    });
}

#[test]
fn a_deadline_does_not_change_a_reply_in_time() {
    let redis = Redis::start();
    let url = redis.url();
    run_on_executor(move || async move {
        let shard = Shard::connect(Config::from_url(&url).unwrap()).await.unwrap();
        for expected in 1..=100 {
            let reply = shard.incr("counter").timeout(GRACE).timeout(GRACE * 2);
            assert_eq!(reply.await.unwrap(), expected);
        }
        drop(shard.incr("other").timeout(GRACE));
        // A reply that has arrived cannot be late.
        let early = shard.incr("counter");
        shard.ping().await.unwrap();
        assert_eq!(early.timeout(Duration::ZERO).await.unwrap(), 101);
        assert_eq!(shard.stats().calls, 0);
    });
}
