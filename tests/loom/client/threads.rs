//! Mailboxes that a model serves.

use crate::shard::mailbox::Mailbox;

pub(super) struct Threads(pub(super) Vec<Mailbox>);

impl Threads {
    pub(super) fn mailbox(&self, shard: usize) -> Option<&Mailbox> {
        self.0.get(shard)
    }
}
