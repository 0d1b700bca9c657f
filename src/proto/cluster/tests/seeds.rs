//! Many random schedules: whatever happens to the cluster, commands keep their order, and none runs twice.

use std::collections::{BTreeMap, BTreeSet};

use super::servers::slot;
use super::world::World;
use crate::proto::cluster::AddressMap;
use crate::proto::error::Outcome;
use crate::proto::pool::ConnectionId;
use crate::proto::resp::Frame;

const KEYS: [&str; 5] = ["a", "{a}2", "b", "c", "foo"];
const PORTS: [u16; 5] = [7000, 7001, 7002, 7003, 7004];

/// One random schedule. Each handle has lists of its own, to which it appends the numbers of its commands.
struct Schedule {
    world: World,
    random: fastrand::Rng,
    /// The commands of each handle and key, in the order of submission.
    sent: BTreeMap<(u32, &'static str), Vec<u32>>,
}

impl Schedule {
    fn new(seed: u64) -> Schedule {
        let mut world = World::with(AddressMap::default(), seed, &[7000, 7001]);
        world.servers.up = PORTS.into();
        Schedule { world, random: fastrand::Rng::with_seed(seed), sent: BTreeMap::new() }
    }

    fn step(&mut self) {
        match self.random.u32(0..100) {
            0..40 => self.send(),
            40..60 => self.on_a_socket(World::write),
            60..80 => self.on_a_socket(World::read),
            80..86 => drop(self.world.act()),
            86..90 => {
                let ms = self.random.u64(0..30);
                self.world.advance_by_timeouts(ms);
            }
            90..94 => self.move_slot(),
            94..96 => self.migrate_keys(),
            96..98 => self.refuse(),
            98 => self.lie(),
            _ => self.kill(),
        }
    }

    fn send(&mut self) {
        let (handle, key) = (self.random.u32(0..3), *self.random.choice(&KEYS).unwrap());
        // The hash tag keeps the slot, and the handle makes the key its own.
        let tag = key.trim_start_matches('{').split('}').next().unwrap();
        let ticket = self.world.next_ticket();
        let command = format!("RPUSH {{{tag}}}{key}.{handle} {ticket}");
        assert_eq!(self.world.submit(handle, &[&command]), ticket);
        self.sent.entry((handle, key)).or_default().push(ticket);
    }

    fn on_a_socket(&mut self, act: fn(&mut World, ConnectionId) -> bool) {
        let ids: Vec<ConnectionId> = self.world.sockets.keys().copied().collect();
        if let Some(id) = self.random.choice(ids) {
            act(&mut self.world, id);
        }
    }

    fn move_slot(&mut self) {
        let slot = slot(self.random.choice(&KEYS).unwrap());
        self.world.servers.migrating.remove(&slot);
        let port = *self.random.choice(&PORTS).unwrap();
        self.world.servers.give(slot, port);
    }

    /// Some keys of a slot are at another node already.
    fn migrate_keys(&mut self) {
        let key = *self.random.choice(&KEYS).unwrap();
        let slot = slot(key);
        let from = self.world.servers.owner(slot);
        let to = *self.random.choice(&PORTS).unwrap();
        if from != to {
            let handles = 0..self.random.u32(1..4);
            let tag = key.trim_start_matches('{').split('}').next().unwrap();
            let moved: BTreeSet<String> = handles.map(|handle| format!("{{{tag}}}{key}.{handle}")).collect();
            self.world.servers.migrating.insert(slot, (from, to, moved));
        }
    }

    fn refuse(&mut self) {
        let replies = ["TRYAGAIN x", "CLUSTERDOWN x", "LOADING x", "READONLY x"];
        let reply = self.random.choice(replies).unwrap();
        let port = *self.random.choice(&PORTS).unwrap();
        self.world.servers.scripted.entry(port).or_default().push_back(reply.to_owned());
    }

    /// A node sees the cluster as it was, or as empty.
    fn lie(&mut self) {
        let port = *self.random.choice(&PORTS).unwrap();
        let view = if self.random.bool() { self.world.servers.view() } else { "*0\r\n".to_owned() };
        if self.world.servers.views.remove(&port).is_none() {
            self.world.servers.views.insert(port, view);
        }
    }

    /// A node restarts, and another one takes its slots.
    fn kill(&mut self) {
        let port = *self.random.choice(&PORTS).unwrap();
        let others: Vec<u16> = PORTS.into_iter().filter(|other| *other != port).collect();
        let heir = self.random.choice(others).unwrap();
        self.world.kill(port);
        for owner in self.world.servers.owners.values_mut().filter(|owner| **owner == port) {
            *owner = heir;
        }
        self.world.servers.migrating.retain(|_, (from, to, _)| *from != port && *to != port);
        self.world.servers.up.insert(port);
    }

    /// The trouble ends: everything is answered soon, and the order is right.
    fn finish(&mut self, seed: u64) {
        self.world.servers.scripted.clear();
        self.world.servers.views.clear();
        self.world.servers.migrating.clear();
        self.world.settle();
        self.world.advance_by_timeouts(12_000);
        for tickets in self.sent.values() {
            for ticket in tickets {
                assert!(self.world.delivered.done.contains(ticket), "seed {seed}: {ticket} has no answer");
            }
        }
        for (key, values) in &self.world.servers.lists {
            let tickets: Vec<u32> = values.iter().map(|value| value.parse().unwrap()).collect();
            let distinct: BTreeSet<u32> = tickets.iter().copied().collect();
            assert_eq!(distinct.len(), tickets.len(), "seed {seed}: {key} has a value twice: {tickets:?}");
            for (index, later) in tickets.iter().enumerate() {
                for earlier in tickets[index..].iter().filter(|earlier| *earlier < later) {
                    let pair = (earlier.to_string(), later.to_string());
                    let is_known = self.world.servers.overtaken.contains(&pair);
                    let log = self.world.servers.log.iter().filter(|(_, line)| line.contains(key.as_str()));
                    assert!(
                        is_known,
                        "seed {seed}: {later} overtook {earlier}: {:#?}",
                        log.collect::<Vec<_>>()
                    );
                }
            }
            for ticket in &tickets {
                let was_told = self.world.delivered.outcome(*ticket) != Some(Outcome::Unsent);
                assert!(
                    was_told,
                    "seed {seed}: {ticket} was executed, and its caller was told that it was not"
                );
            }
        }
        for (ticket, replies) in &self.world.delivered.replies {
            let [Frame::Integer(place)] = replies.as_slice() else { continue };
            let index = usize::try_from(*place - 1).unwrap();
            let is_there =
                self.world.servers.lists.values().any(|list| list.get(index) == Some(&ticket.to_string()));
            assert!(is_there, "seed {seed}: {ticket} got the reply of another command");
        }
        let ready = self.world.cluster.ready();
        assert_eq!(ready.0, ready.1, "seed {seed}: all owners are connected");
    }
}

fn run(seed: u64) {
    let mut schedule = Schedule::new(seed);
    for _ in 0..300 {
        schedule.step();
    }
    schedule.finish(seed);
}

/// `HITLESS_SEEDS` sets how many schedules run, and `HITLESS_SEED` the first of them.
#[test]
fn commands_keep_their_order_and_run_at_most_once() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let first = number("HITLESS_SEED", 0);
    for seed in first..first + number("HITLESS_SEEDS", 100) {
        run(seed);
    }
}
