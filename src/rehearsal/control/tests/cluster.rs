//! Tests of the verbs that move slots and change what nodes know, in virtual time.

use super::{Fixture, ON};
use crate::rehearsal::commands::testing::TestClient;
use crate::rehearsal::{ClusterConfig, SessionId};

/// A cluster, with a session at each node.
pub(super) struct Nodes {
    pub(super) fixture: Fixture,
    at: Vec<SessionId>,
}

impl Nodes {
    pub(super) fn new(text: &str, spares: usize) -> Self {
        let config = ClusterConfig { spares, ..text.parse().unwrap() };
        let client = TestClient::of_cluster(config);
        let controller = client.id;
        let mut fixture = Fixture { client, controller };
        let at = (0..config.nodes()).map(|node| fixture.open(node, &[])).collect();
        Self { fixture, at }
    }

    /// The reply of a node, without its last line end.
    pub(super) fn ask(&mut self, node: usize, line: &str) -> String {
        self.fixture.ask(self.at[node], line).trim_end().to_owned()
    }

    #[track_caller]
    pub(super) fn expect(&mut self, node: usize, script: &[(&str, &str)]) {
        for (line, expected) in script {
            assert_eq!(self.ask(node, line), *expected, "{line} at node {node}");
        }
    }

    #[track_caller]
    pub(super) fn rehearse(&mut self, line: &str) {
        self.fixture.rehearse(line);
    }

    pub(super) fn output(&mut self, node: usize) -> String {
        self.fixture.take_output(self.at[node])
    }

    pub(super) fn session(&self, node: usize) -> SessionId {
        self.at[node]
    }
}

// Slots: foo 12182 (node 2), bar 5061 (node 0), {bar}… 5061.

#[test]
fn keys_are_served_by_the_owner_of_their_slot() {
    let mut nodes = Nodes::new("3", 0);
    nodes.expect(
        0,
        &[
            ("SET bar 1", "+OK"),
            ("GET foo", "-MOVED 12182 127.0.0.1:7003"),
            ("MGET foo bar", "-CROSSSLOT Keys in request don't hash to the same slot"),
            ("MSET {bar}a 1 {bar}b 2", "+OK"),
            ("DBSIZE", ":3"),
            ("SELECT 0", "+OK"),
            ("SELECT 1", "-ERR SELECT is not allowed in cluster mode"),
            ("CLUSTER KEYSLOT foo", ":12182"),
            ("CLUSTER COUNTKEYSINSLOT 5061", ":3"),
            ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"),
            ("CLUSTER GETKEYSINSLOT 5061 1", "*1\r\n$3\r\nbar"),
            ("CLUSTER FOO", "-ERR unknown subcommand 'FOO'. Try CLUSTER HELP."),
            ("CLUSTER NODES x", "-ERR wrong number of arguments for 'cluster|nodes' command"),
            ("CLUSTER REPLICAS x", "-ERR Unknown node x"),
        ],
    );
    nodes.expect(1, &[("DBSIZE", ":0"), ("FLUSHALL", "+OK"), ("KEYS *", "*0"), ("PING", "+PONG")]);
    nodes.expect(0, &[("DBSIZE", ":3"), ("FLUSHALL", "+OK"), ("DBSIZE", ":0")]);
    let stats = nodes.fixture.stats();
    assert!(stats.contains("\"redirects\":{\"moved\":1,\"ask\":0,\"tryagain\":0,\"crossslot\":1"), "{stats}");
}

#[test]
fn a_transaction_is_refused_as_one_piece() {
    let mut nodes = Nodes::new("3", 0);
    nodes.expect(
        0,
        &[
            ("MULTI", "+OK"),
            ("SET foo 1", "-MOVED 12182 127.0.0.1:7003"),
            ("SET bar 1", "+QUEUED"),
            ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
            ("MULTI", "+OK"),
            ("SET bar 1", "+QUEUED"),
        ],
    );
    nodes.rehearse("MIGRATE 5061 0 1 PAUSE 0");
    nodes.expect(
        0,
        &[
            ("EXEC", "-MOVED 5061 127.0.0.1:7002"),
            ("EXEC", "-ERR EXEC without MULTI"),
            ("WATCH foo", "-MOVED 12182 127.0.0.1:7003"),
        ],
    );
    nodes.expect(1, &[("GET bar", "$-1")]);
}

#[test]
fn a_classic_migration_asks_and_says_tryagain() {
    let mut nodes = Nodes::new("3", 0);
    nodes.expect(0, &[("MSET {bar}1 v {bar}2 w", "+OK")]);
    nodes.rehearse("MIGRATE 5000-5100 0 1 CLASSIC HOLD");
    const TRYAGAIN: &str = "-TRYAGAIN Multiple keys request during rehashing of slot";
    nodes.expect(
        0,
        &[
            ("GET {bar}1", "$1\r\nv"),
            ("GET {bar}x", "-ASK 5061 127.0.0.1:7002"),
            ("MGET {bar}1 {bar}x", TRYAGAIN),
            ("MGET {bar}y {bar}x", "-ASK 5061 127.0.0.1:7002"),
            ("SET foo 1", "-MOVED 12182 127.0.0.1:7003"),
        ],
    );
    nodes.expect(
        1,
        &[
            ("GET {bar}1", "-MOVED 5061 127.0.0.1:7001"),
            ("ASKING", "+OK"),
            ("GET {bar}1", "$-1"),
            ("GET {bar}1", "-MOVED 5061 127.0.0.1:7001"),
            ("ASKING", "+OK"),
            ("SET {bar}x 1", "+OK"),
            ("ASKING", "+OK"),
            ("MGET {bar}x {bar}z", TRYAGAIN),
            ("ASKING", "+OK"),
            ("MULTI", "+OK"),
            ("GET {bar}x", "+QUEUED"),
            ("EXEC", "*1\r\n$1\r\n1"),
            ("GET {bar}x", "-MOVED 5061 127.0.0.1:7001"),
        ],
    );
    nodes.rehearse("KEY {bar}1");
    nodes.expect(0, &[("GET {bar}1", "-ASK 5061 127.0.0.1:7002"), ("GET {bar}2", "$1\r\nw")]);
    let lines = nodes.ask(0, "CLUSTER NODES");
    assert!(lines.contains(" 0-5460 [5000->-") && lines.contains(" [5061->-"), "{lines}");
    nodes.rehearse("FINISH");
    nodes.expect(0, &[("GET {bar}2", "-MOVED 5061 127.0.0.1:7002")]);
    nodes.expect(1, &[("MGET {bar}1 {bar}2 {bar}x", "*3\r\n$1\r\nv\r\n$1\r\nw\r\n$1\r\n1")]);
}

#[test]
fn setslot_and_migrate_move_a_slot() {
    let mut nodes = Nodes::new("3", 0);
    let ids: Vec<String> =
        (0..3).map(|node| nodes.ask(node, "CLUSTER MYID").split("\r\n").nth(1).unwrap().to_owned()).collect();
    let set = |what: &str, node: usize| format!("CLUSTER SETSLOT 5061 {what} {}", ids[node]);
    nodes.expect(
        0,
        &[
            ("MSET {bar}1 v {bar}2 w", "+OK"),
            (&set("IMPORTING", 1), "-ERR I'm already the owner of hash slot 5061"),
        ],
    );
    nodes.expect(
        1,
        &[(&set("MIGRATING", 0), "-ERR I'm not the owner of hash slot 5061"), (&set("IMPORTING", 0), "+OK")],
    );
    nodes.expect(0, &[
        (&set("MIGRATING", 1), "+OK"),
        (&set("NODE", 1), "-ERR Can't assign hashslot 5061 to a different node while I still hold keys for this hash slot."),
        ("MIGRATE 127.0.0.1 7002 {bar}1 0 1000", "+OK"),
        ("MIGRATE 127.0.0.1 7002 {bar}1 0 1000", "-ERR Target instance replied with error: BUSYKEY Target key name already exists."),
        ("MIGRATE 127.0.0.1 7002 '' 0 1000 KEYS {bar}2 {bar}9", "+OK"),
        ("MIGRATE 127.0.0.1 7002 {bar}9 0 1000", "+NOKEY"),
        ("MIGRATE 127.0.0.1 7009 {bar}9 0 1000", "-IOERR error or timeout connecting to the client"),
        ("GET {bar}1", "-ASK 5061 127.0.0.1:7002"),
        ("CLUSTER SETSLOT 5061 NODE x", "-ERR Unknown node x"),
        ("CLUSTER SETSLOT 5061 NODE", "-ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP"),
    ]);
    nodes.expect(1, &[(&set("NODE", 1), "+OK"), ("GET {bar}2", "$1\r\nw")]);
    nodes.expect(0, &[(&set("NODE", 1), "+OK"), ("GET {bar}2", "-MOVED 5061 127.0.0.1:7002")]);
    nodes.expect(2, &[(&set("NODE", 1), "+OK"), ("CLUSTER SETSLOT 5061 STABLE", "+OK")]);
}

#[test]
fn a_classic_migration_moves_its_keys_over_its_time() {
    let mut nodes = Nodes::new("2", 0);
    for key in 0..10 {
        nodes.expect(0, &[(format!("SET {{bar}}{key} v").as_str(), "+OK")]);
    }
    nodes.rehearse("MIGRATE 5061 0 1 CLASSIC OVER 100ms ANNOUNCE");
    nodes.fixture.advance_ms(50);
    nodes.expect(0, &[("CLUSTER COUNTKEYSINSLOT 5061", ":5")]);
    nodes.expect(1, &[("CLUSTER COUNTKEYSINSLOT 5061", ":5")]);
    nodes.fixture.advance_ms(50);
    nodes.expect(1, &[("DBSIZE", ":10"), ("GET {bar}3", "$1\r\nv")]);
    nodes.expect(0, &[("DBSIZE", ":0"), ("GET {bar}3", "-MOVED 5061 127.0.0.1:7002")]);
}

#[test]
fn an_atomic_migration_holds_only_writes_to_its_slots() {
    let mut nodes = Nodes::new("3", 0);
    let subscriber = nodes.fixture.open(2, &["HELLO 3", ON]);
    nodes.expect(0, &[("SET bar 1", "+OK")]);
    nodes.rehearse("MIGRATE 5061-5070 0 1 ATOMIC PAUSE 20ms ANNOUNCE");
    assert_eq!(nodes.fixture.take_output(subscriber), ">3\r\n$10\r\nSMIGRATING\r\n:0\r\n$9\r\n5061-5070\r\n");
    let other = nodes.fixture.open(0, &[]);
    nodes.expect(0, &[("GET bar", "$1\r\n1"), ("SET bar 2", ""), ("PING", "")]);
    assert_eq!(nodes.fixture.ask(other, "SET {b}1 x"), "+OK\r\n", "slot 3300 does not move");
    assert_eq!(nodes.fixture.ask(other, "MULTI"), "+OK\r\n");
    assert_eq!(nodes.fixture.ask(other, "INCR bar"), "+QUEUED\r\n");
    assert_eq!(nodes.fixture.ask(other, "EXEC"), "");
    nodes.fixture.advance_ms(20);
    assert_eq!(nodes.output(0), "-MOVED 5061 127.0.0.1:7002\r\n+PONG\r\n");
    assert_eq!(nodes.fixture.take_output(other), "-MOVED 5061 127.0.0.1:7002\r\n");
    nodes.expect(1, &[("GET bar", "$1\r\n1")]);
    let smigrated = ">3\r\n$9\r\nSMIGRATED\r\n:1\r\n*1\r\n*3\r\n$14\r\n127.0.0.1:7001\r\n\
                     $14\r\n127.0.0.1:7002\r\n$9\r\n5061-5070\r\n";
    assert_eq!(nodes.fixture.take_output(subscriber), smigrated);
}

#[test]
fn sessions_leave_slots_that_their_node_loses() {
    let mut nodes = Nodes::new("2", 0);
    let subscriber = nodes.fixture.open(0, &["HELLO 3", "SSUBSCRIBE bar", "SSUBSCRIBE {bar}2"]);
    let blocked = nodes.fixture.open(0, &[]);
    assert_eq!(nodes.fixture.ask(blocked, "BLPOP {bar}list 0"), "");
    nodes.rehearse("MIGRATE 5061 0 1 PAUSE 0");
    assert_eq!(nodes.fixture.take_output(blocked), "-MOVED 5061 127.0.0.1:7002\r\n");
    assert_eq!(
        nodes.fixture.take_output(subscriber),
        ">3\r\n$12\r\nsunsubscribe\r\n$3\r\nbar\r\n:1\r\n>3\r\n$12\r\nsunsubscribe\r\n$6\r\n{bar}2\r\n:0\r\n"
    );
    assert_eq!(nodes.fixture.ask(subscriber, "SSUBSCRIBE bar"), "-MOVED 5061 127.0.0.1:7002\r\n");
    assert_eq!(nodes.fixture.ask(blocked, "PING"), "+PONG\r\n");
}

#[test]
fn views_lag_freeze_and_are_empty() {
    let mut nodes = Nodes::new("3", 0);
    let slots = nodes.ask(2, "CLUSTER SLOTS");
    nodes.rehearse("VIEW 2 STALE");
    nodes.rehearse("VIEW 1 LAG 30ms");
    nodes.rehearse("MIGRATE 0-5460 0 1 PAUSE 0");
    assert_eq!(nodes.ask(2, "CLUSTER SLOTS"), slots);
    nodes.expect(2, &[("GET bar", "-MOVED 5061 127.0.0.1:7001")]);
    // The source and the target redirect to each other until the target knows of its gain.
    nodes.expect(0, &[("GET bar", "-MOVED 5061 127.0.0.1:7002")]);
    nodes.expect(1, &[("GET bar", "-MOVED 5061 127.0.0.1:7001")]);
    nodes.fixture.advance_ms(30);
    nodes.expect(1, &[("GET bar", "$-1")]);
    nodes.rehearse("VIEW 2 EMPTY");
    nodes
        .expect(2, &[("CLUSTER SLOTS", "*0"), ("GET foo", "$-1"), ("GET bar", "-MOVED 5061 127.0.0.1:7002")]);
    nodes.rehearse("VIEW 2 LIVE");
    assert_eq!(
        nodes.ask(2, "CLUSTER SLOTS"),
        nodes.fixture.ask(nodes.session(0), "CLUSTER SLOTS").trim_end()
    );
}

#[test]
fn nodes_are_named_by_address_by_name_or_not_at_all() {
    let mut nodes = Nodes::new("3", 0);
    nodes.rehearse("NODE 2 NAME c.example.com");
    nodes.rehearse("NODE 0 ENDPOINTS hostname");
    nodes.expect(0, &[("GET foo", "-MOVED 12182 c.example.com:7003"), ("GET a{c}", "-MOVED 7365 ?:7002")]);
    let slots = nodes.ask(0, "CLUSTER SLOTS");
    assert!(
        slots.contains("$1\r\n?\r\n:7001\r\n") && slots.contains("*2\r\n$2\r\nip\r\n$9\r\n127.0.0.1"),
        "{slots}"
    );
    nodes.rehearse("NODE 0 ENDPOINTS unknown");
    nodes.expect(0, &[("GET foo", "-MOVED 12182 :7003")]);
    assert!(nodes.ask(0, "CLUSTER SLOTS").contains("*4\r\n$-1\r\n:7001\r\n"));
    nodes.expect(1, &[("GET foo", "-MOVED 12182 127.0.0.1:7003")]);
    assert!(nodes.ask(1, "CLUSTER SLOTS").contains("*2\r\n$8\r\nhostname\r\n$13\r\nc.example.com"));
    assert!(nodes.ask(1, "CLUSTER NODES").contains("127.0.0.1:7003@17003,c.example.com master"));
}

#[test]
fn a_slot_without_a_node_takes_the_cluster_down_or_not() {
    let mut nodes = Nodes::new("3", 0);
    nodes.rehearse("ASSIGN 5061 none");
    nodes.expect(
        0,
        &[
            ("GET bar", "-CLUSTERDOWN Hash slot not served"),
            ("GET foo", "-CLUSTERDOWN The cluster is down"),
            ("PING", "+PONG"),
        ],
    );
    assert!(nodes.ask(1, "CLUSTER INFO").contains("cluster_state:fail\r\ncluster_slots_assigned:16383"));
    nodes.rehearse("COVERAGE partial");
    nodes.expect(
        0,
        &[("GET bar", "-CLUSTERDOWN Hash slot not served"), ("GET foo", "-MOVED 12182 127.0.0.1:7003")],
    );
    nodes.rehearse("ASSIGN 5061 2");
    nodes.expect(2, &[("GET bar", "$-1")]);
    nodes.rehearse("CLUSTERDOWN 50ms");
    nodes.expect(2, &[("GET bar", "-CLUSTERDOWN The cluster is down")]);
    nodes.fixture.advance_ms(50);
    nodes.rehearse("CLUSTERDOWN 50ms 2");
    nodes.expect(2, &[("GET bar", "-CLUSTERDOWN The cluster is down")]);
    nodes.expect(0, &[("GET bar", "-MOVED 5061 127.0.0.1:7003")]);
}

#[test]
fn a_spare_joins_and_leaves() {
    let mut nodes = Nodes::new("2", 2);
    nodes.expect(2, &[("GET bar", "-CLUSTERDOWN Hash slot not served"), ("CLUSTER SLOTS", "*0")]);
    nodes.rehearse("JOIN 2");
    nodes.rehearse("JOIN 3 2");
    nodes.expect(0, &[("SET bar 1", "+OK")]);
    nodes.rehearse("MIGRATE 0-8191 0 2 PAUSE 0");
    nodes.expect(2, &[("GET bar", "$1\r\n1"), ("WAIT 1 0", ":1")]);
    nodes.expect(3, &[("READONLY", "+OK"), ("GET bar", "$1\r\n1")]);
    nodes.rehearse("FORGET 0");
    nodes.expect(0, &[("GET bar", "-CLUSTERDOWN Hash slot not served")]);
    assert_eq!(nodes.ask(1, "CLUSTER NODES").lines().filter(|line| line.contains(" connected")).count(), 3);
    nodes.rehearse("RESET");
    nodes.expect(0, &[("GET bar", "$-1")]);
    nodes.expect(3, &[("CLUSTER SLOTS", "*0")]);
}

#[test]
fn wrong_arguments_name_the_problem() {
    let mut nodes = Nodes::new("2x1", 1);
    for (line, part) in [
        ("MIGRATE 0-9 1 0", "slot 0 is not owned by node 1"),
        ("MIGRATE 9-0 0 1", "are not slots"),
        ("MIGRATE 0-9 0 2", "node '2' is a replica"),
        ("MIGRATE 0-9 0 0", "the source is the target"),
        ("MIGRATE 0-9 0 4", "JOIN it first"),
        ("MIGRATE 0-9 0 1 OVER", "syntax: REHEARSE MIGRATE"),
        ("KEY bar", "is in no classic migration"),
        ("FAILOVER 9", "there is no node '9'"),
        ("FAILOVER 0 PAUSE soon", "PAUSE: 'soon' is not a time"),
        ("REVIVE 0", "was not killed"),
        ("JOIN 0", "belongs to the cluster already"),
        ("FORGET 0", "has slots or replicas"),
        ("VIEW 0 LAGGING", "syntax: REHEARSE VIEW"),
        ("CLUSTERDOWN", "syntax: REHEARSE CLUSTERDOWN"),
    ] {
        let reply = nodes.ask(0, &format!("REHEARSE {line}"));
        assert!(reply.starts_with("-ERR REHEARSE: ") && reply.contains(part), "{line}: {reply}");
    }
    let mut single = Fixture::new();
    let id = single.controller;
    assert!(single.ask(id, "REHEARSE NODES").contains("there is no cluster"));
    assert_eq!(single.ask(id, "CLUSTER SLOTS"), "-ERR This instance has cluster support disabled\r\n");
}
