//! Moves to targets that a client refuses.

use super::*;
use crate::proto::targets::{MOVING_TARGETS_MAX, Redirection};

/// A target that a server at [`A`] may not name.
const LOOPBACK: &str = "127.0.0.1:6379";

/// The targets whose refusal was reported, and why.
fn refused(world: &World) -> Vec<(String, &str)> {
    let told = world.events.iter().filter_map(|event| match event {
        Event::TargetRefused { peer, redirection, target, reason } => {
            assert_eq!((*peer, *redirection), (A, Redirection::Moving));
            Some((target.to_string(), reason.as_str()))
        }
        _ => None,
    });
    told.collect()
}

/// Whether a socket was ever opened to this address.
fn was_reached(world: &World, address: &str) -> bool {
    world.sockets.values().any(|socket| socket.peer == address.parse().unwrap())
}

#[test]
fn sc_refused_target_old_serves() {
    // A configured name: it is resolved again halfway through the grace period, to another address.
    let mut world = World::ready(named(3));
    let start = world.now;
    world.dns = Ok(vec![B]);
    for _ in 0..3 {
        world.push(A, &moving(0, 10, Some(LOOPBACK)));
        world.submit(0, 0, "served");
        world.run(ms(100));
    }
    assert_eq!(refused(&world).len(), 1, "one target is reported once: {:?}", world.events);
    assert!(refused(&world)[0].1.contains("loopback") && refused(&world)[0].1.contains("private"));
    assert_eq!(world.pool.maintenance().targets_refused, 1, "copies are not counted");
    world.run_until(start, ms(4_999));
    assert!(world.dials.is_empty() && world.lookups.is_empty() && world.all_at(A));
    world.submit(0, 0, "still served");
    world.run_until(start, ms(5_500));
    assert!(world.all_at(B), "as a move without a target");
    world.hang_up(A);
    world.run(SECOND * 20);
    world.assert_unharmed();
    assert!(!was_reached(&world, LOOPBACK));

    // A configured address: it is dialed again, also after the server has closed.
    let mut world = World::of(2);
    let start = world.now;
    world.announce(A, &moving(0, 10, Some(LOOPBACK)));
    world.run_until(start, ms(4_999));
    assert!(world.dials.is_empty());
    world.run_until(start, SECOND * 10);
    assert!(world.take_dials(start).iter().all(|(at, to)| *at >= ms(5_000) && *to == A.to_string()));
    world.server(A).with_opt_in = String::new();
    world.hang_up(A);
    world.run(SECOND * 3);
    world.submit(0, 0, "after it");
    world.run(SECOND);
    world.assert_unharmed();
    assert!(world.all_at(A) && !was_reached(&world, LOOPBACK));
}

#[test]
fn sc_target_class_checked_after_resolution() {
    let mut world = World::ready(named(4));
    let start = world.now;
    world
        .names
        .insert("evil.example", vec![LOOPBACK.parse().unwrap(), "169.254.169.254:6379".parse().unwrap()]);
    world.dns = Ok(vec![B]);
    world.push(A, &moving(0, 10, Some("evil.example:6379")));
    world.run_until(start, ms(4_900));
    // A name is resolved before it can be judged; no connection is dialed to it, not even later.
    assert!(world.all_at(A) && refused(&world).len() == 1, "{:?}", world.events);
    assert!(world.dials.len() <= 4 && world.dials.iter().all(|dial| dial.to == "evil.example:6379"));
    assert!(
        world.sockets.values().all(|socket| socket.peer.ip() == A.ip() || socket.peer.ip() == server(0).ip())
    );
    world.submit(0, 0, "served");
    world.run_until(start, ms(5_500));
    assert!(world.all_at(B), "the configured name is resolved halfway through the grace period");
    assert_eq!(world.pool.maintenance().permits_in_use, 0, "permits are returned");
    world.hang_up(A);
    world.run(SECOND * 60);
    world.assert_unharmed();

    // Of several addresses, the allowed ones are dialed.
    let mut world = World::ready(named(1));
    world.names.insert("node.example", vec![LOOPBACK.parse().unwrap(), B]);
    world.push(A, &moving(0, 10, Some("node.example:6379")));
    world.run(SECOND * 2);
    assert!(world.all_at(B) && refused(&world).is_empty() && !was_reached(&world, LOOPBACK));

    // An entry without a connection is not dialed there either.
    let mut world = World::ready(named(1));
    world.names.insert("evil.example", vec![LOOPBACK.parse().unwrap()]);
    world.push(A, &moving(0, 10, Some("evil.example:6379")));
    world.hang_up(A);
    world.run(SECOND * 2);
    assert!(world.all_at(A) && !was_reached(&world, LOOPBACK));
}

#[test]
fn refused_targets_do_not_delay_the_configured_name() {
    // Without a number, every other target is another move.
    let mut world = World::ready(named(1));
    let start = world.now;
    world.dns = Ok(vec![B]);
    let unnumbered = format!(">4\r\n+MOVING\r\n_\r\n:4\r\n+{LOOPBACK}\r\n");
    for _ in 0..100 {
        world.push(A, &unnumbered);
        world.run(ms(20));
    }
    world.run_until(start, ms(2_100));
    assert!(world.all_at(B), "{:?}", world.lookups);
    assert_eq!(refused(&world).len(), 1);
}

#[test]
fn flood_of_targets_is_bounded() {
    let mut world = World::ready(named(1));
    for number in 0..300 {
        let name = format!("name-{number}.example:6379");
        world.push(A, &moving(number, 10, Some(&name)));
        world.submit(0, 0, &name);
        world.run(ms(20));
    }
    let mut dialed: Vec<_> = world.dials.iter().map(|dial| dial.to.clone()).collect();
    dialed.dedup();
    assert!(dialed.len() <= MOVING_TARGETS_MAX + 2, "{}", dialed.len());
    let stats = world.pool.maintenance();
    assert!(stats.targets_refused >= 260, "{stats:?}");
    assert!(refused(&world).len() <= 32, "{}", refused(&world).len());
    world.assert_unharmed();
}
