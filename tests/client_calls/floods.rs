//! Servers that send too much, on real sockets: the flooded connection ends, and other connections are not affected.

use std::time::Duration;

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, Config, ErrorKind, Outcome, cmd};

use crate::common::drivers::start;
use crate::common::fixture::{Events, WAIT_MAX, eventually, stats};
use crate::common::hostile::{Answer, Hostile};

/// A batch of pushes that the client does not know.
fn useless_pushes() -> Vec<u8> {
    b">2\r\n+useless\r\n:1\r\n".repeat(1_000)
}

/// Elements of a reply that take many bytes on the wire and little memory.
fn elements() -> Vec<u8> {
    format!(":{}1\r\n", "0".repeat(60_000)).into_bytes()
}

fn ok() -> Answer {
    Answer::Once(b"+OK\r\n".to_vec())
}

fn started(config: Config) -> Client {
    let client = start(config.shards(1)).expect("a client");
    block_on(client.ready(WAIT_MAX)).expect("it is ready");
    client
}

/// Whether a connection ended for a reason that contains this text.
fn ended_by(words: &'static str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Disconnected { reason, .. } if reason.contains(words))
}

fn is_flooded(event: &Event) -> bool {
    matches!(event, Event::Flooded { peer: Some(_), pushes: 5_000.. })
}

#[test]
fn sc_endless_reply_ends_on_sockets() {
    let server = Hostile::start(|_, name| match name {
        "GET" => Answer::Forever(b"*?\r\n".to_vec(), elements()),
        _ => ok(),
    });
    let events = Events::default();
    let config = Config::from_url(&server.url()).expect("a URL").connections_per_shard(1);
    let config = config.command_timeout(Duration::from_millis(200));
    let client = started(events.watch(config.reply_time_max(Duration::from_millis(500))));
    let error = block_on(client.get::<i64>("key")).expect_err("the reply never ends");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Ambiguous), "{error}");
    events.wait("the endless reply closes the connection", 1, ended_by("reply_time_max"));
    eventually("there is another connection", || block_on(client.set("key", "value")).is_ok());
}

/// During a flood that no limit ends, every call still times out on time and the connection stays.
#[test]
fn sc_deadline_kept_in_flood_on_sockets() {
    let server = Hostile::start(|_, name| match name {
        "GET" => Answer::Forever(b"*?\r\n".to_vec(), elements()),
        _ => ok(),
    });
    let events = Events::default();
    let config = Config::from_url(&server.url()).expect("a URL").connections_per_shard(1);
    let config = config.command_timeout(Duration::from_millis(300));
    let client = started(events.watch(config.reply_time_max(Duration::from_secs(3600))));
    for _ in 0..2 {
        let error = block_on(client.get::<i64>("key")).expect_err("the reply never ends");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Ambiguous), "{error}");
    }
    assert_eq!(events.count(|event| matches!(event, Event::Disconnected { .. })), 0, "the flood goes on");
    // There is nothing to finish.
    let _ = block_on(client.shutdown(Duration::from_millis(10)));
}

#[test]
fn sc_push_flood_other_connections_unharmed_on_sockets() {
    let server = Hostile::start(|connection, name| match name {
        "FLOOD" => Answer::Forever(Vec::new(), useless_pushes()),
        "WHO" => Answer::Once(format!(":{connection}\r\n").into_bytes()),
        _ => ok(),
    });
    let events = Events::default();
    let config = Config::from_url(&server.url()).expect("a URL").connections_per_shard(2);
    let client = started(events.watch(config));
    let other = client.clone();
    let who =
        |client: &Client| block_on(client.run::<i64>(&cmd("WHO"))).expect("the number of the connection");
    let own = who(&other);
    assert_ne!(who(&client), own, "each has a connection to itself");
    for floods in 1..=3 {
        let flooded = client.run::<()>(&cmd("FLOOD"));
        for _ in 0..200 {
            block_on(other.set("key", "value")).expect("this connection is not flooded");
        }
        let error = block_on(flooded).expect_err("the connection is lost");
        assert_eq!(
            (error.kind(), error.outcome()),
            (ErrorKind::ConnectionLost, Outcome::Ambiguous),
            "{error}"
        );
        assert!(error.to_string().contains("flood of pushes"), "{error}");
        events.wait("the flood is reported", floods, is_flooded);
        eventually("it is dialed again", || block_on(client.run::<i64>(&cmd("WHO"))).is_ok());
    }
    assert_eq!(who(&other), own, "the other connection was never replaced");
    let stats = &stats(&client)[0];
    assert_eq!((stats.floods, stats.lost), (3, 3));
    // Each flooded connection is closed soon after the limit.
    assert!(stats.pushes < 3 * 20_000, "{}", stats.pushes);
}
