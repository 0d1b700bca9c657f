//! The settings of a [`Server`](super::Server).

use std::num::NonZeroUsize;

/// How a [`Server`](super::Server) behaves.
#[derive(Clone)]
pub struct ServerConfig {
    /// The password of user `default`. Clients must authenticate with it first; `None` needs no authentication.
    /// Default: `None`.
    pub password: Option<String>,
    /// The number of databases. Default: 16.
    pub databases: NonZeroUsize,
    /// The seed of the choices of `SPOP`, `SRANDMEMBER` and `RANDOMKEY`. The same seed and the same commands give the
    /// same replies. Default: 0.
    pub seed: u64,
    /// Whether the server is a proxy: it forwards requests to a real Redis instead of executing them, see
    /// [`Server::upstream_output`](super::Server::upstream_output). Default: `false`.
    pub upstream: bool,
    /// The listeners are the nodes of a cluster, in this order: primaries, replicas, spares. There must be
    /// [`ClusterConfig::nodes`] of them. `databases` is ignored: a cluster has one. Default: `None`, all listeners serve
    /// one keyspace.
    pub cluster: Option<ClusterConfig>,
}

/// The nodes of a cluster in memory.
///
/// Its text is `PRIMARIES` or `PRIMARIESxREPLICAS`, such as `3x1`: three primaries with one replica each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The number of primaries, which share all slots. Default: 3.
    pub primaries: NonZeroUsize,
    /// The number of replicas of each primary. Default: 0.
    pub replicas: usize,
    /// The number of nodes that do not belong to the cluster yet. `REHEARSE JOIN` makes one a node of it, and a `MOVING` to
    /// one moves a node there. Default: 0.
    pub spares: usize,
}

impl ClusterConfig {
    /// The number of listeners that the cluster needs.
    pub fn nodes(&self) -> usize {
        self.replicas.saturating_add(1).saturating_mul(self.primaries.get()).saturating_add(self.spares)
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { primaries: PRIMARIES, replicas: 0, spares: 0 }
    }
}

impl std::fmt::Display for ClusterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.replicas {
            0 => self.primaries.fmt(f),
            replicas => write!(f, "{}x{replicas}", self.primaries),
        }
    }
}

impl std::str::FromStr for ClusterConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (primaries, replicas) = text.split_once('x').unwrap_or((text, "0"));
        let config = primaries.parse().ok().zip(replicas.parse().ok());
        let config = config.map(|(primaries, replicas)| Self { primaries, replicas, spares: 0 });
        config.filter(|config| config.nodes() <= CLUSTER_NODES_MAX).ok_or_else(|| {
            format!("allowed: PRIMARIES or PRIMARIESxREPLICAS, e.g. 3 or 3x1, at most {CLUSTER_NODES_MAX} nodes in all")
        })
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { password: None, databases: DATABASES, seed: 0, upstream: false, cluster: None }
    }
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("databases", &self.databases)
            .field("seed", &self.seed)
            .field("upstream", &self.upstream)
            .field("cluster", &self.cluster)
            .finish()
    }
}

/// The version that the server reports, so that clients know its commands.
pub(crate) const REDIS_VERSION: &str = "7.2.0";

const PRIMARIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);
/// Most nodes of a cluster.
pub(crate) const CLUSTER_NODES_MAX: usize = 1_000;

const DATABASES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
