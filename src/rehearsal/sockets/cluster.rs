//! [`Cluster`]: an embedded cluster for tests.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use super::listener::{Endpoints, EndpointsConfig};
use crate::rehearsal::config::{ClusterConfig, ServerConfig};
use crate::rehearsal::ids::NodeId;

/// A Redis Cluster in this process, on loopback: its nodes share one thread and are the [`Endpoints`] of one server.
///
/// Nodes are numbered from 0: primaries first, then the replicas, where node `primaries + n` replicates node
/// `n % primaries`, then the spares. A primary and its replicas share their keys, so replication has no delay.
///
/// ```no_run
/// use hitless::rehearsal::{Cluster, ClusterConfig};
///
/// let cluster = Cluster::start(ClusterConfig { replicas: 1, ..ClusterConfig::default() })?;
/// println!("redis-cluster://{}", cluster.addresses()[0]);
/// cluster.rehearse("MIGRATE 0-99 0 1 ATOMIC").unwrap();
/// cluster.rehearse("FAILOVER 0").unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    endpoints: Endpoints,
    config: ClusterConfig,
}

impl Cluster {
    /// Starts a cluster on free ports of 127.0.0.1. It returns when clients can connect.
    ///
    /// # Errors
    ///
    /// As [`Endpoints::start`].
    pub fn start(config: ClusterConfig) -> io::Result<Self> {
        Self::start_with(config, EndpointsConfig { listen: Vec::new(), ..EndpointsConfig::default() })
    }

    /// As [`Cluster::start`], with a password, TLS, a core, or chosen addresses. Without `listen`, the ports are free ones.
    ///
    /// # Errors
    ///
    /// As [`Endpoints::start`]. If there are addresses, but not [`ClusterConfig::nodes`], or if there is an upstream.
    pub fn start_with(config: ClusterConfig, mut endpoints: EndpointsConfig) -> io::Result<Self> {
        if endpoints.listen.is_empty() {
            endpoints.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); config.nodes()];
        }
        endpoints.server = ServerConfig { cluster: Some(config), ..endpoints.server };
        Ok(Self { endpoints: Endpoints::start(endpoints)?, config })
    }

    /// The addresses of all nodes, in the order of their numbers.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.endpoints.addresses()
    }

    /// The nodes that were primaries at the start.
    pub fn primaries(&self) -> std::ops::Range<usize> {
        0..self.config.primaries.get()
    }

    /// The nodes that were replicas at the start.
    pub fn replicas(&self) -> std::ops::Range<usize> {
        self.config.primaries.get()..self.config.nodes() - self.config.spares
    }

    /// The spare nodes.
    pub fn spares(&self) -> std::ops::Range<usize> {
        self.config.nodes() - self.config.spares..self.config.nodes()
    }

    /// Executes `REHEARSE words` at node 0, and returns the text of the reply. `NODE n` and `ALL` before a verb choose other
    /// nodes.
    ///
    /// # Errors
    ///
    /// The text of the error reply, without its `-ERR`, or that the cluster has stopped.
    pub fn rehearse(&self, words: &str) -> Result<String, String> {
        let words: Vec<Vec<u8>> = words.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
        let done = self.endpoints.with_server(move |server| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            server.rehearse(NodeId(0), u64::try_from(now.as_micros()).unwrap_or(u64::MAX), &words)
        });
        done.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// The endpoints of the nodes.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// As [`Endpoints::stop`].
    ///
    /// # Errors
    ///
    /// If the thread has failed before.
    pub fn stop(self) -> io::Result<()> {
        self.endpoints.stop()
    }
}
