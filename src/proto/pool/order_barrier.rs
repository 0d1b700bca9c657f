//! [`OrderBarrier`]: what keeps the order of a handle's commands when its entry cuts over.

use std::time::Duration;

use super::connection::PoolConnection;
use crate::proto::connection::{HandleId, Queue};
use crate::proto::time::Instant;

/// The handles whose commands wait in the queue because replies are awaited on a predecessor.
///
/// Two sockets keep no order between them: a command that is written to the successor can run before one that the
/// predecessor still carries. So the commands of a handle wait until its last reply has arrived there. All other
/// handles go to the successor at once.
///
/// - [`note_progress`](OrderBarrier::note_progress) is called after each reply on a predecessor, and after a
///   predecessor is added or removed. A missed call holds commands for ever.
/// - [`update`](OrderBarrier::update) is called before the active connection takes commands out of the queue.
/// - The list may be too long while it is stale, and is never too short: it holds too much rather than too little.
#[derive(Debug, Default)]
pub(super) struct OrderBarrier {
    /// Sorted.
    held: Vec<HandleId>,
    /// A reply has arrived on a predecessor since the handles were listed.
    is_stale: bool,
    since: Option<Instant>,
    longest: Duration,
}

impl OrderBarrier {
    pub(super) fn note_progress(&mut self) {
        self.is_stale = true;
    }

    /// Whether the list has to be made anew before it is used.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Whether [`OrderBarrier::update`] has to be called. False on the path of all commands outside a handoff.
    #[inline]
    pub(super) fn is_raised(&self) -> bool {
        self.is_stale || !self.held.is_empty()
    }

    /// The handles to hold back, sorted.
    #[inline]
    pub(super) fn held(&self) -> &[HandleId] {
        &self.held
    }

    /// For how long commands were held at most.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Lists the handles that wait for replies on predecessors, and measures for how long any command waits.
    pub(super) fn update(&mut self, predecessors: &[PoolConnection], queue: &Queue, now: Instant) {
        if std::mem::take(&mut self.is_stale) {
            self.held.clear();
            self.held.extend(predecessors.iter().flat_map(|predecessor| predecessor.connection.handles()));
            self.held.sort_unstable();
            self.held.dedup();
        }
        if self.held.is_empty() {
            if let Some(since) = self.since.take() {
                self.longest = self.longest.max(now.since(since));
            }
        } else if self.since.is_none() && queue.holds_any(&self.held) {
            self.since = Some(now);
        }
    }
}
