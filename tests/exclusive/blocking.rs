//! Blocking commands against a real server: what they return, and that no other command waits for them.

use std::time::Duration;

use futures_lite::future::block_on;
use hitless::observe::{ConnectionRole, Event};
use hitless::options::{ListEnd, XreadGroupOptions, XreadOptions, ZsetEnd};
use hitless::{Client, Config, ErrorKind, Frame, Outcome, cmd};

use crate::common::drivers::start;
use crate::common::fixture::{Events, eventually, stats};
use crate::common::{Redis, WAIT_MAX};

/// A client with one shard, which has one shared connection.
pub(crate) fn client(redis: &Redis, change: impl FnOnce(Config) -> Config) -> Client {
    let config = Config::from_url(&redis.url()).unwrap().shards(1).connections_per_shard(1);
    start(change(config.command_timeout(WAIT_MAX))).unwrap()
}

pub(crate) fn blocking_connections(client: &Client) -> usize {
    stats(client)[0].roles.get(&ConnectionRole::Blocking).copied().unwrap_or(0)
}

/// Waits until so many commands wait on the server.
pub(crate) fn await_waiting(client: &Client, count: usize) {
    eventually("they wait on the server", || {
        let info: String = block_on(client.info_of(&["clients"])).unwrap();
        info.contains(&format!("blocked_clients:{count}\r\n"))
    });
}

type Popped = Option<(String, String)>;

#[test]
fn bl_recognized_through_cmd() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let popped = client.run::<Popped>(&cmd("blpop").arg("jobs").arg(0));
    await_waiting(&client, 1);
    assert_eq!(blocking_connections(&client), 1);
    block_on(client.rpush("jobs", &["one"])).unwrap();
    assert_eq!(block_on(popped).unwrap(), Some(("jobs".into(), "one".into())));
    // A pipeline is sent on a shared connection.
    let pipeline = client.pipeline();
    pipeline.cmd(&cmd("BLPOP").arg("jobs").arg(0));
    let error = block_on(pipeline.run::<Vec<Frame>>()).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Command, Outcome::Unsent), "{error}");
    // In a transaction the server does not wait.
    let transaction = client.transaction();
    transaction.cmd(&cmd("BLPOP").arg("jobs").arg(0));
    assert_eq!(block_on(transaction.run::<(Popped,)>()).unwrap(), (None,));
}

#[test]
fn bl_others_not_delayed() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let waiting: Vec<_> = (0..16).map(|_| client.blpop::<Popped>(&["jobs"], 0)).collect();
    await_waiting(&client, 16);
    // The calls of the same handle do not wait for them either.
    for expected in 1..=100 {
        assert_eq!(block_on(client.incr("counter")).unwrap(), expected);
    }
    let elements: Vec<_> = (0..16).map(|number| number.to_string()).collect();
    block_on(client.rpush("jobs", &elements)).unwrap();
    let mut popped: Vec<u32> =
        waiting.into_iter().map(|waiting| block_on(waiting).unwrap().unwrap().1.parse().unwrap()).collect();
    popped.sort_unstable();
    assert_eq!(popped, (0..16).collect::<Vec<_>>());
    assert_eq!(stats(&client)[0].ready, 1, "the others are not shared");
}

#[test]
fn bl_waiting_for_a_connection_is_in_order_on_sockets() {
    let redis = Redis::start();
    let client = client(&redis, |config| config.exclusive_connections_max(1));
    let waiting: Vec<_> = (0..3).map(|_| client.blpop::<Popped>(&["jobs"], 0)).collect();
    await_waiting(&client, 1);
    eventually("the others wait for the connection", || stats(&client)[0].exclusive_waiting == 2);
    block_on(client.rpush("jobs", &["1", "2", "3"])).unwrap();
    let popped = waiting.into_iter().map(|waiting| block_on(waiting).unwrap().unwrap().1);
    assert_eq!(popped.collect::<Vec<_>>(), ["1", "2", "3"]);
    let held = client.blpop::<Popped>(&["jobs"], 0);
    await_waiting(&client, 1);
    let error =
        block_on(client.blpop::<Popped>(&["jobs"], 0).timeout(Duration::from_millis(50))).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Unsent), "{error}");
    assert!(block_on(held.cancel()).unwrap().is_none());
}

#[test]
fn typed_blocking_commands_wait_and_return() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let other = client.clone();
    let wait = |then: &dyn Fn()| {
        await_waiting(&other, 1);
        then();
    };
    let pair = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));

    let popped = client.brpop::<Popped>(&["list"], 0);
    wait(&|| {
        block_on(other.rpush("list", &["a"])).unwrap();
    });
    assert_eq!(block_on(popped).unwrap(), pair("list", "a"));

    let moved = client.blmove::<Option<String>>("list", "target", ListEnd::Left, ListEnd::Right, 0.0);
    wait(&|| {
        block_on(other.rpush("list", &["b"])).unwrap();
    });
    assert_eq!(block_on(moved).unwrap().as_deref(), Some("b"));

    let popped = client.blmpop_many::<Option<(String, Vec<String>)>>(0, &["list"], ListEnd::Left, 2);
    wait(&|| {
        block_on(other.rpush("list", &["c", "d"])).unwrap();
    });
    assert_eq!(block_on(popped).unwrap(), Some(("list".into(), vec!["c".into(), "d".into()])));

    let popped = client.bzpopmin::<Option<(String, String, f64)>>(&["set"], 0);
    wait(&|| {
        block_on(other.zadd("set", [(1, "m")])).unwrap();
    });
    assert_eq!(block_on(popped).unwrap(), Some(("set".into(), "m".into(), 1.0)));

    let popped = client.bzmpop::<Option<Frame>>(0, &["set"], ZsetEnd::Max);
    wait(&|| {
        block_on(other.zadd("set", [(2, "n")])).unwrap();
    });
    assert!(block_on(popped).unwrap().is_some());

    let read = client.xread_blocking::<Option<Frame>>(0, XreadOptions::new(), &[("stream", "$")]);
    wait(&|| {
        block_on(other.run::<String>(&cmd("XADD").args(["stream", "*", "k", "v"]))).unwrap();
    });
    assert!(block_on(read).unwrap().is_some());

    block_on(other.run::<()>(&cmd("XGROUP").args(["CREATE", "stream", "group", "$"]))).unwrap();
    let options = XreadGroupOptions::new();
    let read = client.xreadgroup_blocking::<Option<Frame>>("group", "me", 0, options, &[("stream", ">")]);
    wait(&|| {
        block_on(other.run::<String>(&cmd("XADD").args(["stream", "*", "k", "v"]))).unwrap();
    });
    assert!(block_on(read).unwrap().is_some());

    assert_eq!(block_on(client.wait(0, 10)).unwrap(), 0);
    assert_eq!(block_on(client.blpop::<Popped>(&["empty"], 0.01)).unwrap(), None);
}

#[test]
fn ex_idle_connections_close_on_sockets() {
    let redis = Redis::start();
    let events = Events::default();
    let client = client(&redis, |config| events.watch(config).exclusive_idle(Duration::from_secs(1)));
    assert_eq!(block_on(client.blpop::<Popped>(&["empty"], 0.01)).unwrap(), None);
    let of_role = |event: &Event| matches!(event, Event::Disconnected { role: ConnectionRole::Blocking, .. });
    events.wait("it is closed without use", 1, of_role);
    assert_eq!((blocking_connections(&client), stats(&client)[0].ready), (0, 1));
}

#[test]
fn ex_shutdown_ends_all_on_sockets() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let waiting = client.blpop::<Popped>(&["jobs"], 0);
    await_waiting(&client, 1);
    block_on(client.shutdown(WAIT_MAX)).unwrap();
    let error = block_on(waiting).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ShutDown, Outcome::Unsent), "{error}");
    let other = crate::blocking::client(&redis, |config| config);
    await_waiting(&other, 0);
}
