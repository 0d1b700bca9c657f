//! Moves without a target, or to the server that announces them, and servers that leave without an announcement.

use super::world::LATENCY;
use super::*;
use crate::proto::connection::HandshakeConfig;
use crate::proto::maint::mode::EndpointType;

#[test]
fn mv_null_half_grace() {
    for (grace_s, half) in [(15, ms(7_500)), (1, ms(500)), (3, ms(1_500))] {
        // An address is dialed again.
        let mut world = World::of(3);
        let start = world.now;
        world.push(A, &moving_somewhere(0, grace_s));
        world.run_until(start, half - Duration::from_nanos(1));
        assert!(world.dials.is_empty() && world.lookups.is_empty());
        world.run_until(start, half);
        assert_eq!(world.take_dials(start)[0], (half, A.to_string()), "grace {grace_s}");
        assert!(world.lookups.is_empty());
        // A name is resolved once for all connections and all copies.
        let mut world = World::ready(named(3));
        world.dns = Ok(vec![B]);
        let start = world.now;
        world.push(A, &moving_somewhere(0, grace_s));
        world.push(A, &moving_somewhere(0, grace_s));
        world.run_until(start, half - Duration::from_nanos(1));
        assert!(world.dials.is_empty() && world.lookups.is_empty());
        world.run_until(start, half + LATENCY);
        assert_eq!(world.lookups, [start.after(half)]);
        assert_eq!(world.take_dials(start)[0], (half + LATENCY, B.to_string()), "grace {grace_s}");
        world.run_until(start, half + ms(100));
        assert!(world.all_at(B));
        assert_eq!(world.lookups.len(), 1, "the target is known");
    }
}

#[test]
fn mv_null_dns_still_old() {
    // Halfway through the grace period the name still resolves to the old server only.
    let mut world = World::ready(named(2));
    let start = world.now;
    world.push(A, &moving_somewhere(0, 15));
    world.run_until(start, ms(12_000));
    let asked: Vec<_> = world.lookups.iter().map(|at| at.since(start)).collect();
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(
        asked.iter().zip(0..).all(|(at, n)| *at >= ms(7_500) + SECOND * n && *at <= ms(7_510) + SECOND * n)
    );
    assert!(world.dials.is_empty() && world.all_at(A));
    // A failed look-up, and an empty answer, start no handoff.
    world.dns = Ok(Vec::new());
    world.run(SECOND);
    world.dns = Err("no such name".into());
    world.run(SECOND);
    assert!(world.dials.is_empty() && world.all_at(A));
    world.dns = Ok(vec![A, B]);
    world.run_until(start, ms(14_800));
    assert!(world.all_at(B), "any other address is a target");
    assert!(world.dials.len() == 2 && world.sockets.values().filter(|socket| socket.is_open).count() == 2);

    // The name changes only after the server has closed its connections.
    let mut world = World::ready(named(2));
    let start = world.now;
    world.push(A, &moving_somewhere(0, 15));
    world.run_until(start, SECOND * 16);
    assert!(world.dials.is_empty() && world.all_at(A));
    let asked = world.lookups.len();
    assert!((7..=8).contains(&asked), "{asked}");
    world.server(A).reachability = Reachability::Refusing;
    world.hang_up(A);
    world.run(SECOND * 2);
    assert!(world.take_dials(start).iter().all(|(_, to)| to == "redis.example:6379"));
    world.dns = Ok(vec![B]);
    world.run(SECOND * 3);
    assert!(world.all_at(B));
    assert_eq!(world.lookups.len(), asked, "look-ups end with the grace period");
}

#[test]
fn mv_null_despite_requested_type() {
    for (kind, requested) in [
        (EndpointType::InternalIp, "internal-ip"),
        (EndpointType::InternalFqdn, "internal-fqdn"),
        (EndpointType::ExternalIp, "external-ip"),
        (EndpointType::ExternalFqdn, "external-fqdn"),
        (EndpointType::None, "none"),
    ] {
        let mut config = named(1);
        config.connection.handshake =
            Arc::new(HandshakeConfig { endpoint_type: kind, ..HandshakeConfig::default() });
        let mut world = World::ready(config);
        let asked = format!("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type {requested}");
        assert!(world.sockets[&(0, 1)].greeting.contains(&asked));
        world.dns = Ok(vec![B]);
        let start = world.now;
        world.push(A, &moving_somewhere(0, 4));
        world.run_until(start, ms(1_999));
        assert!(world.dials.is_empty());
        world.run_until(start, ms(2_100));
        assert!(world.all_at(B), "{requested}");
    }
}

#[test]
fn mv_to_same_endpoint() {
    for target in [Some(A), None] {
        let announcement = target.map_or_else(|| moving_somewhere(0, 15), |target| moving_to(0, 15, target));
        // Another server answers at the same address: one handoff is enough.
        let mut world = World::of(1);
        let start = world.now;
        world.push(A, &announcement);
        world.run_until(start, SECOND * 60);
        assert_eq!(world.take_dials(start), [(ms(7_500), A.to_string())]);
        assert_eq!((world.take_results(), world.connected_to(A)), (vec!["ok"], vec![(0, 2)]));
        // The same server answers and repeats its announcement: the old connection stays.
        let mut world = World::of(1);
        let start = world.now;
        world.announce(A, &announcement);
        world.run_until(start, SECOND * 15);
        assert_eq!(world.take_dials(start), [(ms(7_500), A.to_string())]);
        assert_eq!((world.take_results(), world.connected_to(A)), (vec!["gave_up"], vec![(0, 1)]));
        world.hang_up(A);
        world.run(SECOND);
        assert!(world.all_at(A));
        assert_eq!(world.take_dials(start).len(), 1);
        world.run(SECOND * 100);
        assert_eq!(world.take_dials(start), []);
    }
}

/// An announced name may resolve to the old server for some time.
#[test]
fn name_that_leads_back_is_tried_again_at_half_the_grace() {
    let name = "redis.example:6379";
    for flips in [true, false] {
        let mut world = World::ready(named(4));
        let start = world.now;
        world.announce(A, &moving(0, 15, Some(name)));
        world.run_until(start, ms(7_499));
        assert_eq!(world.dials.len(), 4, "once each");
        assert!(
            world.all_at(A) && world.take_dials(start).iter().all(|(at, to)| *at <= ms(1_100) && to == name)
        );
        assert_eq!(world.pool.maintenance().permits_in_use, 0, "it holds no permit while it waits");
        if flips {
            world.dns = Ok(vec![B]);
        }
        world.run_until(start, SECOND * 15);
        assert!(world.all_at(if flips { B } else { A }));
        assert_eq!(world.take_dials(start).len(), 4, "once more");
        assert_eq!(world.take_results(), [if flips { "ok" } else { "gave_up" }; 4]);
    }
}

/// The times are those of a real server that shrank: it announces that a migration begins and ends, leaves DNS, and
/// closes its connections without an announcement.
#[test]
fn mv_silent_removal() {
    let mut world = World::ready(named(3));
    world.dns = Ok(vec![A, B]);
    let start = world.now;
    world.run_until(start, ms(4_300));
    world.push(A, &opens("MIGRATING", 0, 2, "27"));
    world.run_until(start, ms(16_600));
    world.push(A, &closes("MIGRATED", 1, "27"));
    world.run_until(start, ms(21_400));
    assert!(world.dials.is_empty() && world.all_at(A));
    world.dns = Err("timed out".into());
    world.run(SECOND * 3);
    world.dns = Ok(Vec::new());
    world.run(SECOND * 3);
    assert!(world.dials.is_empty(), "that names no server");
    world.dns = Ok(vec![B]);
    for number in 0..7_000 {
        world.submit(number % 3, 0, &number.to_string());
        world.run(ms(1));
    }
    assert!(world.now < start.after(ms(34_700)));
    assert!(world.all_at(B), "it moved before the server closed");
    world.run(SECOND);
    world.hang_up(A);
    world.run(SECOND * 100);
    world.assert_unharmed();
    assert_eq!(world.dials.len(), 3);
    assert!(world.lookups.len() < 20, "{} look-ups", world.lookups.len());
}

#[test]
fn announced_target_needs_no_look_up() {
    let mut world = World::ready(named(6));
    world.server(B).reachability = Reachability::Silent;
    world.dns = Ok(vec![C]);
    world.push(A, &opens("MIGRATING", 0, 2, "27"));
    world.push(A, &moving_to(1, 15, B));
    world.run(SECOND * 2);
    world.push(A, &closes("MIGRATED", 2, "27"));
    world.run(SECOND * 5);
    assert!(world.lookups.is_empty(), "the target is known");
    assert!(world.dials.iter().all(|dial| dial.to == B.to_string()));
}
