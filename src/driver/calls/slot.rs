//! [`Slot`]: one place of the call table, and its states.

use std::task::Waker;

use crate::driver::due::{Answer, Caller};
use crate::proto::connection::Position;
use crate::proto::pool::EntryId;
use crate::proto::resp::Frame;

#[derive(Default)]
pub(crate) struct Slot {
    pub(super) state: SlotState,
    pub(super) waker: Option<Waker>,
    /// The replies so far to a batch; `None` for a single command.
    pub(super) gathered: Option<Vec<Frame>>,
}

/// ```text
///            open            poll             answer               poll
///  Vacant ──────────▶ Open ─────────▶ Awaited ─────────▶ Answered ─────────▶ Vacant
///    │                 ├── answer ──────────────────────────▲
///    │                 └── forget ──▶ Forgotten ── answer ─────────────────▶ Vacant
///    └─ open_foreign ─▶ Foreign ── answer ─────────────────────────────────▶ Vacant
/// ```
///
/// Awaited calls can be forgotten as well, and `leave` makes a slot of any state vacant.
#[derive(Default)]
pub(super) enum SlotState {
    #[default]
    Vacant,
    /// A task on this shard has called and does not wait yet.
    Open,
    /// A task on this shard waits. The waker in the slot is its own.
    Awaited,
    /// Another thread waits.
    Foreign(Caller, QueuedAt),
    /// No caller waits: the answer is dropped.
    Forgotten,
    Answered(Answer),
}

/// Where the command of a call is queued; `None` while it is being submitted.
pub(super) type QueuedAt = Option<(EntryId, Position)>;

impl Slot {
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, SlotState::Vacant | SlotState::Answered(_))
    }

    #[inline]
    pub(super) fn is_used(&self) -> bool {
        !matches!(self.state, SlotState::Vacant)
    }
}
