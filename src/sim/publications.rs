//! [`Publications`]: all that was published in a simulation, in the order of the servers.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::proto::subscriptions::{Message, SubscriptionKind};
use crate::proto::time::Instant;

/// A channel or pattern that a subscription can want.
pub(super) type Name = (SubscriptionKind, Bytes);

/// All that was published, in the order of the servers, which is one order for all of them.
///
/// Each publisher stamps its number, and a sequence number of its own for each channel, into its payloads.
#[derive(Debug, Default)]
pub(super) struct Publications {
    list: Vec<Publication>,
    sequences: BTreeMap<(usize, usize), u64>,
    /// The places of the stamps: channel, publisher, sequence number.
    places: BTreeMap<(usize, usize, u64), usize>,
}

/// One published message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publication {
    /// Which of the channels it was published to.
    channel: usize,
    publisher: usize,
    sequence: u64,
    pub(super) at: Instant,
}

impl Publications {
    /// The payload that this publisher publishes next on this channel.
    pub(super) fn next_payload(&self, publisher: usize, channel: usize) -> String {
        format!("{publisher}:{}", self.sequences.get(&(publisher, channel)).copied().unwrap_or_default())
    }

    /// The payload was published.
    pub(super) fn note(&mut self, publisher: usize, channel: usize, at: Instant) {
        let next = self.sequences.entry((publisher, channel)).or_default();
        let sequence = std::mem::replace(next, *next + 1);
        self.places.insert((channel, publisher, sequence), self.list.len());
        self.list.push(Publication { channel, publisher, sequence, at });
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Publication> {
        self.list.get(index)
    }

    /// The place of a message, if it was ever published.
    pub(super) fn find(&self, message: &Message) -> Option<usize> {
        let channel = CHANNELS.iter().position(|(_, known)| known.as_bytes() == &message.channel[..])?;
        let (publisher, sequence) = std::str::from_utf8(&message.payload).ok()?.split_once(':')?;
        self.places.get(&(channel, publisher.parse().ok()?, sequence.parse().ok()?)).copied()
    }

    /// The newest publication that the subscribers of a name get.
    pub(super) fn newest_of(&self, name: &Name) -> Option<usize> {
        self.list.iter().rposition(|one| one.is_of(name))
    }

    /// The first publication after this time.
    pub(super) fn first_after(&self, at: Instant) -> usize {
        self.list.partition_point(|one| one.at <= at)
    }
}

impl Publication {
    /// Whether the subscribers of a name get it.
    pub(super) fn is_of(&self, (kind, name): &Name) -> bool {
        let Some((command, channel)) = CHANNELS.get(self.channel) else { return false };
        let is_sharded = *command == "SPUBLISH";
        match kind {
            SubscriptionKind::Channel => !is_sharded && channel.as_bytes() == &name[..],
            SubscriptionKind::Sharded => is_sharded && channel.as_bytes() == &name[..],
            SubscriptionKind::Pattern => {
                let text = String::from_utf8_lossy(name);
                let (before, after) = text.split_once('*').unwrap_or((&text, ""));
                !is_sharded && channel.starts_with(before) && channel.ends_with(after)
            }
        }
    }

    /// Its channel and stamp.
    pub(super) fn describe(&self) -> String {
        let channel = CHANNELS.get(self.channel).map_or("", |(_, channel)| channel);
        format!("{channel} {}:{}", self.publisher, self.sequence)
    }
}

/// The names that subscriptions want. The last one is longer than the servers allow.
pub(super) fn name(index: usize) -> Name {
    match NAMES.get(index) {
        Some((kind, name)) => (*kind, Bytes::from_static(name.as_bytes())),
        None => (SubscriptionKind::Channel, vec![b'x'; TOO_LONG].into()),
    }
}

/// Whether the servers refuse this name.
pub(super) fn is_refused((_, name): &Name) -> bool {
    name.len() >= TOO_LONG
}

/// A text for readers: the refused name is thousands of bytes long.
pub(super) fn shortened(text: &str) -> String {
    text.replace(&"x".repeat(TOO_LONG), "x…")
}

/// The channels, and the command that publishes there.
pub(super) const CHANNELS: [(&str, &str); 4] =
    [("PUBLISH", "news.a"), ("PUBLISH", "news.b"), ("PUBLISH", "talk"), ("SPUBLISH", "slot")];

pub(super) const NAMES: [(SubscriptionKind, &str); 7] = [
    (SubscriptionKind::Channel, "news.a"),
    (SubscriptionKind::Channel, "news.b"),
    (SubscriptionKind::Channel, "talk"),
    (SubscriptionKind::Pattern, "news.*"),
    (SubscriptionKind::Pattern, "*.a"),
    (SubscriptionKind::Sharded, "slot"),
    // No publication is of it: it is not the sharded channel.
    (SubscriptionKind::Channel, "slot"),
];
/// The rehearsal server allows 4 KiB.
const TOO_LONG: usize = (4 << 10) + 1;
