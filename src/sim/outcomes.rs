//! [`Outcomes`]: the results of one shard's commands, as its callers see them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::violation::Violation;
use crate::proto::connection::{Deliver, HandleId, Position, Ticket};
use crate::proto::error::{Failure, Outcome};
use crate::proto::pool::{DeadlineId, EntryId};
use crate::proto::resp::Frame;
use crate::proto::subscriptions::{PubSubEvent, SubscriptionId};
use crate::proto::time::Instant;

/// A submitted command or batch.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: CallKind,
    pub(super) handle: HandleId,
    pub(super) entry: EntryId,
    pub(super) position: Position,
    pub(super) submitted: Instant,
    pub(super) deadline: Option<(DeadlineId, Instant)>,
    /// The number of commands in the batch.
    pub(super) commands: u32,
    pub(super) replies: Vec<Frame>,
    pub(super) end: End,
}

/// What a call is to the checkers.
#[derive(Clone, Copy, Debug)]
pub(super) enum CallKind {
    /// It appends to the list of its handle.
    Recorded,
    /// It pushes so many elements to the queue of its shard.
    Push { elements: u32 },
    /// It takes elements from that queue.
    Take(Take),
    /// It belongs to a session.
    Session,
}

/// A blocking command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Take {
    /// It moves an element to a list of its own.
    pub(super) is_move: bool,
    /// How many elements it takes at most.
    pub(super) most: usize,
    /// How long it waits; without a limit if that is zero.
    pub(super) limit: Duration,
    /// Its caller wants no more than it has taken already.
    pub(super) is_cancelled: bool,
}

impl Call {
    /// Whether it waits until it is cancelled or left.
    pub(super) fn is_endless(&self) -> bool {
        self.end == End::Open
            && matches!(self.kind, CallKind::Take(take) if take.limit.is_zero() && !take.is_cancelled)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Answered,
    Failed(Outcome),
    /// The caller cancelled it.
    Cancelled,
}

/// Tickets are never reused here, so a late reply to an old ticket shows as a violation.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) calls: BTreeMap<u32, Call>,
    pub(super) violation: Option<Violation>,
    /// The calls that ended since the last check.
    pub(super) ended: Vec<(u32, Option<Failure>)>,
    pub(super) pushes: u64,
    /// The events of subscriptions since the last check.
    pub(super) events: Vec<(SubscriptionId, PubSubEvent)>,
}

impl Outcomes {
    fn violate(&mut self, invariant: &'static str, what: String) {
        self.violation.get_or_insert(Violation { invariant, what });
    }

    fn open_call(&mut self, ticket: Ticket, what: &str) -> Option<&mut Call> {
        let end = self.calls.get(&ticket.0).map(|call| call.end);
        if end != Some(End::Open) {
            self.violate(ONCE, format!("ticket {} is {end:?} and gets {what}", ticket.0));
            return None;
        }
        self.calls.get_mut(&ticket.0)
    }
}

impl Deliver for Outcomes {
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        let Some(call) = self.open_call(ticket, "a reply") else { return };
        call.replies.push(frame);
        let whole = call.replies.len() == call.commands as usize;
        if last {
            call.end = End::Answered;
            self.ended.push((ticket.0, None));
        }
        if last != whole {
            self.violate(ONCE, format!("ticket {} got the wrong number of replies", ticket.0));
        }
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        let Some(call) = self.open_call(ticket, "a failure") else { return };
        call.end = End::Failed(failure.outcome());
        self.ended.push((ticket.0, Some(failure)));
    }

    fn push(&mut self, _frame: Frame) -> bool {
        self.pushes += 1;
        false
    }

    fn event(&mut self, to: SubscriptionId, event: PubSubEvent) {
        self.events.push((to, event));
    }
}

const ONCE: &str = "each ticket resolves exactly once";
