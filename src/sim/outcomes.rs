//! [`Outcomes`]: what became of each command of one shard, as its callers see it.

use std::collections::BTreeMap;

use super::checkers::Violation;
use crate::proto::connection::{Deliver, HandleId, Position, Ticket};
use crate::proto::error::{Failure, Outcome};
use crate::proto::pool::{DeadlineId, EntryId};
use crate::proto::resp::Frame;
use crate::proto::time::Instant;

/// One command, or a batch.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) handle: HandleId,
    pub(super) entry: EntryId,
    pub(super) position: Position,
    pub(super) submitted: Instant,
    pub(super) deadline: Option<(DeadlineId, Instant)>,
    /// How many commands it is.
    pub(super) commands: u32,
    pub(super) replies: Vec<Frame>,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Answered,
    Failed(Outcome),
    /// Its caller has left.
    Cancelled,
}

/// Tickets are never used twice here, so that a late word on an old one shows.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) cases: BTreeMap<u32, Case>,
    pub(super) violation: Option<Violation>,
    /// Those whose end came since somebody last looked.
    pub(super) ended: Vec<(u32, Option<Failure>)>,
    pub(super) pushes: u64,
}

impl Outcomes {
    fn violate(&mut self, invariant: &'static str, what: String) {
        self.violation.get_or_insert(Violation { invariant, what });
    }

    fn open_case(&mut self, ticket: Ticket, what: &str) -> Option<&mut Case> {
        let end = self.cases.get(&ticket.0).map(|case| case.end);
        if end != Some(End::Open) {
            self.violate(super::checkers::ONCE, format!("ticket {} is {end:?} and gets {what}", ticket.0));
            return None;
        }
        self.cases.get_mut(&ticket.0)
    }
}

impl Deliver for Outcomes {
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        let Some(case) = self.open_case(ticket, "a reply") else { return };
        case.replies.push(frame);
        let whole = case.replies.len() == case.commands as usize;
        if last {
            case.end = End::Answered;
            self.ended.push((ticket.0, None));
        }
        if last != whole {
            self.violate(
                super::checkers::ONCE,
                format!("ticket {} got the wrong number of replies", ticket.0),
            );
        }
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        let Some(case) = self.open_case(ticket, "a failure") else { return };
        case.end = End::Failed(failure.outcome());
        self.ended.push((ticket.0, Some(failure)));
    }

    fn push(&mut self, _frame: Frame) -> bool {
        self.pushes += 1;
        false
    }
}
