//! Where connections are dialed during moves: to the newest target that works, and otherwise to the configured address.

use super::world::LATENCY;
use super::*;
use crate::proto::maint::notification::Notification;

fn announce(world: &mut World, peer: SocketAddr, seq: i64, target: Option<SocketAddr>) {
    let notification =
        Notification::Moving { seq: Some(seq), grace: SECOND * 15, target: target.map(Into::into) };
    let received = world.now;
    world.pool.handle_announcement(
        Announcement { peer, notification, received },
        received,
        &mut world.outcomes,
    );
}

fn dialed(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.dials).into_iter().map(|dial| dial.to).collect()
}

#[test]
fn breaker_allows_probes_at_a_new_move() {
    let mut world = World::of(1);
    for _ in 0..5 {
        world.pool.parts.handoffs.breakers.of(&B.into()).failed(world.now);
    }
    world.push(A, &moving_to(1, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(B), "a new announcement half-opens the breaker");
}

/// Both servers announce a move to each other; the later one counts.
#[test]
fn target_of_a_newer_move_keeps_its_connections() {
    let mut world = World::of(2);
    world.server(B).reachability = Reachability::Silent;
    world.push(A, &moving_to(1, 15, B));
    world.run(SECOND * 2);
    assert_eq!(dialed(&mut world), [B.to_string()]);
    announce(&mut world, B, 2, Some(A));
    world.run(ms(1));
    assert_eq!(world.take_results(), ["superseded"]);
    world.server(B).reachability = Reachability::Open;
    world.run(SECOND * 20);
    assert!(world.all_at(A) && world.dials.is_empty());
    // A lost connection is dialed there as well.
    let mut world = World::ready(named(1));
    world.push(A, &moving_somewhere(1, 15));
    world.run(SECOND);
    announce(&mut world, B, 2, Some(A));
    world.dns = Ok(vec![C]);
    world.run(SECOND * 20);
    assert!(world.all_at(A) && world.lookups.is_empty(), "no look-up for its own move");
}

#[test]
fn target_that_moves_while_dialed_is_left_again() {
    let mut world = World::of(1);
    world.server(B).is_stalled = true;
    world.push(A, &moving_to(1, 15, B));
    world.run_until_dials(1);
    world.run(LATENCY);
    announce(&mut world, B, 2, Some(C));
    world.reply_at_last(B);
    world.run(SECOND * 3);
    assert!(world.all_at(C));
    assert_eq!(world.take_results(), ["ok"; 2]);
}

#[test]
fn lost_connections_go_to_the_newest_known_target() {
    let mut world = World::of(1);
    announce(&mut world, server(8), 1, Some(B));
    announce(&mut world, server(9), 2, Some(C));
    world.hang_up(A);
    world.run(SECOND);
    assert_eq!(dialed(&mut world), [C.to_string()]);
    // A later move without a target changes nothing.
    let mut world = World::ready(named(1));
    announce(&mut world, A, 1, Some(B));
    announce(&mut world, C, 2, None);
    world.hang_up(A);
    world.run(ms(500));
    assert_eq!(dialed(&mut world)[0], B.to_string());
}

#[test]
fn lost_connections_do_not_go_where_a_breaker_is_open() {
    let mut world = World::of(1);
    announce(&mut world, C, 1, Some(B));
    for _ in 0..5 {
        world.pool.parts.handoffs.breakers.of(&B.into()).failed(world.now);
    }
    world.hang_up(A);
    world.run(ms(500));
    assert_eq!(dialed(&mut world), [A.to_string()]);
}

#[test]
fn failed_move_is_not_followed_because_of_another() {
    for is_open in [false, true] {
        let mut world = World::of(1);
        world.server(B).reachability = Reachability::Refusing;
        if is_open {
            world.pool.parts.ctx.config.maint.breaker.failures = 1;
            for _ in 0..5 {
                world.pool.parts.handoffs.breakers.of(&B.into()).failed(world.now);
            }
        }
        world.push(A, &moving_to(1, 60, B));
        world.run(SECOND * 5);
        let results = world.take_results();
        assert_eq!(results, [if is_open { "breaker_open" } else { "gave_up" }]);
        world.dials.clear();
        world.server(B).reachability = Reachability::Open;
        announce(&mut world, server(9), 1, Some(server(10)));
        world.run(SECOND * 5);
        assert_eq!((dialed(&mut world).len(), world.take_results().len()), (0, 0), "{is_open}");
        assert!(world.all_at(A));
    }
}

/// The deadline leaves no time for another attempt, but the server has not closed yet.
#[test]
fn lost_connection_skips_a_target_missed_in_time() {
    let mut config = config();
    config.maint.handoff_retries_max = 1000;
    config.maint.breaker.failures = 1000;
    let mut world = World::ready(config);
    world.server(B).reachability = Reachability::Refusing;
    let start = world.now;
    world.push(A, &moving_to(1, 10, B));
    while world.take_results().is_empty() {
        world.run(LATENCY);
        assert!(world.now.since(start) < SECOND * 10);
    }
    dialed(&mut world);
    world.server(B).reachability = Reachability::Open;
    world.hang_up(A);
    world.run(SECOND);
    assert_eq!(dialed(&mut world)[0], A.to_string());
}

/// The address that is dialed again is the one that is left: a connection made meanwhile has to be replaced as well.
#[test]
fn connection_lost_before_a_redial_is_redialed_as_well() {
    let mut world = World::of(2);
    let start = world.now;
    world.push(A, &moving_somewhere(1, 15));
    world.run_until(start, SECOND * 2);
    world.lose((0, 1));
    world.run_until(start, SECOND * 5);
    assert_eq!(world.pool.entries().ready(), (2, 2));
    dialed(&mut world);
    world.run_until(start, SECOND * 14);
    assert_eq!(dialed(&mut world).len(), 2, "both are redialed halfway through the grace period");
}

#[test]
fn each_look_up_answers_the_move_that_asked() {
    use crate::proto::pool::tests::story::{Server, Story};
    let mut story = Story::new(named(2));
    let ids: Vec<_> = [A, B]
        .into_iter()
        .map(|peer| {
            let id = story.dialed();
            story.accept(id, &peer.to_string(), &Server::new());
            id
        })
        .collect();
    for id in &ids {
        story.receive(*id, moving_somewhere(1, 10));
    }
    story.run(SECOND * 5);
    let (first, second) = (story.lookup().expect("of A"), story.lookup().expect("of B"));
    story.pool.handle_resolved(second, Ok(vec![C]), story.now, &mut story.delivered);
    story.run(ms(1));
    let (successor, endpoint, _) = story.dial().expect("the dial of the second move");
    assert_eq!((successor.entry, endpoint), (ids[1].entry, C.into()));
    assert!(story.next_dial().is_none(), "the first look-up is not answered");
    story.pool.handle_resolved(first, Ok(vec![C]), story.now, &mut story.delivered);
    story.accept(successor, &C.to_string(), &Server::new());
    story.run(ms(1));
    assert_eq!(story.dialed().entry, ids[0].entry);
}

#[test]
fn unused_servers_and_slot_moves_cause_no_look_up() {
    let migrated = |seq| Notification::Migrated { seq: Some(seq), shards: String::new() };
    let mut world = World::ready(named(1));
    let received = world.now;
    world.pool.handle_announcement(
        Announcement { peer: C, notification: migrated(1), received },
        received,
        &mut world.outcomes,
    );
    world.push(A, &crate::proto::pool::tests::story::smigrated(2, &[["a", "b", "1"]]));
    world.run(SECOND * 5);
    assert!(world.lookups.is_empty());
    let start = world.now;
    world.push(A, &closes("MIGRATED", 3, "1"));
    world.run(ms(100));
    world.push(A, &closes("MIGRATED", 4, "2"));
    world.run_until(start, ms(1_900));
    assert_eq!(world.lookups.len(), 1, "it is watched already");
    world.run_until(start, SECOND * 60);
    assert!((14..=16).contains(&world.lookups.len()), "{}", world.lookups.len());
}

#[test]
fn shutdown_causes_no_look_up() {
    let mut world = World::ready(named(1));
    world.server(A).is_stalled = true;
    world.submit(0, 0, "slow");
    world.push(A, &moving_somewhere(1, 4));
    world.run(ms(100));
    let now = world.now;
    world.pool.shut_down(now, now.after(SECOND * 60), &mut world.outcomes);
    world.run(SECOND * 10);
    assert!(world.lookups.is_empty());
}
