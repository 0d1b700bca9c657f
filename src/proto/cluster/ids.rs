//! The names of a cluster's nodes, and how the entries and connections of their pools are told apart.

use crate::proto::pool::{ConnectionId, EntryId};

/// One node of a cluster, as this client numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u16);

impl NodeId {
    /// No node.
    pub(super) const NONE: NodeId = NodeId(u16::MAX);
    /// How many nodes one client can tell apart.
    pub(super) const COUNT_MAX: usize = 8192;

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The name of replies that are being put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GatherId(pub(super) u64);

/// How entries of the nodes' pools are numbered for the driver: the number of the node stands before the number in its pool.
///
/// A driver holds one number for each entry, whatever it belongs to, and each pool numbers its own from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    bits: u32,
}

impl Numbering {
    /// For pools with at most so many entries.
    pub(super) fn new(entries_max: usize) -> Self {
        // The largest pool has 4160 entries. With 13 bits for the node, the number stays below the bits of exclusive entries.
        Numbering { bits: entries_max.max(1).next_power_of_two().trailing_zeros().min(15) }
    }

    /// The node of an entry, and the entry in its pool.
    #[inline]
    pub(super) fn within(self, entry: EntryId) -> (NodeId, EntryId) {
        let node = NodeId(u16::try_from(entry.0 >> self.bits).unwrap_or(u16::MAX));
        (node, EntryId(entry.0 & ((1 << self.bits) - 1)))
    }

    /// The entry of a node's pool as the driver knows it. Exclusive entries have no number yet.
    #[inline]
    pub(super) fn outside(self, node: NodeId, entry: EntryId) -> EntryId {
        match entry.is_exclusive() {
            true => entry,
            false => EntryId((u32::from(node.0) << self.bits) | entry.0),
        }
    }

    #[inline]
    pub(super) fn connection_within(self, id: ConnectionId) -> (NodeId, ConnectionId) {
        let (node, entry) = self.within(id.entry);
        (node, ConnectionId { entry, ..id })
    }

    pub(super) fn connection_outside(self, node: NodeId, id: ConnectionId) -> ConnectionId {
        ConnectionId { entry: self.outside(node, id.entry), ..id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_different_nodes_differ() {
        for entries in [1, 2, 17, 4160] {
            let numbering = Numbering::new(entries);
            for node in [0, 1, 2, 8191] {
                for entry in [0, u32::try_from(entries - 1).unwrap()] {
                    let outside = numbering.outside(NodeId(node), EntryId(entry));
                    assert!(!outside.is_exclusive());
                    assert_eq!(numbering.within(outside), (NodeId(node), EntryId(entry)));
                }
            }
        }
        let numbering = Numbering::new(17);
        assert_eq!(numbering.outside(NodeId(3), EntryId::EXCLUSIVE), EntryId::EXCLUSIVE);
    }
}
