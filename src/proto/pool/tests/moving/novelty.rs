//! Which notifications are new: copies, conflicts, moves without numbers, and what other shards have read.

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
    world.pool.handle_announcement(Announcement { peer, notification, received }, now, &mut world.outcomes);
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
fn copies_of_an_unnumbered_move_are_one_move() {
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
fn unnumbered_move_is_new_after_grace_or_with_another_target() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Refusing;
    world.push(A, &unnumbered(5, Some(B)));
    world.run(SECOND * 5);
    world.server(B).reachability = Reachability::Open;
    world.push(A, &unnumbered(5, Some(B)));
    world.run(SECOND * 2);
    assert_eq!((told(&world), world.all_at(B)), ((2, 0), true));
    // Back to the first server: it names another target, and then none.
    world.push(B, &unnumbered(5, Some(A)));
    world.run(SECOND * 6);
    assert!(world.all_at(A));
    world.server(B).reachability = Reachability::Silent;
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
fn target_named_after_a_move_without_one_is_new() {
    let mut world = World::ready(named(1));
    world.push(A, &unnumbered(15, None));
    world.run(ms(10));
    world.push(A, &unnumbered(15, Some(B)));
    world.run(SECOND * 2);
    assert_eq!((told(&world), world.all_at(B)), ((2, 0), true));
}

/// The grace period may be over or missing: servers take some time to close their sockets all the same.
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
fn notification_of_another_shard_counts_from_its_reading() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Silent;
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
fn conflict_of_another_shard_is_followed_stale_news_not() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Silent;
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
fn disabled_or_closing_pool_ignores_other_shards() {
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
fn window_confirmed_by_another_shard_outlives_its_reporter() {
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
fn unread_events_and_unreached_peers_are_bounded() {
    let mut world = World::of(1);
    let now = world.now;
    for number in 0..5_000_u16 {
        let [high, low] = number.to_be_bytes();
        let peer = SocketAddr::from(([10, 9, high, low], 6379));
        read_by_another(&mut world, peer, announced(1, 15, B), now);
    }
    assert!(world.pool.parts.maintenance.peers.iter().count() <= 64);
    let events = std::iter::from_fn(|| world.pool.poll_event()).count();
    assert!(events <= 1024, "{events}");
    // What was spoken of last is what is known.
    world.push(A, &moving_to(2, 15, C));
    world.run(SECOND * 2);
    assert!(world.all_at(C));
}
