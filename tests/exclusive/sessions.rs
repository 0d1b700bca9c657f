//! Sessions against a real server: `WATCH`, optimistic transactions, and the reset of a connection for the next session.

use futures_lite::future::{block_on, poll_once};
use hitless::observe::ConnectionRole;
use hitless::{ErrorKind, Frame, Outcome, cmd};

use crate::blocking::client;
use crate::common::Redis;
use crate::common::fixture::{eventually, stats};

#[test]
fn se_conflict_reported() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let session = block_on(client.session()).unwrap();
    for takes_null in [true, false] {
        block_on(session.watch(&["stock"])).unwrap();
        block_on(client.incr("stock")).unwrap();
        let order = session.transaction();
        order.set("stock", 100);
        match takes_null {
            true => assert_eq!(block_on(order.run::<Option<((),)>>()).unwrap(), None),
            false => {
                let error = block_on(order.run::<((),)>()).unwrap_err();
                assert_eq!(
                    (error.kind(), error.outcome()),
                    (ErrorKind::Conflict, Outcome::Answered),
                    "{error}"
                );
            }
        }
    }
    assert_eq!(block_on(client.get::<i64>("stock")).unwrap(), 2);
    block_on(session.watch(&["stock"])).unwrap();
    let order = session.transaction();
    order.set("stock", 100);
    block_on(order.run::<((),)>()).unwrap();
    assert_eq!(block_on(client.get::<i64>("stock")).unwrap(), 100);
}

#[test]
fn se_optimistic_retries() {
    let redis = Redis::start();
    let client = client(&redis, |config| config.exclusive_connections_max(8));
    block_on(client.set("stock", 200)).unwrap();
    let sell = |client: hitless::Client| {
        for _ in 0..25 {
            let sold = client.optimistic(&["stock"], async |session| {
                let stock: i64 = session.get("stock").await?;
                let order = session.transaction();
                order.set("stock", stock - 1).incr("orders");
                order.run::<((), i64)>().await?;
                Ok(stock)
            });
            block_on(sold).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let client = client.clone();
            scope.spawn(move || sell(client));
        }
    });
    assert_eq!(block_on(client.mget::<Vec<i64>>(&["stock", "orders"])).unwrap(), [0, 200]);
    // A key that changes in each attempt.
    let hopeless = client.optimistic(&["stock"], async |session| {
        client.incr("stock").await?;
        let order = session.transaction();
        order.set("stock", 0);
        order.run::<((),)>().await
    });
    assert_eq!(block_on(hopeless).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn se_reset_on_return_on_sockets() {
    let redis = Redis::start();
    let client = client(&redis, |config| config.exclusive_connections_max(1));
    let id = || block_on(block_on(client.session()).unwrap().run::<i64>(&cmd("CLIENT").arg("ID"))).unwrap();
    let first = id();
    // A watch and an open transaction are undone.
    let session = block_on(client.session()).unwrap();
    block_on(session.watch(&["a"])).unwrap();
    block_on(session.run::<()>(&cmd("MULTI"))).unwrap();
    assert_eq!(block_on(session.run::<String>(&cmd("SET").arg("a").arg(1))).unwrap(), "QUEUED");
    drop(session);
    let session = block_on(client.session()).unwrap();
    assert_eq!(
        block_on(session.run::<i64>(&cmd("CLIENT").arg("ID"))).unwrap(),
        first,
        "it is the same connection"
    );
    assert_eq!(block_on(session.get::<Option<i64>>("a")).unwrap(), None);
    // A selected database is not.
    block_on(session.run::<()>(&cmd("SELECT").arg(3))).unwrap();
    drop(session);
    assert_ne!(id(), first);
}

#[test]
fn session_that_is_dropped_while_it_opens_leaves_nothing() {
    let redis = Redis::start();
    let client = client(&redis, |config| config.exclusive_connections_max(1));
    let held = block_on(client.session()).unwrap();
    for _ in 0..10 {
        let mut opening = Box::pin(client.session());
        assert!(block_on(poll_once(&mut opening)).is_none());
    }
    eventually("none of them waits any more", || stats(&client)[0].exclusive_waiting == 0);
    drop(held);
    block_on(block_on(client.session()).unwrap().set("a", 1)).unwrap();
    assert_eq!(stats(&client)[0].roles.get(&ConnectionRole::Session), Some(&1));
}

#[test]
fn commands_that_would_break_a_session_are_refused() {
    let redis = Redis::start();
    let session = block_on(client(&redis, |config| config).session()).unwrap();
    for words in ["SUBSCRIBE news", "MONITOR", "CLIENT REPLY OFF", "QUIT", "RESET"] {
        let mut words = words.split(' ');
        let command = cmd(words.next().unwrap()).args(words);
        let error = block_on(session.run::<Frame>(&command)).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent), "{error}");
    }
    block_on(session.ping()).unwrap();
}
