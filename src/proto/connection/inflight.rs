//! [`InFlight`]: commands that were handed to one connection, in the order of their replies.

use std::collections::VecDeque;

use super::command::{HandleId, InternalCommand, PendingCommand, Position, Recipient, Ticket};
use crate::proto::time::Instant;

/// The command that a reply belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReplyMatch {
    /// The reply is for this ticket; `last` if no other follows. The command was submitted at `at`.
    Answers { ticket: Ticket, last: bool, at: Instant },
    /// The caller has left; a tombstone stood in its place.
    Discarded,
    /// The pool awaits the reply to the command that was submitted with this ticket.
    ForPool(Ticket),
    /// The connection had sent this command for itself.
    Internal(InternalCommand),
    /// No command is waiting for a reply.
    Unasked,
}

/// The in-flight queue: what a connection has taken from the [`Queue`](super::Queue) and the server has not fully answered.
///
/// RESP numbers neither commands nor replies, so a reply belongs to the oldest command that is not fully answered. The
/// queue therefore never loses an entry between its write and its last reply. A caller that leaves, or whose deadline
/// passes, leaves a tombstone that absorbs the reply; removing the entry would give every later reply to the wrong caller.
///
/// [`InFlight::incoming`] receives commands at the moment at which they are put into the write buffer, and
/// [`InFlight::answer`] takes one reply at a time. [`InFlight::split_unsent`] gives back the commands of which no byte was
/// written; only these may be written on another connection. A push must never reach [`InFlight::answer`].
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    items: VecDeque<PendingCommand>,
    /// The positions may be out of order: a command that was held at a cut-over follows younger ones.
    is_mixed: bool,
}

impl InFlight {
    /// The list that [`Queue::take`](super::Queue::take) appends to.
    pub(crate) fn incoming(&mut self) -> &mut VecDeque<PendingCommand> {
        self.is_mixed &= !self.items.is_empty();
        &mut self.items
    }

    /// The list that [`Queue::take_except`](super::Queue::take_except) appends to. The commands
    /// that it leaves in the queue follow later, behind younger ones.
    pub(crate) fn incoming_mixed(&mut self) -> &mut VecDeque<PendingCommand> {
        self.is_mixed = true;
        &mut self.items
    }

    /// Appends a command that the connection sends for itself.
    pub(crate) fn push_internal(&mut self, internal: InternalCommand, length: usize, at: Instant) {
        // No caller knows this position. It breaks the order, so that searches have to look at all commands.
        self.is_mixed = true;
        let (position, handle, ticket) = (Position(u64::MAX), HandleId(u32::MAX), Ticket(u32::MAX));
        let item = PendingCommand {
            position,
            at,
            length,
            handle,
            ticket,
            replies: 1,
            abandoned: true,
            recipient: Recipient::Connection(internal),
        };
        self.items.push_back(item);
    }

    /// Matches one reply with its command.
    #[inline]
    pub(crate) fn answer(&mut self) -> ReplyMatch {
        let Some(item) = self.items.front_mut() else { return ReplyMatch::Unasked };
        item.replies -= 1;
        let (ticket, abandoned, recipient) = (item.ticket, item.abandoned, item.recipient);
        let (last, at) = (item.replies == 0, item.at);
        if last {
            self.items.pop_front();
        }
        match (recipient, abandoned) {
            (Recipient::Caller, false) => ReplyMatch::Answers { ticket, last, at },
            (Recipient::Caller, true) => ReplyMatch::Discarded,
            (Recipient::Pool, _) => ReplyMatch::ForPool(ticket),
            (Recipient::Connection(internal), _) => ReplyMatch::Internal(internal),
        }
    }

    /// Whether the next reply would be matched with an internal command of this kind.
    pub(crate) fn is_next(&self, internal: InternalCommand) -> bool {
        self.items.front().is_some_and(|item| item.recipient == Recipient::Connection(internal))
    }

    /// Removes the oldest internal command of this kind: it is answered by something else than a reply.
    pub(crate) fn remove_first(&mut self, internal: InternalCommand) {
        let found = self.items.iter().position(|item| item.recipient == Recipient::Connection(internal));
        if let Some(index) = found {
            self.items.remove(index);
        }
    }

    /// Turns a command into a tombstone; false if it is not here.
    pub(crate) fn abandon(&mut self, position: Position) -> bool {
        let mut found = self.items.binary_search_by_key(&position, |item| item.position).ok();
        if found.is_none() && self.is_mixed {
            found = self.items.iter().position(|item| item.position == position);
        }
        match found.and_then(|index| self.items.get_mut(index)) {
            Some(item) => {
                item.abandoned = true;
                true
            }
            None => false,
        }
    }

    /// The submission time of the oldest awaited command.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.items.iter().find(|item| item.is_awaited()).map(|item| item.at)
    }

    /// The submission time of the first command, awaited or not.
    #[inline]
    pub(crate) fn first(&self) -> Option<Instant> {
        self.items.front().map(|item| item.at)
    }

    /// Turns the commands that were submitted no later than `until` into tombstones, and reports each awaited one.
    pub(crate) fn expire(&mut self, until: Instant, mut expired: impl FnMut(Ticket)) {
        let is_mixed = self.is_mixed;
        let overdue = |item: &&mut PendingCommand| item.at <= until;
        for item in self.items.iter_mut().take_while(|item| is_mixed || overdue(item)).filter(overdue) {
            let is_awaited = item.is_awaited();
            item.abandoned = true;
            if is_awaited {
                expired(item.ticket);
            }
        }
    }

    /// Splits off the newest commands of which no byte was written, and returns them with their length in bytes.
    /// `unwritten` is how many bytes of the write buffer the socket has not taken. All other commands are written, at
    /// least in part.
    pub(crate) fn split_unsent(&mut self, unwritten: usize) -> (VecDeque<PendingCommand>, usize) {
        let mut whole = 0;
        let mut count = 0;
        for item in self.items.iter().rev() {
            if whole + item.length > unwritten {
                break;
            }
            whole += item.length;
            count += 1;
        }
        (self.items.split_off(self.items.len() - count), whole)
    }

    /// Whether no byte of any command here was written. `unwritten` is as in [`InFlight::split_unsent`].
    #[inline]
    pub(crate) fn is_unsent(&self, unwritten: usize) -> bool {
        let mut rest = unwritten;
        unwritten > 0
            && self.items.iter().all(|item| match rest.checked_sub(item.length) {
                Some(less) => {
                    rest = less;
                    true
                }
                None => false,
            })
    }

    /// The handle of each command here, without internal commands.
    pub(crate) fn handles(&self) -> impl Iterator<Item = HandleId> {
        self.items.iter().filter(|item| !item.recipient.is_internal()).map(|item| item.handle)
    }

    /// Whether only internal commands await a reply, and none that resets the connection.
    pub(crate) fn is_internal_only(&self) -> bool {
        let reset = Recipient::Connection(InternalCommand::Reset);
        self.items.iter().all(|item| item.recipient.is_internal() && item.recipient != reset)
    }

    /// Removes all commands, and reports each awaited one.
    pub(crate) fn clear(&mut self, mut dropped: impl FnMut(Ticket)) {
        for item in self.items.drain(..).filter(PendingCommand::is_awaited) {
            dropped(item.ticket);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflight(items: &[(u64, u32)]) -> InFlight {
        let mut inflight = InFlight::default();
        for &(position, replies) in items {
            let position = Position(position);
            let ticket = Ticket(u32::try_from(position.0).unwrap());
            let at = Instant::from_nanos(position.0);
            inflight.items.push_back(PendingCommand {
                position,
                at,
                length: 10,
                handle: HandleId(0),
                ticket,
                replies,
                abandoned: false,
                recipient: Recipient::Caller,
            });
        }
        inflight
    }

    #[test]
    fn unwritten_command_cannot_have_been_answered() {
        let inflight = inflight(&[(0, 1), (1, 1)]);
        assert!(inflight.is_unsent(20));
        assert!(!inflight.is_unsent(19), "one byte of the first command is written");
        assert!(!inflight.is_unsent(0));
    }

    /// Which ticket a reply is for, and whether it is the last.
    fn answer(inflight: &mut InFlight) -> Option<(u32, bool)> {
        match inflight.answer() {
            ReplyMatch::Answers { ticket, last, .. } => Some((ticket.0, last)),
            _ => None,
        }
    }

    #[test]
    fn replies_go_to_the_oldest_and_a_batch_takes_all_its_replies() {
        let mut inflight = inflight(&[(1, 2), (5, 1)]);
        assert_eq!(answer(&mut inflight), Some((1, false)));
        assert_eq!(answer(&mut inflight), Some((1, true)));
        assert_eq!(answer(&mut inflight), Some((5, true)));
        assert_eq!(inflight.answer(), ReplyMatch::Unasked);
    }

    #[test]
    fn tombstone_takes_the_reply_of_its_command() {
        let mut inflight = inflight(&[(1, 1), (3, 2), (4, 1)]);
        assert!(inflight.abandon(Position(3)));
        assert!(!inflight.abandon(Position(2)));
        assert_eq!(answer(&mut inflight), Some((1, true)));
        assert_eq!(inflight.answer(), ReplyMatch::Discarded);
        assert_eq!(inflight.answer(), ReplyMatch::Discarded);
        assert_eq!(answer(&mut inflight), Some((4, true)));
    }

    #[test]
    fn expiry_leaves_tombstones_and_is_reported_once() {
        let mut inflight = inflight(&[(1, 1), (2, 1), (3, 1)]);
        inflight.abandon(Position(1));
        let mut expired = Vec::new();
        inflight.expire(Instant::from_nanos(2), |ticket| expired.push(ticket.0));
        inflight.expire(Instant::from_nanos(2), |ticket| expired.push(ticket.0));
        assert_eq!(expired, [2]);
        assert_eq!(inflight.len(), 3);
        assert_eq!(inflight.oldest(), Some(Instant::from_nanos(3)));
    }

    #[test]
    fn only_wholly_unwritten_commands_are_unsent() {
        for (unwritten, unsent) in [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (30, 3)] {
            let mut inflight = inflight(&[(1, 1), (2, 1), (3, 1)]);
            let (items, bytes) = inflight.split_unsent(unwritten);
            assert_eq!((items.len(), bytes), (unsent, unsent * 10), "{unwritten}");
            assert_eq!(inflight.len(), 3 - unsent);
        }
    }

    #[test]
    fn held_command_is_found_behind_younger_commands() {
        let mut inflight = inflight(&[(5, 1), (7, 1), (3, 1), (4, 1)]);
        inflight.incoming_mixed();
        assert!(inflight.abandon(Position(3)));
        let mut expired = Vec::new();
        inflight.expire(Instant::from_nanos(4), |ticket| expired.push(ticket.0));
        assert_eq!(expired, [4]);
        for _ in 0..4 {
            inflight.answer();
        }
        inflight.incoming();
        assert!(!inflight.is_mixed);
    }
}
