//! The subscriptions of one session.

use std::collections::BTreeSet;

use crate::rehearsal::data::subscribers::SubscriptionKind;

/// The names to which a session is subscribed.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    channels: BTreeSet<Box<[u8]>>,
    patterns: BTreeSet<Box<[u8]>>,
    shard_channels: BTreeSet<Box<[u8]>>,
}

impl Subscriptions {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }

    /// The number of all subscriptions.
    pub(crate) fn total(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.shard_channels.len()
    }

    pub(crate) fn names(&self, kind: SubscriptionKind) -> &BTreeSet<Box<[u8]>> {
        match kind {
            SubscriptionKind::Channel => &self.channels,
            SubscriptionKind::Pattern => &self.patterns,
            SubscriptionKind::ShardChannel => &self.shard_channels,
        }
    }

    /// The count in a confirmation. Redis counts channels and patterns together, and shard channels alone.
    pub(crate) fn confirmed(&self, kind: SubscriptionKind) -> usize {
        match kind {
            SubscriptionKind::Channel | SubscriptionKind::Pattern => {
                self.channels.len() + self.patterns.len()
            }
            SubscriptionKind::ShardChannel => self.shard_channels.len(),
        }
    }

    /// Returns whether `name` is new.
    pub(crate) fn insert(&mut self, kind: SubscriptionKind, name: &[u8]) -> bool {
        self.names_mut(kind).insert(name.into())
    }

    /// Returns whether the session was subscribed to `name`.
    pub(crate) fn remove(&mut self, kind: SubscriptionKind, name: &[u8]) -> bool {
        self.names_mut(kind).remove(name)
    }

    fn names_mut(&mut self, kind: SubscriptionKind) -> &mut BTreeSet<Box<[u8]>> {
        match kind {
            SubscriptionKind::Channel => &mut self.channels,
            SubscriptionKind::Pattern => &mut self.patterns,
            SubscriptionKind::ShardChannel => &mut self.shard_channels,
        }
    }
}

/// Most subscriptions of a session, of all kinds together.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 1 << 14;
/// Most bytes of the name of a channel or of a pattern (4 KiB): the names of a session take at most 64 MiB.
pub(crate) const SUBSCRIPTION_NAME_BYTES_MAX: usize = 4 << 10;
