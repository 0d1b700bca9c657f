//! How the user says that the servers are a cluster.

use super::settings::Config;
use crate::proto::cluster::AddressMap;
use crate::proto::endpoint::Endpoint;

impl Config {
    /// The servers are a cluster (no): the endpoint and `seeds` are some of its nodes. The scheme `redis-cluster` of
    /// [`Config::from_url`] sets it as well.
    ///
    /// The client finds the other nodes by itself, and works as long as one seed can be reached. Each command goes to the node that
    /// owns the slot of its keys. `MGET`, `MSET`, `DEL`, `UNLINK`, `EXISTS` and `TOUCH` are split where their keys have several
    /// owners, and commands such as `DBSIZE` and `FLUSHALL` go to all of them. One handle's commands keep their order for each slot.
    /// See the manual page [`clusters`](crate::manual::clusters).
    ///
    /// ```
    /// let config = hitless::Config::new("10.0.0.1:7000".parse()?).cluster(["10.0.0.2:7000".parse()?]);
    /// # config.validate()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cluster(mut self, seeds: impl IntoIterator<Item = Endpoint>) -> Self {
        self.cluster.more_seeds = Some(seeds.into_iter().collect());
        self
    }

    /// How many shared connections each shard has to each node of a cluster (1; 1 to 64). They take the place of
    /// [`Config::connections_per_shard`].
    #[must_use]
    pub fn connections_per_node(mut self, count: usize) -> Self {
        self.cluster.connections_per_node = count;
        self
    }

    /// The host and port at which to dial a node of a cluster, by the host and port that the nodes name (the same). It is for
    /// clients behind port forwards, outside of the containers' network, or behind NAT.
    ///
    /// The result is checked as what a server names is, see [`Config::targets`]. A function that panics ends its shard.
    ///
    /// ```
    /// # let config = hitless::Config::from_url("redis-cluster://127.0.0.1:7000")?;
    /// let config = config.address_map(|_, port| ("127.0.0.1".to_owned(), port + 10_000));
    /// # config.validate()?;
    /// # Ok::<(), hitless::ConfigError>(())
    /// ```
    #[must_use]
    pub fn address_map(mut self, map: impl Fn(&str, u16) -> (String, u16) + Send + Sync + 'static) -> Self {
        self.cluster.address_map = AddressMap::new(map);
        self
    }
}
