//! Where connections go while moves go on: the newest target that is of any use, and otherwise the configured address.

use super::world::LATENCY;
use super::*;
use crate::proto::maint::notification::Notification;

fn announce(world: &mut World, peer: SocketAddr, seq: i64, target: Option<SocketAddr>) {
    let notification =
        Notification::Moving { seq: Some(seq), grace: SECOND * 15, target: target.map(Into::into) };
    let received = world.now;
    world.pool.handle_announcement(Announcement { peer, notification, received }, received);
}

fn dialed(world: &mut World) -> Vec<String> {
    std::mem::take(&mut world.dials).into_iter().map(|dial| dial.to).collect()
}

#[test]
fn breaker_lets_somebody_try_at_a_new_move() {
    let mut world = World::of(1);
    for _ in 0..5 {
        world.pool.breakers.of(&B.into()).failed(world.now);
    }
    world.push(A, &moving_to(1, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(B), "the server may know better");
}

/// Both servers say so, and the later word counts.
#[test]
fn target_of_a_newer_move_keeps_its_connections() {
    let mut world = World::of(2);
    world.server(B).door = Door::Silent;
    world.push(A, &moving_to(1, 15, B));
    world.run(SECOND * 2);
    assert_eq!(dialed(&mut world), [B.to_string()]);
    announce(&mut world, B, 2, Some(A));
    world.run(ms(1));
    assert_eq!(world.take_results(), ["superseded"]);
    world.server(B).door = Door::Open;
    world.run(SECOND * 20);
    assert!(world.all_at(A) && world.dials.is_empty());
    // And a lost connection is dialed there, too.
    let mut world = World::ready(named(1));
    world.push(A, &moving_somewhere(1, 15));
    world.run(SECOND);
    announce(&mut world, B, 2, Some(A));
    world.dns = Ok(vec![C]);
    world.run(SECOND * 20);
    assert!(world.all_at(A) && world.lookups.is_empty(), "it is not asked where it moves to");
}

#[test]
fn target_that_moves_on_while_it_is_dialed_is_left_again() {
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
fn lost_connections_go_to_the_newest_target_that_is_known() {
    let mut world = World::of(1);
    announce(&mut world, server(8), 1, Some(B));
    announce(&mut world, server(9), 2, Some(C));
    world.hang_up(A);
    world.run(SECOND);
    assert_eq!(dialed(&mut world), [C.to_string()]);
    // A later one that names no target says nothing of where to go.
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
        world.pool.breakers.of(&B.into()).failed(world.now);
    }
    world.hang_up(A);
    world.run(ms(500));
    assert_eq!(dialed(&mut world), [A.to_string()]);
}

#[test]
fn move_that_was_given_up_is_not_followed_because_of_another() {
    for is_open in [false, true] {
        let mut world = World::of(1);
        world.server(B).door = Door::Refusing;
        if is_open {
            world.pool.config.maint.breaker.failures = 1;
            for _ in 0..5 {
                world.pool.breakers.of(&B.into()).failed(world.now);
            }
        }
        world.push(A, &moving_to(1, 60, B));
        world.run(SECOND * 5);
        let results = world.take_results();
        assert_eq!(results, [if is_open { "breaker_open" } else { "gave_up" }]);
        world.dials.clear();
        world.server(B).door = Door::Open;
        announce(&mut world, server(9), 1, Some(server(10)));
        world.run(SECOND * 5);
        assert_eq!((dialed(&mut world).len(), world.take_results().len()), (0, 0), "{is_open}");
        assert!(world.all_at(A));
    }
}

/// Too late for another attempt, but not for the server to close.
#[test]
fn target_that_was_not_reached_in_time_is_not_tried_by_who_is_lost() {
    let mut config = config();
    config.maint.handoff_retries_max = 1000;
    config.maint.breaker.failures = 1000;
    let mut world = World::ready(config);
    world.server(B).door = Door::Refusing;
    let start = world.now;
    world.push(A, &moving_to(1, 10, B));
    while world.take_results().is_empty() {
        world.run(LATENCY);
        assert!(world.now.since(start) < SECOND * 10);
    }
    dialed(&mut world);
    world.server(B).door = Door::Open;
    world.hang_up(A);
    world.run(SECOND);
    assert_eq!(dialed(&mut world)[0], A.to_string());
}

/// The address that is dialed again is the one that is left: a connection that was lost meanwhile is not new.
#[test]
fn connection_that_was_lost_before_a_redial_is_redialed_too() {
    let mut world = World::of(2);
    let start = world.now;
    world.push(A, &moving_somewhere(1, 15));
    world.run_until(start, SECOND * 2);
    world.lose((0, 1));
    world.run_until(start, SECOND * 5);
    assert_eq!(world.pool.ready(), (2, 2));
    dialed(&mut world);
    world.run_until(start, SECOND * 14);
    assert_eq!(dialed(&mut world).len(), 2, "both are redialed at half of the grace");
}

#[test]
fn each_answer_of_the_resolver_is_for_the_move_that_asked() {
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
    story.pool.handle_resolved(second, Ok(vec![C]), story.now);
    story.run(ms(1));
    let (successor, endpoint, _) = story.dial().expect("of the second");
    assert_eq!((successor.entry, endpoint), (ids[1].entry, C.into()));
    assert!(story.next_dial().is_none(), "the first has got no answer");
    story.pool.handle_resolved(first, Ok(vec![C]), story.now);
    story.accept(successor, &C.to_string(), &Server::new());
    story.run(ms(1));
    assert_eq!(story.dialed().entry, ids[0].entry);
}

#[test]
fn names_are_not_asked_about_servers_that_nobody_uses_nor_slots_nor_too_often() {
    let migrated = |seq| Notification::Migrated { seq: Some(seq), shards: String::new() };
    let mut world = World::ready(named(1));
    let received = world.now;
    world.pool.handle_announcement(Announcement { peer: C, notification: migrated(1), received }, received);
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
fn names_are_not_asked_while_shutting_down() {
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
