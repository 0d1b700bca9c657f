//! The names of a pool's entries, connections and look-ups.

pub(crate) use crate::proto::connection::EntryId;

/// One connection of an entry; the next one has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) entry: EntryId,
    pub(crate) generation: u32,
}

/// One look-up of a name that a pool asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LookupId(pub(crate) u64);

impl EntryId {
    #[inline]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) fn of(index: usize) -> EntryId {
        EntryId(u32::try_from(index).unwrap_or(u32::MAX))
    }
}
