//! [`PoolConfig`]: the settings of a pool.

use std::time::Duration;

use crate::proto::connection::{ConnectionConfig, QueueBounds};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::settings::MaintConfig;
use crate::proto::targets::{RedirectSource, Targets};

/// The settings of a pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolConfig {
    pub(crate) endpoint: Endpoint,
    /// Where the endpoint comes from, if the user has not configured it.
    pub(crate) named: Option<NamedEndpoint>,
    /// The generations of connections begin here. A pool that takes the place of another one must use none of its names again.
    pub(crate) generation: u32,
    /// How many shared connections it has.
    pub(crate) connections: usize,
    /// How many exclusive connections it may have.
    pub(crate) exclusive_connections_max: usize,
    /// For how long an exclusive connection without use is kept.
    pub(crate) exclusive_idle: Duration,
    pub(crate) connection: ConnectionConfig,
    pub(crate) queue: QueueBounds,
    pub(crate) maint: MaintConfig,
    pub(crate) targets: Targets,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    /// The driver can obtain other credentials than those that the server refused.
    pub(crate) renewable: bool,
    /// The seed of every random number of the pool: the simulator repeats a run from it.
    pub(crate) seed: u64,
}

/// The origin of an endpoint that a server has named, such as a node of a cluster. Its addresses are checked before they are
/// dialed.
#[derive(Clone, Debug)]
pub(crate) struct NamedEndpoint {
    pub(crate) by: RedirectSource,
    /// The endpoint that the user has configured, where any server may send the client.
    pub(crate) configured: Endpoint,
}

impl PoolConfig {
    /// The endpoint that the user has configured.
    pub(super) fn configured(&self) -> &Endpoint {
        self.named.as_ref().map_or(&self.endpoint, |named| &named.configured)
    }

    /// Whether the next connection would end for the same reason, until a person changes something.
    pub(super) fn is_permanent(&self, reason: &CloseReason) -> bool {
        reason.is_refusal() && !(self.renewable && matches!(reason, CloseReason::Auth(_)))
    }
}
