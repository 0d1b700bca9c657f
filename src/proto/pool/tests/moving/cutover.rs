//! Cutting over: which command runs where, in which order, and what the old connection still does.

use super::world::{Key, LATENCY};
use super::*;
use crate::proto::connection::{HandshakeConfig, Secret};

const OLD: Key = (0, 1);

/// A pool with room for this many commands in flight and in the queue.
fn roomy(commands: usize) -> PoolConfig {
    let mut config = config();
    config.connection.in_flight_max = commands;
    config.queue.commands = commands;
    config
}

#[test]
fn mv_make_before_break() {
    let mut world = World::of(1);
    let start = world.now;
    for step in 0..3000_u32 {
        if step == 100 {
            world.push(A, &moving_to(0, 15, B));
        }
        world.submit(0, step % 4, &step.to_string());
        world.run(ms(1));
        assert_eq!(world.pool.entries().ready(), (1, 1), "a connection is ready at all times");
        assert!(world.sockets[&OLD].is_open || world.readies.contains_key(&(0, 2)));
    }
    assert!(world.all_at(B));
    world.run(SECOND);
    world.assert_unharmed();
    let closed: Vec<_> = world.closes.iter().map(|closed| closed.key).collect();
    assert_eq!(closed, [OLD]);
    assert!(matches!(*world.closes[0].reason, CloseReason::Replaced));
    assert!(world.closes[0].at >= world.readies[&(0, 2)]);
    assert!(
        world.closes[0].at <= world.readies[&(0, 2)].after(LATENCY),
        "only its last replies were missing"
    );
    let times: Vec<_> = world.outcomes.answered.iter().map(|(at, _)| *at).collect();
    let gap = times.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap();
    assert!(gap <= 2 * LATENCY + ms(5), "{gap:?} without a reply");
    assert!(world.ran(B).len() > 1000 && start < times[0]);
    assert_eq!(world.take_results(), ["ok"]);
}

#[test]
fn mv_inflight_pipeline_drains_on_old() {
    let mut world = World::ready(roomy(2000));
    world.server(A).is_stalled = true;
    for number in 0..1000_u32 {
        world.submit(0, number % 7, &number.to_string());
    }
    world.run(ms(1));
    assert_eq!(world.pool.entries().depth(), (0, 1000), "all of them are written");
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(B) && world.sockets[&OLD].is_open);
    assert_eq!((world.pool.maintenance().draining, world.outcomes.answered.len()), (1, 0));
    // The first command on the new connection overtakes none of its handle.
    for number in 1000..1007_u32 {
        world.submit(0, number % 7, &number.to_string());
    }
    world.run(SECOND);
    assert!(world.ran(B).is_empty());
    world.reply_at_last(A);
    world.run(ms(5));
    world.assert_unharmed();
    assert!(world.outcomes.tickets().is_sorted());
    let count =
        |ran: Vec<&str>| (ran.len(), ran.first().unwrap().to_string(), ran.last().unwrap().to_string());
    assert_eq!(count(world.ran(A)), (1000, "0".into(), "999".into()));
    assert_eq!(count(world.ran(B)), (7, "1000".into(), "1006".into()));
    assert!(!world.sockets[&OLD].is_open, "it is empty");
}

#[test]
fn mv_unwritten_go_to_new_once() {
    let mut world = World::of(1);
    // Each is 11 bytes long: two are written, and a part of the third.
    world.take_more(OLD, 25);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for (handle, name) in (0..).zip(names) {
        world.submit(0, handle, name);
    }
    world.run(ms(5));
    assert_eq!(world.ran(A), ["a", "b"]);
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 2);
    assert_eq!(world.ran(B), ["d", "e", "f", "g", "h"]);
    assert!(world.sockets[&OLD].is_open, "half of a command is written");
    // The handle of that command waits for its reply; another handle does not.
    world.submit(0, 2, "after c");
    world.submit(0, 99, "i");
    world.run(SECOND);
    assert_eq!(world.ran(B)[5..], ["i"]);
    world.take_more(OLD, usize::MAX);
    world.run(ms(5));
    assert_eq!(world.ran(A), ["a", "b", "c"]);
    assert_eq!(world.ran(B)[6..], ["after c"]);
    world.assert_unharmed();
    assert!(!world.sockets[&OLD].is_open);
}

#[test]
fn mv_never_idle_submitter_cuts_over() {
    let mut world = World::ready(roomy(50));
    let mut submitted = 0;
    let mut keep_full = |world: &mut World| {
        while submitted - world.outcomes.answered.len() < 80 {
            world.submit(0, 1, &format!("{submitted:06}"));
            submitted += 1;
        }
    };
    let told = world.now;
    world.push(A, &moving_to(0, 15, B));
    while world.now.since(told) < ms(1100) {
        keep_full(&mut world);
        world.run(LATENCY / 4);
        assert!(world.pool.entries().depth().1 > 0, "the pipeline is never empty");
    }
    assert!(world.all_at(B));
    assert!(world.readies[&(0, 2)].since(told) <= SECOND + 3 * LATENCY, "a jitter, a dial, and two flights");
    assert!(world.pool.maintenance().hold_max <= LATENCY, "{:?}", world.pool.maintenance().hold_max);
    world.run(SECOND);
    world.assert_unharmed();
    assert!(world.executed.is_sorted_by_key(|one| one.text.clone()), "its order is kept across both");
    assert!(!world.ran(A).is_empty() && !world.ran(B).is_empty());
}

#[test]
fn handles_without_outstanding_replies_are_not_held() {
    let mut world = World::of(1);
    world.server(A).is_stalled = true;
    for number in 0..5 {
        world.submit(0, 1, &format!("x{number}"));
    }
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(B), "a full pipeline does not prevent cutting over");
    for number in 5..8 {
        world.submit(0, 1, &format!("x{number}"));
        world.submit(0, 2, &format!("y{number}"));
    }
    world.run(SECOND);
    assert_eq!(world.ran(B), ["y5", "y6", "y7"]);
    world.reply_at_last(A);
    world.run(LATENCY);
    assert_eq!(world.ran(B)[3..], ["x5", "x6", "x7"]);
    world.run(LATENCY);
    world.assert_unharmed();
    assert!(world.pool.maintenance().hold_max >= SECOND);
}

#[test]
fn mv_server_closes_late() {
    for (target_is_there, late) in [(true, 2), (true, 4), (false, 4)] {
        let mut world = World::of(1);
        world.server(A).is_stalled = true;
        if !target_is_there {
            world.server(B).reachability = Reachability::Refusing;
        }
        let start = world.now;
        world.push(A, &moving_to(0, 3, B));
        world.run(ms(10));
        world.submit(0, 0, "slow");
        world.run_until(start, SECOND * (3 + late));
        assert_eq!(world.all_at(B), target_is_there);
        assert!(world.outcomes.answered.is_empty());
        world.reply_at_last(A);
        world.run(ms(5));
        world.assert_unharmed();
        assert_eq!(world.ran(A), ["slow"]);
    }
}

#[test]
fn server_that_never_closes_is_left_after_its_grace() {
    let mut config = config();
    config.connection.command_timeout = SECOND * 60;
    let mut world = World::ready(config);
    world.server(A).is_stalled = true;
    world.submit(0, 0, "never");
    let start = world.now;
    world.push(A, &moving_to(0, 3, B));
    world.run_until(start, ms(7_999));
    assert!(world.sockets[&OLD].is_open);
    world.run_until(start, ms(8_000));
    assert!(matches!(*world.closes[0].reason, CloseReason::Undrained));
    let [(0, failure)] = &world.outcomes.failed[..] else { panic!("{:?}", world.outcomes.failed) };
    assert!(matches!(failure, Failure::Lost { maintenance: Some("MOVING"), .. }), "{failure:?}");
    assert_eq!(world.pool.maintenance().orphaned, 1);
}

#[test]
fn mv_session_state_carried() {
    let mut config = config();
    let mut greeting = HandshakeConfig {
        username: Some("ann".into()),
        password: Some(Secret("first".into())),
        client_name: Some("app".into()),
        database: 3,
        ..HandshakeConfig::default()
    };
    config.connection.handshake = Arc::new(greeting.clone());
    let mut world = World::ready(config);
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 2);
    let before = world.sockets[&OLD].greeting.clone();
    let hello = "HELLO 3 AUTH ann first SETNAME app";
    assert_eq!((before[0].as_str(), before.last().unwrap().as_str()), (hello, "SELECT 3"));
    assert!(before.iter().any(|command| command.starts_with("CLIENT MAINT_NOTIFICATIONS ON")));
    assert_eq!(world.sockets[&(0, 2)].greeting, before);
    assert!(world.sockets[&(0, 2)].opted_in);
    // The credentials at the moment of the dial count.
    greeting.password = Some(Secret("second".into()));
    world.push(B, &moving_to(1, 15, C));
    world.run(ms(0));
    world.pool.parts.ctx.config.connection.handshake = Arc::new(greeting);
    world.run(SECOND * 2);
    assert!(world.all_at(C));
    let after = &world.sockets[&(0, 3)].greeting;
    assert_eq!(after[0], "HELLO 3 AUTH ann second SETNAME app");
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn shutdown_ends_handoffs_and_waits_for_written_commands() {
    let mut world = World::of(2);
    world.server(A).is_stalled = true;
    world.server(B).reachability = Reachability::Silent;
    world.submit(0, 0, "slow");
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 2);
    assert_eq!(world.connected_to(B), [(0, 2)], "it is being dialed, and the other has no permit");
    let now = world.now;
    world.pool.shut_down(now, now.after(SECOND), &mut world.outcomes);
    world.run(ms(0));
    assert!(world.connected_to(B).is_empty() && !world.pool.is_shut_down());
    assert_eq!(world.connected_to(A), [(0, 1)]);
    let stats = world.pool.maintenance();
    assert_eq!((stats.permits_in_use, stats.handoffs_queued), (0, 0));
    world.run(ms(500));
    world.reply_at_last(A);
    world.run(ms(1));
    assert!(world.pool.is_shut_down());
    world.assert_unharmed();
    assert_eq!((world.dials.len(), world.take_results()), (1, vec!["abandoned"]));
}

#[test]
fn mv_client_close_mid_handoff() {
    type Prepare = fn(&mut World);
    let scenes: [(&str, Prepare); 6] = [
        ("waiting for its moment", |world| world.push(A, &moving_to(0, 15, B))),
        ("dialing", |world| {
            world.server(B).reachability = Reachability::Silent;
            world.push(A, &moving_to(0, 15, B));
            world.run(SECOND * 2);
        }),
        ("shaking hands", |world| {
            world.server(B).is_stalled = true;
            world.push(A, &moving_to(0, 15, B));
            world.run(SECOND * 2);
        }),
        ("backing off", |world| {
            world.server(B).reachability = Reachability::Refusing;
            world.push(A, &moving_to(0, 2, B));
            world.run_until_dials(2);
        }),
        ("looking up", |world| {
            world.push(A, &moving_somewhere(0, 15));
            world.run(SECOND * 9);
        }),
        ("draining", |world| {
            world.server(A).is_stalled = true;
            world.submit(0, 0, "slow");
            world.push(A, &moving_to(0, 15, B));
            world.run(SECOND * 2);
            assert!(world.all_at(B));
            world.reply_at_last(A);
        }),
    ];
    for (scene, prepare) in scenes {
        let mut world = World::ready(named(1));
        prepare(&mut world);
        world.run(ms(0));
        let before = world.now;
        world.pool.shut_down(before, before.after(SECOND), &mut world.outcomes);
        world.run(LATENCY);
        assert!(world.pool.is_shut_down(), "{scene}");
        assert_eq!(world.pool.next_timeout(), None, "{scene}: a timer is left");
        assert!(world.sockets.values().all(|socket| !socket.is_open), "{scene}: a socket is left");
        let stats = world.pool.maintenance();
        assert_eq!((stats.permits_in_use, stats.handoffs_queued, stats.draining), (0, 0, 0), "{scene}");
        assert_eq!(stats.handoffs_started, stats.handoffs_succeeded + stats.handoffs_failed, "{scene}");
        world.assert_unharmed();
        world.dials.clear();
        world.run(SECOND * 100);
        assert!(world.dials.is_empty() && world.lookups.iter().all(|at| *at <= before), "{scene}");
    }
}
