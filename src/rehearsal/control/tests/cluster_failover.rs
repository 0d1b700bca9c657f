//! Tests of the verbs that fail nodes over, kill and move them, in virtual time.

use super::ON;
use super::cluster::Nodes;
use crate::rehearsal::{Ending, NodeId};

#[test]
fn replicas_serve_reads_to_sessions_that_ask() {
    let mut nodes = Nodes::new("2x1", 0);
    nodes.expect(0, &[("SET bar 1", "+OK"), ("WAIT 1 0", ":1")]);
    nodes.expect(
        2,
        &[
            ("GET bar", "-MOVED 5061 127.0.0.1:7001"),
            ("READONLY", "+OK"),
            ("GET bar", "$1\r\n1"),
            ("SET bar 2", "-MOVED 5061 127.0.0.1:7001"),
            ("GET foo", "-MOVED 12182 127.0.0.1:7002"),
            ("FLUSHALL", "-READONLY You can't write against a read only replica."),
            ("READWRITE", "+OK"),
            ("GET bar", "-MOVED 5061 127.0.0.1:7001"),
            ("SSUBSCRIBE bar", "*3\r\n$10\r\nssubscribe\r\n$3\r\nbar\r\n:1"),
        ],
    );
    assert_eq!(
        nodes.ask(3, "ROLE"),
        "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:7002\r\n$9\r\nconnected\r\n:1"
    );
    assert!(
        nodes.ask(3, "HELLO 3").contains("$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$7\r\nreplica\r\n")
    );
}

#[test]
fn a_planned_failover_swaps_the_roles() {
    let mut nodes = Nodes::new("2x1", 0);
    nodes.expect(
        0,
        &[("SET bar 1", "+OK"), ("CLUSTER FAILOVER", "-ERR You should send CLUSTER FAILOVER to a replica")],
    );
    let blocked = nodes.fixture.open(0, &["BLPOP {bar}list 0"]);
    nodes.rehearse("FAILOVER 0 PAUSE 10ms READONLY 20ms");
    nodes.expect(0, &[("GET bar", "$1\r\n1"), ("SET bar 2", "")]);
    nodes.fixture.advance_ms(10);
    assert_eq!(nodes.output(0), "-READONLY You can't write against a read only replica.\r\n");
    let unblocked = nodes.fixture.take_output(blocked);
    assert!(
        unblocked.starts_with("-UNBLOCKED force unblock from blocking operation, instance state"),
        "{unblocked}"
    );
    assert_eq!(nodes.fixture.ending(blocked), Some(Ending::AfterOutput));
    nodes.expect(0, &[("GET bar", "-MOVED 5061 127.0.0.1:7003")]);
    nodes.fixture.advance_ms(20);
    nodes.expect(
        0,
        &[("SET bar 2", "-MOVED 5061 127.0.0.1:7003"), ("READONLY", "+OK"), ("GET bar", "$1\r\n1")],
    );
    nodes.expect(2, &[("SET bar 2", "+OK")]);
    nodes.expect(0, &[("GET bar", "$1\r\n2"), ("CLUSTER FAILOVER", "+OK"), ("SET bar 3", "+OK")]);
    nodes.rehearse("FAILOVER 2");
    nodes.expect(0, &[("SET bar 4", "-MOVED 5061 127.0.0.1:7003")]);
}

#[test]
fn a_killed_primary_is_replaced_after_the_election() {
    let mut nodes = Nodes::new("2x1", 0);
    nodes.expect(1, &[("SET foo 1", "+OK")]);
    let ids = [1, 3].map(|node| nodes.ask(node, "CLUSTER MYID").split("\r\n").nth(1).unwrap().to_owned());
    nodes.rehearse("KILL 7002 ELECTION 100ms DETECT 40ms");
    assert_eq!(nodes.fixture.ending(nodes.session(1)), Some(Ending::Reset));
    assert!(!nodes.fixture.client.server.is_listening(NodeId(1)));
    nodes.expect(0, &[("GET foo", "-MOVED 12182 127.0.0.1:7002"), ("SET bar 1", "+OK")]);
    nodes.fixture.advance_ms(40);
    nodes.expect(
        0,
        &[("GET foo", "-CLUSTERDOWN The cluster is down"), ("GET bar", "-CLUSTERDOWN The cluster is down")],
    );
    assert!(nodes.ask(0, "CLUSTER INFO").contains("cluster_state:fail"));
    nodes.fixture.advance_ms(60);
    nodes.expect(0, &[("GET foo", "-MOVED 12182 127.0.0.1:7004"), ("GET bar", "$1\r\n1")]);
    nodes.expect(3, &[("GET foo", "$1\r\n1"), ("SET foo 2", "+OK")]);
    let lines = nodes.ask(0, "CLUSTER NODES");
    assert!(lines.contains(&format!("{} 127.0.0.1:7002@17002 master,fail - ", ids[0])), "{lines}");
    assert!(lines.contains(&format!("{} 127.0.0.1:7004@17004 master - ", ids[1])), "{lines}");
    let shards = nodes.ask(0, "CLUSTER SHARDS");
    assert!(
        shards.starts_with("*3\r\n") && shards.contains("$5\r\nslots\r\n*0\r\n"),
        "as Redis 7.0 shows it: {shards}"
    );
    nodes.rehearse("REVIVE 1");
    let revived = nodes.fixture.open(1, &["READONLY"]);
    assert_eq!(nodes.fixture.ask(revived, "GET foo"), "$1\r\n2\r\n");
    assert_eq!(nodes.fixture.ask(revived, "SET foo 3"), "-MOVED 12182 127.0.0.1:7004\r\n");
    assert!(nodes.ask(0, "CLUSTER SHARDS").starts_with("*2\r\n"));
}

#[test]
fn a_revived_primary_keeps_its_slots_if_no_replica_has_them() {
    let mut nodes = Nodes::new("2", 0);
    nodes.expect(1, &[("SET foo 1", "+OK")]);
    nodes.rehearse("KILL 1 ELECTION 10ms");
    nodes.fixture.advance_ms(10);
    nodes.expect(0, &[("GET bar", "-CLUSTERDOWN The cluster is down")]);
    nodes.rehearse("REVIVE 1");
    let revived = nodes.fixture.open(1, &[]);
    assert_eq!(nodes.fixture.ask(revived, "GET foo"), "$1\r\n1\r\n");
    // A death that ended before its election elects no replica.
    let mut nodes = Nodes::new("2x1", 0);
    nodes.rehearse("KILL 1 ELECTION 10ms");
    nodes.rehearse("REVIVE 1");
    nodes.fixture.advance_ms(10);
    nodes.expect(0, &[("GET foo", "-MOVED 12182 127.0.0.1:7002")]);
}

#[test]
fn a_moving_node_serves_at_the_spare() {
    let mut nodes = Nodes::new("2", 1);
    let told = nodes.fixture.open(1, &["HELLO 3", ON]);
    nodes.expect(1, &[("SET foo 1", "+OK")]);
    nodes.rehearse("NODE 1 MOVING 5 127.0.0.1:7003");
    assert!(nodes.fixture.take_output(told).contains("MOVING"));
    nodes.expect(2, &[("GET foo", "$1\r\n1")]);
    nodes.expect(1, &[("GET foo", "$1\r\n1")]);
    nodes.expect(0, &[("GET foo", "-MOVED 12182 127.0.0.1:7003")]);
    assert_eq!(nodes.ask(2, "CLUSTER MYID"), nodes.ask(1, "CLUSTER MYID"));
    nodes.fixture.advance_ms(5_700);
    assert_eq!(nodes.fixture.ending(told), Some(Ending::AfterOutput));
    nodes.expect(2, &[("SET foo 2", "+OK")]);
}
