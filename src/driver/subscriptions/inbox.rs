//! [`SubscriptionInbox`]: what one subscription wants, and what has come for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

use super::batch::Batch;
use super::event::{GapReason, Message, PubSubEvent};
use crate::config::{Overflow, SubscriptionBuffer};
use crate::driver::clock::Clock;
use crate::proto::subscriptions::{self as pool, SubscriptionKind};

/// A name that a subscription wants.
pub(crate) type Name = (SubscriptionKind, Bytes);

/// What one subscription wants, and what has come for it.
///
/// The shard puts events in, the messages of a read together, under a lock that only the subscriber shares. The names stay here as
/// well, so that a shard that begins again knows what is wanted.
#[derive(Debug)]
pub(crate) struct SubscriptionInbox(Mutex<State>);

#[derive(Debug)]
struct State {
    names: BTreeMap<Name, NameState>,
    /// How many names are not confirmed.
    unconfirmed: usize,
    /// Names that the server has refused, with its replies, until a caller asks.
    refused: Vec<(Bytes, Bytes)>,
    buffer: SubscriptionBuffer,
    events: VecDeque<PubSubEvent>,
    /// How many of the events are messages, and how many bytes these have.
    messages: usize,
    bytes: usize,
    /// How many messages were dropped before the first event.
    lagged: u64,
    /// The subscription has ended: nothing follows the events.
    is_over: bool,
    subscriber: Option<Waker>,
}

#[derive(Debug, Default)]
struct NameState {
    is_confirmed: bool,
    /// Since when its shard had no connection, if the shard began again.
    lost_since: Option<Instant>,
}

impl SubscriptionInbox {
    pub(crate) fn new(buffer: SubscriptionBuffer) -> Self {
        SubscriptionInbox(Mutex::new(State {
            names: BTreeMap::new(),
            unconfirmed: 0,
            refused: Vec::new(),
            buffer,
            events: VecDeque::new(),
            messages: 0,
            bytes: 0,
            lagged: 0,
            is_over: false,
            subscriber: None,
        }))
    }

    pub(super) fn set_buffer(&self, buffer: SubscriptionBuffer) {
        self.lock().buffer = buffer;
    }

    /// Wants these names. Returns those that it did not want before.
    pub(crate) fn want(&self, names: Vec<Name>) -> Vec<Name> {
        let mut state = self.lock();
        let mut new = Vec::new();
        for name in names {
            if !state.names.contains_key(&name) {
                state.names.insert(name.clone(), NameState::default());
                state.unconfirmed += 1;
                new.push(name);
            }
        }
        new
    }

    /// Gives these names up. Returns those that it wanted.
    pub(crate) fn leave(&self, names: Vec<Name>) -> Vec<Name> {
        let mut state = self.lock();
        names.into_iter().filter(|name| state.forget(name)).collect()
    }

    /// All names that it wants. Its shard begins again: none of them is confirmed.
    pub(super) fn restart(&self, now: Instant) -> Vec<Name> {
        let mut state = self.lock();
        let state = &mut *state;
        for name in state.names.values_mut().filter(|name| name.is_confirmed) {
            *name = NameState { is_confirmed: false, lost_since: Some(now) };
            state.unconfirmed += 1;
        }
        state.names.keys().cloned().collect()
    }

    /// An event of the pool that is no message. True if the subscriber has to learn of it.
    pub(super) fn deliver(&self, event: pool::PubSubEvent, clock: Clock) -> bool {
        match event {
            pool::PubSubEvent::Gap { name, since, until, reason, .. } => {
                self.gap(name, clock.std(since), clock.std(until), reason.into())
            }
            pool::PubSubEvent::Confirmed { kind, name } => self.confirm(&(kind, name), Instant::now()),
            pool::PubSubEvent::Refused { kind, name, reply } => self.refuse((kind, name), reply),
            // The subscription has forgotten the name already. Messages come in batches.
            pool::PubSubEvent::Unsubscribed { .. } | pool::PubSubEvent::Message(_) => false,
        }
    }

    /// A name is confirmed.
    fn confirm(&self, name: &Name, now: Instant) -> bool {
        let mut state = self.lock();
        let Some(found) = state.names.get_mut(name) else { return false };
        let lost_since = found.lost_since.take();
        if !std::mem::replace(&mut found.is_confirmed, true) {
            state.unconfirmed -= 1;
        }
        if let Some(since) = lost_since {
            let (name, reason) = (name.1.clone(), GapReason::ShardRestarted);
            state.events.push_back(PubSubEvent::Gap { name, since, until: now, reason });
        }
        true
    }

    fn refuse(&self, name: Name, reply: Bytes) -> bool {
        let mut state = self.lock();
        if state.forget(&name) {
            state.refused.push((name.1, reply));
        }
        true
    }

    fn gap(&self, name: Bytes, since: Instant, until: Instant, reason: GapReason) -> bool {
        let mut state = self.lock();
        state.events.push_back(PubSubEvent::Gap { name, since, until, reason });
        true
    }

    /// Takes the messages of a read out of `batch`, which is empty afterwards. Returns whether the subscriber waits.
    pub(super) fn append(&self, batch: &mut Batch) -> bool {
        let mut state = self.lock();
        state.append(batch);
        state.subscriber.is_some()
    }

    /// Nothing follows.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.wake();
    }

    /// Wakes a subscriber that waits, for all that has come.
    pub(crate) fn wake(&self) {
        let subscriber = self.lock().subscriber.take();
        if let Some(subscriber) = subscriber {
            subscriber.wake();
        }
    }

    /// The next event; `None` at the end.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Option<PubSubEvent>> {
        let mut state = self.lock();
        if let Some(event) = state.pop() {
            return Poll::Ready(Some(event));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.register(context)
    }

    /// Waits until each name is confirmed or refused: the refused ones, with the server's replies; `None` if the subscription
    /// is over.
    pub(crate) fn poll_confirmed(&self, context: &Context<'_>) -> Poll<Option<Vec<(Bytes, Bytes)>>> {
        let mut state = self.lock();
        if state.unconfirmed == 0 || !state.refused.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut state.refused)));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.register(context)
    }

    /// The first name that is not confirmed.
    pub(super) fn unconfirmed(&self) -> Option<Bytes> {
        let state = self.lock();
        let mut names = state.names.iter();
        names.find(|(_, state)| !state.is_confirmed).map(|((_, name), _)| name.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, name: &Name) -> bool {
        let Some(state) = self.names.remove(name) else { return false };
        self.unconfirmed -= usize::from(!state.is_confirmed);
        true
    }

    /// Takes all messages of a batch together if they fit, and else one by one.
    fn append(&mut self, batch: &mut Batch) {
        let bytes = std::mem::take(&mut batch.bytes);
        let (messages, bytes) = (self.messages + batch.events.len(), self.bytes + bytes);
        if self.is_over || messages > self.buffer.messages || bytes > self.buffer.bytes {
            for event in batch.events.drain(..) {
                if let PubSubEvent::Message(message) = event {
                    self.take(message);
                }
            }
            return;
        }
        (self.messages, self.bytes) = (messages, bytes);
        if self.events.is_empty() {
            // The two exchange their memory: neither allocates any once both have room for a read.
            std::mem::swap(&mut self.events, &mut batch.events);
        } else {
            self.events.append(&mut batch.events);
        }
    }

    /// Takes one message, and makes room for it as the subscriber has chosen.
    fn take(&mut self, message: Message) {
        if self.is_over {
            return;
        }
        let len = message.len();
        let is_full = |state: &State| {
            state.messages > 0
                && (state.messages >= state.buffer.messages || state.bytes + len > state.buffer.bytes)
        };
        while is_full(self) {
            match self.buffer.overflow {
                Overflow::DropOldest => self.drop_oldest(),
                Overflow::DropNewest => return self.note_lagged(),
                Overflow::Close => {
                    self.note_lagged();
                    self.is_over = true;
                    return;
                }
            }
        }
        self.messages += 1;
        self.bytes += len;
        self.events.push_back(PubSubEvent::Message(message));
    }

    /// Drops the oldest message. Events before it stay, since they say what else is missing.
    fn drop_oldest(&mut self) {
        let index = self.events.iter().position(|event| matches!(event, PubSubEvent::Message(_)));
        if let Some(PubSubEvent::Message(message)) = index.and_then(|index| self.events.remove(index)) {
            self.messages -= 1;
            self.bytes -= message.len();
            self.lagged += 1;
        }
    }

    /// A message was dropped behind the last event.
    fn note_lagged(&mut self) {
        match self.events.back_mut() {
            Some(PubSubEvent::Lagged(count)) => *count += 1,
            _ => self.events.push_back(PubSubEvent::Lagged(1)),
        }
    }

    fn pop(&mut self) -> Option<PubSubEvent> {
        // Messages were dropped in front of the first one that is left.
        let is_next = self.lagged > 0 && !matches!(self.events.front(), Some(PubSubEvent::Gap { .. }));
        if is_next {
            return Some(PubSubEvent::Lagged(std::mem::take(&mut self.lagged)));
        }
        let event = self.events.pop_front()?;
        if let PubSubEvent::Message(message) = &event {
            self.messages -= 1;
            self.bytes -= message.len();
        }
        Some(event)
    }

    fn register<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        match &mut self.subscriber {
            Some(subscriber) => subscriber.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str) -> Message {
        Message { channel: Bytes::from_static(b"c"), pattern: None, payload: payload.to_owned().into() }
    }

    /// A read brings these messages.
    fn put(inbox: &SubscriptionInbox, payloads: &[&str]) {
        let mut batch = Batch::default();
        payloads.iter().for_each(|payload| batch.push(message(payload)));
        inbox.append(&mut batch);
        assert!(batch.events.is_empty() && batch.bytes == 0);
    }

    fn inbox(buffer: SubscriptionBuffer, messages: &[&str]) -> SubscriptionInbox {
        let inbox = SubscriptionInbox::new(buffer);
        for payload in messages {
            put(&inbox, &[payload]);
        }
        inbox
    }

    fn rest(inbox: &SubscriptionInbox) -> Vec<String> {
        let context = Context::from_waker(Waker::noop());
        let mut rest = Vec::new();
        while let Poll::Ready(event) = inbox.poll_next(&context) {
            rest.push(match event {
                Some(PubSubEvent::Message(message)) => String::from_utf8_lossy(&message.payload).into_owned(),
                Some(PubSubEvent::Lagged(count)) => format!("{count} lagged"),
                Some(PubSubEvent::Gap { .. }) => "gap".to_owned(),
                None => "end".to_owned(),
            });
            if rest.last().is_some_and(|last| last == "end") {
                break;
            }
        }
        rest
    }

    #[test]
    fn what_is_dropped_is_counted_at_its_place() {
        let two = SubscriptionBuffer::new().messages(2);
        let all = ["1", "2", "3", "4", "5"];
        assert_eq!(rest(&inbox(two, &all)), ["3 lagged", "4", "5"]);
        assert_eq!(rest(&inbox(two.overflow(Overflow::DropNewest), &all)), ["1", "2", "3 lagged"]);
        assert_eq!(rest(&inbox(two.overflow(Overflow::Close), &all)), ["1", "2", "1 lagged", "end"]);
    }

    #[test]
    fn bytes_bound_the_buffer_and_one_message_always_fits() {
        let small = SubscriptionBuffer::new().bytes(10);
        assert_eq!(rest(&inbox(small, &["0123456789"])), ["0123456789"]);
        assert_eq!(rest(&inbox(small, &["1234", "5678", "9"])), ["1 lagged", "5678", "9"]);
    }

    #[test]
    fn gap_stays_where_messages_are_dropped() {
        let inbox = inbox(SubscriptionBuffer::new().messages(1), &["1"]);
        let now = Instant::now();
        inbox.gap(Bytes::from_static(b"c"), now, now, GapReason::ConnectionLost);
        put(&inbox, &["2", "3"]);
        assert_eq!(rest(&inbox), ["gap", "2 lagged", "3"]);
    }

    /// However reads divide the messages, the subscriber gets the same.
    #[test]
    fn batches_are_bounded_as_single_messages_are() {
        let words: Vec<String> = (0..40).map(|number| "x".repeat(number % 7 + 1)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::Close] {
            for (messages, bytes) in [(1, 1000), (7, 1000), (1000, 30), (30, 100), (1000, 1000)] {
                let buffer = SubscriptionBuffer::new().messages(messages).bytes(bytes).overflow(overflow);
                let expected = rest(&inbox(buffer, &words));
                for size in 2..=words.len() {
                    let batched = inbox(buffer, &[]);
                    words.chunks(size).for_each(|words| put(&batched, words));
                    assert_eq!(rest(&batched), expected, "{buffer}, {size} at once");
                    let state = batched.lock();
                    assert_eq!((state.messages, state.bytes, state.events.len()), (0, 0, 0));
                }
            }
        }
    }

    #[test]
    fn names_are_settled_by_confirmation_or_refusal() {
        let inbox = inbox(SubscriptionBuffer::new(), &[]);
        let name = |name: &'static str| (SubscriptionKind::Channel, Bytes::from_static(name.as_bytes()));
        let context = Context::from_waker(Waker::noop());
        assert_eq!(inbox.want(vec![name("a"), name("b"), name("a")]).len(), 2);
        assert!(inbox.poll_confirmed(&context).is_pending());
        inbox.confirm(&name("a"), Instant::now());
        assert_eq!(inbox.unconfirmed(), Some(name("b").1));
        inbox.refuse(name("b"), Bytes::from_static(b"NOPERM"));
        let Poll::Ready(Some(refused)) = inbox.poll_confirmed(&context) else { panic!("it is settled") };
        assert_eq!(refused, [(name("b").1, Bytes::from_static(b"NOPERM"))]);
        // A shard that begins again has to confirm the rest once more.
        assert_eq!(inbox.restart(Instant::now()), [name("a")]);
        assert!(inbox.poll_confirmed(&context).is_pending());
        inbox.confirm(&name("a"), Instant::now());
        assert_eq!(rest(&inbox), ["gap"]);
    }
}
