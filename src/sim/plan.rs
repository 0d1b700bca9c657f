//! [`Plan`]: what a seed decides before its world begins: how large it is, and what will be done to it when.
//!
//! The deeds are a list, so that a story can be told again with fewer of them.

use std::fmt;
use std::time::Duration;

/// A world to be.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(super) setting: Setting,
    pub(crate) deeds: Vec<Deed>,
}

/// What stays the same while a world lasts.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) shards: usize,
    pub(super) connections: usize,
    /// Callers of each shard.
    pub(super) callers: usize,
    /// The pools are configured with a name rather than an address.
    pub(super) by_name: bool,
    pub(super) command_timeout: Duration,
    pub(super) relaxed_timeout: Duration,
    pub(super) reply_time_max: Duration,
    pub(super) idle_ping: Duration,
    /// Who is refused asks for other credentials.
    pub(super) renewable: bool,
    pub(super) in_flight_max: usize,
    pub(super) queue_max: usize,
    /// The longest that a byte is under way, stalls apart.
    pub(super) latency_us: u64,
}

/// Something that is done to a world.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deed {
    pub(super) at: Duration,
    pub(super) kind: DeedKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum DeedKind {
    /// A word to the rehearsal, at a node.
    Rehearse { node: usize, words: String },
    /// One connection, of all there are, is reset.
    Cut { which: u32 },
    /// Nothing arrives on one for a while.
    Stall { which: u32, ms: u64 },
    /// One is dead, and nobody is told.
    Vanish { which: u32 },
    /// A server sends what is no RESP.
    Garble { which: u32 },
    /// A server sends so many pushes of no use.
    Flood { which: u32, pushes: u32 },
    /// A server begins a reply, and adds to it for so long, and never ends it.
    Endless { which: u32, ms: u64 },
    /// The name leads to these nodes from now on.
    Name { nodes: Vec<usize> },
    /// Look-ups take so long.
    SlowNames { ms: u64 },
    /// The servers want another password, and each shard learns of it within so long.
    Rotate { within_ms: u64 },
    /// A shard is shut down.
    ShutDown { shard: usize, grace_ms: u64 },
}

/// How many servers there are.
pub(super) const NODES: usize = 3;
/// When the last deed is done, at the latest.
pub(super) const DEEDS_END: Duration = Duration::from_secs(8);

impl Plan {
    /// What this seed decides.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let setting = Setting {
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
        };
        let mut deeds: Vec<Deed> = (0..random.usize(1..16)).flat_map(|_| deeds(&mut random)).collect();
        if random.u32(..20) == 0 {
            let kind =
                DeedKind::ShutDown { shard: random.usize(..setting.shards), grace_ms: random.u64(..1_000) };
            deeds.push(Deed { at: time(&mut random), kind });
        }
        deeds.sort_by_key(|deed| deed.at);
        Plan { seed, setting, deeds }
    }
}

fn time(random: &mut fastrand::Rng) -> Duration {
    Duration::from_micros(random.u64(..DEEDS_END.as_micros() as u64))
}

/// One thing, and where it needs an end, that.
fn deeds(random: &mut fastrand::Rng) -> Vec<Deed> {
    let at = time(random);
    let which = random.u32(..);
    let once = |kind| vec![Deed { at, kind }];
    match random.u32(..100) {
        0..50 => announcements(at, random),
        50..58 => once(DeedKind::Cut { which }),
        58..66 => once(DeedKind::Stall { which, ms: random.u64(1..3_000) }),
        66..69 => once(DeedKind::Vanish { which }),
        69..71 => once(DeedKind::Garble { which }),
        71 => once(DeedKind::Flood { which, pushes: random.u32(100..12_000) }),
        72 => once(DeedKind::Endless { which, ms: random.u64(100..8_000) }),
        73..80 => {
            let nodes = (0..NODES).filter(|_| random.bool()).collect();
            once(DeedKind::Name { nodes })
        }
        80..83 => once(DeedKind::SlowNames { ms: random.u64(1..3_000) }),
        83..88 => rotations(at, random),
        _ => faults(at, random),
    }
}

fn announcements(at: Duration, random: &mut fastrand::Rng) -> Vec<Deed> {
    let (node, other) = (random.usize(..NODES), random.usize(..NODES));
    let seconds = random.u32(..6);
    let words = match random.u32(..12) {
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
    let mut told = vec![Deed { at, kind: DeedKind::Rehearse { node, words: format!("{prefix}{words}") } }];
    if random.bool() && words.starts_with("MOVING") {
        // Whoever comes back to a node finds it in peace.
        let (words, at) = ("RETURN".to_owned(), at + Duration::from_secs(seconds.into()));
        told.push(Deed { at, kind: DeedKind::Rehearse { node, words } });
    }
    told
}

/// The servers want another password, often while connections are being made, which takes time then.
fn rotations(at: Duration, random: &mut fastrand::Rng) -> Vec<Deed> {
    let most = random.choice([50, 300, 1_500]).unwrap_or(50);
    let within_ms = random.u64(1..most);
    let mut told = vec![Deed { at, kind: DeedKind::Rotate { within_ms } }];
    if random.bool() {
        return told;
    }
    let before = |ms| at.saturating_sub(Duration::from_millis(ms));
    let rehearse = |at, words| Deed { at, kind: DeedKind::Rehearse { node: 0, words } };
    told.push(rehearse(before(300), format!("ALL FAULT delay {}", random.u32(1..200))));
    let kind = match random.u32(..2) {
        0 => DeedKind::Cut { which: random.u32(..) },
        _ => {
            let target = address(random.usize(..NODES));
            DeedKind::Rehearse { node: random.usize(..NODES), words: format!("MOVING 3 {target}") }
        }
    };
    told.push(Deed { at: before(random.u64(1..250)), kind });
    let over = at + Duration::from_millis(random.u64(1..1_500));
    told.push(rehearse(over, "ALL FAULT off".to_owned()));
    told
}

/// Pushes that no server in its right mind sends.
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

fn faults(at: Duration, random: &mut fastrand::Rng) -> Vec<Deed> {
    let node = random.usize(..NODES);
    let fault = match random.u32(..12) {
        0 => format!("delay {}", random.u32(1..500)),
        1 => "stall".to_owned(),
        2 => format!("reset {}", random.u32(1..4_000)),
        3 => format!("close-at-byte {}", random.u32(1..4_000)),
        4 | 5 => "refuse".to_owned(),
        6 => "drop".to_owned(),
        // It lives for as long as a handshake takes.
        7 => format!("close-at-byte {}", random.u32(200..400)),
        8..11 => {
            let states = ["readonly", "readonly", "masterdown", "loading", "noauth"];
            format!("answer {}", random.choice(states).unwrap_or("readonly"))
        }
        _ => format!("duplicate {}", random.u32(1..4)),
    };
    let over = at + Duration::from_millis(random.u64(1..3_000));
    let rehearse = |at, words| Deed { at, kind: DeedKind::Rehearse { node, words } };
    vec![rehearse(at, format!("FAULT {fault}")), rehearse(over, "FAULT off".to_owned())]
}

/// A name by which a server sends its clients to their own machine.
pub(super) const HOSTILE_NAME: &str = "evil.sim";
/// Where servers send clients that want something of somebody else's. Only the last may be gone to, and nobody is there.
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

/// Where a node listens.
pub(super) fn address(node: usize) -> String {
    format!("10.0.0.{}:6379", node + 1)
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11.6} s  ", self.at.as_secs_f64())?;
        match &self.kind {
            DeedKind::Rehearse { node, words } => write!(f, "node {node}: {words}"),
            DeedKind::Cut { which } => write!(f, "connection {which} is cut"),
            DeedKind::Stall { which, ms } => write!(f, "nothing arrives on connection {which} for {ms} ms"),
            DeedKind::Vanish { which } => write!(f, "connection {which} is dead, and nobody is told"),
            DeedKind::Garble { which } => write!(f, "the server sends rubbish on connection {which}"),
            DeedKind::Flood { which, pushes } => {
                write!(f, "the server sends {pushes} pushes of no use on connection {which}")
            }
            DeedKind::Endless { which, ms } => {
                write!(f, "the server sends a reply without an end on connection {which}, for {ms} ms")
            }
            DeedKind::Name { nodes } => write!(f, "the name leads to the nodes {nodes:?}"),
            DeedKind::SlowNames { ms } => write!(f, "look-ups take {ms} ms"),
            DeedKind::Rotate { within_ms } => {
                write!(f, "the password is another, which all shards know within {within_ms} ms")
            }
            DeedKind::ShutDown { shard, grace_ms } => {
                write!(f, "shard {shard} is shut down, with {grace_ms} ms to finish")
            }
        }
    }
}
