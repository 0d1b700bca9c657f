//! [`PubSubEvent`]: what a subscription yields.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use crate::proto::subscriptions as pool;

/// One item of a [`Subscription`](super::Subscription).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum PubSubEvent {
    /// A published message.
    Message(Message),
    /// Messages of this channel or pattern may have been missed: the connection was lost, and the server has confirmed the
    /// name again. It stands before the first message after the gap.
    Gap {
        /// The channel or pattern.
        name: Bytes,
        /// When the last byte had come before it.
        since: Instant,
        /// When the server confirmed the name again.
        until: Instant,
        /// Why.
        reason: GapReason,
    },
    /// So many messages were dropped here, because the subscriber was slower than they came.
    Lagged(u64),
}

/// A published message. A clone shares its bytes. `Debug` shows their lengths.
///
/// Short messages that came together share a block of 1 KiB. One that is kept for long keeps its block: copy what you keep.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Message {
    /// The channel that it was published to.
    pub channel: Bytes,
    /// The pattern that the channel matches, if the subscription is to a pattern.
    pub pattern: Option<Bytes>,
    /// What was published.
    pub payload: Bytes,
}

/// Why messages may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The connection was lost before another one carried the name.
    ConnectionLost,
    /// The server ended the subscription by itself, as it does when the slot of a channel moves to another server.
    ServerUnsubscribed,
    /// A handoff was cut short: the old connection could not be read to its end, or the new one was lost.
    HandoffCut,
    /// A task on the shard panicked, and the shard began again.
    ShardRestarted,
}

impl From<pool::GapReason> for GapReason {
    fn from(reason: pool::GapReason) -> Self {
        match reason {
            pool::GapReason::ConnectionLost => GapReason::ConnectionLost,
            pool::GapReason::ServerUnsubscribed => GapReason::ServerUnsubscribed,
            pool::GapReason::HandoffCut => GapReason::HandoffCut,
        }
    }
}

impl Message {
    /// How many bytes it takes in a buffer.
    pub(super) fn len(&self) -> usize {
        self.channel.len() + self.pattern.as_ref().map_or(0, Bytes::len) + self.payload.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (channel, payload) = (self.channel.len(), self.payload.len());
        write!(f, "Message(a channel of {channel} bytes, a payload of {payload} bytes)")
    }
}

/// No names and no payloads.
impl fmt::Debug for PubSubEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PubSubEvent::Message(message) => message.fmt(f),
            PubSubEvent::Gap { since, until, reason, .. } => {
                write!(f, "Gap({reason:?}, {:?})", until.saturating_duration_since(*since))
            }
            PubSubEvent::Lagged(count) => write!(f, "Lagged({count})"),
        }
    }
}
