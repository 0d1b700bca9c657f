//! Hostile servers that redirect their clients, on real sockets: which targets get a connection.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use futures_lite::future::block_on;
use hitless::Config;
use hitless::net::Targets;
use hitless::observe::{Event, Redirection};

use crate::common::drivers;
use crate::common::fixture::{Fixture, WAIT_MAX, connected_to, eventually, is_handed_off, stats, sum};

/// A listener that no client may connect to.
struct Victim(TcpListener);

impl Victim {
    fn at(address: &str) -> Victim {
        let listener = TcpListener::bind((address, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        Victim(listener)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    /// A connection would be in the accept queue by now.
    #[track_caller]
    fn assert_alone(&self) {
        let accepted = self.0.accept().map(|(_, peer)| peer);
        assert_eq!(accepted.expect_err("no connection").kind(), ErrorKind::WouldBlock);
    }
}

fn is_refused(event: &Event) -> bool {
    matches!(event, Event::TargetRefused { redirection: Redirection::Moving, .. })
}

/// Announces a move; the server does not close.
fn announce(fixture: &Fixture, seq: usize, grace: u32, target: &str) {
    fixture.rehearse(0, &format!(r"PUSH >4\r\n+MOVING\r\n:{seq}\r\n:{grace}\r\n+{target}\r\n"));
}

#[test]
fn sc_target_only_list_on_sockets() {
    let (fixture, victim) = (Fixture::new(2), Victim::at("127.0.0.2"));
    let own = fixture.address(0);
    let client = fixture.client_with(|config| {
        let targets = Targets::only([format!("127.0.0.1:{}", fixture.address(1).port())]).expect("targets");
        config.shards(2).connections_per_shard(2).targets(targets)
    });
    announce(&fixture, 1, 20, &victim.address().to_string());
    fixture.events.wait("the target is refused", 1, is_refused);
    eventually("both shards have refused it", || sum(&client, |sums| sums.targets_refused) == 2);
    block_on(client.incr("counter")).expect("it serves");
    assert_eq!(
        (connected_to(&client, own), fixture.events.count(is_refused)),
        (4, 1),
        "one event, not one a shard"
    );
    victim.assert_alone();
    // A listed target is accepted.
    announce(&fixture, 2, 20, &fixture.address(1).to_string());
    fixture.events.wait("all follow", 4, is_handed_off);
    block_on(client.incr("counter")).expect("it serves");
    assert_eq!(fixture.events.count(is_refused), 1);
    victim.assert_alone();
}

/// `evil.test` resolves to the wildcard address, through which Linux reaches the victim.
#[test]
fn sc_target_class_checked_after_resolution_on_sockets() {
    let (fixture, victim) = (Fixture::new(1), Victim::at("127.0.0.1"));
    let client = fixture.client_with(|config| {
        let config = config.resolver(|host: &str, port: u16| {
            assert_eq!(host, "evil.test");
            Ok(vec![SocketAddr::from(([0, 0, 0, 0], port))])
        });
        config.shards(1).connections_per_shard(3)
    });
    announce(&fixture, 1, 20, &format!("evil.test:{}", victim.address().port()));
    fixture.events.wait("the target is refused", 1, is_refused);
    block_on(client.incr("counter")).expect("it serves");
    assert_eq!(connected_to(&client, fixture.address(0)), 3);
    assert_eq!(fixture.events.count(is_handed_off), 0);
    victim.assert_alone();
}

/// A resolver whose look-ups of `slow-…` block until it is dropped, and the number of blocked look-ups.
#[derive(Clone, Default)]
struct SlowNames(Arc<(AtomicUsize, Mutex<bool>, Condvar)>);

impl SlowNames {
    fn config(&self, config: Config, leads_to: SocketAddr) -> Config {
        let slow = self.0.clone();
        config.resolver(move |host: &str, _: u16| {
            if host.starts_with("slow-") {
                slow.0.fetch_add(1, Ordering::Relaxed);
                let released = slow.1.lock().expect("no panic");
                drop(slow.2.wait_while(released, |released| !*released).expect("no panic"));
            }
            Ok(vec![leads_to])
        })
    }

    fn count(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }
}

impl Drop for SlowNames {
    fn drop(&mut self) {
        *self.0.1.lock().expect("no panic") = true;
        self.0.2.notify_all();
    }
}

#[test]
fn sc_lookup_budget_per_endpoint() {
    /// Half of the look-up threads of a shard.
    const BUDGET: usize = 8;
    let (hostile, other) = (Fixture::new(1), Fixture::new(1));
    let [victim, bystander] = [SlowNames::default(), SlowNames::default()];
    let start = |fixture: &Fixture, names: &SlowNames| {
        let config = fixture.config_of("db.test:6379".parse().expect("an endpoint")).shards(1);
        let config = names.config(config.connections_per_shard(1), fixture.address(0));
        let client = drivers::start(config).expect("a client");
        block_on(client.ready(WAIT_MAX)).expect("it is ready");
        client
    };
    let clients = [start(&hostile, &victim), start(&other, &bystander)];
    for seq in 0..100 {
        // With such a short grace the look-up starts at once.
        announce(&hostile, seq, 2, &format!("slow-{seq}.test:6379"));
        block_on(clients[0].incr("counter")).expect("it serves");
    }
    eventually("the look-up budget is used up", || victim.count() >= BUDGET);
    assert_eq!(victim.count(), BUDGET, "no server causes more look-ups at once");
    // Both clients still find their own server again.
    for (fixture, client) in [(&hostile, &clients[0]), (&other, &clients[1])] {
        let before = stats(client)[0].connected;
        fixture.rehearse(0, "CLOSE");
        eventually("it is connected again", || stats(client)[0].connected > before);
        block_on(client.incr("counter")).expect("it serves");
    }
    assert_eq!((victim.count(), bystander.count()), (BUDGET, 0));
}
