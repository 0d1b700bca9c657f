//! [`Callers`]: the callers of all commands, who check that each of them gets exactly one result.

use super::peer::Executed;
use crate::proto::connection::{Deliver, Position, Ticket};
use crate::proto::error::{Failure, Outcome};
use crate::proto::resp::Frame;
use crate::proto::time::Instant;

pub(super) struct Caller {
    pub(super) position: Position,
    replies: u32,
    submitted: Instant,
    got: u32,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answered,
    Failed(Outcome),
    /// The caller canceled its command; no result may reach it.
    Left,
}

#[derive(Default)]
pub(super) struct Callers {
    all: Vec<Caller>,
    /// The server numbers its replies, so that a swapped reply is detected.
    pub(super) numbered: bool,
    /// How many replies and failures were delivered.
    pub(super) delivered: usize,
    pub(super) now: Instant,
}

impl Callers {
    pub(super) fn with_numbered_replies() -> Self {
        Callers { numbered: true, ..Callers::default() }
    }

    pub(super) fn next_ticket(&self) -> Ticket {
        Ticket(u32::try_from(self.all.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn add(&mut self, position: Position, replies: u32) {
        self.all.push(Caller { position, replies, submitted: self.now, got: 0, end: None });
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The position of a command whose caller still waits.
    pub(super) fn waiting(&self, index: usize) -> Option<Position> {
        self.all.get(index).filter(|caller| caller.end.is_none()).map(|caller| caller.position)
    }

    pub(super) fn leave(&mut self, index: usize) {
        self.all[index].end = Some(End::Left);
    }

    /// The command of this ticket gets no further reply.
    pub(super) fn failed(&mut self, ticket: Ticket, outcome: Outcome) {
        self.delivered += 1;
        let caller = self.end(ticket, End::Failed(outcome));
        assert!(outcome != Outcome::Unsent || caller.got == 0, "{ticket:?} had a reply and was not sent");
    }

    /// As [`Callers::failed`], for a command that ran into its timeout of at least one second.
    pub(super) fn timed_out(&mut self, ticket: Ticket, outcome: Outcome) {
        self.failed(ticket, outcome);
        let waited = self.now.since(self.all[ticket.0 as usize].submitted);
        assert!(waited.as_secs() >= 1, "{ticket:?} timed out after {waited:?}");
    }

    /// Asserts that each caller got one result, and that the result agrees with what the servers executed.
    pub(super) fn check(&self, executed: &Executed) {
        for (index, caller) in self.all.iter().enumerate() {
            let count = executed.count(index);
            assert!(count <= caller.replies, "{index} was executed {count} of {} times", caller.replies);
            match caller.end {
                None => panic!("{index} got no result"),
                Some(End::Answered) if self.numbered => assert_eq!(count, caller.replies, "{index}"),
                Some(End::Failed(Outcome::Unsent)) => {
                    assert!(count == 0 && !executed.is_lost(index), "{index} was sent");
                }
                _ => {}
            }
        }
    }

    fn end(&mut self, ticket: Ticket, end: End) -> &Caller {
        let caller = &mut self.all[ticket.0 as usize];
        assert_eq!(caller.end, None, "{ticket:?} has ended before {end:?}");
        caller.end = Some(end);
        caller
    }
}

impl Deliver for Callers {
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        self.delivered += 1;
        assert!(!frame.is_push(), "{ticket:?} was answered by a push");
        if self.numbered {
            assert_eq!(frame, Frame::Integer(ticket.0.into()), "{ticket:?} got the reply of another");
        }
        let caller = &mut self.all[ticket.0 as usize];
        assert_eq!(caller.end, None, "{ticket:?} has ended");
        caller.got += 1;
        assert_eq!(last, caller.got == caller.replies, "{ticket:?}: {} of {}", caller.got, caller.replies);
        if last {
            caller.end = Some(End::Answered);
        }
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        match &failure {
            Failure::TimedOut(_) => self.timed_out(ticket, failure.outcome()),
            _ => self.failed(ticket, failure.outcome()),
        }
    }

    fn push(&mut self, frame: Frame) -> bool {
        assert!(frame.is_push(), "{frame:?} is no push");
        false
    }
}
