//! [`Batch`]: the messages of one subscription that have come in one read.

use std::collections::VecDeque;

use super::event::{Message, PubSubEvent};

/// The messages of one subscription that have come in one read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Messages only, as the events that the inbox keeps.
    pub(super) events: VecDeque<PubSubEvent>,
    /// How many bytes they take in a buffer.
    pub(super) bytes: usize,
}

impl Batch {
    #[inline]
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.events.push_back(PubSubEvent::Message(message));
    }
}
