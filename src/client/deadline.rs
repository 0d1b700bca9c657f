//! [`Deadline`]: until when the caller of a client waits, and how its call ends then.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::alarm::Alarm;
use crate::driver::calls::{Call, CancelReason, Cancellation};
use crate::error::{Error, ErrorKind};
use crate::proto::connection::Ticket;
use crate::proto::error::Outcome;
use crate::shard::mailbox::{Mailbox, Request};

/// A deadline of one call.
///
/// When it passes, a call that no shard has accepted is unsent for certain. Otherwise the shard is asked, because only the shard
/// knows whether the command was written. A shard that does not answer within [`ANSWER_MAX`] leaves the call ambiguous.
pub(super) struct Deadline {
    after: Duration,
    alarm: Alarm,
    has_passed: bool,
    /// The question to the shard, until the mailbox has room for it.
    question: Option<Request>,
}

impl Deadline {
    /// A deadline after this time from now; `None` if the clock cannot represent it.
    pub(super) fn after(after: Duration) -> Option<Box<Self>> {
        let alarm = Alarm::new(Instant::now().checked_add(after)?);
        Some(Box::new(Deadline { after, alarm, has_passed: false, question: None }))
    }

    /// The error of a call whose deadline has passed. If the shard answers the question, the call is answered instead.
    pub(super) fn poll(&mut self, call: &Call, mailbox: &Mailbox, context: &Context<'_>) -> Poll<Error> {
        loop {
            if self.question.is_some() && mailbox.poll_send(&mut self.question, context).is_ready() {
                self.question = None;
            }
            ready!(self.alarm.poll(context));
            let after = self.after;
            if self.has_passed {
                let detail = format!("no reply within {after:?}, and its shard is too busy to say more");
                return Poll::Ready(Error::new(ErrorKind::Timeout, Outcome::Ambiguous, detail));
            }
            let Err(ticket) = call.leave() else {
                let detail = format!("its shard had no room for it, or no time, within {after:?}");
                return Poll::Ready(Error::new(ErrorKind::Timeout, Outcome::Unsent, detail));
            };
            self.has_passed = true;
            let cancellation = Cancellation {
                ticket: Ticket(ticket),
                call: call.id(),
                reason: CancelReason::DeadlinePassed(after),
            };
            self.question = Some(Request::Cancel(cancellation));
            self.alarm = Alarm::new(Instant::now() + ANSWER_MAX);
        }
    }
}

/// How long a shard has to say how far a command has come whose deadline has passed.
const ANSWER_MAX: Duration = Duration::from_millis(100);
