//! Host statistics before and after a step: the server's CPU time, the traffic of network interfaces, and
//! retransmissions. Every run measures its own machine; see [`Machine`](crate::load::machine::Machine).
//!
//! Every value may be absent; then it is not part of the sample.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// CPU time of the server's main thread, or of the whole server, from the section `cpu` of `INFO`.
pub(crate) fn server_cpu(info: &str) -> Option<Duration> {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let seconds: f64 = value.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    let both = |system: &str, user: &str| Some(field(system)? + field(user)?);
    both("used_cpu_sys_main_thread", "used_cpu_user_main_thread").or(both("used_cpu_sys", "used_cpu_user"))
}

/// Counters of the network at one time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NetworkCounts {
    at: Instant,
    links: Vec<Link>,
    /// TCP segments that this machine has sent, and retransmitted.
    segments: Option<(u64, u64)>,
}

impl NetworkCounts {
    pub(crate) fn read() -> NetworkCounts {
        let links = read_links(Path::new("/sys/class/net"));
        let snmp = std::fs::read_to_string("/proc/net/snmp").ok();
        NetworkCounts { at: Instant::now(), links, segments: snmp.as_deref().and_then(parse_segments) }
    }

    /// The busiest interface's share of its speed since `before`; `None` if no interface has a speed.
    pub(crate) fn link_use_since(&self, before: &NetworkCounts) -> Option<f64> {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64().max(1e-9);
        let used = |link: &Link| {
            let then = before.links.iter().find(|other| other.name == link.name)?;
            let bytes = link.received.saturating_sub(then.received).max(link.sent.saturating_sub(then.sent));
            Some(bytes as f64 * 8.0 / seconds / link.speed as f64)
        };
        self.links.iter().filter_map(used).max_by(f64::total_cmp)
    }

    /// The share of retransmitted segments since `before`.
    pub(crate) fn retransmitted_since(&self, before: &NetworkCounts) -> Option<f64> {
        let ((sent, again), (sent_then, again_then)) = (self.segments?, before.segments?);
        let sent = sent.saturating_sub(sent_then);
        (sent > 0).then(|| again.saturating_sub(again_then) as f64 / sent as f64)
    }
}

/// Whether a peer of a report is on this machine: a loopback address, or a unix socket.
pub(crate) fn is_local(peer: &str) -> bool {
    peer.parse::<SocketAddr>().map_or_else(|_| peer.contains('/'), |address| address.ip().is_loopback())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    name: String,
    /// Bits per second in each direction.
    speed: u64,
    received: u64,
    sent: u64,
}

/// The interfaces that have a speed; the loopback interface has none.
fn read_links(folder: &Path) -> Vec<Link> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let link = |path: &Path| {
        let number = |file: &str| {
            let text = std::fs::read_to_string(path.join(file)).ok()?;
            // An interface without a link reports -1.
            text.trim().parse::<u64>().ok()
        };
        let megabits = number("speed").filter(|speed| *speed > 0)?;
        Some(Link {
            name: path.file_name()?.to_string_lossy().into_owned(),
            speed: megabits.checked_mul(1_000_000)?,
            received: number("statistics/rx_bytes")?,
            sent: number("statistics/tx_bytes")?,
        })
    };
    entries.flatten().filter_map(|entry| link(&entry.path())).take(LINKS_MAX).collect()
}

/// `OutSegs` and `RetransSegs` from the two `Tcp:` lines, one with the names and one with the numbers.
fn parse_segments(snmp: &str) -> Option<(u64, u64)> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let field = |wanted: &str| {
        let place = names.split_whitespace().position(|name| name == wanted)?;
        numbers.split_whitespace().nth(place)?.parse().ok()
    };
    Some((field("OutSegs")?, field("RetransSegs")?))
}

/// The most interfaces that are read.
const LINKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_cpu_is_read_from_info() {
        let all = "# CPU\r\nused_cpu_sys:1.500000\r\nused_cpu_user:2.000000\r\nused_cpu_sys_children:9.0\r\n";
        assert_eq!(server_cpu(all), Some(Duration::from_millis(3500)));
        let main = format!("{all}used_cpu_sys_main_thread:0.25\r\nused_cpu_user_main_thread:0.5\r\n");
        assert_eq!(server_cpu(&main), Some(Duration::from_millis(750)));
        for nothing in ["", "used_cpu_sys:x\r\nused_cpu_user:1", "used_cpu_sys:-1\r\nused_cpu_user:1"] {
            assert_eq!(server_cpu(nothing), None);
        }
    }

    #[test]
    fn network_counters_become_shares() {
        let snmp = |sent, again| {
            format!(
                "Ip: x\nTcp: RtoMin OutSegs RetransSegs InErrs\nTcp: 200 {sent} {again} 0\nUdp: y\nUdp: 1\n"
            )
        };
        assert_eq!(parse_segments(&snmp(5, 1)), Some((5, 1)));
        assert_eq!(parse_segments("Tcp: OutSegs\n"), None);
        let at = Instant::now();
        let counts = |seconds, received, segments| NetworkCounts {
            at: at + Duration::from_secs(seconds),
            links: vec![Link { name: "eth0".into(), speed: 1_000_000_000, received, sent: 7 }],
            segments: Some(segments),
        };
        let (before, after) = (counts(0, 1000, (100, 1)), counts(2, 200_001_000, (300, 5)));
        assert_eq!(after.link_use_since(&before), Some(0.8));
        assert_eq!(after.retransmitted_since(&before), Some(0.02));
        assert_eq!(before.retransmitted_since(&before), None, "nothing was sent");
    }

    #[test]
    fn interfaces_without_a_speed_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for (name, speed) in [("eth0", "1000\n"), ("lo", ""), ("down", "-1\n"), ("odd", "0\n")] {
            let link = folder.path().join(name);
            std::fs::create_dir_all(link.join("statistics")).unwrap();
            std::fs::write(link.join("speed"), speed).unwrap();
            std::fs::write(link.join("statistics/rx_bytes"), "10\n").unwrap();
            std::fs::write(link.join("statistics/tx_bytes"), "20\n").unwrap();
        }
        let links = read_links(folder.path());
        assert_eq!(links, [Link { name: "eth0".into(), speed: 1_000_000_000, received: 10, sent: 20 }]);
    }

    #[test]
    fn loopback_and_unix_peers_are_local() {
        let local =
            ["127.0.0.1:6379", "[::1]:6379", "/run/redis.sock", "10.0.0.7:6379", "redis.example:6379"];
        assert_eq!(local.map(is_local), [true, true, true, false, false]);
    }
}
