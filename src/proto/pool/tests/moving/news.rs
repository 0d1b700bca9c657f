//! What is news and what is not: copies, conflicts, moves without numbers, and what other shards have read.

use super::*;
use crate::proto::maint::mode::Mode;
use crate::proto::maint::notification::Notification;

/// `MOVING` without a number.
fn unnumbered(grace_s: i64, target: Option<SocketAddr>) -> String {
    let target = target.map(|target| target.to_string());
    moving(77, grace_s, target.as_deref()).replacen(":77\r\n", "_\r\n", 1)
}

fn read_by_another(world: &mut World, peer: SocketAddr, notification: Notification, received: Instant) {
    let now = world.now;
    world.pool.handle_announcement(Announcement { peer, notification, received }, now);
}

fn announced(seq: i64, grace_s: u64, target: SocketAddr) -> Notification {
    let grace = Duration::from_secs(grace_s);
    Notification::Moving { seq: Some(seq), grace, target: Some(target.into()) }
}

/// How many different events, and how many copies.
fn told(world: &World) -> (usize, u64) {
    (world.announced(), world.pool.maintenance().duplicates)
}

#[test]
fn move_without_a_number_is_one_move_however_often_it_comes() {
    for (config, target) in [(config_of(2), Some(B)), (config_of(2), None), (named(2), None)] {
        let mut world = World::ready(config);
        world.dns = Ok(vec![A]);
        world.push_on((0, 1), &unnumbered(15, target));
        world.push_on((0, 1), &unnumbered(15, target));
        world.run(ms(100));
        world.push_on((1, 1), &unnumbered(15, target));
        world.run(ms(100));
        assert_eq!(told(&world), (1, 2), "{target:?}");
        assert_eq!(world.announcements.len(), 1, "{target:?}");
    }
}

#[test]
fn move_without_a_number_is_new_after_its_grace_and_with_another_target() {
    let mut world = World::of(1);
    world.server(B).door = Door::Refusing;
    world.push(A, &unnumbered(5, Some(B)));
    world.run(SECOND * 5);
    world.server(B).door = Door::Open;
    world.push(A, &unnumbered(5, Some(B)));
    world.run(SECOND * 2);
    assert_eq!((told(&world), world.all_at(B)), ((2, 0), true));
    // Back to the first, which had said where to go: now it says something else, and then nothing in particular.
    world.push(B, &unnumbered(5, Some(A)));
    world.run(SECOND * 6);
    assert!(world.all_at(A));
    world.server(B).door = Door::Silent;
    world.push(A, &unnumbered(5, Some(B)));
    world.run(ms(10));
    world.push(A, &unnumbered(5, Some(C)));
    world.run(ms(10));
    assert_eq!(told(&world), (5, 0));
    world.push(A, &unnumbered(5, None));
    world.run(ms(10));
    assert_eq!(told(&world), (6, 0), "no target is another target");
    world.push(A, &unnumbered(5, Some(C)));
    world.run(ms(10));
    assert_eq!(told(&world), (7, 0), "and the other way round");
}

#[test]
fn target_after_a_move_without_one_is_news_though_no_name_has_led_anywhere() {
    let mut world = World::ready(named(1));
    world.push(A, &unnumbered(15, None));
    world.run(ms(10));
    world.push(A, &unnumbered(15, Some(B)));
    world.run(SECOND * 2);
    assert_eq!((told(&world), world.all_at(B)), ((2, 0), true));
}

/// The grace may be over, or never given: servers take some time to close their sockets all the same.
#[test]
fn move_without_grace_is_followed_at_once() {
    for grace_s in [0, -1] {
        let mut world = World::of(2);
        world.push(A, &moving_to(0, grace_s, B));
        world.run(ms(500));
        assert!(world.all_at(B), "{grace_s}");
    }
}

#[test]
fn what_another_shard_read_counts_from_when_it_was_read() {
    let mut world = World::of(1);
    world.server(B).door = Door::Silent;
    world.run(SECOND * 20);
    let received = Instant::from_nanos(world.now.as_nanos() - 14_000_000_000);
    read_by_another(&mut world, A, announced(1, 15, B), received);
    assert_eq!(world.pool.maintenance().windows_open, 1);
    world.run(ms(900));
    assert_eq!(world.pool.maintenance().windows_open, 1);
    assert!(world.dials.iter().all(|dial| dial.to == B.to_string()) && !world.dials.is_empty());
    world.run(ms(200));
    assert_eq!((world.pool.maintenance().windows_open, world.take_results()), (0, vec!["deadline"]));
}

#[test]
fn another_shards_conflict_is_followed_and_its_stale_news_is_not() {
    let mut world = World::of(1);
    world.server(B).door = Door::Silent;
    world.push(A, &moving_to(5, 15, B));
    world.run(SECOND);
    let now = world.now;
    read_by_another(&mut world, A, announced(4, 15, B), now);
    read_by_another(&mut world, A, announced(5, 15, C), now);
    world.run(SECOND * 2);
    assert!(world.all_at(C));
    assert_eq!(world.announced(), 2);
}

#[test]
fn other_shards_are_not_heard_where_maintenance_is_off_nor_at_the_end() {
    let mut config = config();
    config.maint.mode = Mode::Disabled;
    config.connection.handshake =
        Arc::new(crate::proto::connection::HandshakeConfig { mode: Mode::Disabled, ..Default::default() });
    let mut world = World::ready(config);
    let now = world.now;
    read_by_another(&mut world, A, announced(1, 15, B), now);
    world.run(SECOND * 2);
    assert_eq!((world.dials.len(), world.pool.maintenance().windows_open), (0, 0));

    let mut world = World::of(1);
    world.server(A).is_stalled = true;
    world.submit(0, 0, "slow");
    world.run(ms(1));
    let now = world.now;
    world.pool.shut_down(now, now.after(SECOND), &mut world.outcomes);
    read_by_another(&mut world, A, announced(1, 15, B), now);
    assert_eq!(world.pool.maintenance().windows_open, 0);
}

#[test]
fn window_that_another_shard_confirms_outlives_its_reporter() {
    for is_confirmed in [true, false] {
        let mut world = World::of(2);
        world.push_on((0, 1), &opens("MIGRATING", 1, 30, "7"));
        world.run(ms(1));
        let migrating = world.announcements[0].notification.clone();
        if is_confirmed {
            let now = world.now;
            read_by_another(&mut world, A, migrating, now);
        }
        world.lose((0, 1));
        world.run(ms(1));
        assert_eq!(world.pool.maintenance().windows_open, usize::from(is_confirmed));
    }
}

#[test]
fn events_that_nobody_takes_and_peers_that_nobody_reaches_are_bounded() {
    let mut world = World::of(1);
    let now = world.now;
    for number in 0..5_000_u16 {
        let [high, low] = number.to_be_bytes();
        let peer = SocketAddr::from(([10, 9, high, low], 6379));
        read_by_another(&mut world, peer, announced(1, 15, B), now);
    }
    assert!(world.pool.peers.iter().count() <= 64);
    let events = std::iter::from_fn(|| world.pool.poll_event()).count();
    assert!(events <= 1024, "{events}");
    // What was spoken of last is what is known.
    world.push(A, &moving_to(2, 15, C));
    world.run(SECOND * 2);
    assert!(world.all_at(C));
}
