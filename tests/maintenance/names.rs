//! Moves without a target: where a name leads, once it leads elsewhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::Event;
use hitless::{Client, Config};

use crate::common::pauses::undisturbed;
use crate::common::stage::{
    PATIENCE, Stage, connected_to, eventually, is_announced, is_gone, is_handed_off, stats,
};

/// Less than what any step here has before its time.
const SPARE: Duration = Duration::from_millis(200);

/// What `db.test` leads to, and when somebody asked.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<(Vec<SocketAddr>, Vec<Instant>)>>);

impl Zone {
    fn set(&self, addresses: &[SocketAddr]) {
        self.0.lock().expect("no panic").0 = addresses.to_vec();
    }

    /// Forgets who asked until now.
    fn forget(&self) {
        self.0.lock().expect("no panic").1.clear();
    }

    fn asked(&self) -> Vec<Instant> {
        self.0.lock().expect("no panic").1.clone()
    }

    /// A client of that name, all of whose connections are ready.
    fn client(&self, stage: &Stage, connections: usize) -> Client {
        let zone = self.0.clone();
        let config = Config::from_url("redis://db.test:7001").expect("a URL");
        let config =
            config.shards(1).connections_per_shard(connections).resolver(move |host: &str, _: u16| {
                assert_eq!(host, "db.test");
                let mut zone = zone.lock().expect("no panic");
                zone.1.push(Instant::now());
                Ok(zone.0.clone())
            });
        let client = Client::start(stage.events.watch(config)).expect("it starts");
        block_on(client.ready(PATIENCE)).expect("it is ready");
        client
    }
}

#[test]
fn mv_null_half_grace_on_sockets() {
    undisturbed(SPARE, assert_asks_at_half_of_the_grace);
}

fn assert_asks_at_half_of_the_grace() {
    const GRACE: Duration = Duration::from_secs(4);
    let (stage, zone) = (Stage::new(2), Zone::default());
    let [old, new] = [stage.address(0), stage.address(1)];
    zone.set(&[old]);
    let client = zone.client(&stage, 3);
    zone.forget();
    let begin = Instant::now();
    stage.rehearse(0, "MOVING 4 null");
    stage.events.wait("announced", 1, is_announced);
    eventually("somebody asks where to go", || {
        block_on(client.incr("counter")).expect("it serves");
        !zone.asked().is_empty()
    });
    let waited = zone.asked()[0].duration_since(begin);
    assert!(waited >= GRACE / 2, "asked after {waited:?}");
    // The name leads to who leaves, which is no move; a second later it leads elsewhere.
    zone.set(&[old, new]);
    stage.events.wait("handed off", 3, is_handed_off);
    assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    assert_eq!(zone.asked().len(), 2);
    eventually("all have gone", || connected_to(&client, new) == 3 && connected_to(&client, old) == 0);
    assert_eq!(stats(&client)[0].lost, 0);
}

/// A name that leads elsewhere too late: nobody goes anywhere, and the reconnect finds the way.
#[test]
fn mv_null_dns_still_old_on_sockets() {
    undisturbed(SPARE, assert_stays_while_the_name_stays);
}

fn assert_stays_while_the_name_stays() {
    let (stage, zone) = (Stage::new(2), Zone::default());
    let [old, new] = [stage.address(0), stage.address(1)];
    zone.set(&[old]);
    let client = zone.client(&stage, 2);
    let begin = Instant::now();
    stage.rehearse(0, "MOVING 1 null delay 1000");
    eventually("the grace is over", || {
        block_on(client.incr("counter")).expect("it serves");
        begin.elapsed() > Duration::from_millis(1100)
    });
    assert_eq!((connected_to(&client, old), stage.events.results().len()), (2, 0));
    zone.set(&[new]);
    stage.events.wait("its server has closed them", 2, is_gone(old));
    stage.events.wait("connected", 2, |event| *event == Event::Connected { peer: Some(new) });
    block_on(client.incr("counter")).expect("it serves");
    assert_eq!(stats(&client)[0].maintenance.handoffs_started, 0);
}

/// A server that shrinks leaves its name, and says no more than that a migration is over.
#[test]
fn mv_silent_removal_on_sockets() {
    let (stage, zone) = (Stage::new(2), Zone::default());
    let [old, new] = [stage.address(0), stage.address(1)];
    zone.set(&[old]);
    let client = zone.client(&stage, 3);
    stage.rehearse(0, "MIGRATING 10");
    stage.events.wait("announced", 1, is_announced);
    zone.forget();
    stage.rehearse(0, "MIGRATED");
    eventually("somebody asks if it is still there", || !zone.asked().is_empty());
    eventually("it is", || {
        block_on(client.incr("counter")).expect("it serves");
        zone.asked().len() >= 2
    });
    assert_eq!(stage.events.results().len(), 0);
    zone.set(&[new]);
    stage.events.wait("handed off", 3, is_handed_off);
    eventually("all have gone", || connected_to(&client, new) == 3 && connected_to(&client, old) == 0);
    assert_eq!(stats(&client)[0].lost, 0);
}
