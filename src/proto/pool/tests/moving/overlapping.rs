//! Moves that are repeated, change their target, arrive late, or meet a connection that is being made.

use super::*;

#[test]
fn mv_resend_on_new_connection_no_loop() {
    let mut world = World::of(3);
    let announcement = moving_to(0, 15, B);
    // Every connection that opts in reads it, on the old server and on the new one.
    world.announce(A, &announcement);
    world.server(B).with_opt_in = announcement.clone();
    for _ in 0..3 {
        world.run(SECOND);
        world.push(A, &announcement);
    }
    // A connection that reaches the old server again reads it again.
    world.server(B).reachability = Reachability::Refusing;
    world.push_on((0, 1), &announcement);
    world.run(SECOND * 60);
    assert!(world.all_at(B));
    assert_eq!((world.dials.len(), world.announced()), (3, 1));
    assert_eq!(world.take_results(), ["ok"; 3]);
    assert_eq!(world.announcements.len(), 1);
}

#[test]
fn new_connection_to_the_old_server_is_handed_off() {
    let mut world = World::ready(named(2));
    let start = world.now;
    world.announce(A, &moving_somewhere(0, 15));
    world.run_until(start, SECOND * 3);
    // One is lost; its name still resolves to the old server, which repeats the announcement.
    world.lose((1, 1));
    world.run(SECOND);
    assert!(world.all_at(A));
    world.dns = Ok(vec![B]);
    world.run_until(start, SECOND * 14);
    assert!(world.all_at(B));
    assert_eq!((world.dials.len(), world.take_results()), (3, vec!["ok"; 2]));
}

#[test]
fn mv_second_newer_target() {
    for stage in [Reachability::Silent, Reachability::Open] {
        let mut world = World::of(1);
        world.server(B).reachability = stage;
        world.server(B).is_stalled = true;
        let start = world.now;
        world.push(A, &moving_to(5, 15, B));
        world.run(ms(1_500));
        assert_eq!(world.dials.len(), 1, "the dial is in progress");
        world.push(A, &moving_to(6, 15, C));
        world.run(ms(0));
        assert!(!world.sockets[&(0, 2)].is_open, "and given up at once");
        world.reply_at_last(B);
        world.run(SECOND * 2);
        assert!(world.all_at(C));
        let to: Vec<_> = world.take_dials(start).into_iter().map(|(_, to)| to).collect();
        assert_eq!(to, [B.to_string(), C.to_string()]);
        assert_eq!(world.take_results(), ["superseded", "ok"]);
        // Read out of order, the older one has no effect.
        let stale = world.pool.maintenance().stale;
        world.run(SECOND * 30);
        assert_eq!((world.dials.len(), world.pool.maintenance().stale), (0, stale));
        assert_eq!(world.readies.keys().copied().collect::<Vec<_>>(), [(0, 1), (0, 3)], "one cut-over");
    }
}

#[test]
fn older_move_read_later_is_ignored() {
    let mut world = World::of(2);
    world.push_on((0, 1), &moving_to(6, 15, C));
    world.push_on((1, 1), &moving_to(5, 15, B));
    world.run(SECOND * 5);
    assert!(world.all_at(C));
    assert_eq!((world.dials.len(), world.pool.maintenance().stale), (2, 1));
}

#[test]
fn newer_move_of_the_new_peer_hands_off_again() {
    let mut world = World::of(1);
    world.server(A).is_stalled = true;
    world.submit(0, 0, "slow");
    world.push(A, &moving_to(5, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(B));
    // Another shard still has a connection to the old peer.
    let peer = A;
    let notification = crate::proto::maint::notification::Notification::Moving {
        seq: Some(6),
        grace: SECOND * 15,
        target: Some(C.into()),
    };
    let received = world.now;
    world.pool.handle_announcement(
        Announcement { peer, notification, received },
        received,
        &mut world.outcomes,
    );
    world.run(SECOND * 2);
    assert_eq!((world.all_at(B), world.dials.len()), (true, 1));
    world.push(B, &moving_to(7, 15, C));
    world.run(SECOND * 2);
    assert_eq!((world.all_at(C), world.dials.len()), (true, 2));
    world.reply_at_last(A);
    world.run(ms(5));
    world.assert_unharmed();
}

#[test]
fn mv_same_seq_other_target() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Silent;
    world.push(A, &moving_to(5, 15, B));
    world.run(ms(1_500));
    world.push(A, &moving_to(5, 15, C));
    // A copy of the first does not restore its target.
    world.push(A, &moving_to(5, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(C));
    let stats = world.pool.maintenance();
    assert_eq!((stats.conflicts, stats.duplicates, stats.notifications), (1, 1, 3));
    assert_eq!((world.announced(), world.dials.len()), (2, 2));
}

#[test]
fn mv_during_handshake() {
    let mut with_database = config_of(2);
    let greeting = crate::proto::connection::HandshakeConfig { database: 2, ..Default::default() };
    with_database.connection.handshake = Arc::new(greeting);
    for with_hello in [true, false] {
        for target in [B, A] {
            let mut world = World::new(with_database.clone());
            let server = world.server(A);
            let place = if with_hello { &mut server.with_hello } else { &mut server.with_opt_in };
            *place = moving_to(0, 15, target);
            // One of them asks for notifications first, the other once that was granted.
            world.run(ms(5));
            assert_eq!(world.pool.entries().ready(), (2, 2), "the handshakes go on");
            assert_eq!(world.sockets[&(0, 1)].greeting.last().unwrap(), "SELECT 2");
            assert_eq!(world.closes.len(), 0);
            world.run(SECOND * 60);
            assert!(world.all_at(target));
            let expected = if target == B { 4 } else { 2 };
            assert_eq!(world.dials.len(), expected, "to {target}, with HELLO: {with_hello}");
        }
    }
}

#[test]
fn mv_on_retired_ignored() {
    let mut world = World::of(1);
    world.server(A).is_stalled = true;
    world.submit(0, 0, "slow");
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(B) && world.sockets[&(0, 1)].is_open);
    let before = world.pool.maintenance();
    world.push_on((0, 1), &moving_to(0, 15, B));
    world.push_on((0, 1), &moving_to(1, 15, C));
    world.push_on((0, 1), &opens("MIGRATING", 2, 2, "1"));
    world.run(SECOND * 5);
    let after = world.pool.maintenance();
    assert_eq!(after.stale, before.stale + 3, "they are counted");
    assert_eq!(after.windows_open, before.windows_open);
    assert_eq!((world.all_at(B), world.dials.len(), world.announced()), (true, 1, 1));
    assert_eq!(world.announcements.len(), 1);
}

#[test]
fn mv_stale_after_grace() {
    // No connection could follow the move, and one was not read until the grace period was over.
    let mut world = World::of(2);
    world.server(B).reachability = Reachability::Refusing;
    world.push_on((0, 1), &moving_to(0, 10, B));
    world.run(SECOND * 12);
    assert!(world.all_at(A));
    world.dials.clear();
    world.server(B).reachability = Reachability::Open;
    let before = world.pool.maintenance();
    world.push_on((1, 1), &moving_to(0, 10, B));
    world.run(SECOND * 20);
    let after = world.pool.maintenance();
    assert_eq!((after.duplicates, after.windows_open), (before.duplicates + 1, 0));
    assert!(world.dials.is_empty() && world.all_at(A));
    // It does not move a connection that was made after the grace period either.
    world.hang_up(A);
    world.server(A).with_opt_in = moving_to(0, 10, B);
    world.run(SECOND * 20);
    assert!(world.all_at(A));
    assert!(world.dials.iter().all(|dial| dial.to == A.to_string()));
    assert_eq!(world.announced(), 1);
}

#[test]
fn mv_connect_race() {
    // A dial takes 1 ms, and each of the two flights of the handshake another.
    for step in [0, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 3_500] {
        for resends in [false, true] {
            let mut world = World::of(2);
            world.lose((1, 1));
            world.run_until_dials(1);
            world.submit(1, 0, "waits");
            let dialed = world.dials[0].at;
            world.run_until(dialed, Duration::from_micros(step).max(world.now.since(dialed)));
            world.push_on((0, 1), &moving_to(0, 15, B));
            if resends {
                world.server(A).with_opt_in = moving_to(0, 15, B);
            }
            world.run(SECOND * 5);
            assert!(world.all_at(B), "after {step} µs");
            world.assert_unharmed();
            assert_eq!(world.take_results(), ["ok"; 2], "after {step} µs");
            world.hang_up(A);
            world.run(SECOND * 60);
            assert!(world.all_at(B) && world.dials.len() == 3, "after {step} µs: {:?}", world.dials);
        }
    }
}

#[test]
fn mv_seq_zero_and_restart() {
    let mut world = World::of(1);
    let start = world.now;
    let copies = 3;
    for _ in 0..copies {
        world.push(A, &moving_to(0, 15, B));
    }
    world.run_until(start, SECOND * 5);
    assert_eq!((world.all_at(B), world.announced(), world.dials.len()), (true, 1, 1));
    assert_eq!(world.pool.maintenance().duplicates, copies - 1);
    // It moves back; the records of the old server still count.
    world.push(B, &moving_to(1, 5, A));
    world.run_until(start, SECOND * 20);
    assert_eq!((world.all_at(A), world.dials.len()), (true, 2));
    world.push(A, &moving_to(0, 15, B));
    world.run_until(start, SECOND * 119);
    assert_eq!((world.all_at(A), world.dials.len()), (true, 2), "0 is recorded");
    // The numbers have started again.
    world.run_until(start, SECOND * 121);
    world.push(A, &moving_to(0, 15, B));
    world.run_until(start, SECOND * 130);
    assert_eq!((world.all_at(B), world.dials.len()), (true, 3));
}
