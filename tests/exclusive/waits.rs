//! How a wait on the server ends before its time: by a caller that leaves, and by one that asks for what was taken.

use std::time::Duration;

use futures_lite::future::{block_on, poll_once};
use hitless::observe::Event;
use hitless::{ErrorKind, Frame, Outcome};

use crate::blocking::{await_waiting, blocking_connections, client};
use crate::common::Redis;
use crate::common::fixture::{Fixture, stats};

type Popped = Option<(String, String)>;

#[test]
fn bl_cancel_returns_element_on_sockets() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let pusher = client.clone();
    let (mut returned, mut empty) = (0, 0);
    for number in 0..300 {
        let mut popped = client.blpop::<Popped>(&["jobs"], 0);
        if number % 3 == 0 {
            await_waiting(&pusher, 1);
        }
        // The element and the end of the wait meet on the server.
        let pushed = pusher.rpush("jobs", &[number]);
        let result = match block_on(poll_once(&mut popped)) {
            Some(popped) => popped.unwrap(),
            None => block_on(popped.cancel()).unwrap().flatten(),
        };
        block_on(pushed).unwrap();
        match result {
            Some((_, element)) => {
                returned += 1;
                assert_eq!(element, number.to_string(), "no earlier element is left");
            }
            None => {
                empty += 1;
                let left: Option<String> = block_on(pusher.lpop("jobs")).unwrap();
                assert_eq!(left, Some(number.to_string()), "it is still in the list");
            }
        }
    }
    assert!(returned > 0, "{returned} returned, {empty} left in the list");
    assert_eq!(stats(&client)[0].blocking_orphaned, 0);
}

#[test]
fn dropped_call_takes_nothing_later() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let popped = client.blpop::<Popped>(&["jobs"], 0);
    await_waiting(&client, 1);
    drop(popped);
    await_waiting(&client, 0);
    block_on(client.rpush("jobs", &["one"])).unwrap();
    assert_eq!(block_on(client.llen("jobs")).unwrap(), 1);
    // Its connection serves the next one.
    assert_eq!(block_on(client.blpop::<Popped>(&["jobs"], 0)).unwrap(), Some(("jobs".into(), "one".into())));
    assert_eq!(blocking_connections(&client), 1);
}

#[test]
fn deadline_of_a_blocking_call_ends_its_wait() {
    let redis = Redis::start();
    let client = client(&redis, |config| config);
    let error =
        block_on(client.blpop::<Popped>(&["jobs"], 0).timeout(Duration::from_millis(50))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    await_waiting(&client, 0);
}

/// What a caller that has left was given is reported with its contents, which `Debug` does not show.
#[test]
fn orphaned_elements_are_handed_to_the_hook() {
    let fixture = Fixture::new(1);
    let client = fixture.client(1, 1);
    let popped = client.blpop::<Popped>(&["jobs"], 0);
    await_waiting(&client, 1);
    // The element is on its way when the caller leaves. The end of the wait follows it on the same connection.
    fixture.rehearse(0, "FAULT delay 100");
    let pushed = client.rpush("jobs", &["s3cret"]);
    drop(popped);
    block_on(pushed).unwrap();
    let is_orphan = |event: &Event| matches!(event, Event::Orphaned { .. });
    fixture.events.wait("it is told", 1, is_orphan);
    let events = fixture.events.all();
    let orphan = events.iter().find_map(|(_, event)| match event {
        Event::Orphaned { command, reply } => Some((command.as_str(), reply.clone())),
        _ => None,
    });
    let element = Frame::Array(vec![Frame::Bulk("jobs".into()), Frame::Bulk("s3cret".into())]);
    assert_eq!(orphan, Some(("BLPOP", element)));
    assert!(!format!("{events:?}").contains("s3cret"));
    assert_eq!(stats(&client)[0].blocking_orphaned, 1);
}

#[test]
fn bl_unblock_refused_on_sockets() {
    let redis = Redis::start_with(&["--user", "app", "on", "nopass", "~*", "&*", "+@all", "-client|unblock"]);
    let client = client(&redis, |config| config.username("app").password("any"));
    let waiting = client.blpop::<Popped>(&["jobs"], 0);
    await_waiting(&client, 1);
    drop(waiting);
    // Nothing but the end of its connection ends a wait without a limit.
    await_waiting(&client, 0);
    assert_eq!(stats(&client)[0].unblocks_refused, 1);
    block_on(client.rpush("jobs", &["one"])).unwrap();
    assert_eq!(block_on(client.blpop::<Popped>(&["jobs"], 0)).unwrap(), Some(("jobs".into(), "one".into())));
    let error =
        block_on(client.blpop::<Popped>(&["jobs"], 1).timeout(Duration::from_millis(20))).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::Ambiguous), "{error}");
}
