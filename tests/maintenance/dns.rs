//! Moves without a target: the configured name is resolved again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, Config};

use crate::common::drivers::start;
use crate::common::fixture::{
    Fixture, WAIT_MAX, connected_to, eventually, is_announced, is_disconnected, is_handed_off, stats,
};
use crate::common::pauses::retry_on_pause;

/// Less than the time that any step has to spare.
const SPARE: Duration = Duration::from_millis(200);

/// The addresses of `db.test`, and the times of the look-ups.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<(Vec<SocketAddr>, Vec<Instant>)>>);

impl Zone {
    fn set(&self, addresses: &[SocketAddr]) {
        self.0.lock().expect("no panic").0 = addresses.to_vec();
    }

    /// Forgets the look-ups so far.
    fn forget(&self) {
        self.0.lock().expect("no panic").1.clear();
    }

    fn asked(&self) -> Vec<Instant> {
        self.0.lock().expect("no panic").1.clone()
    }

    /// A client of that name whose connections are ready.
    fn client(&self, fixture: &Fixture, connections: usize) -> Client {
        let zone = self.0.clone();
        let config = Config::from_url("redis://db.test:7001").expect("a URL");
        let config =
            config.shards(1).connections_per_shard(connections).resolver(move |host: &str, _: u16| {
                assert_eq!(host, "db.test");
                let mut zone = zone.lock().expect("no panic");
                zone.1.push(Instant::now());
                Ok(zone.0.clone())
            });
        let client = start(fixture.events.watch(config)).expect("it starts");
        block_on(client.ready(WAIT_MAX)).expect("it is ready");
        client
    }
}

#[test]
fn mv_null_half_grace_on_sockets() {
    retry_on_pause(SPARE, assert_resolves_halfway_through_the_grace);
}

fn assert_resolves_halfway_through_the_grace() {
    const GRACE: Duration = Duration::from_secs(4);
    let (fixture, zone) = (Fixture::new(2), Zone::default());
    let [old, new] = [fixture.address(0), fixture.address(1)];
    zone.set(&[old]);
    let client = zone.client(&fixture, 3);
    zone.forget();
    let begin = Instant::now();
    fixture.rehearse(0, "MOVING 4 null");
    fixture.events.wait("announced", 1, is_announced);
    eventually("the name is resolved", || {
        block_on(client.incr("counter")).expect("it serves");
        !zone.asked().is_empty()
    });
    let waited = zone.asked()[0].duration_since(begin);
    assert!(waited >= GRACE / 2, "asked after {waited:?}");
    // The name still resolves to the moving server; a second later it resolves to another one.
    zone.set(&[old, new]);
    fixture.events.wait("handed off", 3, is_handed_off);
    assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    assert_eq!(zone.asked().len(), 2);
    eventually("all connections have moved", || {
        connected_to(&client, new) == 3 && connected_to(&client, old) == 0
    });
    assert_eq!(stats(&client)[0].lost, 0);
}

/// The name changes too late: no connection moves, and the reconnects use the new address.
#[test]
fn mv_null_dns_still_old_on_sockets() {
    retry_on_pause(SPARE, assert_no_move_while_the_name_is_unchanged);
}

fn assert_no_move_while_the_name_is_unchanged() {
    let (fixture, zone) = (Fixture::new(2), Zone::default());
    let [old, new] = [fixture.address(0), fixture.address(1)];
    zone.set(&[old]);
    let client = zone.client(&fixture, 2);
    let begin = Instant::now();
    fixture.rehearse(0, "MOVING 1 null delay 1000");
    eventually("the grace is over", || {
        block_on(client.incr("counter")).expect("it serves");
        begin.elapsed() > Duration::from_millis(1100)
    });
    assert_eq!((connected_to(&client, old), fixture.events.results().len()), (2, 0));
    zone.set(&[new]);
    fixture.events.wait("the server has closed them", 2, is_disconnected(old));
    fixture.events.wait(
        "connected",
        2,
        |event| matches!(event, Event::Connected { peer: Some(peer), .. } if *peer == new),
    );
    block_on(client.incr("counter")).expect("it serves");
    assert_eq!(stats(&client)[0].maintenance.handoffs_started, 0);
}

/// A server that is removed from its name announces no more than the end of a migration.
#[test]
fn mv_silent_removal_on_sockets() {
    let (fixture, zone) = (Fixture::new(2), Zone::default());
    let [old, new] = [fixture.address(0), fixture.address(1)];
    zone.set(&[old]);
    let client = zone.client(&fixture, 3);
    fixture.rehearse(0, "MIGRATING 10");
    fixture.events.wait("announced", 1, is_announced);
    zone.forget();
    fixture.rehearse(0, "MIGRATED");
    eventually("the name is resolved", || !zone.asked().is_empty());
    eventually("the name is resolved again", || {
        block_on(client.incr("counter")).expect("it serves");
        zone.asked().len() >= 2
    });
    assert_eq!(fixture.events.results().len(), 0);
    zone.set(&[new]);
    fixture.events.wait("handed off", 3, is_handed_off);
    eventually("all connections have moved", || {
        connected_to(&client, new) == 3 && connected_to(&client, old) == 0
    });
    assert_eq!(stats(&client)[0].lost, 0);
}
