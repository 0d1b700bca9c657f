//! [`Plan`]: what a seed decides before its simulation starts: the parameters, and a list of faults with their times.
//!
//! The faults are a list so that a failing run can be shrunk to a minimal reproduction.

use std::fmt;
use std::time::Duration;

/// The plan of one simulation.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(super) parameters: Parameters,
    pub(crate) faults: Vec<Fault>,
}

/// What is constant during a simulation.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    pub(super) shards: usize,
    pub(super) connections: usize,
    /// The number of callers on each shard.
    pub(super) callers: usize,
    /// The pools are configured with a name instead of an address.
    pub(super) by_name: bool,
    pub(super) command_timeout: Duration,
    pub(super) relaxed_timeout: Duration,
    pub(super) reply_time_max: Duration,
    pub(super) idle_ping: Duration,
    /// A rejected login asks the provider for other credentials.
    pub(super) renewable: bool,
    pub(super) in_flight_max: usize,
    pub(super) queue_max: usize,
    /// The longest time that a byte travels, except during stalls.
    pub(super) latency_us: u64,
    pub(super) exclusive: ExclusiveParameters,
    pub(super) subscribers: SubscriberParameters,
}

/// The subscriptions, and those who publish to them.
#[derive(Clone, Debug)]
pub(super) struct SubscriberParameters {
    /// The number of subscriptions on each shard.
    pub(super) subscriptions: u32,
    pub(super) publishers: usize,
    /// How long a publisher pauses, mostly.
    pub(super) pause_us: u64,
    /// How many messages the buffers hold that are small.
    pub(super) buffer: usize,
}

/// The callers that need connections for themselves.
#[derive(Clone, Debug)]
pub(super) struct ExclusiveParameters {
    /// The number of callers on each shard that block.
    pub(super) blockers: usize,
    /// The number of callers on each shard with a session.
    pub(super) sessions: usize,
    /// How many exclusive connections a shard has at most.
    pub(super) connections_max: usize,
    /// After how long without use they are closed.
    pub(super) idle: Duration,
}

/// A fault or an announcement, and its time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(super) at: Duration,
    pub(super) kind: FaultKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum FaultKind {
    /// A REHEARSE command at a node.
    Rehearse { node: usize, command: String },
    /// One of the open connections is reset.
    Reset { which: u32 },
    /// No byte arrives on one connection for a while.
    Stall { which: u32, ms: u64 },
    /// One connection goes silent: no byte arrives any more, and neither end is told.
    Silence { which: u32 },
    /// A server sends bytes that are not RESP.
    Garbage { which: u32 },
    /// A server sends this many pushes that the client does not know.
    PushFlood { which: u32, pushes: u32 },
    /// A server starts a reply and adds to it for this long without an end.
    EndlessReply { which: u32, ms: u64 },
    /// The name resolves to these nodes from now on.
    DnsChange { nodes: Vec<usize> },
    /// Look-ups take this long.
    SlowDns { ms: u64 },
    /// The servers switch to a new password, and each shard gets it within this time.
    RotatePassword { within_ms: u64 },
    /// A shard shuts down.
    ShutDown { shard: usize, grace_ms: u64 },
}

impl Plan {
    /// Draws the plan of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let parameters = Parameters {
            shards: random.usize(1..=3),
            connections: random.usize(1..=3),
            callers: random.usize(1..=4),
            by_name: random.bool(),
            command_timeout: Duration::from_millis(random.u64(100..1500)),
            relaxed_timeout: Duration::from_millis(random.u64(100..4000)),
            reply_time_max: Duration::from_millis(random.u64(500..3000)),
            idle_ping: Duration::from_millis(random.u64(20..3000)),
            renewable: random.bool(),
            in_flight_max: random.usize(1..20),
            queue_max: random.usize(1..20),
            latency_us: random.choice([50, 500, 5_000, 60_000]).unwrap_or(50),
            exclusive: ExclusiveParameters::draw(seed),
            subscribers: SubscriberParameters::draw(seed),
        };
        let mut faults: Vec<Fault> = (0..random.usize(1..16)).flat_map(|_| faults(&mut random)).collect();
        if random.u32(..20) == 0 {
            let kind = FaultKind::ShutDown {
                shard: random.usize(..parameters.shards),
                grace_ms: random.u64(..1_000),
            };
            faults.push(Fault { at: time(&mut random), kind });
        }
        faults.sort_by_key(|fault| fault.at);
        Plan { seed, parameters, faults }
    }
}

impl ExclusiveParameters {
    /// They have draws of their own, so that the worlds without such callers are the same as before.
    fn draw(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ EXCLUSIVE_SEED);
        // They cost as much time as all other callers together, so half of the worlds have none.
        let (blockers, sessions) = match random.u32(..8) {
            0..4 => (0, 0),
            4..6 => (random.usize(1..=3), 0),
            6 => (0, random.usize(1..=2)),
            _ => (random.usize(1..=2), 1),
        };
        let (connections_max, idle) = (random.usize(1..=4), Duration::from_millis(random.u64(50..3_000)));
        ExclusiveParameters { blockers, sessions, connections_max, idle }
    }
}

impl SubscriberParameters {
    /// As above, they have draws of their own.
    fn draw(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ SUBSCRIBER_SEED);
        // Their messages cost most of the time of such a world, so most worlds have none.
        let (subscriptions, publishers) = match random.u32(..4) {
            0 => (random.u32(1..=3), random.usize(1..=2)),
            _ => (0, 0),
        };
        let pause_us = random.choice([50_000, 200_000, 400_000, 800_000]).unwrap_or(20_000);
        SubscriberParameters { subscriptions, publishers, pause_us, buffer: random.usize(1..30) }
    }
}

fn time(random: &mut fastrand::Rng) -> Duration {
    Duration::from_micros(random.u64(..FAULTS_END.as_micros() as u64))
}

/// One fault, followed by its end if it needs one.
fn faults(random: &mut fastrand::Rng) -> Vec<Fault> {
    let at = time(random);
    let which = random.u32(..);
    let once = |kind| vec![Fault { at, kind }];
    match random.u32(..100) {
        0..50 => announcements(at, random),
        50..58 => once(FaultKind::Reset { which }),
        58..66 => once(FaultKind::Stall { which, ms: random.u64(1..3_000) }),
        66..69 => once(FaultKind::Silence { which }),
        69..71 => once(FaultKind::Garbage { which }),
        71 => once(FaultKind::PushFlood { which, pushes: random.u32(100..12_000) }),
        72 => once(FaultKind::EndlessReply { which, ms: random.u64(100..8_000) }),
        73..80 => {
            let nodes = (0..NODES).filter(|_| random.bool()).collect();
            once(FaultKind::DnsChange { nodes })
        }
        80..83 => once(FaultKind::SlowDns { ms: random.u64(1..3_000) }),
        83..88 => rotations(at, random),
        _ => server_faults(at, random),
    }
}

fn announcements(at: Duration, random: &mut fastrand::Rng) -> Vec<Fault> {
    let (node, other) = (random.usize(..NODES), random.usize(..NODES));
    let seconds = random.u32(..6);
    let command = match random.u32(..12) {
        0..6 => {
            let target = if random.u32(..5) == 0 { "null".to_owned() } else { address(other) };
            let close = random.choice(["", " fin", " rst", " half", " never"]).unwrap_or("");
            let delay = if close == " never" || random.bool() {
                String::new()
            } else {
                format!(" delay {}", random.u32(..3_000))
            };
            format!("MOVING {seconds} {target}{close}{delay}")
        }
        6 => format!("MOVING {} {} early 0.{}", seconds.max(1), address(other), random.u32(1..10)),
        7 => format!("MIGRATING {seconds} {}", random.u32(1..3)),
        8 => format!("MIGRATED {}", random.u32(1..3)),
        9 => format!("FAILING_OVER {seconds} {}", random.u32(1..3)),
        10 => format!("FAILED_OVER {}", random.u32(1..3)),
        _ => format!("PUSH {}", raw(random)),
    };
    let prefix = if random.u32(..8) == 0 { "ALL " } else { "" };
    let mut faults =
        vec![Fault { at, kind: FaultKind::Rehearse { node, command: format!("{prefix}{command}") } }];
    if random.bool() && command.starts_with("MOVING") {
        // Connections that return to the node later are served without a new announcement.
        let (command, at) = ("RETURN".to_owned(), at + Duration::from_secs(seconds.into()));
        faults.push(Fault { at, kind: FaultKind::Rehearse { node, command } });
    }
    faults
}

/// A password rotation, half of the time while slow handshakes are under way.
fn rotations(at: Duration, random: &mut fastrand::Rng) -> Vec<Fault> {
    let most = random.choice([50, 300, 1_500]).unwrap_or(50);
    let within_ms = random.u64(1..most);
    let mut faults = vec![Fault { at, kind: FaultKind::RotatePassword { within_ms } }];
    if random.bool() {
        return faults;
    }
    let before = |ms| at.saturating_sub(Duration::from_millis(ms));
    let rehearse = |at, command| Fault { at, kind: FaultKind::Rehearse { node: 0, command } };
    faults.push(rehearse(before(300), format!("ALL FAULT delay {}", random.u32(1..200))));
    let kind = match random.u32(..2) {
        0 => FaultKind::Reset { which: random.u32(..) },
        _ => {
            let target = address(random.usize(..NODES));
            FaultKind::Rehearse { node: random.usize(..NODES), command: format!("MOVING 3 {target}") }
        }
    };
    faults.push(Fault { at: before(random.u64(1..250)), kind });
    let over = at + Duration::from_millis(random.u64(1..1_500));
    faults.push(rehearse(over, "ALL FAULT off".to_owned()));
    faults
}

/// Pushes that no correct server sends.
fn raw(random: &mut fastrand::Rng) -> String {
    let seq = random.i32(-2..20);
    match random.u32(..8) {
        0 => format!(
            r">4\r\n+MOVING\r\n:{seq}\r\n:{}\r\n+{}\r\n",
            random.i32(-3..5),
            address(random.usize(..NODES))
        ),
        1 => format!(r">3\r\n+MOVING\r\n:{seq}\r\n:{}\r\n", random.i32(-3..5)),
        2 => format!(r">4\r\n+MIGRATING\r\n:{seq}\r\n:{}\r\n*1\r\n:1\r\n", random.i32(-3..5)),
        3 => format!(r">3\r\n+MIGRATED\r\n:{seq}\r\n_\r\n"),
        4 => r">1\r\n+MOVING\r\n".to_owned(),
        5 | 6 => {
            let target = random.choice(HOSTILE_TARGETS).unwrap_or_default();
            format!(r">4\r\n+MOVING\r\n:{seq}\r\n:{}\r\n+{target}\r\n", random.i32(0..6))
        }
        _ => r">2\r\n+other\r\n*1\r\n:1\r\n".to_owned(),
    }
}

fn server_faults(at: Duration, random: &mut fastrand::Rng) -> Vec<Fault> {
    let node = random.usize(..NODES);
    let fault = match random.u32(..12) {
        0 => format!("delay {}", random.u32(1..500)),
        1 => "stall".to_owned(),
        2 => format!("reset {}", random.u32(1..4_000)),
        3 => format!("close-at-byte {}", random.u32(1..4_000)),
        4 | 5 => "refuse".to_owned(),
        6 => "drop".to_owned(),
        // The connection ends during or soon after its handshake.
        7 => format!("close-at-byte {}", random.u32(200..400)),
        8..11 => {
            let states = ["readonly", "readonly", "masterdown", "loading", "noauth"];
            format!("answer {}", random.choice(states).unwrap_or("readonly"))
        }
        _ => format!("duplicate {}", random.u32(1..4)),
    };
    let over = at + Duration::from_millis(random.u64(1..3_000));
    let rehearse = |at, command| Fault { at, kind: FaultKind::Rehearse { node, command } };
    vec![rehearse(at, format!("FAULT {fault}")), rehearse(over, "FAULT off".to_owned())]
}

/// The address of a node.
pub(super) fn address(node: usize) -> String {
    format!("10.0.0.{}:6379", node + 1)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11.6} s  ", self.at.as_secs_f64())?;
        match &self.kind {
            FaultKind::Rehearse { node, command } => write!(f, "node {node}: {command}"),
            FaultKind::Reset { which } => write!(f, "connection {which} is reset"),
            FaultKind::Stall { which, ms } => write!(f, "nothing arrives on connection {which} for {ms} ms"),
            FaultKind::Silence { which } => write!(f, "connection {which} goes silent"),
            FaultKind::Garbage { which } => write!(f, "the server sends garbage on connection {which}"),
            FaultKind::PushFlood { which, pushes } => {
                write!(f, "the server sends {pushes} unknown pushes on connection {which}")
            }
            FaultKind::EndlessReply { which, ms } => {
                write!(f, "the server sends an endless reply on connection {which} for {ms} ms")
            }
            FaultKind::DnsChange { nodes } => write!(f, "the name resolves to the nodes {nodes:?}"),
            FaultKind::SlowDns { ms } => write!(f, "look-ups take {ms} ms"),
            FaultKind::RotatePassword { within_ms } => {
                write!(f, "the password changes, and all shards get it within {within_ms} ms")
            }
            FaultKind::ShutDown { shard, grace_ms } => {
                write!(f, "shard {shard} shuts down with a grace of {grace_ms} ms")
            }
        }
    }
}

/// The number of nodes.
pub(super) const NODES: usize = 3;
/// The time of the last fault, at the latest.
pub(super) const FAULTS_END: Duration = Duration::from_secs(8);
const EXCLUSIVE_SEED: u64 = 0x5851_f42d_4c95_7f2d;
const SUBSCRIBER_SEED: u64 = 0x2545_f491_4f6c_dd1d;
/// A name that resolves to the client's own machine.
pub(super) const HOSTILE_NAME: &str = "evil.sim";
/// The targets of hostile moves. A client may dial only the last one, and no host answers there.
const HOSTILE_TARGETS: [&str; 9] = [
    "127.0.0.1:6379",
    "[::1]:6379",
    "[::ffff:127.0.0.1]:6379",
    "169.254.169.254:80",
    "0.0.0.0:6379",
    "224.0.0.1:6379",
    "255.255.255.255:6379",
    "evil.sim:6379",
    "203.0.113.7:6379",
];
