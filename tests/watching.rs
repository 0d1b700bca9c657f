//! What an application hears of a shard beside its replies, and what it may put in the shard's way: pushes, groups,
//! resolvers, deadlines.
#![cfg(feature = "rehearsal")]

mod common;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use common::Redis;
use hitless::rehearsal::{Endpoints, EndpointsConfig};
use hitless::{Config, ErrorKind, Frame, Outcome, Shard, ShardGroup, cmd};

const GRACE: Duration = common::PATIENCE;

/// Runs a test's future on an executor of its own.
fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F + Send + 'static) {
    let executor = glommio::LocalExecutorBuilder::default().spawn(|| async move { test().await });
    executor.unwrap().join().unwrap();
}

fn endpoints() -> (Endpoints, Config) {
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let endpoints = Endpoints::start(EndpointsConfig { listen, ..Default::default() }).unwrap();
    let config = Config::new(endpoints.addresses()[0].into());
    (endpoints, config)
}

/// Has the endpoint send these bytes, and waits until they are read.
async fn push(shard: &Shard, bytes: &str) {
    shard.run::<()>(&cmd("REHEARSE").arg("PUSH").arg(bytes)).await.unwrap();
    // What was sent on this connection before the answer to this has been read when it is there.
    shard.ping().await.unwrap();
}

const HELLO: &str = r">2\r\n$5\r\nhello\r\n:1\r\n";

#[test]
fn pushes_reach_the_handler_of_their_name_and_nobody_elses_reply() {
    let (_endpoints, config) = endpoints();
    run(move || async move {
        let shard = Shard::connect(config.connections_per_shard(1)).await.unwrap();
        let heard: Rc<RefCell<Vec<Vec<Frame>>>> = Rc::default();
        let hearing = heard.clone();
        shard.on_push("HELLO", move |items| hearing.borrow_mut().push(items.to_vec())).unwrap();
        push(&shard, HELLO).await;
        push(&shard, r">1\r\n+nobody\r\n>1\r\n:7\r\n>0\r\n").await;
        push(&shard, &r">2\r\n+Hello\r\n+x\r\n".repeat(3)).await;
        let x = Frame::Simple("x".into());
        assert_eq!(*heard.borrow(), [vec![Frame::Integer(1)], vec![x.clone()], vec![x.clone()], vec![x]]);
        assert_eq!(shard.stats().pushes, 7);
        for name in ["MOVING", "migrated", ""] {
            let error = shard.on_push(name, |_| {}).unwrap_err();
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Config, Outcome::Unsent));
        }
        shard.shutdown(GRACE).await.unwrap();
        assert_eq!(Rc::strong_count(&heard), 1, "handlers are gone with the shard");
        assert_eq!(shard.on_push("late", |_| {}).unwrap_err().kind(), ErrorKind::ShutDown);
    });
}

#[test]
fn a_handler_may_use_the_shard_and_its_panic_takes_nothing_down() {
    let (_endpoints, config) = endpoints();
    run(move || async move {
        let shard = Shard::connect(config.connections_per_shard(1)).await.unwrap();
        let (replies, handle) = (Rc::new(RefCell::new(Vec::new())), shard.clone());
        let replying = replies.clone();
        let handler = move |items: &[Frame]| {
            handle.on_push("other", |_| {}).unwrap();
            // A later handler of the same name takes this one's place, also while it runs.
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
fn the_shards_of_a_group_have_its_seats_and_the_first_that_is_there_tells() {
    let (_endpoints, config) = endpoints();
    let group = ShardGroup::new(2);
    let members: Vec<_> = (0..2)
        .map(|member| {
            let ((leave, told), (connected, is_connected)) = (mpsc::channel(), mpsc::channel());
            let (config, seat) = (config.clone(), group.clone());
            let executor = glommio::LocalExecutorBuilder::default().spawn(move || async move {
                let shard = Shard::connect_in(&seat, config).await.unwrap();
                assert_eq!(shard.core(), None, "the executor is the application's");
                connected.send(shard.index()).unwrap();
                told.recv().unwrap();
                shard.shutdown(GRACE).await.unwrap();
            });
            assert_eq!(is_connected.recv().unwrap(), member);
            (executor.unwrap(), leave)
        })
        .collect();
    let too_many = group.clone();
    run(move || async move {
        let error = Shard::connect_in(&too_many, config).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("all 2 seats"), "{error}");
    });
    for (member, (executor, leave)) in members.into_iter().enumerate() {
        let tellers: Vec<usize> = (0..3).filter(|index| group.is_teller(*index)).collect();
        assert_eq!(tellers, [member]);
        leave.send(()).unwrap();
        executor.join().unwrap();
    }
    assert!((0..3).all(|index| !group.is_teller(index)));
}

#[test]
fn a_shard_that_cannot_connect_leaves_its_seat_to_the_next_attempt() {
    let (_endpoints, config) = endpoints();
    let nobody = format!("redis://127.0.0.1:{}?connect_timeout=50ms", common::free_port());
    run(move || async move {
        let group = ShardGroup::new(1);
        let error =
            Shard::connect_in(&group, Config::from_url(&nobody).unwrap()).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        let shard = Shard::connect_in(&group, config).await.unwrap();
        assert_eq!(shard.index(), 0);
        shard.ping().await.unwrap();
    });
}

#[test]
fn names_are_looked_up_by_the_applications_resolver_beside_the_executor() {
    let (endpoints, _) = endpoints();
    let address = endpoints.addresses()[0];
    run(move || async move {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (release, released) = mpsc::channel::<()>();
        let (asking, released) = (asked.clone(), Mutex::new(released));
        let resolver = move |host: &str, port: u16| {
            asking.lock().unwrap().push((host.to_owned(), port));
            // It would never be released if the executor waited for it.
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
fn a_resolver_that_fails_or_panics_is_an_error_that_says_so() {
    run(|| async {
        // Time enough for a first answer, also for a panic that prints where it comes from.
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
        let attempts = [(failing, "no such cache"), (panicking, "broken off"), (empty, "has no address")];
        let attempts = attempts.map(|(config, text)| (glommio::spawn_local(Shard::connect(config)), text));
        for (attempt, text) in attempts {
            let error = attempt.await.map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert!(error.to_string().contains(text), "{error}");
        }
    });
}

#[test]
fn a_reply_in_time_is_the_same_with_a_deadline() {
    let redis = Redis::start();
    let url = redis.url();
    run(move || async move {
        let shard = Shard::connect(Config::from_url(&url).unwrap()).await.unwrap();
        for expected in 1..=100 {
            let reply = shard.incr("counter").timeout(GRACE).timeout(GRACE * 2);
            assert_eq!(reply.await.unwrap(), expected);
        }
        drop(shard.incr("other").timeout(GRACE));
        // What is answered already cannot be late.
        let early = shard.incr("counter");
        shard.ping().await.unwrap();
        assert_eq!(early.timeout(Duration::ZERO).await.unwrap(), 101);
        assert_eq!(shard.stats().calls, 0);
    });
}
