//! [`InFlight`]: commands that were handed to one connection, in the order in which their replies will come.

use std::collections::VecDeque;

use super::internal::InternalCommand;
use super::queue::{HandleId, Item, Position, Ticket};
use crate::proto::time::Instant;

/// What became of a reply. RESP numbers nothing: a reply belongs to the oldest command without one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReplyMatch {
    /// It is for this ticket, and the last one if `last` says so. Its command was submitted at `at`.
    Answers { ticket: Ticket, last: bool, at: Instant },
    /// Its caller has left: there was a tombstone in its place.
    Discarded,
    /// The connection had asked for it itself.
    Internal(InternalCommand),
    /// No command had asked for it.
    Unasked,
}

#[derive(Debug, Default)]
pub(crate) struct InFlight {
    items: VecDeque<Item>,
    /// Positions may not rise all the way: some command had been held at a cut-over while younger ones passed it.
    is_mixed: bool,
}

impl InFlight {
    /// Where [`Queue::take`](super::queue::Queue::take) moves commands to.
    pub(crate) fn incoming(&mut self) -> &mut VecDeque<Item> {
        self.is_mixed &= !self.items.is_empty();
        &mut self.items
    }

    /// The same for commands among which there may be such as were held.
    pub(crate) fn incoming_mixed(&mut self) -> &mut VecDeque<Item> {
        self.is_mixed = true;
        &mut self.items
    }

    /// A command of the connection's own follows what is here.
    pub(crate) fn push_internal(&mut self, internal: InternalCommand, length: usize, at: Instant) {
        // No caller has this place, and where there is one out of the order, all are looked through.
        self.is_mixed = true;
        let (position, handle, ticket) = (Position(u64::MAX), HandleId(u32::MAX), Ticket(u32::MAX));
        let item = Item {
            position,
            at,
            length,
            handle,
            ticket,
            replies: 1,
            abandoned: true,
            internal: Some(internal),
        };
        self.items.push_back(item);
    }

    /// Matches one reply with its command.
    #[inline]
    pub(crate) fn answer(&mut self) -> ReplyMatch {
        let Some(item) = self.items.front_mut() else { return ReplyMatch::Unasked };
        item.replies -= 1;
        let (ticket, abandoned, internal) = (item.ticket, item.abandoned, item.internal);
        let (last, at) = (item.replies == 0, item.at);
        if last {
            self.items.pop_front();
        }
        match (abandoned, internal) {
            (false, _) => ReplyMatch::Answers { ticket, last, at },
            (true, None) => ReplyMatch::Discarded,
            (true, Some(internal)) => ReplyMatch::Internal(internal),
        }
    }

    /// Puts a tombstone in a command's place; false if it is not here.
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

    /// When the oldest unanswered command that somebody waits for was submitted.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.items.iter().find(|item| !item.abandoned).map(|item| item.at)
    }

    /// When the first of all that are unanswered was submitted.
    #[inline]
    pub(crate) fn first(&self) -> Option<Instant> {
        self.items.front().map(|item| item.at)
    }

    /// Turns everything submitted no later than `until` into tombstones, and names each that somebody waited for.
    pub(crate) fn expire(&mut self, until: Instant, mut expired: impl FnMut(Ticket)) {
        let is_mixed = self.is_mixed;
        let overdue = |item: &&mut Item| item.at <= until;
        for item in self.items.iter_mut().take_while(|item| is_mixed || overdue(item)).filter(overdue) {
            if !std::mem::replace(&mut item.abandoned, true) {
                expired(item.ticket);
            }
        }
    }

    /// Splits off the newest commands of which no byte was written, given how many bytes of the last write are
    /// still here. The rest of `self` was written, at least in part. Also says how many bytes they are.
    pub(crate) fn split_unsent(&mut self, unwritten: usize) -> (VecDeque<Item>, usize) {
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

    /// Whether no byte of any command here was written, given how many bytes of the last write are still here.
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

    /// Whose replies are awaited here, for each command.
    pub(crate) fn handles(&self) -> impl Iterator<Item = HandleId> {
        self.items.iter().filter(|item| item.internal.is_none()).map(|item| item.handle)
    }

    /// Whether no reply is awaited but to commands of the connection's own.
    pub(crate) fn is_internal_only(&self) -> bool {
        self.items.iter().all(|item| item.internal.is_some())
    }

    /// Removes everything, and names each command that somebody waits for.
    pub(crate) fn clear(&mut self, mut dropped: impl FnMut(Ticket)) {
        for item in self.items.drain(..).filter(|item| !item.abandoned) {
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
            inflight.items.push_back(Item {
                position,
                at,
                length: 10,
                handle: HandleId(0),
                ticket,
                replies,
                abandoned: false,
                internal: None,
            });
        }
        inflight
    }

    #[test]
    fn what_is_wholly_unwritten_cannot_have_been_answered() {
        let inflight = inflight(&[(0, 1), (1, 1)]);
        assert!(inflight.is_unsent(20));
        assert!(!inflight.is_unsent(19), "of the first a byte is written");
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
    fn replies_go_to_the_oldest_and_a_batch_takes_all_of_its_own() {
        let mut inflight = inflight(&[(1, 2), (5, 1)]);
        assert_eq!(answer(&mut inflight), Some((1, false)));
        assert_eq!(answer(&mut inflight), Some((1, true)));
        assert_eq!(answer(&mut inflight), Some((5, true)));
        assert_eq!(inflight.answer(), ReplyMatch::Unasked);
    }

    #[test]
    fn a_tombstone_takes_the_reply_of_the_command_that_lies_under_it() {
        let mut inflight = inflight(&[(1, 1), (3, 2), (4, 1)]);
        assert!(inflight.abandon(Position(3)));
        assert!(!inflight.abandon(Position(2)));
        assert_eq!(answer(&mut inflight), Some((1, true)));
        assert_eq!(inflight.answer(), ReplyMatch::Discarded);
        assert_eq!(inflight.answer(), ReplyMatch::Discarded);
        assert_eq!(answer(&mut inflight), Some((4, true)));
    }

    #[test]
    fn expiry_leaves_tombstones_and_is_told_once() {
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
    fn only_what_is_wholly_unwritten_is_unsent() {
        for (unwritten, unsent) in [(0, 0), (9, 0), (10, 1), (19, 1), (20, 2), (30, 3)] {
            let mut inflight = inflight(&[(1, 1), (2, 1), (3, 1)]);
            let (items, bytes) = inflight.split_unsent(unwritten);
            assert_eq!((items.len(), bytes), (unsent, unsent * 10), "{unwritten}");
            assert_eq!(inflight.len(), 3 - unsent);
        }
    }
    #[test]
    fn what_was_held_is_found_behind_younger_commands() {
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
