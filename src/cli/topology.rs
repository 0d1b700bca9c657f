//! The kind of a server: one that holds all keys, a node of a cluster, or a Sentinel. A run needs the first kind.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::anyhow;

use crate::cli::exit::Failure;
use crate::cli::terminal::stop;
use crate::{Client, Config, Error, ResolvedConfig, cmd};

/// The kind of a server, by its replies to INFO and CLUSTER INFO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Topology {
    /// It holds all keys and accepts writes.
    AllKeys,
    /// It holds all keys and rejects writes.
    Replica,
    /// It holds some of the keys and redirects the caller for the others.
    ClusterNode {
        /// The number of primaries that share the keys, if it is known.
        primaries: Option<u64>,
    },
    /// It holds no keys and watches the primaries that do.
    Sentinel {
        /// The name and the address of each primary.
        primaries: Vec<(String, String)>,
    },
    /// The server does not tell, or this user may not ask.
    Unknown,
}

/// The problem with a server, and its fix.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsuitable {
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl Topology {
    /// Asks the server of a connected client. Without an answer the kind is unknown, and the run itself finds out.
    pub(crate) async fn ask(client: &Client) -> Topology {
        let Ok(info) = client.run::<String>(&cmd("INFO")).await else { return Topology::Unknown };
        let cluster = match field(&info, "cluster_enabled") {
            Some("1") => client.run::<String>(&cmd("CLUSTER").arg("INFO")).await.ok(),
            _ => None,
        };
        Topology::read(&info, cluster.as_deref())
    }

    /// Reads the replies to INFO and to CLUSTER INFO.
    fn read(info: &str, cluster: Option<&str>) -> Topology {
        // Valkey names the field differently.
        let mode = field(info, "redis_mode").or(field(info, "server_mode"));
        let is_replica = field(info, "role") == Some("slave");
        match mode {
            Some("sentinel") => Topology::Sentinel { primaries: watched_primaries(info) },
            Some("cluster") if holds_all(cluster) && !is_replica => Topology::AllKeys,
            Some("cluster") => {
                let primaries = cluster.and_then(|cluster| field(cluster, "cluster_size")?.parse().ok());
                Topology::ClusterNode { primaries }
            }
            _ if is_replica => Topology::Replica,
            Some(_) => Topology::AllKeys,
            None => Topology::Unknown,
        }
    }

    /// Why a run cannot use the server, if it cannot.
    pub(crate) fn unsuitable(&self) -> Option<Unsuitable> {
        match self {
            Topology::AllKeys | Topology::Replica | Topology::Unknown => None,
            Topology::ClusterNode { primaries } => Some(Unsuitable {
                problem: match primaries {
                    Some(primaries) => {
                        format!("the server is a node of a cluster of {primaries} primaries, and holds some of the keys only")
                    }
                    None => "the server is a node of a cluster, and holds some of the keys only".to_owned(),
                },
                remedy: "this client does not follow MOVED: give the --url of a server that holds all keys, or of a \
                         proxy in front of the cluster"
                    .to_owned(),
            }),
            Topology::Sentinel { primaries } => Some(Unsuitable {
                problem: "the server is a Sentinel, which holds no keys".to_owned(),
                remedy: match primaries.as_slice() {
                    [] => "give the --url of the primary, which SENTINEL MASTERS names there".to_owned(),
                    primaries => {
                        let url = |(name, address): &(String, String)| format!("redis://{address} for {name:?}");
                        let urls: Vec<String> = primaries.iter().take(PRIMARIES_SHOWN).map(url).collect();
                        format!("give the --url of a primary that it watches: {}", urls.join(", "))
                    }
                },
            }),
        }
    }
}

/// Checks that a run can use the server of a connected client.
///
/// # Errors
/// The error names the endpoint, the problem and its fix.
pub(crate) fn check(client: &Client, stop: &AtomicBool) -> Result<(), Failure> {
    let Some(topology) = stop::unless_stopped(stop, Topology::ask(client)) else {
        return Err(Failure::Interrupted("while connecting"));
    };
    match topology.unsuitable() {
        None => Ok(()),
        Some(Unsuitable { problem, remedy }) => {
            let endpoint = client.config().endpoint();
            Err(Failure::Unreachable(anyhow!("{endpoint}: {problem}; {remedy}")))
        }
    }
}

/// The failure of a run whose server hid its kind and redirects a command of the load; `None` for any other error.
pub(crate) fn redirected(error: &Error) -> Option<Failure> {
    let unsuitable = Topology::ClusterNode { primaries: None }.unsuitable()?;
    let is_clusters = matches!(error.code(), Some("MOVED" | "CLUSTERDOWN"));
    is_clusters
        .then(|| Failure::Unreachable(anyhow!("{error}: {}; {}", unsuitable.problem, unsuitable.remedy)))
}

/// Does the same as [`check`] on a connection of its own, before a sweep.
///
/// # Errors
/// Also if the server cannot be reached.
pub(crate) fn check_before_sweep(
    config: &Config,
    effective: &ResolvedConfig,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let config = match effective.shard_cores().first().copied().flatten() {
        Some(core) => config.clone().cores([core]),
        None => config.clone().shards(1),
    };
    let unreachable = |error: Error| Failure::Unreachable(error.into());
    let client = Client::start(config.connections_per_shard(1)).map_err(unreachable)?;
    let checked = match stop::unless_stopped(stop, client.ready(effective.connect_timeout() + CONNECT_SLACK))
    {
        Some(ready) => ready.map_err(unreachable).and_then(|()| check(&client, stop)),
        None => Err(Failure::Interrupted("while connecting")),
    };
    // The answers are complete. The way in which the connection closes does not change them.
    let _ = futures_lite::future::block_on(client.shutdown(CONNECT_SLACK));
    checked
}

/// Whether the node holds all keys of its cluster.
fn holds_all(cluster: Option<&str>) -> bool {
    let is = |name, value| cluster.and_then(|cluster| field(cluster, name)) == Some(value);
    is("cluster_size", "1") && is("cluster_slots_assigned", SLOTS)
}

/// The primaries of a line such as `master0:name=app,status=ok,address=10.0.0.1:6379,slaves=2,sentinels=3`.
fn watched_primaries(info: &str) -> Vec<(String, String)> {
    let lines = info.lines().filter_map(|line| line.strip_prefix("master")?.split_once(':'));
    let numbered = lines.filter(|(number, _)| number.parse::<u32>().is_ok());
    let primary = |(_, fields): (&str, &str)| {
        let of = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name));
        Some((of("name=")?.to_owned(), of("address=")?.to_owned()))
    };
    numbered.filter_map(primary).collect()
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Extra time in which the error of the last attempt to connect arrives, and in which a connection closes.
pub(crate) const CONNECT_SLACK: Duration = Duration::from_millis(200);
/// The number of hash slots, as CLUSTER INFO writes it.
const SLOTS: &str = "16384";
/// The most primaries that an error names.
const PRIMARIES_SHOWN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str =
        "# Server\r\nredis_mode:cluster\r\n# Replication\r\nrole:master\r\ncluster_enabled:1\r\n";

    #[test]
    fn the_kind_follows_from_the_replies() {
        for (info, cluster, topology) in [
            ("redis_version:7.0\r\nredis_mode:standalone\r\nrole:master\r\n", None, Topology::AllKeys),
            ("server_mode:standalone\r\nrole:master\r\n", None, Topology::AllKeys),
            ("redis_mode:standalone\r\nrole:slave\r\n", None, Topology::Replica),
            (CLUSTER, None, Topology::ClusterNode { primaries: None }),
            (
                CLUSTER,
                Some("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_size:3\r\n"),
                Topology::ClusterNode { primaries: Some(3) },
            ),
            (
                CLUSTER,
                Some("cluster_state:fail\r\ncluster_slots_assigned:0\r\ncluster_size:0\r\n"),
                Topology::ClusterNode { primaries: Some(0) },
            ),
            ("", None, Topology::Unknown),
            ("nonsense", Some("nonsense"), Topology::Unknown),
        ] {
            assert_eq!(Topology::read(info, cluster), topology, "{info}");
        }
    }

    #[test]
    fn a_cluster_of_one_primary_holds_all_keys() {
        let one = Some("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_size:1\r\n");
        assert_eq!(Topology::read(CLUSTER, one), Topology::AllKeys);
        let replica = CLUSTER.replace("role:master", "role:slave");
        assert_eq!(Topology::read(&replica, one), Topology::ClusterNode { primaries: Some(1) });
        assert_eq!(Topology::AllKeys.unsuitable(), None);
    }

    #[test]
    fn a_sentinel_names_the_primaries_that_it_watches() {
        let info = "redis_mode:sentinel\r\n# Sentinel\r\nsentinel_masters:1\r\n\
                    master0:name=app,status=ok,address=10.0.0.1:6379,slaves=2,sentinels=3\r\n";
        let topology = Topology::read(info, None);
        let unsuitable = topology.unsuitable().expect("no keys there");
        assert!(unsuitable.problem.contains("is a Sentinel"), "{unsuitable:?}");
        assert!(unsuitable.remedy.contains("redis://10.0.0.1:6379 for \"app\""), "{unsuitable:?}");
        let lonely = Topology::read("redis_mode:sentinel\r\n", None);
        assert!(lonely.unsuitable().expect("no keys there").remedy.contains("SENTINEL MASTERS"));
    }
}
