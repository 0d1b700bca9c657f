//! Rehearsal endpoints for tests, a client that is watched, and what either of them says.
//!
//! Nothing here sleeps: a test waits for an event, or for something that the endpoints or the client can be asked.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_lite::future::block_on;
use hitless::net::Tls;
use hitless::observe::{Event, HandoffResult, MaintenanceStats};
use hitless::rehearsal::{Endpoints, EndpointsConfig, NodeId, ServerTls, UpstreamConfig};
use hitless::{Client, Config, Endpoint, Maintenance, ShardStats};
use serde_json::Value;

pub use super::PATIENCE;

use super::authority::Authority;

/// A grace in seconds, for `MOVING`, whose end no test reaches.
pub const ENDLESS: &str = "600";

/// Endpoints, each of which is a node that can move, refuse, and do things wrong.
pub struct Stage {
    endpoints: Endpoints,
    /// What clients take to speak with them, if it is not plain.
    tls: Option<Tls>,
    pub events: Events,
}

impl Stage {
    pub fn new(nodes: usize) -> Stage {
        Stage::before(nodes, None)
    }

    /// In front of a real server, if one is given.
    pub fn before(nodes: usize, upstream: Option<UpstreamConfig>) -> Stage {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = EndpointsConfig { listen: vec![any; nodes], upstream, ..Default::default() };
        Stage::start(config, None)
    }

    /// Nodes that speak TLS, each with a certificate for its own names, and clients that trust the authority.
    pub fn certified(names: &[&[&str]]) -> Stage {
        let authority = Authority::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let tls = names.iter().map(|names| {
            let (chain, key) = authority.sign(names);
            Some(ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a certificate"))
        });
        let config =
            EndpointsConfig { listen: vec![any; names.len()], tls: tls.collect(), ..Default::default() };
        Stage::start(config, Some(Tls::new().ca_pem(authority.pem())))
    }

    /// The same nodes twice: plain, and speaking TLS.
    pub fn plain_and_tls(nodes: usize) -> [Stage; 2] {
        [Stage::new(nodes), Stage::certified(&vec![&["127.0.0.1"][..]; nodes])]
    }

    fn start(config: EndpointsConfig, tls: Option<Tls>) -> Stage {
        Stage { endpoints: Endpoints::start(config).expect("endpoints"), tls, events: Events::default() }
    }

    pub fn address(&self, node: usize) -> SocketAddr {
        self.endpoints.addresses()[node]
    }

    /// Of a client of the first node, which tells its events here.
    pub fn config(&self) -> Config {
        self.config_of(self.address(0).into())
    }

    /// Of a client of this endpoint, whose commands are not late for any pause of the machine.
    pub fn config_of(&self, endpoint: Endpoint) -> Config {
        let config = self.events.watch(Config::new(endpoint)).command_timeout(PATIENCE);
        match &self.tls {
            Some(tls) => config.tls(tls.clone()),
            None => config,
        }
    }

    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// A client with so many shards and connections on each of them, all of which are ready.
    pub fn client(&self, shards: usize, connections: usize) -> Client {
        self.client_with(|config| config.shards(shards).connections_per_shard(connections))
    }

    pub fn client_with(&self, change: impl FnOnce(Config) -> Config) -> Client {
        let client = Client::start(change(self.config())).expect("a client");
        block_on(client.ready(PATIENCE)).expect("it is ready");
        client
    }

    /// Does a verb of `REHEARSE` on a node.
    #[track_caller]
    pub fn rehearse(&self, node: usize, words: &str) -> String {
        let list: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let done = self.endpoints.with_server(move |server| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            server.rehearse(NodeId(node), now.as_micros() as u64, &list)
        });
        done.expect("endpoints").unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    /// The first node announces that it moves to the second: `MOVING {grace} {second} {more}`.
    pub fn announce(&self, grace: &str, more: &str) {
        self.moves((0, 1), grace, more);
    }

    /// The one node announces that it moves to the other, which is there for connections that follow.
    pub fn moves(&self, (from, to): (usize, usize), grace: &str, more: &str) {
        self.rehearse(to, "RETURN");
        let words = format!("MOVING {grace} {} {more}", self.address(to));
        self.rehearse(from, words.trim_end());
    }

    /// How many closes that were announced are still to come.
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

    /// What was found out about commands that say who sent them and which one they are: how many there were, if each
    /// was executed once, and each submitter's in order.
    #[track_caller]
    pub fn assert_audit(&self) -> u64 {
        let audit = &self.stats()["audit"];
        for fault in ["duplicates", "out_of_order", "missing", "untracked"] {
            assert_eq!(audit[fault], 0, "{audit:#}");
        }
        audit["commands"].as_u64().expect("a number")
    }
}

/// What a client told, in order, with the shard that told it.
#[derive(Clone, Default)]
pub struct Events(Arc<Told>);

#[derive(Default)]
struct Told {
    events: Mutex<Vec<(usize, Event)>>,
    more: Condvar,
}

impl Events {
    /// The same configuration, with its events told here.
    pub fn watch(&self, config: Config) -> Config {
        let told = self.0.clone();
        config.on_event(move |shard, event| {
            told.events.lock().expect("no panic").push((shard, event.clone()));
            told.more.notify_all();
        })
    }

    pub fn all(&self) -> Vec<(usize, Event)> {
        self.0.events.lock().expect("no panic").clone()
    }

    /// Forgets what was told so far.
    pub fn clear(&self) {
        self.0.events.lock().expect("no panic").clear();
    }

    pub fn count(&self, is_it: impl Fn(&Event) -> bool) -> usize {
        self.0.events.lock().expect("no panic").iter().filter(|(_, event)| is_it(event)).count()
    }

    /// Waits until so many were told that are it.
    #[track_caller]
    pub fn wait(&self, what: &str, count: usize, is_it: impl Fn(&Event) -> bool) {
        let told = self.0.events.lock().expect("no panic");
        let too_few =
            |told: &mut Vec<(usize, Event)>| told.iter().filter(|(_, event)| is_it(event)).count() < count;
        let waited = self.0.more.wait_timeout_while(told, PATIENCE, too_few);
        let (told, timeout) = waited.expect("no panic");
        let found = told.iter().filter(|(_, event)| is_it(event)).count();
        let last = told[told.len().saturating_sub(20)..].to_vec();
        // A shard's thread must not find it poisoned by what follows.
        drop(told);
        assert!(!timeout.timed_out(), "{what}: {found} of {count}; the last of all: {last:#?}");
    }

    /// How each handoff ended, in order.
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

/// Whether a connection to this peer has ended.
pub fn is_gone(from: SocketAddr) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Disconnected { peer: Some(peer), .. } if *peer == from)
}

/// Maintenance in which a failure is known soon.
pub fn impatient() -> Maintenance {
    Maintenance::auto().handoff_timeout(Duration::from_millis(300)).handoff_retries_max(1)
}

pub fn stats(client: &Client) -> Vec<ShardStats> {
    block_on(client.stats()).expect("it runs")
}

/// The sum of one number over all shards.
pub fn sum<T: std::iter::Sum>(client: &Client, number: impl Fn(&MaintenanceStats) -> T) -> T {
    stats(client).iter().map(|stats| number(&stats.maintenance)).sum()
}

/// How many connections go to this peer, on all shards.
pub fn connected_to(client: &Client, peer: SocketAddr) -> usize {
    stats(client).iter().filter_map(|stats| stats.connections.get(&peer.to_string())).sum()
}

/// Asks until it is so.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never came to be: {what}");
        pause();
    }
}

/// Lets others run, before somebody asks again.
pub fn pause() {
    let (_sender, nothing) = mpsc::channel::<()>();
    // Nothing ever comes.
    let _ = nothing.recv_timeout(Duration::from_millis(5));
}
