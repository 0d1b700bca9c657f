//! [`Names`]: a table by kind and name.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::event::SubscriptionKind;

/// What is subscribed to: a channel, a pattern or a sharded channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) kind: SubscriptionKind,
    pub(super) bytes: Bytes,
}

impl Name {
    /// Whether servers end the subscription without being asked, by the push that also answers the command which ends
    /// it. That push proves nothing about the command, so a mark has to.
    pub(super) fn can_end_unasked(&self) -> bool {
        self.kind == SubscriptionKind::Sharded
    }
}

/// One value for each name, found by borrowed bytes: a message costs no allocation.
#[derive(Debug)]
pub(super) struct Names<T> {
    channels: BTreeMap<Bytes, T>,
    patterns: BTreeMap<Bytes, T>,
    sharded: BTreeMap<Bytes, T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names { channels: BTreeMap::new(), patterns: BTreeMap::new(), sharded: BTreeMap::new() }
    }
}

impl<T> Names<T> {
    #[inline]
    pub(super) fn get_mut(&mut self, kind: SubscriptionKind, bytes: &[u8]) -> Option<&mut T> {
        self.of_mut(kind).get_mut(bytes)
    }

    pub(super) fn get_or_insert_with(&mut self, name: &Name, value: impl FnOnce() -> T) -> &mut T {
        self.of_mut(name.kind).entry(name.bytes.clone()).or_insert_with(value)
    }

    pub(super) fn remove(&mut self, kind: SubscriptionKind, bytes: &[u8]) {
        self.of_mut(kind).remove(bytes);
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.channels.values_mut().chain(self.patterns.values_mut()).chain(self.sharded.values_mut())
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for names in [&mut self.channels, &mut self.patterns, &mut self.sharded] {
            names.retain(|_, value| keep(value));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.channels.len() + self.patterns.len() + self.sharded.len()
    }

    #[inline]
    fn of_mut(&mut self, kind: SubscriptionKind) -> &mut BTreeMap<Bytes, T> {
        match kind {
            SubscriptionKind::Channel => &mut self.channels,
            SubscriptionKind::Pattern => &mut self.patterns,
            SubscriptionKind::Sharded => &mut self.sharded,
        }
    }
}
