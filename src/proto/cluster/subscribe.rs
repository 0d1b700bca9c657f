//! How the names of subscriptions get to the nodes that carry them, and follow their slots.

use super::Cluster;
use super::ids::NodeId;
use super::slot::Slot;
use super::subscribed::Name;
use crate::proto::connection::Deliver;
use crate::proto::subscriptions::{PubSubEvent, SubscriptionId, SubscriptionKind};
use crate::proto::time::Instant;

impl Cluster {
    /// A subscription wants these names.
    pub(crate) fn subscribe(
        &mut self,
        id: SubscriptionId,
        names: Vec<Name>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.outstanding.now = now;
        let wanted = self.outstanding.subscribed.wanted.entry(id).or_default();
        for name in names {
            wanted.entry(name).or_default();
        }
        self.settle_subscriptions(deliver);
        self.settle(deliver);
    }

    /// A subscription gives these names up.
    pub(crate) fn unsubscribe(
        &mut self,
        id: SubscriptionId,
        names: Vec<Name>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.outstanding.now = now;
        for name in names {
            let known = self.outstanding.subscribed.wanted.get_mut(&id);
            let Some(home) = known.and_then(|names| names.remove(&name)) else { continue };
            match home.node {
                Some(node) => {
                    self.with_pool(node, deliver, |pool, intake| {
                        pool.unsubscribe(id, vec![name], now, intake)
                    });
                }
                None => deliver.event(id, PubSubEvent::Unsubscribed { kind: name.0, name: name.1 }),
            }
        }
        self.settle(deliver);
    }

    /// A subscription has ended. No event of it follows.
    pub(crate) fn close_subscription(
        &mut self,
        id: SubscriptionId,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.outstanding.now = now;
        self.outstanding.subscribed.wanted.remove(&id);
        for node in self.nodes.ids() {
            self.with_pool(node, deliver, |pool, intake| pool.close_subscription(id, now, intake));
        }
        self.settle(deliver);
    }

    /// The nodes, or the owners of slots, may have changed: every name is carried by the node that has to.
    pub(super) fn settle_subscriptions(&mut self, deliver: &mut impl Deliver) {
        if self.outstanding.subscribed.wanted.is_empty() {
            return;
        }
        let now = self.outstanding.now;
        let owners: Vec<NodeId> = self.nodes.owners().collect();
        let common = self.outstanding.subscribed.common.filter(|node| owners.contains(node));
        let common = common.or_else(|| owners.get(self.random.usize(0..owners.len().max(1))).copied());
        self.outstanding.subscribed.common = common;
        let mut moves = Vec::new();
        for (id, names) in &mut self.outstanding.subscribed.wanted {
            for (name, home) in names {
                let wanted = match name.0 {
                    SubscriptionKind::Sharded => self.map.owner(Slot::of(&name.1)),
                    SubscriptionKind::Channel | SubscriptionKind::Pattern => common,
                };
                let Some(wanted) = wanted.filter(|wanted| home.node != Some(*wanted)) else { continue };
                let before = home.node.replace(wanted);
                home.moved = home.moved.or(before.map(|_| now));
                moves.push((*id, name.clone(), before, wanted));
            }
        }
        for (id, name, before, node) in moves {
            if let Some(before) = before {
                let name = vec![name.clone()];
                self.with_pool(before, deliver, |pool, intake| pool.unsubscribe(id, name, now, intake));
            }
            self.with_pool(node, deliver, |pool, intake| pool.subscribe(id, vec![name], now, intake));
        }
    }
}
