//! Handoffs of connections that are not shared: no element is lost or taken twice, and no watch is forgotten.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use futures_lite::future::block_on;
use hitless::rehearsal::UpstreamConfig;
use hitless::{Client, ErrorKind, Frame, Outcome, cmd};

use crate::blocking::await_waiting;
use crate::common::fixture::{ENDLESS, Fixture, eventually, is_handed_off, stats};
use crate::common::{Redis, WAIT_MAX};

type Popped = Option<(String, String)>;

/// An in-memory pair, and a pair of proxies in front of a real server.
fn pairs() -> [(Fixture, Option<Redis>); 2] {
    let redis = Redis::start();
    let upstream = UpstreamConfig { port: redis.port(), ..UpstreamConfig::default() };
    [(Fixture::new(2), None), (Fixture::before(2, Some(upstream)), Some(redis))]
}

/// A client with one shared connection.
fn client(fixture: &Fixture) -> Client {
    fixture.client_with(|config| config.shards(1).connections_per_shard(1))
}

#[test]
fn waiting_command_goes_on_at_the_target() {
    for (fixture, _redis) in pairs() {
        let client = client(&fixture);
        let waiting = client.blpop::<Popped>(&["jobs"], 60);
        await_waiting(&client, 1);
        fixture.announce(ENDLESS, "");
        fixture.events.wait("both are handed off", 2, is_handed_off);
        eventually("it is issued again", || stats(&client)[0].blocking_reissued == 1);
        eventually("nothing is left on the old server", || fixture.connections(0).is_empty());
        await_waiting(&client, 1);
        block_on(client.rpush("jobs", &["one"])).unwrap();
        assert_eq!(block_on(waiting).unwrap(), Some(("jobs".into(), "one".into())));
        assert_eq!((stats(&client)[0].lost, stats(&client)[0].blocking_orphaned), (0, 0));
    }
}

/// Consumers wait while the server moves to and fro, and each element reaches one of them.
#[test]
fn mv_blpop_not_lost_on_sockets() {
    for (fixture, _redis) in pairs() {
        let client = client(&fixture);
        let is_over = AtomicBool::new(false);
        let (mut taken, mut pushed) = (BTreeMap::new(), 0_u32);
        thread::scope(|scope| {
            let consumers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| consume(&client.clone(), &is_over))).collect();
            let ended = EndsOnDrop(&is_over);
            for round in 0..6 {
                let old = round % 2;
                fixture.moves((old, 1 - old), ENDLESS, "");
                // Elements come at every instant of the move.
                let begin = Instant::now();
                let mut rest = 50;
                while rest > 0 || !fixture.connections(old).is_empty() {
                    assert!(begin.elapsed() < WAIT_MAX, "round {round} does not end: {:#?}", stats(&client));
                    block_on(client.rpush("jobs", &[pushed])).unwrap();
                    pushed += 1;
                    rest -= rest.min(1);
                }
            }
            eventually("all are taken", || block_on(client.llen("jobs")).unwrap() == 0);
            drop(ended);
            for consumer in consumers {
                for element in consumer.join().unwrap() {
                    *taken.entry(element).or_insert(0) += 1;
                }
            }
        });
        let wrong: Vec<_> = (0..pushed).filter(|number| taken.get(number) != Some(&1)).collect();
        assert!(wrong.is_empty() && taken.len() == pushed as usize, "{wrong:?} of {pushed}");
        let totals = &stats(&client)[0];
        assert_eq!((totals.blocking_orphaned, totals.lost), (0, 0));
    }
}

/// A test that fails must not leave threads behind that go on.
struct EndsOnDrop<'a>(&'a AtomicBool);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn consume(client: &Client, is_over: &AtomicBool) -> Vec<u32> {
    let mut taken = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let popped: Popped = block_on(client.blpop(&["jobs"], 0.2)).unwrap();
        taken.extend(popped.map(|(_, element)| element.parse::<u32>().unwrap()));
    }
    taken
}

#[test]
fn mv_watch_stale_on_sockets() {
    for (fixture, _redis) in pairs() {
        let client = client(&fixture);
        let session = block_on(client.session()).unwrap();
        block_on(session.watch(&["stock"])).unwrap();
        block_on(client.set("stock", 1)).unwrap();
        fixture.announce(ENDLESS, "");
        fixture.events.wait("both are handed off", 2, is_handed_off);
        let sell = || {
            let order = session.transaction();
            order.set("stock", 7);
            block_on(order.run::<((),)>())
        };
        let error = sell().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::WatchStale, Outcome::Unsent), "{error}");
        assert_eq!(block_on(client.get::<i64>("stock")).unwrap(), 1, "the key had changed");
        // The session works on.
        block_on(session.watch(&["stock"])).unwrap();
        sell().unwrap();
        assert_eq!(block_on(client.get::<i64>("stock")).unwrap(), 7);
        assert_eq!(stats(&client)[0].sessions_stale, 1);
    }
}

#[test]
fn open_transaction_ends_where_it_began() {
    for (fixture, _redis) in pairs() {
        let client = client(&fixture);
        let session = block_on(client.session()).unwrap();
        let say = |text: &str| {
            let mut words = text.split(' ');
            let command = cmd(words.next().unwrap()).args(words);
            block_on(session.run::<Frame>(&command)).unwrap()
        };
        say("MULTI");
        say("INCR counter");
        fixture.announce(ENDLESS, "");
        fixture.events.wait("the shared one is handed off", 1, is_handed_off);
        say("INCR counter");
        assert_eq!(say("EXEC"), Frame::Array(vec![Frame::Integer(1), Frame::Integer(2)]));
        fixture.events.wait("so is that of the session", 2, is_handed_off);
        say("INCR counter");
        eventually("nothing is left on the old server", || fixture.connections(0).is_empty());
        assert_eq!(stats(&client)[0].lost, 0);
    }
}

#[test]
fn se_nonmigratable_stays_on_sockets() {
    let fixture = Fixture::new(2);
    let client = client(&fixture);
    let session = block_on(client.session()).unwrap();
    block_on(session.run::<()>(&cmd("SELECT").arg(3))).unwrap();
    block_on(session.set("here", 1)).unwrap();
    fixture.announce(ENDLESS, "never");
    fixture.events.wait("the shared one is handed off", 1, is_handed_off);
    assert_eq!(
        block_on(session.get::<i64>("here")).unwrap(),
        1,
        "the database is the one that it has selected"
    );
    assert_eq!(fixture.connections(0).len(), 1);
    fixture.rehearse(0, "CLOSE");
    eventually("it is lost", || stats(&client)[0].lost == 1);
    let error = block_on(session.get::<i64>("here")).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unsent), "{error}");
    drop(session);
    let next = block_on(client.session()).unwrap();
    assert_eq!(block_on(next.get::<Option<i64>>("here")).unwrap(), None);
    block_on(client.shutdown(WAIT_MAX)).unwrap();
}
