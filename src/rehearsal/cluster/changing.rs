//! What is changing in a cluster: slots that move, and writes that wait meanwhile.

use std::collections::BTreeSet;

use super::slots::SlotRanges;
use super::topology::MemberId;
use crate::rehearsal::ids::SessionId;

/// Slots that move between two primaries.
///
/// ```text
///  classic: open ── keys move one after the other; ASK, TRYAGAIN ──▶ the slots have another owner
///  atomic:  writes to the slots are held (a Pause) ── all keys move at once ──▶ the slots have another owner
/// ```
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) id: u64,
    pub(crate) slots: SlotRanges,
    pub(crate) from: MemberId,
    pub(crate) to: MemberId,
    /// The keys that the source had at the start and has not moved yet, the next one last.
    pub(crate) left: Vec<Box<[u8]>>,
    pub(crate) pace: Pace,
    /// SMIGRATED tells the end.
    pub(crate) is_announced: bool,
}

/// How the keys of a migration move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// `keys` at a time, every `every_us`.
    Classic { keys: usize, every_us: u64 },
    /// Only when a verb says so.
    Held,
    /// All at the end of a pause. Neither node answers ASK.
    Atomic,
}

/// Writes to `slots` at `member` that are held back.
#[derive(Debug)]
pub(crate) struct Pause {
    pub(crate) id: u64,
    pub(crate) member: MemberId,
    pub(crate) slots: SlotRanges,
    pub(crate) then: AfterPause,
    pub(crate) held: BTreeSet<SessionId>,
}

/// What happens when a pause ends, before its writes continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterPause {
    /// The replica is promoted, and its former primary answers READONLY to writes for this long.
    Promote { replica: MemberId, readonly_us: u64 },
    /// The migration with this number ends.
    Migrate(u64),
}
