//! Permits, probes and places in the queue: each is returned, however a handoff ends.

use super::*;
use crate::proto::connection::HandleId;

#[test]
fn handoff_without_a_permit_returns_none() {
    // Three connections share one permit, and a hanging dial holds it.
    let mut world = World::of(3);
    world.server(B).reachability = Reachability::Silent;
    let start = world.now;
    world.push(A, &moving_to(0, 10, B));
    world.run_until(start, ms(7_999));
    world.server(B).reachability = Reachability::Open;
    world.run_until(start, SECOND * 9);
    assert_eq!(world.take_results(), ["ok"; 2], "they were about to lose their connections");
    assert_eq!(world.pool.maintenance().permits_in_use, 1, "the first still holds it");
}

/// A handoff that waits for half of the grace period has returned its permit already.
#[test]
fn postponed_handoff_returns_its_permit_once() {
    let mut world = World::ready(named(2));
    let name = "redis.example:6379";
    world.announce(A, &moving(0, 30, Some(name)));
    // The first reaches the old server and waits; the second hangs.
    world.run_until_dials(1);
    world.server(A).reachability = Reachability::Silent;
    world.run(SECOND * 3);
    assert_eq!((world.dials.len(), world.pool.maintenance().permits_in_use), (2, 1));
    let put_off = world.pool.parts.entries.iter().position(|entry| entry.successor.is_none()).unwrap();
    // The connection whose handoff waits is lost.
    world.lose((put_off as u32, 1));
    world.run(ms(1));
    assert_eq!(world.pool.maintenance().permits_in_use, 1, "the permit of the other one");
}

#[test]
fn abandoned_handoff_returns_its_permit() {
    let mut world = World::of(3);
    world.server(B).reachability = Reachability::Silent;
    world.push(A, &moving_to(0, 60, B));
    world.run_until_dials(1);
    let dialing = world.pool.parts.entries.iter().position(|entry| entry.successor.is_some()).unwrap();
    world.server(B).reachability = Reachability::Open;
    world.lose((dialing as u32, 1));
    world.run(SECOND);
    let arrived = world.peers().iter().filter(|peer| **peer == Some(B)).count();
    assert_eq!((arrived, world.pool.maintenance().permits_in_use), (2, 0));
}

/// If probes were not returned, a breaker would stay half-open for ever.
#[test]
fn probes_ended_by_a_newer_move_are_returned() {
    let mut world = World::of(9);
    world.server(B).reachability = Reachability::Silent;
    for _ in 0..5 {
        world.pool.parts.handoffs.breakers.of(&B.into()).failed(world.now);
    }
    assert!(world.pool.parts.handoffs.breakers.is_open(&B.into(), world.now));
    world.push(A, &moving_to(1, 60, B));
    world.run(SECOND * 2);
    assert_eq!(world.dials.len(), 3, "three probes");
    assert!(world.pool.parts.handoffs.breakers.is_open(&B.into(), world.now));
    world.push(A, &moving_to(2, 60, C));
    world.run(SECOND * 10);
    assert!(world.all_at(C));
    assert!(!world.pool.parts.handoffs.breakers.is_open(&B.into(), world.now));
    world.server(B).reachability = Reachability::Open;
    world.push(C, &moving_to(3, 60, B));
    world.run(SECOND * 10);
    assert!(world.all_at(B));
}

#[test]
fn probe_after_the_grace_is_returned() {
    let mut config = config();
    config.maint.breaker.probes = 1;
    config.maint.handoff_retries_max = 100;
    let mut world = World::ready(config);
    world.server(B).reachability = Reachability::Refusing;
    world.push(A, &moving_to(0, 2, B));
    world.run_until_dials(3);
    world.run(super::world::LATENCY);
    assert!(world.pool.parts.entries.get(EntryId(0)).unwrap().successor.is_none(), "it backs off");
    // The thread is blocked until the grace period is over, and the breaker half-opens meanwhile.
    for _ in 0..5 {
        world.pool.parts.handoffs.breakers.of(&B.into()).failed(world.now);
    }
    world.pool.parts.handoffs.breakers.of(&B.into()).half_open();
    world.now = world.now.after(SECOND * 5);
    world.pool.handle_timeout(world.now, &mut world.outcomes);
    world.run(ms(1));
    assert_eq!(world.take_results(), ["deadline"]);
    assert!(!world.pool.parts.handoffs.breakers.is_open(&B.into(), world.now), "its only probe is free");
}

#[test]
fn abandoned_successor_blocks_no_other_opt_in() {
    use crate::proto::pool::tests::story::{HELLO_OK, Story};
    let (mut story, ids) = Story::all_ready(config_of(2));
    story.receive(ids[0], moving(1, 2, Some(&B.to_string())));
    story.run(ms(1));
    let successor = story.dialed();
    let (kept, lost) = if successor.entry == ids[0].entry { (ids[0], ids[1]) } else { (ids[1], ids[0]) };
    story.connect(successor, &B.to_string());
    story.written(successor);
    story.receive(successor, HELLO_OK);
    assert!(story.written(successor).contains("MAINT_NOTIFICATIONS"), "it asks for all");
    story.close(lost);
    let waiting = story.redial();
    story.connect(waiting, &B.to_string());
    story.written(waiting);
    story.receive(waiting, HELLO_OK);
    assert_eq!(story.written(waiting), "", "it waits for the answer to the other one");
    story.receive(kept, moving(2, 2, Some(&C.to_string())));
    assert!(!story.pool.connection(successor).is_alive());
    assert!(story.written(waiting).contains("MAINT_NOTIFICATIONS"), "now it asks");
}

/// Servers that move again and again, and never answer, must not make a client collect connections.
#[test]
fn draining_connections_of_an_entry_are_bounded() {
    use crate::proto::pool::tests::story::{ONLY, Server, Story};
    let mut config = config();
    config.connection.command_timeout = SECOND * 600;
    let (mut story, mut current) = Story::ready(config);
    let mut waiting = Vec::new();
    for number in 2..20 {
        story.submit_to(ONLY, HandleId(number), "slow", 1);
        story.written(current);
        let target = server(number as u8).to_string();
        story.receive(current, moving(i64::from(number), 60, Some(&target)));
        story.run(SECOND);
        let Some(next) = story.next_dial() else { break };
        story.accept(next, &target, &Server::new());
        waiting.push(current);
        current = next;
    }
    assert_eq!((waiting.len(), story.pool.maintenance().draining), (8, 8));
    story.run(SECOND);
    assert!(story.next_dial().is_none());
    assert_eq!(story.pool.maintenance().permits_in_use, 0, "a postponed handoff holds no permit");
    // One of them is answered: there is room for another.
    story.receive(waiting[0], b"+slow\r\n");
    story.run(SECOND);
    assert!(story.next_dial().is_some());
}
