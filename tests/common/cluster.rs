//! [`Cluster`]: a Redis or Valkey cluster for a test, on loopback and on free ports.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, RedisResult};

use super::servers::{self, Server};
use super::{PORTS_MAX, Redis, WAIT_MAX, eventually, free_port};

/// A running cluster. Its nodes have indexes: first come those that start as primaries, then their replicas.
///
/// All nodes agree on the slots when a method returns. They are killed when this is dropped.
pub struct Cluster {
    nodes: Vec<Node>,
}

struct Node {
    redis: Redis,
    id: String,
    is_alive: bool,
}

/// What one node says about another, or about itself.
struct Member {
    flags: String,
    primary: String,
    is_connected: bool,
    slots: Vec<(u16, u16)>,
}

impl Cluster {
    /// Three primaries with a replica each.
    pub fn start() -> Cluster {
        Cluster::start_with(3, 1)
    }

    /// So many primaries, each with so many replicas. The replicas of the first primary are the first ones.
    pub fn start_with(primaries: usize, replicas: usize) -> Cluster {
        Cluster::start_on(servers::with(&[]), primaries, replicas, &[])
    }

    /// Starts this server with more options. The start takes two seconds, for which a primary refuses commands after it has
    /// started, whatever its options.
    pub fn start_on(server: &'static Server, primaries: usize, replicas: usize, options: &[&str]) -> Cluster {
        let count = primaries * (1 + replicas);
        let nodes = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..count).map(|_| scope.spawn(|| Node::start(server, options))).collect();
            starts.into_iter().map(|start| start.join().expect("the server starts")).collect()
        });
        let cluster = Cluster { nodes };
        for node in 0..count {
            // Otherwise all nodes have the same epoch and change it later, and slots change hands meanwhile.
            cluster.ask::<()>(node, &format!("CLUSTER SET-CONFIG-EPOCH {}", node + 1));
        }
        for node in 0..primaries {
            let [first, next] = [node, node + 1].map(|node| usize::from(SLOTS) * node / primaries);
            cluster.ask::<()>(node, &format!("CLUSTER ADDSLOTSRANGE {first} {}", next - 1));
        }
        // Every pair, because gossip takes seconds.
        for (node, other) in (0..count).flat_map(|node| (node + 1..count).map(move |other| (node, other))) {
            let other = &cluster.nodes[other].redis;
            cluster.ask::<()>(node, &format!("CLUSTER MEET 127.0.0.1 {} {}", other.port(), bus_port(other)));
        }
        eventually("all nodes know each other", || {
            (0..count).all(|node| cluster.members(node).len() == count)
        });
        for node in primaries..count {
            let primary = &cluster.nodes[(node - primaries) / replicas].id;
            cluster.ask::<()>(node, &format!("CLUSTER REPLICATE {primary}"));
        }
        cluster.wait_until_up();
        cluster.set_node_timeout(NODE_TIMEOUT);
        cluster
    }

    /// The number of nodes, including those that were killed.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].redis.port()
    }

    pub fn url(&self, node: usize) -> String {
        self.nodes[node].redis.url()
    }

    /// The id that `CLUSTER NODES` shows.
    pub fn id(&self, node: usize) -> &str {
        &self.nodes[node].id
    }

    pub fn connect(&self, node: usize) -> Connection {
        connect(&self.nodes[node].redis).expect("the node accepts connections")
    }

    /// Sends a command, whose words are separated by spaces, to a node.
    ///
    /// # Panics
    /// If the node replies with an error.
    #[track_caller]
    pub fn ask<T: FromRedisValue>(&self, node: usize, command: &str) -> T {
        let asked = self.try_ask(node, command);
        asked.unwrap_or_else(|error| panic!("node {node} replies to {command}: {error}"))
    }

    /// Sends a command to a node.
    ///
    /// # Errors
    /// The error that the node replies.
    pub fn try_ask<T: FromRedisValue>(&self, node: usize, command: &str) -> RedisResult<T> {
        let mut words = command.split(' ');
        let mut asked = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| _ = asked.arg(word));
        loop {
            let answered =
                connect(&self.nodes[node].redis).and_then(|mut connection| asked.query(&mut connection));
            match answered {
                // A signal has interrupted the read. What is asked here may be asked twice.
                Err(error)
                    if error.kind() == redis::ErrorKind::Io && error.to_string().contains("Interrupted") => {}
                answered => return answered,
            }
        }
    }

    /// The node that has the slot, once exactly one running node says so.
    pub fn primary_of(&self, slot: u16) -> usize {
        let mut found = None;
        eventually(&format!("one primary has slot {slot}"), || {
            let mut owners = self.alive().filter(|node| {
                let myself = self.myself(*node);
                myself.is_primary()
                    && myself.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
            });
            found = owners.next();
            found.is_some() && owners.next().is_none()
        });
        found.expect("just found")
    }

    /// The running replicas of a node, as they say themselves.
    pub fn replicas_of(&self, primary: usize) -> Vec<usize> {
        self.alive().filter(|node| self.myself(*node).primary == self.nodes[primary].id).collect()
    }

    /// Kills a node with SIGKILL. A replica takes its place after the node timeout.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].redis.kill();
        self.nodes[node].is_alive = false;
    }

    /// Stops a node with SIGSTOP: its connections stay open, and nothing comes back. It stops for good.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].redis.signal(libc::SIGSTOP);
        self.nodes[node].is_alive = false;
    }

    /// Starts a node again, on the same ports and with the files that it has left behind.
    pub fn restart(&mut self, node: usize) {
        self.nodes[node].redis.restart();
        self.nodes[node].is_alive = true;
    }

    /// Makes a replica the primary of its slots, and waits until all running nodes say so. The present primary takes part, if it
    /// runs.
    pub fn failover(&self, replica: usize) {
        let primary = self.myself(replica).primary;
        let runs = self.alive().any(|node| self.nodes[node].id == primary);
        let command = if runs { "CLUSTER FAILOVER" } else { "CLUSTER FAILOVER TAKEOVER" };
        let mut asked: Option<Instant> = None;
        eventually("the replica is a primary", || {
            // A server gives up after five seconds, in which a busy machine may not bring the replica up to date.
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(6)) {
                asked = Some(Instant::now());
                let _ = self.try_ask::<()>(replica, command);
            }
            self.myself(replica).is_primary()
        });
        self.wait_until_up();
    }

    /// Sets how long a node must be silent before the others take it for failed. The default suits tests in which no node
    /// fails: on a machine that pauses, a short timeout causes failovers that no test asked for.
    pub fn set_node_timeout(&self, timeout: Duration) {
        for node in self.alive() {
            self.ask::<()>(node, &format!("CONFIG SET cluster-node-timeout {}", timeout.as_millis()));
        }
    }

    /// Waits until all running nodes serve all slots, agree on their primaries, and replicate.
    pub fn wait_until_up(&self) {
        eventually("the cluster is up, and its nodes agree", || {
            let mut views = self.alive().map(|node| self.primaries_seen_by(node));
            let first = views.next();
            self.alive().all(|node| self.is_up(node)) && views.all(|view| Some(view) == first)
        });
    }

    fn alive(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].is_alive)
    }

    fn is_up(&self, node: usize) -> bool {
        let info: String = self.ask(node, "CLUSTER INFO");
        let replication: String = self.ask(node, "INFO replication");
        let members = self.members(node);
        let others = self.alive().map(|node| members.get(&self.nodes[node].id));
        info.contains("cluster_state:ok")
            && !replication.contains("master_link_status:down")
            && others
                .into_iter()
                .flatten()
                .all(|member| member.is_connected && !member.flags.contains("fail"))
    }

    /// The slots of each primary, by the first slot.
    fn primaries_seen_by(&self, node: usize) -> BTreeMap<(u16, u16), String> {
        let members = self.members(node).into_iter();
        members
            .flat_map(|(id, member)| member.slots.into_iter().map(move |slots| (slots, id.clone())))
            .collect()
    }

    fn myself(&self, node: usize) -> Member {
        self.members(node).remove(&self.nodes[node].id).expect("a node knows itself")
    }

    /// The nodes that a node knows, by their ids. A node that has not shaken hands yet has no id of its own.
    fn members(&self, node: usize) -> BTreeMap<String, Member> {
        let nodes: String = self.ask(node, "CLUSTER NODES");
        let members = nodes.lines().map(|line| {
            let mut fields = line.split(' ');
            let mut field = || fields.next().unwrap_or_default().to_owned();
            let [id, _, flags, primary, _, _, _, link] = [(); 8].map(|()| field());
            let slots = fields.filter(|slots| !slots.starts_with('[')).map(range).collect();
            (id, Member { flags, primary, is_connected: link == "connected", slots })
        });
        members.filter(|(_, member)| !member.flags.contains("handshake")).collect()
    }
}

impl Node {
    fn start(server: &'static Server, options: &[&str]) -> Node {
        let mut said = String::new();
        for _ in 0..PORTS_MAX {
            let bus = free_port().to_string();
            let meeting = MEETING_TIMEOUT.as_millis().to_string();
            // By default the bus has the port plus 10000, which few free ports allow.
            let cluster = ["--cluster-enabled", "yes", BUS_PORT, &bus, "--cluster-node-timeout", &meeting];
            let replication = ["--repl-diskless-sync-delay", "0"];
            match Redis::try_start(server, &[&cluster[..], &replication, options].concat()) {
                Ok(redis) => {
                    let id =
                        redis::cmd("CLUSTER").arg("MYID").query(&mut connect(&redis).expect("it listens"));
                    return Node { redis, id: id.expect("a node has an id"), is_alive: true };
                }
                Err(error) => said = error,
            }
            if !said.contains("Address already in use") {
                break;
            }
        }
        panic!("{} does not start with {options:?}: {said}", server.name)
    }
}

impl Member {
    fn is_primary(&self) -> bool {
        self.flags.contains("master")
    }
}

fn connect(redis: &Redis) -> RedisResult<Connection> {
    let connection = redis::Client::open(redis.url())?.get_connection_with_timeout(WAIT_MAX)?;
    connection.set_read_timeout(Some(WAIT_MAX))?;
    Ok(connection)
}

fn bus_port(redis: &Redis) -> &str {
    let option =
        redis.options.iter().position(|option| option == BUS_PORT).expect("the node was started with it");
    &redis.options[option + 1]
}

/// `7` or `7-9`.
fn range(slots: &str) -> (u16, u16) {
    let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
    (first.parse().expect("a slot"), last.parse().expect("a slot"))
}

const SLOTS: u16 = 16384;
const BUS_PORT: &str = "--cluster-port";
/// While the nodes meet, a short timeout makes them talk more often.
const MEETING_TIMEOUT: Duration = Duration::from_millis(1000);
const NODE_TIMEOUT: Duration = Duration::from_millis(5000);
