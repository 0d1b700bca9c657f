//! `--cluster`: where its nodes listen, and what is told about them.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;

use super::scenario::micros;
use crate::cli::exit::Failure;
use crate::rehearsal::{ClusterConfig, Endpoints, NodeId};

/// The addresses of the nodes: those of `--listen`, or the ports from its single one on.
pub(super) fn listeners(cluster: &ClusterConfig, listen: &[SocketAddr]) -> Result<Vec<SocketAddr>, Failure> {
    let nodes = cluster.nodes();
    let default = [SocketAddr::from(([127, 0, 0, 1], 7001)), SocketAddr::from(([127, 0, 0, 2], 7001))];
    let first = match listen {
        [first] => *first,
        [first, ..] if listen == default => *first,
        _ if listen.len() == nodes => return Ok(listen.to_vec()),
        _ => {
            let given = listen.len();
            let why = format!(
                "--listen: --cluster has {nodes} nodes, and {given} addresses; allowed: 1 or {nodes}"
            );
            return Err(Failure::Usage(why));
        }
    };
    let address = |offset: usize| {
        // Port 0 takes a free port for each node.
        let offset = if first.port() == 0 { 0 } else { u16::try_from(offset).ok()? };
        Some(SocketAddr::new(first.ip(), first.port().checked_add(offset)?))
    };
    let all: Option<Vec<SocketAddr>> = (0..nodes).map(address).collect();
    all.ok_or_else(|| Failure::Usage(format!("--listen: there are no {nodes} ports from {first} on")))
}

/// A line for each node with its address, its role and its slots.
pub(super) fn nodes(endpoints: &Endpoints) -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let lines = endpoints
        .with_server(move |server| server.rehearse(NodeId(0), micros(now), &[b"NODES".to_vec()]))?
        .map_err(|error| anyhow!("NODES: {error}"))?;
    // Without the ids, which no person reads.
    let line = |line: &str| format!("  {}\n", line.rsplit_once(" live ").map_or(line, |(line, _)| line));
    Ok(lines.lines().map(line).collect())
}

/// Verbs to try.
pub(super) const EXAMPLES: [&str; 3] = ["FAILOVER 0", "MIGRATE 0-99 0 1 ATOMIC ANNOUNCE", "NODES"];

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(nodes: &str, listen: &[&str]) -> Result<Vec<u16>, String> {
        let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
        match listeners(&nodes.parse()?, &listen) {
            Ok(all) => Ok(all.iter().map(SocketAddr::port).collect()),
            Err(Failure::Usage(why)) => Err(why),
            Err(_) => Err("another failure".into()),
        }
    }

    #[test]
    fn nodes_follow_the_first_one() {
        assert_eq!(ports("2x1", &["127.0.0.1:7001", "127.0.0.2:7001"]).unwrap(), [7001, 7002, 7003, 7004]);
        assert_eq!(ports("3", &["127.0.0.1:0"]).unwrap(), [0, 0, 0]);
        assert_eq!(ports("2", &["127.0.0.1:9", "127.0.0.2:8"]).unwrap(), [9, 8]);
        assert!(ports("3", &["127.0.0.1:9", "127.0.0.2:8"]).unwrap_err().contains("allowed: 1 or 3"));
        assert!(ports("3", &["127.0.0.1:65535"]).unwrap_err().contains("no 3 ports"));
        for text in ["0", "x1", "3x", "3x1x1", "-1", "1001", "500x1x"] {
            assert!(ports(text, &["127.0.0.1:0"]).unwrap_err().contains("e.g. 3 or 3x1"), "{text}");
        }
    }
}
