//! [`PoolConfig`]: the settings of a pool.

use std::time::Duration;

use crate::proto::connection::{ConnectionConfig, QueueBounds};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::settings::MaintConfig;
use crate::proto::targets::Targets;

/// The settings of a pool.
#[derive(Clone, Debug)]
pub(crate) struct PoolConfig {
    pub(crate) endpoint: Endpoint,
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

impl PoolConfig {
    /// Whether the next connection would end for the same reason, until a person changes something.
    pub(super) fn is_permanent(&self, reason: &CloseReason) -> bool {
        reason.is_refusal() && !(self.renewable && matches!(reason, CloseReason::Auth(_)))
    }
}
