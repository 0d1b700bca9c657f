//! The subscribers of channels and patterns, over all sessions of a server.

use std::collections::{BTreeMap, BTreeSet};

use super::glob;
use crate::rehearsal::ids::SessionId;

/// What a subscription names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionKind {
    Channel,
    /// All channels that match a pattern. Shard channels match none.
    Pattern,
    /// A channel of `SPUBLISH`. It is another channel than the one of `PUBLISH` with this name.
    ShardChannel,
}

/// The subscribers of all names, sorted, so that the order of deliveries does not depend on hashing.
///
/// Each session knows its own names as well; both must be changed together.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    channels: Names,
    patterns: Names,
    shard_channels: Names,
}

type Names = BTreeMap<Box<[u8]>, BTreeSet<SessionId>>;

impl Subscribers {
    pub(crate) fn add(&mut self, kind: SubscriptionKind, name: &[u8], session: SessionId) {
        self.names_mut(kind).entry(name.into()).or_default().insert(session);
    }

    pub(crate) fn remove(&mut self, kind: SubscriptionKind, name: &[u8], session: SessionId) {
        let names = self.names_mut(kind);
        let Some(sessions) = names.get_mut(name) else {
            return;
        };
        sessions.remove(&session);
        if sessions.is_empty() {
            names.remove(name);
        }
    }

    /// The names of `kind` that have subscribers.
    pub(crate) fn names(&self, kind: SubscriptionKind) -> impl ExactSizeIterator<Item = &[u8]> {
        self.kind(kind).keys().map(|name| &**name)
    }

    /// The number of subscribers of `name`.
    pub(crate) fn count(&self, kind: SubscriptionKind, name: &[u8]) -> usize {
        self.kind(kind).get(name).map_or(0, BTreeSet::len)
    }

    /// The subscribers of `name`.
    pub(crate) fn of(&self, kind: SubscriptionKind, name: &[u8]) -> Vec<SessionId> {
        self.kind(kind).get(name).into_iter().flatten().copied().collect()
    }

    /// The patterns that match `channel`, with their subscribers.
    pub(crate) fn matching(&self, channel: &[u8]) -> Vec<(Box<[u8]>, Vec<SessionId>)> {
        let patterns = self.patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel));
        patterns.map(|(pattern, sessions)| (pattern.clone(), sessions.iter().copied().collect())).collect()
    }

    fn kind(&self, kind: SubscriptionKind) -> &Names {
        match kind {
            SubscriptionKind::Channel => &self.channels,
            SubscriptionKind::Pattern => &self.patterns,
            SubscriptionKind::ShardChannel => &self.shard_channels,
        }
    }

    fn names_mut(&mut self, kind: SubscriptionKind) -> &mut Names {
        match kind {
            SubscriptionKind::Channel => &mut self.channels,
            SubscriptionKind::Pattern => &mut self.patterns,
            SubscriptionKind::ShardChannel => &mut self.shard_channels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_subscribers_takes_no_memory() {
        let mut subscribers = Subscribers::default();
        let kind = SubscriptionKind::Pattern;
        subscribers.add(kind, b"n*", SessionId(2));
        subscribers.add(kind, b"n*", SessionId(1));
        subscribers.add(kind, b"x", SessionId(1));
        assert_eq!(subscribers.matching(b"new"), [((*b"n*").into(), vec![SessionId(1), SessionId(2)])]);
        assert_eq!(subscribers.count(SubscriptionKind::Channel, b"n*"), 0);
        subscribers.remove(kind, b"n*", SessionId(1));
        subscribers.remove(kind, b"n*", SessionId(2));
        assert_eq!(subscribers.names(kind).collect::<Vec<_>>(), [b"x"]);
    }
}
