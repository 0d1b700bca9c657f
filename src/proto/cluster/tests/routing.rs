//! Where commands go, and how their replies are put together.

use super::world::World;
use crate::proto::error::{ClusterFailure, Failure};
use crate::proto::resp::Frame;

fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.to_owned().into())
}

#[test]
fn commands_go_to_the_owners_of_their_slots() {
    let mut world = World::ready();
    let tickets = ["SET a 1", "SET b 2", "SET c 3"].map(|text| world.send(text));
    world.settle();
    for ticket in tickets {
        assert_eq!(world.reply(ticket), Frame::Simple("OK".into()));
    }
    assert_eq!(world.ports_of("SET a 1"), [7002]);
    assert_eq!(world.ports_of("SET b 2"), [7000]);
    assert_eq!(world.ports_of("SET c 3"), [7001]);
}

#[test]
fn cl_split_mget_mset_del() {
    let mut world = World::ready();
    let set = world.send("MSET a 1 b 2 c 3 {a}4 4");
    world.settle();
    assert_eq!(world.reply(set), Frame::Simple("OK".into()));
    assert_eq!(world.ports_of("MSET a 1 {a}4 4"), [7002], "one command for each slot");
    let get = world.send("MGET c {a}4 none b a");
    world.settle();
    let expected = vec![bulk("3"), bulk("4"), Frame::Null, bulk("2"), bulk("1")];
    assert_eq!(world.reply(get), Frame::Array(expected));
    let del = world.send("DEL a b none");
    world.settle();
    assert_eq!(world.reply(del), Frame::Integer(2));
}

#[test]
fn cl_partial_failure_resends_its_part() {
    let mut world = World::ready();
    world.servers.scripted.entry(7001).or_default().push_back("TRYAGAIN later".to_owned());
    let set = world.send("MSET a 1 b 2 c 3");
    world.settle();
    world.advance_by_timeouts(10);
    assert_eq!(world.reply(set), Frame::Simple("OK".into()));
    assert_eq!(world.ports_of("MSET c 3"), [7001, 7001]);
    assert_eq!((world.ports_of("MSET a 1"), world.ports_of("MSET b 2")), (vec![7002], vec![7000]));
}

#[test]
fn refused_command_is_not_sent() {
    let mut world = World::ready();
    let failure = world.try_submit(0, &["RENAME a b"]).unwrap_err();
    assert!(
        matches!(&failure, Failure::Cluster(failure) if matches!(**failure, ClusterFailure::CrossSlot { .. }))
    );
    let failure = world.try_submit(0, &["SET a 1", "RENAME a b"]);
    assert!(failure.is_err(), "nothing of a pipeline is sent if one command cannot be");
    world.settle();
    assert_eq!(world.servers.log.len(), 0);
    let later = world.send("SET a 1");
    world.settle();
    assert_eq!(world.reply(later), Frame::Simple("OK".into()));
}

#[test]
fn cl_pipeline_order() {
    let mut world = World::ready();
    let ticket = world.submit(0, &["SET a 1", "INCR b", "MGET a b", "INCR a", "INCR c"]);
    world.settle();
    let replies = world.delivered.replies.get(&ticket).unwrap();
    let both = Frame::Array(vec![bulk("1"), bulk("1")]);
    let expected =
        [Frame::Simple("OK".into()), Frame::Integer(1), both, Frame::Integer(2), Frame::Integer(1)];
    assert_eq!(replies.as_slice(), expected);
}

#[test]
fn command_of_all_primaries_is_aggregated() {
    let mut world = World::new();
    let early = world.send("DBSIZE");
    world.settle();
    assert_eq!(world.reply(early), Frame::Integer(15), "it waits until the nodes are known");
    let mut ports = world.ports_of("DBSIZE");
    ports.sort_unstable();
    assert_eq!(ports, [7000, 7001, 7002]);
}

#[test]
fn cl_transaction_one_piece() {
    let mut world = World::ready();
    let commands = ["MULTI", "INCR {a}1", "INCR {a}2", "EXEC"];
    let ticket = world.submit(0, &commands);
    world.settle();
    let replies = world.delivered.replies.get(&ticket).unwrap().clone();
    assert_eq!(replies.last(), Some(&Frame::Array(vec![Frame::Integer(1), Frame::Integer(1)])));
    // The slot moves: all of it goes to the new owner, and is executed there once.
    world.servers.give(super::servers::slot("a"), 7001);
    let ticket = world.submit(0, &commands);
    world.settle();
    let replies = world.delivered.replies.get(&ticket).unwrap().clone();
    assert_eq!(replies.len(), 4);
    assert_eq!(replies.last(), Some(&Frame::Array(vec![Frame::Integer(2), Frame::Integer(2)])));
    assert_eq!(world.ports_of("EXEC"), [7002, 7002, 7001]);
    assert!(world.try_submit(0, &["MULTI", "INCR a", "INCR b", "EXEC"]).is_err());
}

#[test]
fn abandoned_command_gets_no_reply_and_disturbs_none() {
    let mut world = World::ready();
    let (left, position) = world.try_submit(0, &["INCR a"]).unwrap();
    let (parts, whole) = world.try_submit(0, &["MGET a b c"]).unwrap();
    world.write_all();
    world.cluster.abandon(position);
    world.cluster.abandon(whole);
    let kept = world.send("INCR a");
    world.settle();
    assert_eq!(world.reply(kept), Frame::Integer(2));
    assert!(!world.delivered.done.contains(&left) && !world.delivered.done.contains(&parts));
}

#[test]
fn calls_fail_when_the_cluster_shuts_down() {
    let mut world = World::new();
    world.servers.up.clear();
    world.settle();
    let ticket = world.send("INCR a");
    let until = world.now.after(std::time::Duration::from_millis(100));
    world.cluster.shut_down(world.now, until, &mut world.delivered);
    world.settle();
    world.advance(200);
    assert!(world.cluster.is_shut_down());
    assert!(matches!(world.delivered.failures.get(&ticket), Some(Failure::ShutDown(_))));
    assert!(matches!(world.try_submit(0, &["INCR a"]), Err(Failure::ShutDown(_))));
}
