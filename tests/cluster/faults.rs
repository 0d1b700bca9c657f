//! What failovers, migrations and dead nodes do to the callers of a client of a real cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_lite::future::block_on;
use hitless::rehearsal::Cluster as InMemory;
use hitless::{Client, Config, Outcome, cmd};

use crate::common::cluster::Cluster;
use crate::common::drivers::start;
use crate::common::{WAIT_MAX, eventually};

/// A client that knows one node of the cluster. The machine may stand still for seconds, which must not time a command out.
pub(crate) fn client(cluster: &Cluster, seed: usize) -> Client {
    start(config(cluster, seed)).unwrap()
}

fn config(cluster: &Cluster, seed: usize) -> Config {
    let url = cluster.url(seed).replacen("redis://", "redis-cluster://", 1);
    Config::from_url(&url).unwrap().command_timeout(WAIT_MAX)
}

/// Callers that increment keys in all parts of the cluster, and check every reply.
struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Counted>>,
}

/// What one caller saw.
#[derive(Debug, Default)]
struct Counted {
    key: String,
    /// The last value.
    value: i64,
    /// Commands since then that may have been executed.
    ambiguous: i64,
    answered: usize,
    /// Failed commands that were not executed.
    failed: Vec<String>,
    lost: usize,
}

impl Load {
    fn begin(client: &Client) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |number: usize| {
            let (client, stop) = (client.clone(), stop.clone());
            std::thread::spawn(move || count(&client, format!("counter:{number}"), &stop))
        };
        let callers = (0..CALLERS).map(start).collect();
        Load { stop, callers }
    }

    /// Ends the load. Every reply was in order, and every counter holds what its caller has counted.
    fn end(self, client: &Client) -> Vec<Counted> {
        self.stop.store(true, Ordering::Relaxed);
        let counted: Vec<Counted> = self.callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        for caller in &counted {
            let value: i64 = block_on(client.get(&caller.key)).unwrap();
            let possible = caller.value..=caller.value + caller.ambiguous;
            assert!(possible.contains(&value), "{value} is not in {possible:?}: {caller:?}");
        }
        counted
    }
}

const CALLERS: usize = 12;

fn count(client: &Client, key: String, stop: &AtomicBool) -> Counted {
    let mut counted = Counted { key, ..Counted::default() };
    while !stop.load(Ordering::Relaxed) {
        match block_on(client.incr(&counted.key)) {
            Ok(value) => {
                let possible = counted.value + 1..=counted.value + 1 + counted.ambiguous;
                assert!(
                    possible.contains(&value),
                    "{value} is not in {possible:?}: lost, doubled or reordered"
                );
                (counted.value, counted.ambiguous) = (value, 0);
                counted.answered += 1;
            }
            Err(error) if error.outcome() == Outcome::Ambiguous => {
                counted.ambiguous += 1;
                counted.lost += 1;
            }
            Err(error) => counted.failed.push(error.to_string()),
        }
    }
    counted
}

/// No command has failed.
fn assert_hitless(counted: &[Counted]) {
    for caller in counted {
        assert!(caller.failed.is_empty() && caller.lost == 0, "{caller:?}");
        assert!(caller.answered > 0, "{caller:?}");
    }
}

/// Each caller is answered several times more.
fn progress(client: &Client, times: u64) {
    let answered =
        || -> u64 { block_on(client.stats()).unwrap().iter().map(|shard| shard.commands.answered).sum() };
    let goal = answered() + times * CALLERS as u64;
    eventually("the callers go on", || answered() >= goal);
}

#[test]
fn cl_planned_failover_no_error() {
    let cluster = Cluster::start();
    let client = client(&cluster, 0);
    let load = Load::begin(&client);
    progress(&client, 10);
    // Each replica takes over, and then the first primary takes its place back.
    for (slot, replica) in [(0, 3), (6000, 4), (12000, 5), (0, 0)] {
        cluster.failover(replica);
        progress(&client, 10);
        assert_eq!(cluster.primary_of(slot), replica);
    }
    assert_hitless(&load.end(&client));
}

#[test]
fn cl_primary_killed_blast_radius() {
    let mut cluster = Cluster::start();
    cluster.set_node_timeout(Duration::from_millis(1000));
    let client = client(&cluster, 1);
    let load = Load::begin(&client);
    progress(&client, 10);
    cluster.kill(0);
    eventually("a replica takes over", || cluster.primary_of(0) == 3);
    progress(&client, 10);
    let counted = load.end(&client);
    for caller in &counted {
        assert!(caller.failed.is_empty(), "{caller:?}");
        assert!(caller.lost <= 1, "no more than what was in flight: {caller:?}");
    }
    let lost: usize = counted.iter().map(|caller| caller.lost).sum();
    assert!(lost < CALLERS, "the callers of other nodes lost nothing: {lost}");
}

/// The nodes are in memory: real ones learn of each step by gossip, and on a busy machine two of them may claim one slot.
#[test]
fn cl_migrate_classic() {
    let cluster = InMemory::start("3".parse().unwrap()).unwrap();
    let url = format!("redis-cluster://{}", cluster.addresses()[2]);
    let client = start(Config::from_url(&url).unwrap().command_timeout(WAIT_MAX)).unwrap();
    let load = Load::begin(&client);
    progress(&client, 10);
    // Every slot of the counters moves to the next node, and further to the third.
    for round in 0..2 {
        for number in 0..CALLERS {
            let key = format!("counter:{number}");
            let slot: u16 = block_on(client.run(&cmd("CLUSTER").arg("KEYSLOT").arg(&key))).unwrap();
            let from = (usize::from(slot) * 3 / 16384 + round) % 3;
            let to = (from + 1) % 3;
            for step in [
                format!("MIGRATE {slot}-{slot} {from} {to} CLASSIC HOLD"),
                format!("KEY {key}"),
                "FINISH".to_owned(),
            ] {
                cluster.rehearse(&step).unwrap_or_else(|error| panic!("{step}: {error}"));
                progress(&client, 2);
            }
        }
    }
    assert_hitless(&load.end(&client));
}

#[test]
fn cl_migrate_atomic() {
    let cluster = Cluster::start_with(3, 0);
    if cluster.try_ask::<redis::Value>(0, "CLUSTER GETSLOTMIGRATIONS").is_err() {
        // Only Valkey 9 moves slots as a whole, by this command.
        return;
    }
    let client = client(&cluster, 2);
    let load = Load::begin(&client);
    progress(&client, 10);
    // A range that holds counters goes to the next node, and back.
    let slot: u16 = cluster.ask(0, "CLUSTER KEYSLOT counter:0");
    let (first, last) = (slot.saturating_sub(50), (slot + 50).min(16383));
    let home = cluster.primary_of(slot);
    for round in 0..6 {
        let from = cluster.primary_of(slot);
        let to = if round % 2 == 0 { (home + 1) % 3 } else { home };
        let moved = |slot| cluster.primary_of(slot) == from;
        let first = (first..=slot).find(|slot| moved(*slot)).unwrap();
        let last = (slot..=last).rfind(|slot| moved(*slot)).unwrap();
        let target = cluster.id(to).to_owned();
        cluster.ask::<()>(from, &format!("CLUSTER MIGRATESLOTS SLOTSRANGE {first} {last} NODE {target}"));
        eventually("the slots have moved", || cluster.primary_of(slot) == to);
        progress(&client, 5);
    }
    assert_hitless(&load.end(&client));
}

#[test]
fn cl_node_stopped_blast_radius() {
    let mut cluster = Cluster::start();
    cluster.set_node_timeout(Duration::from_millis(1000));
    let client = client(&cluster, 1);
    let load = Load::begin(&client);
    progress(&client, 10);
    cluster.stop(0);
    eventually("a replica takes over", || cluster.primary_of(0) == 3);
    // What was sent to the node is stuck there. Other callers reach its slots, long before that times out.
    let keys = (0..).map(|number| format!("probe:{number}"));
    let key =
        keys.into_iter().find(|key| cluster.ask::<u16>(1, &format!("CLUSTER KEYSLOT {key}")) < 5461).unwrap();
    let mut stuck = 0;
    while block_on(client.incr(&key).timeout(Duration::from_secs(3))).is_err() {
        stuck += 1;
        assert!(stuck < 5, "the client does not find the new primary");
    }
    for caller in load.end(&client) {
        assert!(caller.failed.is_empty() && caller.lost <= 1, "{caller:?}");
    }
}
