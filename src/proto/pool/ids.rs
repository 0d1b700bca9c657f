//! The names of a pool's entries, connections and look-ups.

pub(crate) use crate::proto::connection::EntryId;

/// One connection of an entry; the next one has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) entry: EntryId,
    pub(crate) generation: u32,
}

/// One look-up of a name that a pool asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LookupId(pub(crate) u64);

impl EntryId {
    /// Where blocking commands are submitted: the pool finds an entry for each.
    pub(crate) const EXCLUSIVE: EntryId = EntryId(EXCLUSIVE);

    /// Where the session with this number asks for an entry, which is its own from then on.
    pub(crate) fn opening(session: u32) -> EntryId {
        EntryId(EXCLUSIVE | OPENING | session & SESSIONS)
    }

    /// Where the commands of the session with this number are submitted.
    pub(crate) fn session(session: u32) -> EntryId {
        EntryId(EXCLUSIVE | COMMAND | session & SESSIONS)
    }

    /// Where the end of the session with this number is submitted, as a call without bytes.
    pub(crate) fn closing(session: u32) -> EntryId {
        EntryId(EXCLUSIVE | CLOSING | session & SESSIONS)
    }

    /// What is submitted here, if that needs a connection for itself.
    pub(super) fn exclusivity(self) -> Option<Exclusivity> {
        let session = self.0 & SESSIONS;
        match self.0 & !SESSIONS {
            EXCLUSIVE => Some(Exclusivity::Blocking),
            kind if kind == EXCLUSIVE | OPENING => Some(Exclusivity::Opening(session)),
            kind if kind == EXCLUSIVE | COMMAND => Some(Exclusivity::Command(session)),
            kind if kind == EXCLUSIVE | CLOSING => Some(Exclusivity::Closing(session)),
            _ => None,
        }
    }

    /// Whether what is submitted here needs a connection for itself.
    pub(crate) fn is_exclusive(self) -> bool {
        self.exclusivity().is_some()
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) fn of(index: usize) -> EntryId {
        EntryId(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// What needs a connection for itself. Sessions have numbers that their callers choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exclusivity {
    /// A blocking command.
    Blocking,
    /// The beginning of a session.
    Opening(u32),
    /// A command of a session.
    Command(u32),
    /// The end of a session.
    Closing(u32),
}

/// Numbers with this bit are of no entry: far more than a pool has.
const EXCLUSIVE: u32 = 1 << 31;
const OPENING: u32 = 1 << 29;
const COMMAND: u32 = 2 << 29;
const CLOSING: u32 = 3 << 29;
const SESSIONS: u32 = (1 << 29) - 1;
