//! [`Overlap`]: the messages of one name while two connections carry it.

use std::collections::VecDeque;
use std::time::Duration;

use super::event::{GapReason, Message};
use crate::proto::time::Instant;

/// The messages of one name while its predecessor and its successor both carry it.
///
/// ```text
///   predecessor   1  2  3  4  5  6 │fence                the tail: 3 4 5 6
///   successor              │confirmed  5  6  7  │mark    the buffer: 5 6 7
///                                                        the match: 5 6, so 7 remains
/// ```
///
/// The tail begins when SUBSCRIBE is handed out for the successor, which is before any message that both carry. The buffer
/// begins with the confirmation. After the predecessor has ended, a mark is set on the successor: when it is reached, the
/// buffer holds all that the tail holds. Without the mark, messages of the tail could still be on their way there. Both
/// connections carry one order of publications, so what both have carried is the end of the tail and the beginning of the
/// buffer.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    tail: VecDeque<Message>,
    /// The tail has lost its beginning to a bound.
    is_tail_cut: bool,
    is_recording: bool,
    buffer: Vec<Message>,
    confirmed_at: Option<Instant>,
    is_fence_asked: bool,
    end: Option<End>,
    deadline: Option<Instant>,
    bytes: usize,
}

/// How the predecessor's part of an overlap has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) cause: EndCause,
    /// The predecessor was read until then.
    pub(super) at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndCause {
    /// The predecessor was read to its end, which is after the successor's beginning.
    Fence,
    /// The predecessor's server ended the subscription without being asked for a fence.
    Unsubscribed,
    Lost,
    /// A bound was reached, or another handoff has begun.
    Bound,
}

/// What the receivers get when an overlap is over.
#[derive(Debug)]
pub(super) struct Merged {
    /// Since when messages may be missed, and why.
    pub(super) missed: Option<(Instant, GapReason)>,
    pub(super) confirmed_at: Instant,
    /// There was no fence, and a match took its place.
    pub(super) is_unfenced: bool,
    /// A bound was reached, so that messages may be delivered twice.
    pub(super) is_bounded: bool,
    /// How many messages of the successor the predecessor has delivered.
    pub(super) duplicates: usize,
    /// The other messages of the successor, in order.
    pub(super) messages: Vec<Message>,
}

impl EndCause {
    /// Why messages are missed, if any are.
    pub(super) fn reason(self) -> GapReason {
        match self {
            EndCause::Fence | EndCause::Bound => GapReason::HandoffCut,
            EndCause::Unsubscribed => GapReason::ServerUnsubscribed,
            EndCause::Lost => GapReason::ConnectionLost,
        }
    }
}

/// The bytes that all overlaps of a shard hold.
#[derive(Debug, Default)]
pub(super) struct HeldBytes(usize);

impl HeldBytes {
    fn is_exceeded(&self) -> bool {
        self.0 > HELD_BYTES_MAX
    }

    #[cfg(test)]
    pub(super) fn get(&self) -> usize {
        self.0
    }
}

impl Overlap {
    /// SUBSCRIBE is handed out for the successor: the tail begins.
    pub(super) fn begin_tail(&mut self, held: &mut HeldBytes) {
        self.clear(held);
        (self.is_recording, self.is_tail_cut) = (true, false);
    }

    /// The successor has confirmed the name: the buffer begins. Returns the deadline if it was not set before.
    pub(super) fn confirm(&mut self, now: Instant) -> Option<Instant> {
        self.confirmed_at = Some(now);
        self.set_deadline(now)
    }

    /// Nothing more is read from the predecessor. Returns the deadline if it was not set before.
    pub(super) fn end(&mut self, end: End, now: Instant) -> Option<Instant> {
        self.end = Some(end);
        self.set_deadline(now)
    }

    pub(super) fn ended(&self) -> Option<End> {
        self.end
    }

    /// Whether nothing of the predecessor is there that the successor could repeat.
    pub(super) fn is_tail_empty(&self) -> bool {
        self.tail.is_empty() && !self.is_tail_cut
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// UNSUBSCRIBE is handed out for the predecessor. Its answer is the fence only if the successor was confirmed
    /// before: otherwise the predecessor may have ended before the successor began.
    pub(super) fn ask_fence(&mut self) {
        self.is_fence_asked = self.confirmed_at.is_some();
    }

    pub(super) fn is_fence_asked(&self) -> bool {
        self.is_fence_asked
    }

    /// The predecessor has delivered this.
    pub(super) fn record(&mut self, message: Message, held: &mut HeldBytes) {
        if !self.is_recording {
            return;
        }
        self.hold(&message, held);
        self.tail.push_back(message);
        while self.tail.len() > BUFFERED_MAX || (held.is_exceeded() && !self.tail.is_empty()) {
            if let Some(oldest) = self.tail.pop_front() {
                self.give_back(&oldest, held);
            }
            self.is_tail_cut = true;
        }
    }

    /// The successor has sent this. Returns whether there is room for more.
    pub(super) fn buffer(&mut self, message: Message, held: &mut HeldBytes) -> bool {
        self.hold(&message, held);
        self.buffer.push(message);
        self.buffer.len() < BUFFERED_MAX && !held.is_exceeded()
    }

    /// The successor's subscription has ended, and begins anew. The tail goes on: a repeated SUBSCRIBE may be on its way.
    pub(super) fn restart(&mut self, held: &mut HeldBytes) {
        for message in std::mem::take(&mut self.buffer) {
            self.give_back(&message, held);
        }
        (self.confirmed_at, self.is_fence_asked) = (None, false);
        match &mut self.end {
            // The fence was before this end, and proves nothing about what follows.
            Some(end) => end.cause = EndCause::Unsubscribed,
            None => self.deadline = None,
        }
    }

    /// What has to be delivered now: what the predecessor has not delivered; everything if the overlap `is_cut`, or its
    /// tail was. `None` before both connections have come to their parts.
    pub(super) fn into_merged(mut self, is_cut: bool, held: &mut HeldBytes) -> Option<Merged> {
        let (end, confirmed_at) = self.end.zip(self.confirmed_at)?;
        let matching = self.matching();
        let is_matching = matching.is_some_and(|count| count > 0);
        let is_fenced = end.cause == EndCause::Fence;
        let since = end.at.min(confirmed_at);
        let duplicates = matching.filter(|_| !is_cut);
        let mut messages = std::mem::take(&mut self.buffer);
        messages.drain(..duplicates.unwrap_or(0).min(messages.len()));
        self.clear(held);
        Some(Merged {
            missed: (!is_fenced && !is_matching).then(|| (since, end.cause.reason())),
            confirmed_at,
            is_unfenced: !is_fenced && is_matching,
            is_bounded: duplicates.is_none(),
            duplicates: duplicates.unwrap_or(0),
            messages,
        })
    }

    /// Gives back all that is held.
    pub(super) fn release(mut self, held: &mut HeldBytes) {
        self.clear(held);
    }

    /// How many of the buffer's first messages are the tail's last messages, at most.
    ///
    /// Messages are compared by channel and payload. If a publisher repeats a payload, more than the true overlap can
    /// match; no property of the messages tells the difference. `None` if the tail was cut, and may have lost matching
    /// messages.
    fn matching(&self) -> Option<usize> {
        if self.is_tail_cut && self.buffer.len() > self.tail.len() {
            return None;
        }
        let length = self.buffer.len().min(self.tail.len());
        let prefix = self.buffer.get(..length).unwrap_or_default();
        let borders = borders(prefix);
        let mut matched = 0;
        for message in self.tail.iter().skip(self.tail.len() - length) {
            matched = extend(prefix, &borders, matched, message);
        }
        Some(matched)
    }

    fn set_deadline(&mut self, now: Instant) -> Option<Instant> {
        let is_new = self.deadline.is_none();
        is_new.then(|| *self.deadline.insert(now.after(OVERLAP_TIMEOUT)))
    }

    fn clear(&mut self, held: &mut HeldBytes) {
        self.tail.clear();
        self.buffer.clear();
        held.0 = held.0.saturating_sub(std::mem::take(&mut self.bytes));
    }

    fn hold(&mut self, message: &Message, held: &mut HeldBytes) {
        self.bytes = self.bytes.saturating_add(size(message));
        held.0 = held.0.saturating_add(size(message));
    }

    fn give_back(&mut self, message: &Message, held: &mut HeldBytes) {
        self.bytes = self.bytes.saturating_sub(size(message));
        held.0 = held.0.saturating_sub(size(message));
    }
}

/// The prefix function of Knuth, Morris and Pratt: for each prefix of the messages, the length of the longest proper
/// prefix that is also its suffix.
fn borders(messages: &[Message]) -> Vec<usize> {
    let mut borders = Vec::with_capacity(messages.len());
    let mut matched = 0;
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            matched = extend(messages, &borders, matched, message);
        }
        borders.push(matched);
    }
    borders
}

/// The length of the longest prefix of `messages` that ends with `next`, when `matched` of them came before it.
fn extend(messages: &[Message], borders: &[usize], mut matched: usize, next: &Message) -> usize {
    loop {
        if messages.get(matched).is_some_and(|message| is_same(message, next)) {
            return matched + 1;
        }
        let shorter = matched.checked_sub(1).and_then(|last| borders.get(last));
        match shorter {
            Some(shorter) => matched = *shorter,
            None => return 0,
        }
    }
}

fn is_same(one: &Message, other: &Message) -> bool {
    one.payload == other.payload && one.channel == other.channel
}

fn size(message: &Message) -> usize {
    size_of::<Message>() + message.channel.len() + message.payload.len()
}

/// The most messages of one name that are held for each connection. 2 s at 5,000 messages a second.
pub(super) const BUFFERED_MAX: usize = 10_000;
/// The most bytes that the overlaps of a shard hold together.
pub(super) const HELD_BYTES_MAX: usize = 32 << 20;
/// The most time for which the messages of a successor wait.
pub(super) const OVERLAP_TIMEOUT: Duration = Duration::from_secs(2);
