//! [`ClusterSettings`]: the settings of a cluster.

use crate::proto::cluster::{AddressMap, ClusterConfig};
use crate::proto::endpoint::Endpoint;
use crate::proto::pool::PoolConfig;

/// The settings of a cluster. They have no effect unless the client is one of a cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterSettings {
    /// The seeds beside the endpoint, if the servers are a cluster.
    pub(super) more_seeds: Option<Vec<Endpoint>>,
    pub(super) connections_per_node: usize,
    pub(super) address_map: AddressMap,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        ClusterSettings { more_seeds: None, connections_per_node: 1, address_map: AddressMap::default() }
    }
}

impl ClusterSettings {
    pub(super) fn is_on(&self) -> bool {
        self.more_seeds.is_some()
    }

    /// The configuration of a cluster, if it is one, whose nodes have such a pool.
    pub(super) fn resolve(&self, pool: &PoolConfig) -> Option<ClusterConfig> {
        let more = self.more_seeds.as_ref()?;
        let mut seeds = vec![pool.endpoint.clone()];
        for seed in more {
            if !seeds.iter().any(|known| known.is_same(seed)) {
                seeds.push(seed.clone());
            }
        }
        let pool = PoolConfig { connections: self.connections_per_node, ..pool.clone() };
        Some(ClusterConfig { seeds, pool, address_map: self.address_map.clone() })
    }

    /// The seeds beside the endpoint, as text.
    pub(super) fn text(&self) -> String {
        match &self.more_seeds {
            None => "(none)".to_owned(),
            Some(seeds) if seeds.is_empty() => "endpoint".to_owned(),
            Some(seeds) => {
                let seeds: Vec<String> = seeds.iter().map(Endpoint::to_string).collect();
                format!("endpoint, {}", seeds.join(", "))
            }
        }
    }
}
