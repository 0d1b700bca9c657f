//! How the client learns the nodes and their slots.

use super::servers::{range, slot};
use super::world::World;
use crate::proto::cluster::AddressMap;
use crate::proto::error::{ClusterFailure, Failure};
use crate::proto::resp::Frame;

#[test]
fn cl_discovery_from_any_seed() {
    for seeds in [&[7000][..], &[7001], &[7002], &[6999, 7001], &[6999, 6998, 7002]] {
        let mut world = World::with(AddressMap::default(), 1, seeds);
        let ticket = world.send("INCR a");
        world.settle();
        assert_eq!(world.reply(ticket), Frame::Integer(1), "{seeds:?}");
        assert_eq!(world.cluster.ready(), (3, 3), "{seeds:?}");
    }
}

#[test]
fn cl_empty_view_keeps_map() {
    let mut world = World::ready();
    for port in [7000, 7001, 7002] {
        world.servers.views.insert(port, "*0\r\n".to_owned());
    }
    world.advance_by_timeouts(120_000);
    let ticket = world.send("INCR a");
    world.settle();
    assert_eq!((world.reply(ticket), world.ports_of("INCR a")), (Frame::Integer(1), vec![7002]));
}

#[test]
fn minority_is_not_believed() {
    let mut world = World::ready();
    world.servers.views.insert(7001, format!("*1\r\n{}", range(0, 16383, "10.0.0.1", 7001)));
    world.advance_by_timeouts(200_000);
    let ticket = world.send("INCR a");
    world.settle();
    assert_eq!((world.reply(ticket), world.ports_of("INCR a")), (Frame::Integer(1), vec![7002]));
}

#[test]
fn cl_new_node_used() {
    let mut world = World::ready();
    world.servers.up.insert(7006);
    world.servers.owners.insert(14000, 7006);
    world.advance_by_timeouts(61_000);
    assert_eq!(world.cluster.ready(), (4, 4), "a minute passes without a redirect");
    let ticket = world.send("INCR a");
    world.settle();
    assert_eq!((world.reply(ticket), world.ports_of("INCR a")), (Frame::Integer(1), vec![7006]));
}

#[test]
fn cl_node_removed_drained() {
    let mut world = World::ready();
    let written = world.send("INCR a");
    world.write_all();
    world.servers.owners.insert(10923, 7001);
    world.advance_by_timeouts(61_000);
    assert_eq!(world.reply(written), Frame::Integer(1), "what was in flight is answered");
    world.advance_by_timeouts(61_000);
    assert!(!world.sockets.values().any(|socket| socket.port == 7002), "and the connection closes");
    let ticket = world.send("INCR a");
    world.settle();
    assert_eq!(world.reply(ticket), Frame::Integer(2));
    // It comes back, under a name of its own.
    world.servers.owners.insert(10923, 7002);
    world.advance_by_timeouts(61_000);
    let ticket = world.send("INCR a");
    world.settle();
    assert_eq!((world.reply(ticket), world.cluster.ready()), (Frame::Integer(3), (3, 3)));
    assert_eq!(world.ports_of("INCR a"), [7002, 7001, 7002]);
}

#[test]
fn cl_dial_refused_triggers_refresh() {
    let mut world = World::ready();
    world.advance_by_timeouts(2000);
    let asked = world.servers.views_asked;
    world.kill(7002);
    world.settle();
    assert!(world.servers.views_asked > asked, "at once");
    world.servers.up.insert(7005);
    world.servers.owners.insert(10923, 7005);
    let ticket = world.send("INCR a");
    let begin = world.now;
    while world.delivered.done.is_empty() {
        world.advance_by_timeouts(5);
    }
    assert_eq!(world.reply(ticket), Frame::Integer(1));
    let took = world.now.since(begin);
    assert!(took <= std::time::Duration::from_millis(100), "{took:?} after its election");
}

#[test]
fn silent_node_is_found_by_the_others() {
    let mut world = World::ready();
    // Its connections stay open, and nothing comes back.
    world.servers.up.remove(&7002);
    let stuck = world.send("INCR a");
    world.settle();
    world.servers.up.insert(7005);
    world.servers.owners.insert(10923, 7005);
    world.servers.owners.insert(10923, 7002);
    world.advance_by_timeouts(1500);
    let held = world.submit(1, &["INCR a"]);
    world.advance_by_timeouts(500);
    assert!(world.delivered.done.is_empty());
    // Another node takes over, and gets what was not written.
    world.servers.owners.insert(10923, 7005);
    world.advance_by_timeouts(1500);
    assert_eq!((world.reply(held), world.ports_of("INCR a")), (Frame::Integer(1), vec![7005]));
    assert!(!world.delivered.done.contains(&stuck), "it may be executed still");
}

#[test]
fn node_that_was_slow_gets_what_was_held() {
    let mut world = World::ready();
    world.servers.up.remove(&7002);
    let first = world.send("INCR a");
    world.settle();
    world.advance_by_timeouts(1500);
    let second = world.send("INCR a");
    world.advance_by_timeouts(500);
    let before = world.servers.log.len();
    world.servers.up.insert(7002);
    world.revive(7002);
    world.settle();
    assert_eq!((world.reply(first), world.reply(second)), (Frame::Integer(1), Frame::Integer(2)));
    assert_eq!(world.servers.log.len(), before + 2);
}

#[test]
fn cl_node_with_two_identities() {
    let mut world = World::ready();
    // The redirect names the node by another name than its view.
    let view = world.servers.view();
    let named = view.replacen("$8\r\n10.0.0.1\r\n:7001", "$10\r\nnode.local\r\n:7001", 1);
    assert_ne!(named, view);
    for port in [7000, 7001, 7002] {
        world.servers.views.insert(port, named.clone());
    }
    world.advance_by_timeouts(61_000);
    for handle in 0..3 {
        let ticket = world.submit(handle, &["INCR c"]);
        world.settle();
        assert_eq!(world.reply(ticket), Frame::Integer(i64::from(handle) + 1));
    }
    world.advance_by_timeouts(61_000);
    assert_eq!(world.cluster.ready(), (3, 3), "the node under its old name has left");
}

#[test]
fn cl_address_map() {
    let map = AddressMap::new(|host, port| (host.to_owned(), port + 1000));
    let mut world = World::with(map, 1, &[8000]);
    world.servers.up = [8000, 8001, 8002].into();
    world.settle();
    assert_eq!(world.cluster.ready(), (3, 3));
    assert_eq!(world.dialed, [8000, 8001, 8002], "the seed is the first node");
}

#[test]
fn uncovered_slot_is_named_and_the_others_are_served() {
    let mut world = World::new();
    let part = format!("*1\r\n{}", range(0, 10922, "10.0.0.1", 7000));
    world.servers.owners = [(0, 7000)].into();
    for port in [7000, 7001, 7002] {
        world.servers.views.insert(port, part.clone());
    }
    let uncovered = world.send("INCR a");
    let covered = world.send("INCR b");
    world.settle();
    assert_eq!(world.reply(covered), Frame::Integer(1));
    world.advance_by_timeouts(5100);
    let failure = world.delivered.failures.get(&uncovered);
    let slot = slot("a").get();
    assert!(
        matches!(failure, Some(Failure::Cluster(why)) if **why == ClusterFailure::Uncovered(slot)),
        "{failure:?}"
    );
}

#[test]
fn unknown_cluster_fails_calls_in_time() {
    let mut world = World::new();
    world.servers.up.clear();
    world.settle();
    let ticket = world.send("INCR a");
    let all = world.send("DBSIZE");
    world.settle();
    world.advance_by_timeouts(5500);
    for ticket in [ticket, all] {
        let failure = world.delivered.failures.get(&ticket);
        assert!(
            matches!(failure, Some(Failure::Cluster(why)) if **why == ClusterFailure::Unknown),
            "{failure:?}"
        );
    }
}

#[test]
fn cluster_at_rest_asks_once_a_minute() {
    let mut world = World::ready();
    let asked = world.servers.views_asked;
    world.advance_by_timeouts(600_000);
    let more = world.servers.views_asked - asked;
    assert!((10..=40).contains(&more), "{more}");
}
