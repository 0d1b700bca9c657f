//! [`BlockingCall`]: one blocking command, from its submission to its end.

use std::time::Duration;

use super::command::BlockingCommand;
use crate::proto::connection::{Position, Ticket};
use crate::proto::pool::ids::EntryId;
use crate::proto::time::Instant;

/// One blocking command.
///
/// ```text
///           a connection is free            reply, failure
///  waiting ──────────────────────▶ issued ─────────────────▶ over
///                                   ▲  │
///             null, and time is left │  │ its connection is replaced, or its caller leaves: UNBLOCK
///                                   └─ ending
/// ```
///
/// While it is wanted, its ticket belongs to a caller, and the pool delivers one result for it. Once it is not, the ticket may
/// belong to another call, and nothing is delivered.
#[derive(Debug)]
pub(super) struct BlockingCall {
    pub(super) ticket: Ticket,
    pub(super) command: BlockingCommand,
    /// A caller waits for the result.
    pub(super) is_wanted: bool,
    /// Where it is queued or written, once it has a connection.
    pub(super) issued: Option<Issued>,
    /// Why its wait on the server is to end, if it is.
    pub(super) ending: Option<Ending>,
    /// When the server is asked to end the wait.
    pub(super) unblock_at: Option<Instant>,
    /// Since when its caller wants no more than it has taken.
    pub(super) unwanted_since: Option<Instant>,
    /// How often it was asked.
    pub(super) unblocks: u32,
}

/// Where a blocking command is queued or written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issued {
    pub(super) entry: EntryId,
    pub(super) position: Position,
    /// When the server's timeout is over; the end of time if it has none.
    pub(super) until: Instant,
}

/// Why the wait of a command is to end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Its connection is being replaced: the command goes on at the successor.
    Moved,
    /// Its caller wants no more than what it has taken already.
    Cancelled,
    /// The pool is shutting down.
    ShutDown,
}

impl BlockingCall {
    pub(super) fn new(ticket: Ticket, bytes: Vec<u8>) -> Self {
        BlockingCall {
            ticket,
            command: BlockingCommand::new(bytes),
            is_wanted: true,
            issued: None,
            ending: None,
            unblock_at: None,
            unwanted_since: None,
            unblocks: 0,
        }
    }

    /// Has the server asked to end the wait, as soon as possible.
    pub(super) fn end(&mut self, ending: Ending, now: Instant) {
        self.ending = Some(ending);
        if ending == Ending::Cancelled {
            self.unwanted_since.get_or_insert(now);
        }
        self.unblock_at.get_or_insert(now);
    }

    /// The server did not know of a wait: the command may not have reached it yet. It is asked again.
    pub(super) fn unblock_again(&mut self, now: Instant) {
        let delay = UNBLOCK_AGAIN_FIRST.saturating_mul(1 << self.unblocks.min(UNBLOCK_DOUBLINGS));
        self.unblocks += 1;
        self.unblock_at = Some(now.after(delay));
    }

    /// When its connection counts as dead: nothing else limits the wait, and its end does not come.
    pub(super) fn overdue_at(&self, patience: Duration) -> Option<Instant> {
        let is_endless = self.command.timeout().is_none();
        self.unwanted_since.filter(|_| is_endless).map(|since| since.after(patience))
    }

    /// The time that is left for the server to wait, if the command is to be issued again.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let until = self.issued?.until;
        let is_moved = self.ending == Some(Ending::Moved) && self.is_wanted;
        (is_moved && now < until).then(|| until.since(now))
    }
}

/// How long after an `UNBLOCK` that found no wait the next one follows; each takes twice as long as the one before.
const UNBLOCK_AGAIN_FIRST: Duration = Duration::from_millis(10);
const UNBLOCK_DOUBLINGS: u32 = 6;
