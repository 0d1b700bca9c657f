//! [`Outcomes`]: the replies and failures of the commands in a [`World`](super::world::World); and records of what
//! happened in it.

use super::world::Key;
use super::*;
use crate::proto::resp::Frame;

/// The outcome of each command. A correct reply is the command's own text.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) now: Instant,
    pub(super) texts: Vec<String>,
    /// In the order of the replies.
    pub(super) answered: Vec<(Instant, u32)>,
    pub(super) failed: Vec<(u32, Failure)>,
}

impl Deliver for Outcomes {
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        let text = &self.texts[ticket.0 as usize];
        assert_eq!((frame, last), (Frame::Simple(text.clone().into()), true), "a reply for another command");
        self.answered.push((self.now, ticket.0));
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.failed.push((ticket.0, failure));
    }

    fn push(&mut self, frame: Frame) -> bool {
        panic!("{frame:?} was not understood");
    }
}

impl Outcomes {
    pub(super) fn tickets(&self) -> Vec<u32> {
        self.answered.iter().map(|(_, ticket)| *ticket).collect()
    }
}

#[derive(Debug)]
pub(super) struct Executed {
    pub(super) by: SocketAddr,
    pub(super) text: String,
}

#[derive(Clone, Debug)]
pub(super) struct Dial {
    pub(super) at: Instant,
    pub(super) to: String,
}

#[derive(Debug)]
pub(super) struct Closed {
    pub(super) at: Instant,
    pub(super) key: Key,
    pub(super) reason: Arc<CloseReason>,
}
