//! The cluster in memory over sockets, beside a real one: the same commands get the same replies.

mod common;

use std::net::{SocketAddr, TcpStream};

use common::binary::{self, text};
use common::rehearsal::{Client, Rehearsal, redis_cli};
use common::{eventually, servers};
use hitless::rehearsal::{Cluster, ClusterConfig};

/// The nodes of a cluster, in memory or real, with a connection to each.
struct Side {
    ports: Vec<u16>,
    ids: Vec<String>,
    clients: Vec<Client>,
}

impl Side {
    fn new(addresses: &[SocketAddr]) -> Side {
        let mut clients: Vec<Client> = addresses.iter().map(|&address| Client::open(address)).collect();
        let id = |client: &mut Client| line(&client.ask("CLUSTER MYID"), 1);
        let ids = clients.iter_mut().map(id).collect();
        Side { ports: addresses.iter().map(SocketAddr::port).collect(), ids, clients }
    }

    /// The reply of a node, with `PORT0` for the port of node 0 and `ID0` for its id.
    fn ask(&mut self, node: usize, words: &str) -> String {
        let mut words = words.to_owned();
        for (index, id) in self.ids.iter().enumerate() {
            words = words.replace(&format!("ID{index}"), id);
        }
        let mut reply = self.clients[node].ask(&words);
        for (index, (port, id)) in self.ports.iter().zip(&self.ids).enumerate() {
            reply =
                reply.replace(&port.to_string(), &format!("PORT{index}")).replace(id, &format!("ID{index}"));
        }
        reply
    }
}

/// A real cluster and one in memory: three primaries with one replica each.
fn both() -> [(Running, Side); 2] {
    // Later servers tell more. The one in memory says that it is a Redis 7.
    let redis_7 = servers::all().iter().find(|server| server.name.starts_with("Redis server v=7"));
    let server = redis_7.unwrap_or_else(|| servers::with(&[]));
    let real = common::cluster::Cluster::start_on(server, 3, 1, &[]);
    let config = ClusterConfig { replicas: 1, ..ClusterConfig::default() };
    let memory = Cluster::start(config).expect("a cluster");
    // The real one has another remainder of the division by three.
    memory.rehearse("ASSIGN 10922 2").expect("a slot");
    let address = |node: usize| SocketAddr::from(([127, 0, 0, 1], real.port(node)));
    let mut of_real = Side::new(&(0..real.len()).map(address).collect::<Vec<_>>());
    for client in &mut of_real.clients {
        // A replica whose offset is not known yet is left out, or said to be loading.
        until(client, "CLUSTER SLOTS", |slots| of_real.ids.iter().all(|id| slots.contains(id)));
        until(client, "CLUSTER SHARDS", |shards| !shards.contains("loading"));
    }
    let of_memory = Side::new(memory.addresses());
    [(Running::Real(real), of_real), (Running::InMemory(memory), of_memory)]
}

/// What serves as long as it is not dropped.
enum Running {
    Real(#[expect(dead_code, reason = "dropped at the end of a test")] common::cluster::Cluster),
    InMemory(Cluster),
}

impl Running {
    #[track_caller]
    fn rehearse(&self, words: &str) {
        match self {
            Running::InMemory(cluster) => drop(cluster.rehearse(words).expect(words)),
            Running::Real(_) => panic!("a real cluster does not rehearse"),
        }
    }
}

/// Asks until the reply is as wanted.
#[track_caller]
fn until(client: &mut Client, words: &str, is_wanted: impl Fn(&str) -> bool) {
    eventually(words, || is_wanted(&client.ask(words)));
}

fn line(reply: &str, index: usize) -> String {
    reply.split("\r\n").nth(index).unwrap_or_default().to_owned()
}

/// Lines of a node and its command.
fn script(text: &'static str) -> Vec<(usize, &'static str)> {
    let line = |line: &'static str| {
        let (node, words) = line.trim().split_once(": ").expect("a node and its command");
        (node.parse().expect("a node"), words)
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn assert_alike(real: &mut Side, memory: &mut Side, script: &[(usize, &str)]) {
    for &(node, words) in script {
        assert_eq!(memory.ask(node, words), real.ask(node, words), "{words} at node {node}");
    }
}

/// A reply that is a list in no order, such as the lines of `CLUSTER NODES`, without what differs between any two servers.
fn sorted(reply: &str, separator: &str, without: &[usize]) -> Vec<String> {
    let part = |part: &str| {
        let fields = part.split(' ').enumerate().filter(|(index, _)| !without.contains(index));
        fields.map(|(_, field)| field.split('@').next().unwrap_or(field)).collect::<Vec<_>>().join(" ")
    };
    let mut parts: Vec<String> = reply.split(separator).skip(1).map(part).collect();
    parts.sort();
    parts
}

/// `CLUSTER SHARDS`: the shards, without offsets.
fn shards(reply: &str) -> Vec<String> {
    let reply = reply.replace("*4\r\n$5\r\nslots", "slots").replace("%2\r\n$5\r\nslots", "slots");
    let shard = |shard: &str| {
        let mut parts = shard.split("replication-offset\r\n:");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |all, part| all + part.split_once("\r\n").expect("a number").1)
    };
    let mut shards: Vec<String> = reply.split("slots\r\n").skip(1).map(shard).collect();
    shards.sort();
    shards
}

#[test]
fn replies_equal_those_of_a_real_cluster() {
    let [(_real, mut real), (_memory, mut memory)] = both();
    for hello in ["HELLO 2", "HELLO 3"] {
        for side in [&mut real, &mut memory] {
            side.clients.iter_mut().for_each(|client| drop(client.ask(hello)));
        }
        assert_alike(&mut real, &mut memory, &script(OUTSIDE_MIGRATIONS));
        let [of_real, of_memory] =
            [&mut real, &mut memory].map(|side| shards(&side.ask(0, "CLUSTER SHARDS")));
        assert_eq!(of_memory, of_real);
        // Without the times of pings, the epochs, and the length of the text.
        let [of_real, of_memory] = [&mut real, &mut memory].map(|side| {
            let nodes = side.ask(1, "CLUSTER NODES").replace("txt:", "\n").replacen("\r\n", "\n", 1);
            sorted(&nodes.replace("\r\n", ""), "\n", &[4, 5, 6])
        });
        assert_eq!(of_memory, of_real);
    }
}

/// Slots: foo is of node 2, bar and {bar}… of node 0.
const OUTSIDE_MIGRATIONS: &str = "0: CLUSTER SLOTS
    0: CLUSTER MYID
    0: CLUSTER KEYSLOT {bar}1
    0: CLUSTER COUNTKEYSINSLOT 5061
    0: CLUSTER COUNTKEYSINSLOT 16384
    0: CLUSTER COUNTKEYSINSLOT x
    0: CLUSTER GETKEYSINSLOT 5061 10
    0: CLUSTER FOO
    0: CLUSTER NODES x
    0: CLUSTER
    0: CLUSTER KEYSLOT
    0: CLUSTER REPLICAS x
    0: CLUSTER REPLICAS ID4
    0: CLUSTER FAILOVER
    0: CLUSTER FAILOVER x
    0: GET foo
    1: GET foo
    2: GET foo
    0: SET bar 1
    0: CLUSTER COUNTKEYSINSLOT 5061
    0: CLUSTER GETKEYSINSLOT 5061 10
    0: DBSIZE
    0: MGET foo bar
    0: MSET {a}1 x b y
    0: DEL bar
    0: EXISTS bar foo
    0: RENAME bar foo
    0: SELECT 1
    0: SELECT 0
    0: READONLY
    0: GET foo
    0: READWRITE
    0: ASKING
    0: GET foo
    0: INFO cluster
    0: CONFIG GET cluster-enabled
    0: WAIT 1 0
    0: SPUBLISH foo x
    0: SSUBSCRIBE foo
    0: SSUBSCRIBE bar foo
    0: BLPOP foo x 1
    0: MULTI
    0: GET foo
    0: GET bar
    0: EXEC
    0: MULTI
    0: SET bar 1
    0: ASKING
    0: EXEC
    0: WATCH foo
    0: WATCH bar x
    0: UNWATCH
    0: WAIT 1 0
    3: GET bar
    3: SET bar 1
    3: READONLY
    3: GET bar
    3: SET bar 1
    3: GET foo
    3: FLUSHALL
    3: CLUSTER FAILOVER x
    3: WAIT 1 1
    3: MULTI
    3: GET bar
    3: EXEC
    3: READWRITE
    3: GET bar
    0: FLUSHALL
    0: PING";

#[test]
fn a_classic_migration_equals_that_of_a_real_cluster() {
    let [(_real, mut real), (cluster, mut memory)] = both();
    assert_alike(&mut real, &mut memory, &[(0, "MSET {bar}1 v {bar}2 w {bar}3 x")]);
    let mut waiting = [waiting(&real), waiting(&memory)];
    assert_eq!(real.ask(1, "CLUSTER SETSLOT 5061 IMPORTING ID0"), "+OK\r\n");
    assert_eq!(real.ask(0, "CLUSTER SETSLOT 5061 MIGRATING ID1"), "+OK\r\n");
    cluster.rehearse("MIGRATE 5061 0 1 CLASSIC HOLD");
    let port = real.ports[1];
    assert_eq!(real.clients[0].ask(&format!("MIGRATE 127.0.0.1 {port} {{bar}}2 0 1000")), "+OK\r\n");
    cluster.rehearse("KEY {bar}2");
    assert_alike(&mut real, &mut memory, &script(WHILE_OPEN));
    for [subscribed, _] in &mut waiting {
        assert!(subscribed.frame().contains("smessage"), "of the SPUBLISH");
    }
    for node in 0..2 {
        let open = |side: &mut Side| {
            let nodes = side.ask(node, "CLUSTER NODES");
            nodes.split(['[', ']']).nth(1).map(str::to_owned)
        };
        assert_eq!(open(&mut memory), open(&mut real));
    }
    let rest = format!("MIGRATE 127.0.0.1 {port}  0 1000 KEYS {{bar}}1 {{bar}}3");
    assert_eq!(real.clients[0].ask(&rest), "+OK\r\n");
    assert_eq!(real.ask(1, "CLUSTER SETSLOT 5061 NODE ID1"), "+OK\r\n");
    assert_eq!(real.ask(0, "CLUSTER SETSLOT 5061 NODE ID1"), "+OK\r\n");
    cluster.rehearse("FINISH");
    assert_alike(&mut real, &mut memory, &script(WHEN_MOVED));
    let [of_real, of_memory] = waiting.map(|clients| clients.map(|mut client| client.frame()));
    assert_eq!(of_memory[0], of_real[0]);
    assert_eq!(of_memory[0], ">3\r\n$12\r\nsunsubscribe\r\n$3\r\nbar\r\n:0\r\n");
    let moved = [&real, &memory].map(|side| format!("-MOVED 5061 127.0.0.1:{}\r\n", side.ports[1]));
    assert_eq!([&of_real[1], &of_memory[1]], [&moved[0], &moved[1]]);
}

/// Two more connections to node 0: a subscriber of a shard channel, and one that waits for a list.
fn waiting(side: &Side) -> [Client; 2] {
    let open = || Client::open(([127, 0, 0, 1], side.ports[0]).into());
    let (mut subscribed, mut blocked) = (open(), open());
    assert!(subscribed.ask("HELLO 3").starts_with('%'));
    assert!(subscribed.ask("SSUBSCRIBE bar").starts_with(">3\r\n"));
    blocked.send("BLPOP {bar}list 0");
    until(&mut open(), "INFO clients", |info| info.contains("blocked_clients:1"));
    [subscribed, blocked]
}

const WHILE_OPEN: &str = "0: GET {bar}1
    0: GET {bar}2
    0: GET {bar}9
    0: MGET {bar}1 {bar}2
    0: MGET {bar}2 {bar}9
    0: SET {bar}9 1
    1: GET {bar}2
    1: ASKING
    1: GET {bar}2
    1: GET {bar}2
    1: ASKING
    1: MGET {bar}1 {bar}2
    1: ASKING
    1: SET {bar}9 1
    1: ASKING
    1: MULTI
    1: GET {bar}9
    1: EXEC
    1: MULTI
    1: ASKING
    1: GET {bar}9
    1: EXEC
    0: MULTI
    0: GET {bar}9
    0: EXEC
    0: MULTI
    0: GET {bar}1
    0: EXEC
    2: GET {bar}1
    0: CLUSTER COUNTKEYSINSLOT 5061
    0: SPUBLISH bar x
    0: CLUSTER SLOTS";

const WHEN_MOVED: &str = "0: GET {bar}1
    1: MGET {bar}1 {bar}2 {bar}3
    0: SSUBSCRIBE bar
    0: CLUSTER SLOTS";

#[test]
fn a_killed_node_refuses_until_it_is_revived() {
    let cluster =
        Cluster::start(ClusterConfig { replicas: 1, ..ClusterConfig::default() }).expect("a cluster");
    let address = |node: usize| cluster.addresses()[node];
    let (mut first, mut replica) = (Client::open(address(0)), Client::open(address(5)));
    assert_eq!(Client::open(address(2)).ask("SET foo 1"), "+OK\r\n");
    cluster.rehearse("KILL 2 ELECTION 20ms").expect("a death");
    assert!(TcpStream::connect(address(2)).is_err(), "it still listens");
    until(&mut replica, "GET foo", |reply| reply == "$1\r\n1\r\n");
    let moved = format!("-MOVED 12182 {}\r\n", address(5));
    assert_eq!(first.ask("GET foo"), moved);
    cluster.rehearse("REVIVE 2").expect("it was dead");
    let mut revived = Client::open(address(2));
    assert_eq!(revived.ask("GET foo"), moved);
    assert_eq!(revived.ask("READONLY"), "+OK\r\n");
    assert_eq!(revived.ask("GET foo"), "$1\r\n1\r\n");
    assert_eq!((cluster.primaries(), cluster.replicas(), cluster.spares()), (0..3, 3..6, 6..6));
    cluster.stop().expect("no error");
}

#[test]
fn held_writes_continue_when_the_slots_have_moved() {
    let cluster = Cluster::start(ClusterConfig::default()).expect("a cluster");
    let mut client = Client::open(cluster.addresses()[0]);
    let mut opted_in = Client::open(cluster.addresses()[2]);
    opted_in.opt_in("here");
    assert_eq!(client.ask("SET bar 1"), "+OK\r\n");
    cluster.rehearse("MIGRATE 5061 0 1 ATOMIC PAUSE 50ms ANNOUNCE").expect("a migration");
    assert!(opted_in.frame().contains("SMIGRATING"));
    client.send("INCR bar");
    assert_eq!(client.frame(), format!("-MOVED 5061 {}\r\n", cluster.addresses()[1]));
    assert!(opted_in.frame().contains("SMIGRATED"));
    assert_eq!(Client::open(cluster.addresses()[1]).ask("INCR bar"), ":2\r\n");
}

#[test]
fn the_command_serves_a_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scenario.toml");
    let scenario = "[[step]]\nat = \"0s\"\ndo = \"FAILOVER 0\"\n";
    std::fs::write(&path, scenario).expect("a file");
    let script = path.to_str().expect("a path that is text");
    let rehearsal = Rehearsal::start_with(&[
        "--cluster",
        "3x1",
        "--spares",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--script",
        script,
    ]);
    let at = |node: usize| rehearsal.listeners[node];
    assert_eq!(rehearsal.listeners.len(), 7);
    let mut client = rehearsal.connect(0);
    let moved = format!("-MOVED 5061 {}\r\n", at(3));
    until(&mut client, "GET bar", |reply| reply == moved);
    assert_eq!(rehearsal.control(1, &format!("FAILOVER {}", at(0).port())), "+OK\r\n");
    assert_eq!(client.ask("GET bar"), "$-1\r\n");
    let stats = rehearsal.stats();
    assert_eq!(stats["cluster"]["nodes"][0]["slots"], "0-5460", "{stats:#}");
    assert_eq!(stats["cluster"]["nodes"][6]["role"], "spare", "{stats:#}");
    rehearsal.signal(libc::SIGINT);
    let (first, replica) = (at(0), at(3));
    let (code, _, log) = rehearsal.end();
    assert_eq!(code, Some(0), "{log}");
    for line in [
        "a cluster in memory".to_owned(),
        format!("  0 {first} primary 0-5460\n"),
        format!("  3 {replica} replica of 0\n"),
        "REHEARSE MIGRATE 0-99 0 1".to_owned(),
    ] {
        assert!(log.contains(&line), "{line:?} is missing in {log}");
    }
}

#[test]
fn redis_cli_reshards_the_cluster() {
    let cluster = Cluster::start(ClusterConfig::default()).expect("a cluster");
    let mut source = Client::open(cluster.addresses()[0]);
    assert_eq!(source.ask("MSET {bar}1 v {bar}2 w"), "+OK\r\n");
    // It takes the first slots of the source: the slot of the keys is the first one now.
    cluster.rehearse("ASSIGN 0-5060 2").expect("slots");
    let id = |node: usize| line(&Client::open(cluster.addresses()[node]).ask("CLUSTER MYID"), 1);
    let (first, from, to) = (cluster.addresses()[0].to_string(), id(0), id(1));
    let options = ["--cluster-from", &from, "--cluster-to", &to, "--cluster-slots", "3", "--cluster-yes"];
    let (said, errors) = redis_cli(&[&["--cluster", "reshard", &first], &options[..]].concat());
    assert!(said.contains("Moving slot 5061 from"), "{said}{errors}");
    assert_eq!(source.ask("GET {bar}1"), format!("-MOVED 5061 {}\r\n", cluster.addresses()[1]));
    assert_eq!(Client::open(cluster.addresses()[1]).ask("GET {bar}2"), "$1\r\nw\r\n");
    let (said, errors) = redis_cli(&["--cluster", "check", &first]);
    assert!(said.contains("All 16384 slots covered"), "{said}{errors}");
}

#[test]
fn options_that_do_not_fit_a_cluster_are_refused() {
    for (arguments, named) in [
        (&["--cluster", "3", "--upstream", "redis://127.0.0.1"][..], &["--cluster", "--upstream"][..]),
        (&["--cluster", "0x1"], &["--cluster", "e.g. 3 or 3x1"]),
        (&["--spares", "1"], &["--cluster"]),
        (
            &["--cluster", "3", "--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0"],
            &["3 nodes", "allowed: 1 or 3"],
        ),
    ] {
        let output = binary::run(&[&["rehearse"], arguments].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(named.iter().all(|name| stderr.contains(name)), "{arguments:?}: {stderr}");
    }
}
