//! Rehearsal endpoints, a client whose events are recorded, and ways to query both.
//!
//! Nothing here sleeps: a test waits for an event, or for a state that the endpoints or the client report.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_lite::future::block_on;
use hitless::net::Tls;
use hitless::observe::{Event, HandoffResult, MaintenanceStats};
use hitless::rehearsal::{Endpoints, EndpointsConfig, NodeId, ServerTls, UpstreamConfig};
use hitless::{Client, Config, Endpoint, Maintenance, ShardStats};
use serde_json::Value;

pub use super::{WAIT_MAX, eventually, pause};

use super::authority::Authority;
use super::drivers::start;

/// A grace in seconds for `MOVING` that ends after every test.
pub const ENDLESS: &str = "600";

/// Endpoints, each a node that can move, refuse connections and have faults.
pub struct Fixture {
    endpoints: Endpoints,
    /// The clients' TLS settings, if the nodes use TLS.
    tls: Option<Tls>,
    pub events: Events,
}

impl Fixture {
    pub fn new(nodes: usize) -> Fixture {
        Fixture::before(nodes, None)
    }

    /// Nodes in front of a real server, if one is given.
    pub fn before(nodes: usize, upstream: Option<UpstreamConfig>) -> Fixture {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = EndpointsConfig { listen: vec![any; nodes], upstream, ..Default::default() };
        Fixture::start(config, None)
    }

    /// TLS nodes, each with a certificate for its own names, and clients that trust its authority.
    pub fn certified(names: &[&[&str]]) -> Fixture {
        let authority = Authority::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let tls = names.iter().map(|names| {
            let (chain, key) = authority.sign(names);
            Some(ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a certificate"))
        });
        let config =
            EndpointsConfig { listen: vec![any; names.len()], tls: tls.collect(), ..Default::default() };
        Fixture::start(config, Some(Tls::new().ca_pem(authority.pem())))
    }

    /// The same nodes twice: plain and with TLS.
    pub fn plain_and_tls(nodes: usize) -> [Fixture; 2] {
        [Fixture::new(nodes), Fixture::certified(&vec![&["127.0.0.1"][..]; nodes])]
    }

    fn start(config: EndpointsConfig, tls: Option<Tls>) -> Fixture {
        Fixture { endpoints: Endpoints::start(config).expect("endpoints"), tls, events: Events::default() }
    }

    pub fn address(&self, node: usize) -> SocketAddr {
        self.endpoints.addresses()[node]
    }

    /// The configuration of a client of the first node; its events are recorded here.
    pub fn config(&self) -> Config {
        self.config_of(self.address(0).into())
    }

    /// The configuration of a client of this endpoint. Its timeout outlasts every pause of the machine.
    pub fn config_of(&self, endpoint: Endpoint) -> Config {
        let config = self.events.watch(Config::new(endpoint)).command_timeout(WAIT_MAX);
        match &self.tls {
            Some(tls) => config.tls(tls.clone()),
            None => config,
        }
    }

    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// A client with this many shards, and connections on each, all of which are ready.
    pub fn client(&self, shards: usize, connections: usize) -> Client {
        self.client_with(|config| config.shards(shards).connections_per_shard(connections))
    }

    pub fn client_with(&self, change: impl FnOnce(Config) -> Config) -> Client {
        let client = start(change(self.config())).expect("a client");
        block_on(client.ready(WAIT_MAX)).expect("it is ready");
        client
    }

    /// Runs a `REHEARSE` command on a node.
    #[track_caller]
    pub fn rehearse(&self, node: usize, words: &str) -> String {
        let list: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let done = self.endpoints.with_server(move |server| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            server.rehearse(NodeId(node), now.as_micros() as u64, &list)
        });
        done.expect("endpoints").unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    /// Announces a move from the first node to the second: `MOVING {grace} {second} {more}`.
    pub fn announce(&self, grace: &str, more: &str) {
        self.moves((0, 1), grace, more);
    }

    /// Announces a move between these nodes; the target serves connections that follow.
    pub fn moves(&self, (from, to): (usize, usize), grace: &str, more: &str) {
        self.rehearse(to, "RETURN");
        let words = format!("MOVING {grace} {} {more}", self.address(to));
        self.rehearse(from, words.trim_end());
    }

    /// The number of announced closes that are still to come.
    pub fn planned(&self) -> usize {
        self.endpoints.with_server(|server| server.planned()).expect("endpoints")
    }

    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.rehearse(0, "STATS")).expect("JSON")
    }

    /// The `CLIENT ID`s of all connections of a node.
    pub fn connections(&self, node: usize) -> Vec<u64> {
        let stats = self.stats();
        let connections = stats["nodes"][node]["connections"].as_array().expect("connections");
        connections.iter().map(|connection| connection["id"].as_u64().expect("an id")).collect()
    }

    /// Asserts that every tagged command ran once and in the order of its sender, and returns the number of commands.
    #[track_caller]
    pub fn assert_audit(&self) -> u64 {
        let audit = &self.stats()["audit"];
        for fault in ["duplicates", "out_of_order", "missing", "untracked"] {
            assert_eq!(audit[fault], 0, "{audit:#}");
        }
        audit["commands"].as_u64().expect("a number")
    }
}

/// The events of a client, in order, with the number of the shard.
#[derive(Clone, Default)]
pub struct Events(Arc<Recorded>);

#[derive(Default)]
struct Recorded {
    events: Mutex<Vec<(usize, Event)>>,
    more: Condvar,
}

impl Events {
    /// Returns the configuration with its events recorded here.
    pub fn watch(&self, config: Config) -> Config {
        let recorded = self.0.clone();
        config.on_event(move |shard, event| {
            recorded.events.lock().expect("no panic").push((shard, event.clone()));
            recorded.more.notify_all();
        })
    }

    pub fn all(&self) -> Vec<(usize, Event)> {
        self.0.events.lock().expect("no panic").clone()
    }

    /// Forgets the recorded events.
    pub fn clear(&self) {
        self.0.events.lock().expect("no panic").clear();
    }

    pub fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.0.events.lock().expect("no panic").iter().filter(|(_, event)| is_it(event)).count()
    }

    /// Waits until this many events match.
    #[track_caller]
    pub fn wait(&self, what: &str, count: usize, is_it: impl Fn(&Event) -> bool) {
        let events = self.0.events.lock().expect("no panic");
        let too_few = |events: &mut Vec<(usize, Event)>| {
            events.iter().filter(|(_, event)| is_it(event)).count() < count
        };
        let waited = self.0.more.wait_timeout_while(events, WAIT_MAX, too_few);
        let (events, timeout) = waited.expect("no panic");
        let found = events.iter().filter(|(_, event)| is_it(event)).count();
        let last = events[events.len().saturating_sub(20)..].to_vec();
        // The lock is released before a panic could poison it for a shard's thread.
        drop(events);
        assert!(!timeout.timed_out(), "{what}: {found} of {count}; the last events: {last:#?}");
    }

    /// The results of the handoffs, in order.
    pub fn results(&self) -> Vec<HandoffResult> {
        let ended = |(_, event)| match event {
            Event::HandoffEnded { result, .. } => Some(result),
            _ => None,
        };
        self.all().into_iter().filter_map(ended).collect()
    }
}

pub fn is_announced(event: &Event) -> bool {
    matches!(event, Event::Announced { .. })
}

pub fn is_handed_off(event: &Event) -> bool {
    matches!(event, Event::HandoffEnded { result: HandoffResult::Succeeded, .. })
}

pub fn is_ended(event: &Event) -> bool {
    matches!(event, Event::HandoffEnded { .. })
}

/// Matches the end of a connection to this peer.
pub fn is_disconnected(from: SocketAddr) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Disconnected { peer: Some(peer), .. } if *peer == from)
}

/// Maintenance settings with which a failure shows soon.
pub fn giving_up_soon() -> Maintenance {
    Maintenance::auto().handoff_timeout(Duration::from_millis(300)).handoff_retries_max(1)
}

pub fn stats(client: &Client) -> Vec<ShardStats> {
    block_on(client.stats()).expect("it runs")
}

/// The sum of one figure over all shards.
pub fn sum<T: std::iter::Sum>(client: &Client, number: impl Fn(&MaintenanceStats) -> T) -> T {
    stats(client).iter().map(|stats| number(&stats.maintenance)).sum()
}

/// The number of connections to this peer, on all shards.
pub fn connected_to(client: &Client, peer: SocketAddr) -> usize {
    stats(client).iter().filter_map(|stats| stats.connections.get(&peer.to_string())).sum()
}
