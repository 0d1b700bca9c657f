//! [`TargetFilter`]: the only place that decides whether a client follows a redirection.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::Targets;
use super::reach::Reach;
use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// The message with which a server names another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Redirection {
    /// The push `MOVING`.
    Moving,
    /// The push `SMIGRATED`.
    SlotsMigrated,
    /// The error `-MOVED`.
    Moved,
    /// The error `-ASK`.
    Ask,
    /// The error `-REDIRECT`.
    Redirect,
    /// The description of a cluster: the replies to `CLUSTER SLOTS` and `CLUSTER SHARDS`.
    ClusterSlots,
    /// The primary and the replicas, as a Sentinel names them.
    Sentinel,
}

impl Redirection {
    /// The name on the wire, such as `MOVING`.
    pub const fn name(self) -> &'static str {
        match self {
            Redirection::Moving => "MOVING",
            Redirection::SlotsMigrated => "SMIGRATED",
            Redirection::Moved => "MOVED",
            Redirection::Ask => "ASK",
            Redirection::Redirect => "REDIRECT",
            Redirection::ClusterSlots => "CLUSTER SLOTS",
            Redirection::Sentinel => "SENTINEL",
        }
    }

    /// How many different targets one endpoint may name within a minute with this message. A cluster has many nodes; a server
    /// that moves has one successor.
    const fn targets_max(self) -> usize {
        match self {
            Redirection::Moving => MOVING_TARGETS_MAX,
            _ => TARGETS_MAX,
        }
    }
}

impl fmt::Display for Redirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The server that redirects the client, and its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RedirectSource {
    pub(crate) by: SocketAddr,
    pub(crate) how: Redirection,
}

impl fmt::Display for RedirectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.how, self.by)
    }
}

/// Why the client does not follow a redirection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("it is a unix socket, which no server may name")]
    Unix,
    #[error("no server can listen at {0}")]
    Unusable(SocketAddr),
    #[error(
        "{address} is a {reach} address, and a server with a {own} one may not redirect a client there; allow it with \
         `targets` if it is yours"
    )]
    Narrower { address: SocketAddr, reach: Reach, own: Reach },
    #[error("{0} is none of the allowed `targets`")]
    NotListed(SocketAddr),
    #[error("more than {0} different targets were named within a minute")]
    TooMany(usize),
}

/// Checks the targets that servers name to one pool.
///
/// The pool asks twice: [`TargetFilter::admit`] when a server names a target, and [`TargetFilter::check_address`] for each
/// address that the target resolves to, right before dialing it. It must never dial a target without the second check,
/// because a name can resolve to another address each time. Memory is bounded: servers choose the names.
#[derive(Debug)]
pub(crate) struct TargetFilter {
    targets: Targets,
    configured: Endpoint,
    /// The targets that were named within the last minute, and when.
    named: BTreeMap<(Redirection, Endpoint), Instant>,
    /// The targets whose refusal was reported within the last minute, and when.
    reported: BTreeMap<Endpoint, Instant>,
}

impl TargetFilter {
    pub(crate) fn new(targets: Targets, configured: Endpoint) -> Self {
        TargetFilter { targets, configured, named: BTreeMap::new(), reported: BTreeMap::new() }
    }

    /// Admits a target that a server names, or refuses it. A target that is an address is checked at once.
    ///
    /// # Errors
    /// Why the client does not follow.
    pub(crate) fn admit(
        &mut self,
        sent: RedirectSource,
        target: &Endpoint,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.is_trusted(sent, target) {
            return Ok(());
        }
        self.named.retain(|_, since| now.since(*since) < MINUTE);
        let (key, most) = ((sent.how, target.clone()), sent.how.targets_max());
        let is_known = self.named.contains_key(&key);
        if !is_known && self.named.keys().filter(|(how, _)| *how == sent.how).count() >= most {
            return Err(Refusal::TooMany(most));
        }
        self.named.entry(key).or_insert(now);
        if target.path().is_some() {
            return Err(Refusal::Unix);
        }
        target.socket_addr().map_or(Ok(()), |address| self.check_address(sent, target, address))
    }

    /// Checks an address that a named target resolves to, before it is dialed.
    ///
    /// # Errors
    /// Why the client must not dial it.
    pub(crate) fn check_address(
        &self,
        sent: RedirectSource,
        target: &Endpoint,
        address: SocketAddr,
    ) -> Result<(), Refusal> {
        if self.is_trusted(sent, target) || is_same(address, sent.by) {
            return Ok(());
        }
        let Some(reach) = Reach::of(address.ip()).filter(|_| address.port() != 0) else {
            return Err(Refusal::Unusable(address));
        };
        match &self.targets {
            Targets::Any => Ok(()),
            Targets::Only(patterns) => {
                let is_listed = patterns.iter().any(|pattern| pattern.allows(target, address));
                if is_listed { Ok(()) } else { Err(Refusal::NotListed(address)) }
            }
            Targets::SameReach => {
                // A peer with an impossible address may redirect a client to public addresses only.
                let own = Reach::of(sent.by.ip()).unwrap_or(Reach::Public);
                if reach >= own { Ok(()) } else { Err(Refusal::Narrower { address, reach, own }) }
            }
        }
    }

    /// Whether the refusal of this target has to be reported: at most once per minute.
    pub(crate) fn should_report(&mut self, target: &Endpoint, now: Instant) -> bool {
        self.reported.retain(|_, at| now.since(*at) < MINUTE);
        if self.reported.contains_key(target) || self.reported.len() >= REPORTED_MAX {
            return false;
        }
        self.reported.insert(target.clone(), now);
        true
    }

    /// Whether the target is the configured endpoint, or the server to which the client is already connected.
    fn is_trusted(&self, sent: RedirectSource, target: &Endpoint) -> bool {
        target.is_same(&self.configured) || target.is_same(&Endpoint::from(sent.by))
    }
}

fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

const MINUTE: Duration = Duration::from_secs(60);
/// How many different targets a server may name as its successor within a minute.
pub(crate) const MOVING_TARGETS_MAX: usize = 32;
/// The same for messages that name the nodes of a cluster: more than the largest cluster has.
const TARGETS_MAX: usize = 4096;
/// How many refused targets are reported within a minute.
const REPORTED_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::maint::notification::{Notification, Parsed, parse};
    use crate::proto::resp::{Decoder, Frame, Limits};

    const ALL: [Redirection; 7] = [
        Redirection::Moving,
        Redirection::SlotsMigrated,
        Redirection::Moved,
        Redirection::Ask,
        Redirection::Redirect,
        Redirection::ClusterSlots,
        Redirection::Sentinel,
    ];

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn filter(targets: &str) -> TargetFilter {
        TargetFilter::new(targets.parse().unwrap(), "redis.example:6379".parse().unwrap())
    }

    fn sent(by: &str, how: Redirection) -> RedirectSource {
        RedirectSource { by: format!("{by}:6379").parse().unwrap(), how }
    }

    /// Whether a server at `by` may redirect a client to `address`.
    fn allows(filter: &mut TargetFilter, by: &str, address: &str) -> bool {
        let target = address.parse().unwrap();
        filter.admit(sent(by, Redirection::Moving), &target, at(0)).is_ok()
    }

    #[test]
    fn sc_target_narrower_class_refused() {
        let classes = ["127.0.0.2:1", "169.254.169.254:80", "10.0.0.2:1", "8.8.8.8:1"];
        for (by, narrowest) in [("127.0.0.1", 0), ("169.254.0.1", 1), ("10.0.0.1", 2), ("8.8.4.4", 3)] {
            for (class, address) in classes.iter().enumerate() {
                let allowed = allows(&mut filter("same-reach"), by, address);
                assert_eq!(allowed, class >= narrowest, "{by} redirects to {address}");
            }
        }
        // No server can have these addresses, whatever the policy.
        for address in
            ["0.0.0.0:1", "[::]:1", "224.0.0.1:1", "255.255.255.255:1", "[ff02::1]:1", "[::ffff:0.0.0.0]:1"]
        {
            for targets in ["same-reach", "any", "0.0.0.0/0,::/0"] {
                assert!(!allows(&mut filter(targets), "127.0.0.1", address), "{targets} {address}");
            }
        }
        // An IPv4 address within an IPv6 address counts as the IPv4 address, on both sides.
        assert!(!allows(&mut filter("same-reach"), "10.0.0.1", "[::ffff:127.0.0.1]:1"));
        assert!(!allows(&mut filter("same-reach"), "[::ffff:8.8.8.8]", "10.0.0.1:1"));
        assert!(allows(&mut filter("same-reach"), "[::ffff:10.0.0.1]", "10.0.0.2:1"));
        // No server may name a unix socket, or port 0.
        let unix = Endpoint::unix("/run/redis.sock").unwrap();
        assert_eq!(
            filter("any").admit(sent("127.0.0.1", Redirection::Moving), &unix, at(0)),
            Err(Refusal::Unix)
        );
        let (target, no_port) = ("name:1".parse().unwrap(), "10.0.0.2:0".parse().unwrap());
        assert!(
            filter("any").check_address(sent("10.0.0.1", Redirection::Moving), &target, no_port).is_err()
        );
    }

    #[test]
    fn configured_endpoint_and_peer_are_always_allowed() {
        for targets in ["same-reach", "192.0.2.1"] {
            let (mut filter, by) = (filter(targets), sent("8.8.8.8", Redirection::Moving));
            let configured = "REDIS.example.:6379".parse().unwrap();
            assert_eq!(filter.admit(by, &configured, at(0)), Ok(()));
            assert_eq!(filter.check_address(by, &configured, "127.0.0.1:6379".parse().unwrap()), Ok(()));
            assert_eq!(filter.admit(by, &"8.8.8.8:6379".parse().unwrap(), at(0)), Ok(()));
            let other_port = filter.check_address(
                by,
                &"redis.example:22".parse().unwrap(),
                "127.0.0.1:22".parse().unwrap(),
            );
            assert!(other_port.is_err());
        }
    }

    #[test]
    fn sc_target_only_list() {
        let mut filter = filter("10.0.0.0/8,.nodes.example.com,127.0.0.1:7001");
        for (address, allowed) in [
            ("10.9.9.9:1", true),
            ("11.0.0.1:1", false),
            ("127.0.0.1:7001", true),
            ("127.0.0.1:7002", false),
            ("8.8.8.8:6379", false),
        ] {
            assert_eq!(allows(&mut filter, "203.0.113.1", address), allowed, "{address}");
        }
        // A listed name may resolve to any address that a server can have. Other names are checked by their address.
        let by = sent("203.0.113.1", Redirection::Moving);
        for (name, address, allowed) in [
            ("a.nodes.example.com:1", "192.168.0.1:1", true),
            ("a.nodes.example.com:1", "0.0.0.0:1", false),
            ("evil.example.com:1", "192.168.0.1:1", false),
            ("evil.example.com:1", "10.0.0.1:1", true),
        ] {
            let checked = filter.check_address(by, &name.parse().unwrap(), address.parse().unwrap());
            assert_eq!(checked.is_ok(), allowed, "{name} at {address}");
        }
        assert!(allows(&mut self::filter("any"), "203.0.113.1", "127.0.0.1:22"), "any is any");
    }

    #[test]
    fn sc_redirect_and_slots_follow_the_rule() {
        for how in ALL {
            let mut filter = filter("same-reach");
            let by = sent("203.0.113.1", how);
            for target in ["10.0.0.1:1", "127.0.0.1:1", "169.254.169.254:80"] {
                let target = target.parse().unwrap();
                assert!(filter.admit(by, &target, at(0)).is_err(), "{how} {target}");
            }
            let name = "node.example.com:1".parse().unwrap();
            assert_eq!(filter.admit(by, &name, at(0)), Ok(()), "a name is checked by its address");
            assert!(filter.check_address(by, &name, "10.0.0.1:1".parse().unwrap()).is_err(), "{how}");
            assert_eq!(filter.check_address(by, &name, "203.0.113.2:1".parse().unwrap()), Ok(()), "{how}");
        }
        // The targets of a real push.
        let mut bytes: &[u8] =
            b">3\r\n+SMIGRATED\r\n:1\r\n*2\r\n*3\r\n+203.0.113.1:6379\r\n+127.0.0.1:6379\r\n+1-2\r\n\
            *3\r\n+203.0.113.1:6379\r\n+203.0.113.9:6379\r\n+3\r\n";
        let frame = Decoder::new(Limits::default()).decode(&mut bytes).unwrap().unwrap();
        let Frame::Push(items) = frame else { panic!("{frame:?}") };
        let Parsed::Maintenance { notification: Notification::SlotsMigrated { moves, .. }, .. } =
            parse(&items, 6379)
        else {
            panic!("not read")
        };
        let (mut filter, by) = (filter("same-reach"), sent("203.0.113.1", Redirection::SlotsMigrated));
        let allowed: Vec<_> = moves
            .iter()
            .map(|moved| filter.admit(by, moved.target.as_ref().unwrap(), at(0)).is_ok())
            .collect();
        assert_eq!(allowed, [false, true]);
    }

    #[test]
    fn distinct_targets_are_bounded_within_a_minute() {
        let (mut filter, by) = (filter("any"), sent("10.0.0.1", Redirection::Moving));
        let target = |number: usize| Endpoint::new(format!("name-{number}"), 1).unwrap();
        for number in 0..MOVING_TARGETS_MAX {
            assert_eq!(filter.admit(by, &target(number), at(0)), Ok(()));
        }
        for number in 0..100_000 {
            let refused = filter.admit(by, &target(MOVING_TARGETS_MAX + number), at(59));
            assert_eq!(refused, Err(Refusal::TooMany(MOVING_TARGETS_MAX)));
        }
        assert_eq!(filter.named.len(), MOVING_TARGETS_MAX, "memory is bounded");
        assert_eq!(filter.admit(by, &target(0), at(59)), Ok(()), "a known target does not count again");
        assert_eq!(filter.admit(by, &target(MOVING_TARGETS_MAX), at(60)), Ok(()));
    }

    #[test]
    fn refusal_is_reported_once_per_target_and_minute() {
        let mut filter = filter("any");
        let target = |number: usize| Endpoint::new(format!("name-{number}"), 1).unwrap();
        assert!(filter.should_report(&target(0), at(0)) && !filter.should_report(&target(0), at(59)));
        assert!(filter.should_report(&target(1), at(59)) && filter.should_report(&target(0), at(60)));
        for number in 0..1000 {
            filter.should_report(&target(number), at(60));
        }
        assert!(filter.reported.len() <= REPORTED_MAX);
    }
}
