//! [`Queue`]: commands that were submitted and are not written yet.

use std::collections::VecDeque;

use super::command::{HandleId, PendingCommand, Position, Recipient, Submission, Ticket, UNSTAMPED};
use crate::proto::time::Instant;

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueBounds {
    pub(crate) commands: usize,
    pub(crate) bytes: usize,
}

/// The unsent commands of one pool entry, encoded back to back.
///
/// The queue belongs to the entry and outlives its connections. A command in it is bound to no connection, so losing a
/// connection costs the command only time. When all commands can go, [`Queue::take`] swaps two buffers and copies nothing.
///
/// Commands beyond the bounds wait behind the queue, each with its own bytes, in the order of submission.
///
/// The driver calls, in each turn: [`Queue::stamp`] once, so that every command has a time; then [`Queue::take`], or
/// [`Queue::take_except`] while handles are held at a cut-over. A connection that ends or is replaced returns its unsent
/// commands with [`Queue::put_back`] before another connection takes any. `items` and `bytes` must always describe the
/// same commands in the same order: every split of the bytes relies on the lengths of the items.
#[derive(Debug)]
pub(crate) struct Queue {
    bounds: QueueBounds,
    /// The encoded commands of `items`, back to back.
    bytes: Vec<u8>,
    items: VecDeque<PendingCommand>,
    /// Commands that wait for room. The first of them is not abandoned.
    waiting: VecDeque<(PendingCommand, Vec<u8>)>,
    /// How many of `items` are abandoned.
    abandoned: usize,
    /// How many of `waiting` are abandoned.
    waiting_abandoned: usize,
    next: Position,
    /// Who gets the replies to commands that are submitted from now on.
    pub(crate) recipient: Recipient,
}

impl Queue {
    pub(crate) fn new(bounds: QueueBounds) -> Self {
        Queue {
            bounds,
            bytes: Vec::new(),
            items: VecDeque::new(),
            waiting: VecDeque::new(),
            abandoned: 0,
            waiting_abandoned: 0,
            next: Position(0),
            recipient: Recipient::Caller,
        }
    }

    /// Queues the command (or batch) that `encode` writes.
    #[inline]
    pub(crate) fn submit(&mut self, submission: Submission, encode: impl FnOnce(&mut Vec<u8>)) -> Position {
        let Submission { handle, ticket, replies, .. } = submission;
        let position = self.next;
        self.next.0 += 1;
        let mut item = PendingCommand {
            position,
            at: UNSTAMPED,
            length: 0,
            handle,
            ticket,
            replies,
            abandoned: false,
            recipient: self.recipient,
        };
        if self.has_room() {
            let before = self.bytes.len();
            encode(&mut self.bytes);
            item.length = self.bytes.len() - before;
            self.items.push_back(item);
        } else {
            let mut bytes = Vec::new();
            encode(&mut bytes);
            item.length = bytes.len();
            self.waiting.push_back((item, bytes));
        }
        position
    }

    /// Whether a command that is submitted now is queued at once. An empty queue has room for a command of any size.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.is_empty()
            && self.items.len() < self.bounds.commands
            && self.bytes.len() < self.bounds.bytes
    }

    /// Whether there is nothing to take, awaited or not.
    #[inline]
    pub(crate) fn has_none(&self) -> bool {
        self.items.is_empty() && self.waiting.is_empty()
    }

    /// Whether no caller awaits any command here.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.len() == self.abandoned && self.waiting.is_empty()
    }

    /// Whether a command of one of these handles is queued. `handles` must be sorted.
    pub(crate) fn holds_any(&self, handles: &[HandleId]) -> bool {
        self.items.iter().any(|item| handles.binary_search(&item.handle).is_ok())
    }

    /// How many commands are queued or wait for room.
    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.waiting.len() - self.waiting_abandoned
    }

    /// Marks a command whose caller has left; false if the command is no longer here.
    pub(crate) fn abandon(&mut self, position: Position) -> bool {
        if let Ok(index) = self.items.binary_search_by_key(&position, |item| item.position) {
            let Some(item) = self.items.get_mut(index) else { return false };
            self.abandoned += usize::from(!item.abandoned);
            item.abandoned = true;
            return true;
        }
        match self.waiting.binary_search_by_key(&position, |(item, _)| item.position) {
            Ok(index) => self.abandon_waiting(index),
            Err(_) => false,
        }
    }

    /// Marks a command that waits for room. Removing each one from the middle of a long list is quadratic, so marked
    /// commands are removed together once they are the majority.
    fn abandon_waiting(&mut self, index: usize) -> bool {
        let Some((item, bytes)) = self.waiting.get_mut(index).filter(|(item, _)| !item.abandoned) else {
            return false;
        };
        item.abandoned = true;
        *bytes = Vec::new();
        self.waiting_abandoned += 1;
        if self.waiting_abandoned > self.waiting.len() / 2 {
            self.waiting.retain(|(item, _)| !item.abandoned);
            self.waiting_abandoned = 0;
        }
        self.trim_waiting();
        true
    }

    /// Drops abandoned commands from the front of the waiting list, which must begin with an awaited command.
    fn trim_waiting(&mut self) {
        while self.waiting.front().is_some_and(|(item, _)| item.abandoned) {
            self.waiting.pop_front();
            self.waiting_abandoned -= 1;
        }
    }

    /// Sets the time of every command that was submitted since the last call.
    #[inline]
    pub(crate) fn stamp(&mut self, now: Instant) {
        for (item, _) in self.waiting.iter_mut().rev().take_while(|(item, _)| item.at == UNSTAMPED) {
            item.at = now;
        }
        for item in self.items.iter_mut().rev().take_while(|item| item.at == UNSTAMPED) {
            item.at = now;
        }
    }

    /// The submission time of the oldest awaited command, if it is stamped.
    #[inline]
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let mut all = self.items.iter().chain(self.waiting.iter().map(|(item, _)| item));
        all.find(|item| item.is_awaited()).map(|item| item.at).filter(|at| *at != UNSTAMPED)
    }

    /// Moves up to `most` stamped commands to a connection that is about to write them.
    ///
    /// `bytes` must be empty, because it is swapped with the queue's buffer when all commands can go.
    #[inline(always)]
    pub(crate) fn take(&mut self, most: usize, bytes: &mut Vec<u8>, items: &mut VecDeque<PendingCommand>) {
        if self.abandoned > 0 {
            self.drop_abandoned();
        }
        self.admit();
        if self.items.len() <= most {
            std::mem::swap(bytes, &mut self.bytes);
            items.append(&mut self.items);
        } else {
            let before = items.len();
            items.extend(self.items.drain(..most));
            let length = items.iter().skip(before).map(|item| item.length).sum();
            bytes.extend_from_slice(self.bytes.get(..length).unwrap_or_default());
            self.bytes.drain(..length);
        }
        self.admit();
    }

    /// Like [`Queue::take`], but leaves the commands of the handles in `held` queued. `held` must be sorted.
    pub(crate) fn take_except(
        &mut self,
        held: &[HandleId],
        most: usize,
        bytes: &mut Vec<u8>,
        items: &mut VecDeque<PendingCommand>,
    ) {
        if self.abandoned > 0 {
            self.drop_abandoned();
        }
        self.admit();
        let queued = std::mem::take(&mut self.items);
        let all = std::mem::take(&mut self.bytes);
        let mut rest = &all[..];
        let mut taken = 0;
        for item in queued {
            let (command, after) = rest.split_at_checked(item.length).unwrap_or((rest, &[]));
            rest = after;
            if taken < most && held.binary_search(&item.handle).is_err() {
                taken += 1;
                bytes.extend_from_slice(command);
                items.push_back(item);
            } else {
                self.bytes.extend_from_slice(command);
                self.items.push_back(item);
            }
        }
        self.admit();
    }

    /// Takes back commands of which no byte was written when their connection ended or was replaced.
    pub(crate) fn put_back(&mut self, items: VecDeque<PendingCommand>, bytes: &[u8]) {
        self.abandoned += items.iter().filter(|item| item.abandoned).count();
        let before = std::mem::take(&mut self.bytes);
        let queued = std::mem::take(&mut self.items);
        let mut all = with_bytes(items, bytes).chain(with_bytes(queued, &before)).collect::<Vec<_>>();
        // Returned commands are older than the queued ones, with one exception: commands of handles that were held at a
        // cut-over stayed here while younger commands left. Appending would reorder their handle.
        all.sort_by_key(|(item, _)| item.position);
        for (item, bytes) in all {
            self.bytes.extend_from_slice(bytes);
            self.items.push_back(item);
        }
    }

    /// Removes the commands that were submitted no later than `until`, and reports each awaited one.
    pub(crate) fn expire(&mut self, until: Instant, mut expired: impl FnMut(Ticket)) {
        let old = self.items.iter().take_while(|item| item.at <= until).count();
        let mut length = 0;
        for item in self.items.drain(..old) {
            length += item.length;
            if item.abandoned {
                self.abandoned -= 1;
            } else {
                item.is_awaited().then(|| expired(item.ticket));
            }
        }
        self.bytes.drain(..length);
        while let Some((item, _)) = self.waiting.front()
            && item.at <= until
        {
            item.is_awaited().then(|| expired(item.ticket));
            self.waiting.pop_front();
            self.trim_waiting();
        }
        self.admit();
    }

    /// Removes all commands, and reports each awaited one.
    pub(crate) fn clear(&mut self, mut dropped: impl FnMut(Ticket)) {
        let waiting = std::mem::take(&mut self.waiting);
        let queued = std::mem::take(&mut self.items);
        for item in queued.iter().chain(waiting.iter().map(|(item, _)| item)) {
            item.is_awaited().then(|| dropped(item.ticket));
        }
        self.bytes = Vec::new();
        self.abandoned = 0;
        self.waiting_abandoned = 0;
    }

    /// All commands, in order.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut PendingCommand> {
        self.items.iter_mut().chain(self.waiting.iter_mut().map(|(item, _)| item))
    }

    /// Queues waiting commands as far as there is room.
    fn admit(&mut self) {
        while self.items.len() < self.bounds.commands
            && self.bytes.len() < self.bounds.bytes
            && let Some((item, bytes)) = self.waiting.pop_front()
        {
            self.bytes.extend_from_slice(&bytes);
            self.items.push_back(item);
            self.trim_waiting();
        }
    }

    /// Removes abandoned commands together with their bytes.
    fn drop_abandoned(&mut self) {
        let mut kept = Vec::with_capacity(self.bytes.len());
        let mut rest = &self.bytes[..];
        self.items.retain(|item| {
            let (bytes, after) = rest.split_at(item.length);
            rest = after;
            if !item.abandoned {
                kept.extend_from_slice(bytes);
            }
            !item.abandoned
        });
        self.bytes = kept;
        self.abandoned = 0;
    }
}

/// Pairs each command with its bytes.
fn with_bytes(
    items: VecDeque<PendingCommand>,
    mut bytes: &[u8],
) -> impl Iterator<Item = (PendingCommand, &[u8])> {
    items.into_iter().map(move |item| {
        let (command, rest) = bytes.split_at_checked(item.length).unwrap_or((bytes, &[]));
        bytes = rest;
        (item, command)
    })
}

#[cfg(test)]
mod tests {
    use super::super::command::EntryId;
    use super::*;

    fn submission(handle: u32, ticket: u32) -> Submission {
        Submission { entry: EntryId(0), handle: HandleId(handle), ticket: Ticket(ticket), replies: 1 }
    }

    fn queue(commands: usize) -> Queue {
        Queue::new(QueueBounds { commands, bytes: 1 << 20 })
    }

    fn submit(queue: &mut Queue, ticket: u32, text: &str) -> Position {
        queue.submit(submission(0, ticket), |out| out.extend_from_slice(text.as_bytes()))
    }

    fn take(queue: &mut Queue, most: usize) -> (String, Vec<u32>, Option<Instant>) {
        let (mut bytes, mut items) = (Vec::new(), VecDeque::new());
        queue.take(most, &mut bytes, &mut items);
        let tickets = items.iter().map(|item| item.ticket.0).collect();
        (String::from_utf8(bytes).unwrap(), tickets, items.front().map(|item| item.at))
    }

    #[test]
    fn commands_leave_in_order_also_those_that_waited() {
        let mut queue = queue(2);
        for (ticket, text) in [(1, "a"), (2, "bb"), (3, "ccc"), (4, "d")] {
            submit(&mut queue, ticket, text);
        }
        assert!(!queue.has_room());
        assert_eq!(queue.len(), 4);
        assert_eq!(take(&mut queue, 1).0, "a");
        assert_eq!(take(&mut queue, 9).0, "bbccc");
        submit(&mut queue, 5, "e");
        let (text, tickets, _) = take(&mut queue, 9);
        assert_eq!((text.as_str(), tickets), ("de", vec![4, 5]));
        assert!(queue.is_empty());
    }

    #[test]
    fn bytes_bound_the_queue_and_admit_one_large_command() {
        let mut queue = Queue::new(QueueBounds { commands: 10, bytes: 4 });
        submit(&mut queue, 1, "0123456789");
        assert!(!queue.has_room());
        submit(&mut queue, 2, "x");
        assert_eq!(take(&mut queue, 9).0, "0123456789");
        assert_eq!(take(&mut queue, 9).0, "x");
    }

    #[test]
    fn abandoned_command_is_never_written() {
        let mut queue = queue(2);
        let places: Vec<_> = (0..4).map(|n| submit(&mut queue, n, &n.to_string())).collect();
        assert!(queue.abandon(places[0]));
        assert!(queue.abandon(places[0]));
        assert!(queue.abandon(places[2]));
        assert_eq!(take(&mut queue, 9).1, [1, 3]);
        assert!(!queue.abandon(places[1]));
    }

    #[test]
    fn submission_time_moves_with_the_command() {
        let mut queue = queue(10);
        let at = Instant::from_nanos;
        submit(&mut queue, 1, "a");
        queue.stamp(at(5));
        submit(&mut queue, 2, "b");
        queue.stamp(at(7));
        assert_eq!(queue.oldest(), Some(at(5)));
        assert_eq!(take(&mut queue, 1).2, Some(at(5)));
        assert_eq!(queue.oldest(), Some(at(7)));
        assert_eq!(take(&mut queue, 9).2, Some(at(7)));
        assert_eq!(queue.oldest(), None);
    }

    #[test]
    fn returned_command_goes_first() {
        let mut queue = queue(10);
        let at = Instant::from_nanos;
        submit(&mut queue, 1, "a");
        queue.stamp(at(1));
        let (mut bytes, mut items) = (Vec::new(), VecDeque::new());
        queue.take(9, &mut bytes, &mut items);
        submit(&mut queue, 2, "b");
        queue.stamp(at(2));
        queue.put_back(items, &bytes);
        assert_eq!(queue.oldest(), Some(at(1)));
        assert_eq!(take(&mut queue, 9).0, "ab");
    }

    #[test]
    fn only_the_oldest_commands_expire() {
        let mut queue = queue(2);
        let at = Instant::from_nanos;
        for n in 0..3 {
            submit(&mut queue, n, &n.to_string());
            queue.stamp(at(u64::from(n) * 10));
        }
        let late = submit(&mut queue, 3, "3");
        queue.stamp(at(30));
        queue.abandon(late);
        let mut expired = Vec::new();
        queue.expire(at(20), |ticket| expired.push(ticket.0));
        assert_eq!(expired, [0, 1, 2]);
        assert!(queue.is_empty());
        submit(&mut queue, 4, "4");
        assert_eq!(take(&mut queue, 9).0, "4");
    }

    #[test]
    fn held_handles_stay_and_returned_commands_find_their_place() {
        let mut queue = queue(10);
        for (ticket, handle, text) in [(0, 1, "a"), (1, 2, "bb"), (2, 1, "c"), (3, 3, "ddd"), (4, 2, "e")] {
            queue.submit(submission(handle, ticket), |out| out.extend_from_slice(text.as_bytes()));
        }
        let (mut bytes, mut items) = (Vec::new(), VecDeque::new());
        queue.take_except(&[HandleId(1), HandleId(9)], 2, &mut bytes, &mut items);
        assert_eq!(String::from_utf8_lossy(&bytes), "bbddd");
        assert_eq!(items.iter().map(|item| item.ticket.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(queue.len(), 3);
        queue.put_back(items, &bytes);
        let (text, tickets, _) = take(&mut queue, 9);
        assert_eq!((text.as_str(), tickets), ("abbcddde", vec![0, 1, 2, 3, 4]));
    }
}
