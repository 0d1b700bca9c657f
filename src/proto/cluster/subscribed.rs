//! [`Subscribed`]: which node carries each name that the subscriptions of a shard want.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::ids::NodeId;
use crate::proto::subscriptions::{GapReason, PubSubEvent, SubscriptionId, SubscriptionKind};
use crate::proto::time::Instant;

/// A channel, a pattern, or a sharded channel.
pub(super) type Name = (SubscriptionKind, Bytes);

/// Which node carries each name that the subscriptions of a shard want.
///
/// The owner of its slot carries a sharded channel. All nodes get what is published to other channels, and one owner of slots carries
/// them all. The registry in the pool of the node does the rest. If another node has to carry a name, messages may be missed: the
/// subscription gets a gap, from the change of the node to the confirmation of the new one.
#[derive(Debug, Default)]
pub(super) struct Subscribed {
    pub(super) wanted: BTreeMap<SubscriptionId, BTreeMap<Name, Home>>,
    /// The node that carries all names but those of sharded channels.
    pub(super) common: Option<NodeId>,
}

/// Where a name is carried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Home {
    pub(super) node: Option<NodeId>,
    /// Another node carried it until then, and this one has not confirmed it yet.
    pub(super) moved: Option<Instant>,
}

impl Subscribed {
    /// An event of a subscription, as the node that carries the name reports it: what the subscription gets.
    pub(super) fn translate(
        &mut self,
        id: SubscriptionId,
        event: PubSubEvent,
        now: Instant,
    ) -> Option<PubSubEvent> {
        match event {
            PubSubEvent::Confirmed { kind, name } => {
                let home = self.wanted.get_mut(&id).and_then(|names| names.get_mut(&(kind, name.clone())));
                match home.and_then(|home| home.moved.take()) {
                    // It was confirmed before, by the other node.
                    Some(since) => {
                        let reason = GapReason::ServerUnsubscribed;
                        Some(PubSubEvent::Gap { kind, name, since, until: now, reason })
                    }
                    None => Some(PubSubEvent::Confirmed { kind, name }),
                }
            }
            // The other node confirms that it does not carry the name any more.
            PubSubEvent::Unsubscribed { kind, name } => {
                let is_wanted =
                    self.wanted.get(&id).is_some_and(|names| names.contains_key(&(kind, name.clone())));
                (!is_wanted).then_some(PubSubEvent::Unsubscribed { kind, name })
            }
            other => Some(other),
        }
    }
}
