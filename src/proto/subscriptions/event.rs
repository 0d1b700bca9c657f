//! What a shard's subscriptions report to the application.

use std::fmt;

use bytes::Bytes;

use crate::proto::resp::PublishedKind;
use crate::proto::time::Instant;

/// One live subscription object of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubscriptionId(pub(crate) u32);

/// What a name stands for. The three kinds have separate names: the channel `a` is not the pattern `a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SubscriptionKind {
    /// `SUBSCRIBE`
    Channel,
    /// `PSUBSCRIBE`
    Pattern,
    /// `SSUBSCRIBE`
    Sharded,
}

impl From<PublishedKind> for SubscriptionKind {
    #[inline]
    fn from(kind: PublishedKind) -> Self {
        match kind {
            PublishedKind::Channel => SubscriptionKind::Channel,
            PublishedKind::Pattern => SubscriptionKind::Pattern,
            PublishedKind::Sharded => SubscriptionKind::Sharded,
        }
    }
}

/// Takes the events of all subscriptions. The order of its calls is the order of the events.
pub(crate) trait Receive {
    fn deliver(&mut self, to: SubscriptionId, event: PubSubEvent);
}

/// One event of one subscription.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PubSubEvent {
    Message(Message),
    /// Messages of this name may have been missed. The event precedes the first message after the gap.
    Gap {
        kind: SubscriptionKind,
        name: Bytes,
        since: Instant,
        until: Instant,
        reason: GapReason,
    },
    /// The server has confirmed the name. All messages that are published from now on arrive.
    Confirmed {
        kind: SubscriptionKind,
        name: Bytes,
    },
    /// The server has refused the name, which has left the subscription.
    Refused {
        kind: SubscriptionKind,
        name: Bytes,
        reply: Bytes,
    },
    /// The application has removed the name. No message of it follows.
    Unsubscribed {
        kind: SubscriptionKind,
        name: Bytes,
    },
}

/// One published message. A clone shares its bytes.
#[derive(Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) kind: SubscriptionKind,
    pub(crate) channel: Bytes,
    /// The pattern that matched the channel, if the subscription is to a pattern.
    pub(crate) pattern: Option<Bytes>,
    pub(crate) payload: Bytes,
}

/// Shows lengths and no values: the data of users must not end up in a log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (channel, payload) = (self.channel.len(), self.payload.len());
        write!(f, "Message({:?}, a channel of {channel} bytes, a payload of {payload} bytes)", self.kind)
    }
}

/// Why messages may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GapReason {
    /// The connection was lost before another one carried the name.
    ConnectionLost,
    /// The server ended the subscription without being asked, as it does when a slot moves away.
    ServerUnsubscribed,
    /// A handoff was cut short: the predecessor could not be read to its end, or the successor was lost.
    HandoffCut,
}

/// What has happened to the subscriptions of one shard since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionStats {
    /// Messages that were delivered, each counted once for all of its receivers.
    pub messages: u64,
    /// Messages of a successor that the predecessor had delivered before.
    pub duplicates_dropped: u64,
    /// Messages of a connection that is not the source of their name, or of a name that is not wanted.
    pub strays: u64,
    /// Gaps that began, each counted once for all receivers of the name.
    pub gaps: u64,
    /// Overlaps of one name that ended because a bound was reached: their messages may have been delivered twice.
    pub overlaps_bounded: u64,
    /// Overlaps of one name that ended without a fence, and without a gap because a match took its place. The match can
    /// be a coincidence if a publisher repeats a payload.
    pub overlaps_unfenced: u64,
    /// Names that were asked for again because no answer came in time.
    pub retries: u64,
    /// Confirmed names that the server unsubscribed without being asked.
    pub unsolicited_unsubscribes: u64,
    /// Names that the server refused.
    pub refusals: u64,
    /// Errors for which no command was waiting.
    pub unmatched_refusals: u64,
    /// Pub/sub pushes of a shape that no server sends.
    pub malformed: u64,
}

impl SubscriptionStats {
    /// Adds the counts of another pool.
    pub(crate) fn add(&mut self, other: &SubscriptionStats) {
        self.messages += other.messages;
        self.duplicates_dropped += other.duplicates_dropped;
        self.strays += other.strays;
        self.gaps += other.gaps;
        self.overlaps_bounded += other.overlaps_bounded;
        self.overlaps_unfenced += other.overlaps_unfenced;
        self.retries += other.retries;
        self.unsolicited_unsubscribes += other.unsolicited_unsubscribes;
        self.refusals += other.refusals;
        self.unmatched_refusals += other.unmatched_refusals;
        self.malformed += other.malformed;
    }
}
