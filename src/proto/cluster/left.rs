//! [`Left`]: the counts of nodes that have left a cluster.

use crate::proto::maint::event::MaintenanceStats;
use crate::proto::pool::{ExclusiveCounts, Pool, PoolCounters};
use crate::proto::subscriptions::SubscriptionStats;

/// The counts of nodes that have left: counters never go down.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) counters: PoolCounters,
    pub(super) exclusive: ExclusiveCounts,
    pub(super) maintenance: MaintenanceStats,
    pub(super) subscriptions: SubscriptionStats,
}

impl Left {
    pub(super) fn add(&mut self, pool: &Pool) {
        self.counters.add(&pool.counters());
        self.exclusive.add(&pool.exclusive());
        self.maintenance.add(&pool.maintenance());
        self.subscriptions.add(&pool.subscriptions());
    }
}
