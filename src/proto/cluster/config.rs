//! [`ClusterConfig`]: the settings of a cluster.

use std::fmt;
use std::sync::Arc;

use crate::proto::endpoint::Endpoint;
use crate::proto::pool::PoolConfig;

/// The settings of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterConfig {
    /// Where the first view comes from. There is at least one.
    pub(crate) seeds: Vec<Endpoint>,
    /// The settings of the pool of each node. Its endpoint is the first seed.
    pub(crate) pool: PoolConfig,
    pub(crate) address_map: AddressMap,
}

/// What an application makes of the addresses that nodes name, where these are not those at which it reaches them.
#[derive(Clone, Default)]
pub(crate) struct AddressMap(Option<Arc<MapFunction>>);

type MapFunction = dyn Fn(&str, u16) -> (String, u16) + Send + Sync;

impl AddressMap {
    pub(crate) fn new(map: impl Fn(&str, u16) -> (String, u16) + Send + Sync + 'static) -> Self {
        AddressMap(Some(Arc::new(map)))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// The endpoint to dial for one that a node names; `None` if the function returns none.
    pub(crate) fn apply(&self, named: Endpoint) -> Option<Endpoint> {
        match &self.0 {
            None => Some(named),
            Some(map) => {
                let (host, port) = map(named.host(), named.port());
                Endpoint::new(host, port).ok()
            }
        }
    }
}

impl fmt::Debug for AddressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { "AddressMap(set)" } else { "AddressMap(none)" })
    }
}
