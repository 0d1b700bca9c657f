//! [`Queue`]: commands that were submitted and not written yet.
//!
//! It belongs to a pool's entry, not to a connection: until a connection takes a command out to write it, the
//! command is tied to nothing, and outlives any number of connections. In it, commands are already encoded, back
//! to back, so that taking all of them is a swap of buffers.
//!
//! The queue is bounded. Behind it stand the commands of callers who wait for room, each with its own bytes, in
//! the order in which they came.

use std::collections::VecDeque;

use super::stamps::Stamps;
use crate::proto::time::Instant;

/// The name under which the application knows a command that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) u32);

/// A command's place among all those of one entry: later ones have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) u64);

/// One handle of the application: what is submitted on one lane reaches the server in that order. Two handles that
/// share a lane by chance keep each other's order, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lane(pub(crate) u32);

/// A command, or a batch of commands that go out together, from submission to its last reply.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) position: Position,
    pub(crate) lane: Lane,
    pub(crate) ticket: Ticket,
    /// How long it is, encoded.
    pub(crate) length: usize,
    /// How many replies it still waits for.
    pub(crate) replies: u32,
    /// Nobody waits for it any more. Written, it stays as a tombstone, since its reply will come; queued, it is
    /// dropped before it is written.
    pub(crate) abandoned: bool,
}

/// The bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueBounds {
    pub(crate) commands: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    bounds: QueueBounds,
    /// The encoded commands of `items`, back to back.
    bytes: Vec<u8>,
    items: VecDeque<Item>,
    /// Commands of callers who wait for room.
    waiting: VecDeque<(Item, Vec<u8>)>,
    stamps: Stamps,
    abandoned: usize,
    next: Position,
}

impl Queue {
    pub(crate) fn new(bounds: QueueBounds) -> Self {
        Queue {
            bounds,
            bytes: Vec::new(),
            items: VecDeque::new(),
            waiting: VecDeque::new(),
            stamps: Stamps::default(),
            abandoned: 0,
            next: Position(0),
        }
    }

    /// Queues what `encode` writes, a command (or batch) that will be answered `replies` times.
    #[inline]
    pub(crate) fn submit(
        &mut self,
        lane: Lane,
        ticket: Ticket,
        replies: u32,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Position {
        let position = self.next;
        self.next.0 += 1;
        let mut item = Item { position, lane, ticket, length: 0, replies, abandoned: false };
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

    /// Whether a command submitted now would be queued at once. A single command larger than the whole queue has
    /// room in an empty one.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.is_empty()
            && self.items.len() < self.bounds.commands
            && self.bytes.len() < self.bounds.bytes
    }

    /// Whether there is nothing that somebody waits for.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.len() == self.abandoned && self.waiting.is_empty()
    }

    /// How many commands are queued or wait for room.
    pub(crate) fn len(&self) -> usize {
        self.items.len() + self.waiting.len()
    }

    /// Forgets that anybody waits for a command; false if it is no longer here.
    pub(crate) fn abandon(&mut self, position: Position) -> bool {
        if let Ok(index) = self.items.binary_search_by_key(&position, |item| item.position) {
            let Some(item) = self.items.get_mut(index) else { return false };
            self.abandoned += usize::from(!item.abandoned);
            item.abandoned = true;
            return true;
        }
        match self.waiting.binary_search_by_key(&position, |(item, _)| item.position) {
            Ok(index) => self.waiting.remove(index).is_some(),
            Err(_) => false,
        }
    }

    /// Notes the time for everything submitted since the last call.
    pub(crate) fn stamp(&mut self, now: Instant) {
        let newest = self.waiting.back().map(|(item, _)| item).or(self.items.back());
        if let Some(last) = newest.map(|item| item.position) {
            self.stamps.note(last, now);
        }
    }

    /// When the oldest command here was submitted, as far as it is stamped.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        if self.is_empty() { None } else { self.stamps.oldest() }
    }

    /// Moves up to `most` commands, all of them stamped, to a connection that is about to write them.
    ///
    /// `bytes` must be empty: when everything can go, it changes places with the queue's own buffer.
    pub(crate) fn take(
        &mut self,
        most: usize,
        bytes: &mut Vec<u8>,
        items: &mut VecDeque<Item>,
        stamps: &mut Stamps,
    ) {
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
        if let Some(last) = items.back().map(|item| item.position) {
            self.stamps.move_up_to(last, stamps);
        }
        self.admit();
    }

    /// Takes back commands that were wholly unsent when their connection ended; they are older than all here.
    pub(crate) fn put_back(&mut self, items: VecDeque<Item>, bytes: &[u8], stamps: Stamps) {
        let mut all = Vec::with_capacity(bytes.len() + self.bytes.len());
        all.extend_from_slice(bytes);
        all.extend_from_slice(&self.bytes);
        self.bytes = all;
        self.abandoned += items.iter().filter(|item| item.abandoned).count();
        for item in items.into_iter().rev() {
            self.items.push_front(item);
        }
        self.stamps.put_front(stamps);
    }

    /// Removes everything submitted before `until`, oldest first, and names each command that somebody waits for.
    pub(crate) fn expire(&mut self, until: Instant, mut expired: impl FnMut(Ticket)) {
        let Some(last) = self.stamps.expire(until) else { return };
        let old = self.items.iter().take_while(|item| item.position <= last).count();
        let mut length = 0;
        for item in self.items.drain(..old) {
            length += item.length;
            if item.abandoned {
                self.abandoned -= 1;
            } else {
                expired(item.ticket);
            }
        }
        self.bytes.drain(..length);
        while let Some((item, _)) = self.waiting.front()
            && item.position <= last
        {
            expired(item.ticket);
            self.waiting.pop_front();
        }
        self.admit();
    }

    /// Removes everything, and names each command that somebody waits for.
    pub(crate) fn clear(&mut self, mut dropped: impl FnMut(Ticket)) {
        let waiting = std::mem::take(&mut self.waiting);
        let queued = std::mem::take(&mut self.items);
        for item in queued.iter().chain(waiting.iter().map(|(item, _)| item)) {
            if !item.abandoned {
                dropped(item.ticket);
            }
        }
        self.bytes = Vec::new();
        self.stamps.clear();
        self.abandoned = 0;
    }

    /// Lets in those who wait, as far as there is room.
    fn admit(&mut self) {
        while self.items.len() < self.bounds.commands
            && self.bytes.len() < self.bounds.bytes
            && let Some((item, bytes)) = self.waiting.pop_front()
        {
            self.bytes.extend_from_slice(&bytes);
            self.items.push_back(item);
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(commands: usize) -> Queue {
        Queue::new(QueueBounds { commands, bytes: 1 << 20 })
    }

    fn submit(queue: &mut Queue, ticket: u32, text: &str) -> Position {
        queue.submit(Lane(0), Ticket(ticket), 1, |out| out.extend_from_slice(text.as_bytes()))
    }

    fn take(queue: &mut Queue, most: usize) -> (String, Vec<u32>, Stamps) {
        let (mut bytes, mut items, mut stamps) = (Vec::new(), VecDeque::new(), Stamps::default());
        queue.take(most, &mut bytes, &mut items, &mut stamps);
        let tickets = items.iter().map(|item| item.ticket.0).collect();
        (String::from_utf8(bytes).unwrap(), tickets, stamps)
    }

    #[test]
    fn commands_leave_in_the_order_of_submission_also_those_that_had_to_wait() {
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
    fn bytes_bound_the_queue_too_but_never_shut_out_a_single_large_command() {
        let mut queue = Queue::new(QueueBounds { commands: 10, bytes: 4 });
        submit(&mut queue, 1, "0123456789");
        assert!(!queue.has_room());
        submit(&mut queue, 2, "x");
        assert_eq!(take(&mut queue, 9).0, "0123456789");
        assert_eq!(take(&mut queue, 9).0, "x");
    }

    #[test]
    fn what_is_abandoned_in_time_is_never_written() {
        let mut queue = queue(2);
        let places: Vec<_> = (0..4).map(|n| submit(&mut queue, n, &n.to_string())).collect();
        assert!(queue.abandon(places[0]));
        assert!(queue.abandon(places[0]));
        assert!(queue.abandon(places[2]));
        assert_eq!(take(&mut queue, 9).1, [1, 3]);
        assert!(!queue.abandon(places[1]));
    }

    #[test]
    fn stamps_follow_their_commands() {
        let mut queue = queue(10);
        let at = Instant::from_nanos;
        submit(&mut queue, 1, "a");
        queue.stamp(at(5));
        submit(&mut queue, 2, "b");
        queue.stamp(at(7));
        assert_eq!(queue.oldest(), Some(at(5)));
        assert_eq!(take(&mut queue, 1).2.oldest(), Some(at(5)));
        assert_eq!(queue.oldest(), Some(at(7)));
        assert_eq!(take(&mut queue, 9).2.oldest(), Some(at(7)));
        assert_eq!(queue.oldest(), None);
    }

    #[test]
    fn what_comes_back_goes_first() {
        let mut queue = queue(10);
        let at = Instant::from_nanos;
        submit(&mut queue, 1, "a");
        queue.stamp(at(1));
        let (mut bytes, mut items, mut stamps) = (Vec::new(), VecDeque::new(), Stamps::default());
        queue.take(9, &mut bytes, &mut items, &mut stamps);
        submit(&mut queue, 2, "b");
        queue.stamp(at(2));
        queue.put_back(items, &bytes, stamps);
        assert_eq!(queue.oldest(), Some(at(1)));
        assert_eq!(take(&mut queue, 9).0, "ab");
    }

    #[test]
    fn the_oldest_expire_first_and_only_they() {
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
}
