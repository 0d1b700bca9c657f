//! [`SubscriptionBuffer`]: how much a subscription keeps for a subscriber that is slow.

use std::fmt;

/// How much a subscription keeps for its subscriber, and what becomes of the rest.
///
/// The client always reads what the server sends, so that a slow subscriber is never a reason for the server to close the
/// connection. What it has not taken waits here, up to these bounds. What does not fit is dropped and counted, and
/// [`PubSubEvent::Lagged`](crate::pubsub::PubSubEvent::Lagged) stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct SubscriptionBuffer {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) overflow: Overflow,
}

/// What a full buffer drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest messages.
    #[default]
    DropOldest,
    /// The messages that do not fit.
    DropNewest,
    /// All that follows: the subscription ends behind what it has kept.
    Close,
}

impl SubscriptionBuffer {
    /// 8,192 messages and 16 MiB; the oldest are dropped.
    pub fn new() -> Self {
        SubscriptionBuffer { messages: 8192, bytes: 16 << 20, overflow: Overflow::default() }
    }

    /// How many messages it holds, 1 at least.
    pub fn messages(mut self, messages: usize) -> Self {
        self.messages = messages.max(1);
        self
    }

    /// How many bytes of names and payloads it holds. One message of any size fits into an empty buffer.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// What it drops when it is full.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }
}

impl Default for SubscriptionBuffer {
    fn default() -> Self {
        SubscriptionBuffer::new()
    }
}

impl fmt::Display for SubscriptionBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overflow = match self.overflow {
            Overflow::DropOldest => "drop the oldest",
            Overflow::DropNewest => "drop the newest",
            Overflow::Close => "close",
        };
        write!(f, "{} messages, {} bytes, then {overflow}", self.messages, self.bytes)
    }
}
