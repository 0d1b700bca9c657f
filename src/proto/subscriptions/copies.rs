//! [`Copies`]: the memory of messages that were copied out of what was read.

use bytes::{Bytes, BytesMut};

use super::event::{Message, SubscriptionKind};
use crate::proto::resp::Published;

/// The memory of messages that were copied out of what was read.
///
/// The next read overwrites the bytes of a message, so they are copied. Short ones that follow each other share a block: with
/// two allocations for each message, those would be most of what a message costs. A message keeps its block alive, so blocks
/// are small. A longer text has memory of its own.
#[derive(Debug, Default)]
pub(super) struct Copies {
    block: BytesMut,
}

impl Copies {
    #[inline]
    pub(super) fn message(&mut self, kind: SubscriptionKind, published: Published<'_>) -> Message {
        let pattern = (kind == SubscriptionKind::Pattern).then(|| self.bytes(published.name));
        Message {
            kind,
            channel: self.bytes(published.channel),
            pattern,
            payload: self.bytes(published.payload),
        }
    }

    #[inline]
    fn bytes(&mut self, text: &[u8]) -> Bytes {
        if text.len() > SHARED_MAX {
            return Bytes::copy_from_slice(text);
        }
        if self.block.capacity() < text.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(text);
        self.block.split().freeze()
    }
}

/// The memory that short messages share. So much is kept for a message that the application keeps.
const BLOCK: usize = 1 << 10;
/// The longest text that shares a block.
const SHARED_MAX: usize = BLOCK / 4;
