//! What a cluster tells of itself: the counts of all of its nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Cluster;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::MaintenanceStats;
use crate::proto::pool::{ExclusiveCounts, Pool, PoolCounters, Renewal};
use crate::proto::role::ConnectionRole;
use crate::proto::subscriptions::SubscriptionStats;

impl Cluster {
    /// How many shared connections are ready, of how many. Before the cluster is known, one is missing. A node that cannot be reached
    /// does not count if others can: the slots of those are served.
    pub(crate) fn ready(&self) -> (usize, usize) {
        if !self.is_known {
            return (0, 1);
        }
        let owners = || self.nodes.iter().filter(|(_, node)| node.is_owner);
        let any_ready = owners().any(|(_, node)| node.is_ready());
        let counted = owners().filter(|(_, node)| !(node.has_failed && any_ready));
        counted.fold((0, 0), |(ready, wanted), (_, node)| {
            let (more, of) = node.pool.entries().ready();
            (ready + more, wanted + of)
        })
    }

    /// How many connections are ready, by their roles.
    pub(crate) fn ready_by_role(&self) -> BTreeMap<ConnectionRole, usize> {
        let mut all = BTreeMap::new();
        for (role, count) in self.pools().flat_map(|pool| pool.entries().ready_by_role()) {
            *all.entry(role).or_default() += count;
        }
        all
    }

    /// Why a node is not ready: the error of the first such node.
    pub(crate) fn last_error(&self) -> Option<Arc<CloseReason>> {
        self.pools().find_map(|pool| pool.entries().last_error())
    }

    /// Whether nothing but a person can help: all nodes refuse this client.
    pub(crate) fn is_rejected(&self) -> bool {
        let mut pools = self.pools().peekable();
        pools.peek().is_some() && pools.all(|pool| pool.entries().is_any_rejected())
    }

    /// Commands queued, and commands in flight.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let waiting =
            self.outstanding.calls.iter().filter(|(_, call)| call.place == super::CallPlace::Waits).count();
        self.pools()
            .map(|pool| pool.entries().depth())
            .fold((waiting, 0), |(queued, in_flight), of| (queued + of.0, in_flight + of.1))
    }

    pub(crate) fn counters(&self) -> PoolCounters {
        let mut all = self.left.counters;
        self.pools().for_each(|pool| all.add(&pool.counters()));
        all
    }

    pub(crate) fn exclusive(&self) -> ExclusiveCounts {
        let mut all = self.left.exclusive;
        self.pools().for_each(|pool| all.add(&pool.exclusive()));
        all
    }

    pub(crate) fn subscriptions(&self) -> SubscriptionStats {
        let mut all = self.left.subscriptions;
        self.pools().for_each(|pool| all.add(&pool.subscriptions()));
        all
    }

    pub(crate) fn maintenance(&self) -> MaintenanceStats {
        let mut all = self.left.maintenance.clone();
        self.pools().for_each(|pool| all.add(&pool.maintenance()));
        all
    }

    /// The state of the last renewal: under way as long as it is so at one node.
    pub(crate) fn renewal(&self) -> &Renewal {
        let all = || self.pools().map(Pool::renewal);
        let refused = all().find(|renewal| matches!(renewal, Renewal::Refused(_)));
        let open = all().find(|renewal| matches!(renewal, Renewal::UnderWay { .. }));
        open.or(refused).unwrap_or(&Renewal::Done)
    }

    fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.nodes.iter().map(|(_, node)| &node.pool)
    }
}
