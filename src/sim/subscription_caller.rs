//! [`SubscriptionCaller`]: a caller with a subscription, which adds and removes names, and reads what has come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::call_context::CallContext;
use super::checkers::deliveries::Deliveries;
use super::publications::{NAMES, Name, name};
use super::violation::Violation;
use crate::config::{Overflow, SubscriptionBuffer};
use crate::driver::clock::Clock;
use crate::driver::subscriptions::{SubscriptionInbox, SubscriptionOutbox};
use crate::proto::subscriptions::{PubSubEvent, SubscriptionId};

/// It opens a subscription, changes it, drops it and opens another one. A quick one reads whenever it is woken, and a slow one only
/// now and then, so that its buffer overflows.
#[derive(Debug)]
pub(super) struct SubscriptionCaller {
    pub(super) shard: usize,
    /// The id of its next subscription.
    next: u32,
    is_slow: bool,
    pub(super) open: Option<OpenSubscription>,
}

/// A subscription, with the inbox that the library gives to applications.
#[derive(Debug)]
pub(super) struct OpenSubscription {
    pub(super) id: SubscriptionId,
    pub(super) names: BTreeSet<Name>,
    inbox: Arc<SubscriptionInbox>,
    /// The end that its shard keeps.
    outbox: SubscriptionOutbox,
    deliveries: Deliveries,
    /// The caller waits for the confirmation of its names.
    awaits: bool,
}

/// What a caller has changed.
#[derive(Debug)]
pub(super) enum Change {
    Added(SubscriptionId, Vec<Name>),
    Removed(SubscriptionId, Vec<Name>),
    Closed(SubscriptionId),
    Nothing,
}

impl SubscriptionCaller {
    pub(super) fn new(shard: usize, number: u32, is_slow: bool) -> Self {
        SubscriptionCaller { shard, next: number * SUBSCRIPTIONS_MAX, is_slow, open: None }
    }

    /// Opens, changes or closes once. Returns the time until the next action.
    pub(super) fn act(&mut self, buffer: usize, context: &mut CallContext) -> (Duration, Change) {
        let change = match (&mut self.open, context.random.u32(..24)) {
            (None, _) => self.subscribe(buffer, context),
            (Some(_), 0) => self.close(context),
            (Some(open), 1..6) => open.add(context),
            (Some(open), 6..9) => open.remove(context),
            _ => Change::Nothing,
        };
        let time = match context.random.u32(..10) {
            0..2 => Duration::from_micros(context.random.u64(..2_000)),
            2..8 => Duration::from_millis(context.random.u64(..250)),
            _ => Duration::from_millis(context.random.u64(..900)),
        };
        (time, change)
    }

    /// An event of the pool. Returns whether the subscriber has to be woken for it.
    pub(super) fn deliver(&mut self, event: PubSubEvent) -> bool {
        let Some(open) = &mut self.open else { return false };
        open.deliveries.note(&event);
        let is_due = open.outbox.deliver(event, Clock::of_process());
        open.outbox.hand_over();
        is_due && !self.is_slow
    }

    /// Reads what has come. Returns how many messages were dropped before that.
    pub(super) fn read(&mut self) -> Result<u64, Violation> {
        let Some(open) = &mut self.open else { return Ok(0) };
        open.inbox.wake();
        let (context, mut lagged) = (Context::from_waker(Waker::noop()), 0);
        while let Poll::Ready(event) = open.inbox.poll_next(&context) {
            let is_over = event.is_none();
            lagged += open.deliveries.check(event.as_ref())?;
            if is_over {
                break;
            }
        }
        Ok(lagged)
    }

    /// Whether the caller has just got its subscription, or the names that it has added.
    pub(super) fn is_resolved(&mut self) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.awaits) else { return false };
        let settled = open.inbox.poll_confirmed(&Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(refused)) = settled else { return false };
        open.names.retain(|(_, name)| refused.iter().all(|(other, _)| other != name));
        // The error of one refused name ends the call: the others may be confirmed later.
        open.awaits = false;
        refused.is_empty()
    }

    /// Checks, after the last message and the last read, that nothing has stayed behind.
    pub(super) fn check_read(&self) -> Result<(), Violation> {
        self.open.as_ref().map_or(Ok(()), |open| open.deliveries.check_empty())
    }

    fn subscribe(&mut self, buffer: usize, context: &mut CallContext) -> Change {
        let overflow = match context.random.u32(..8) {
            0 => Overflow::Close,
            1..4 => Overflow::DropNewest,
            _ => Overflow::DropOldest,
        };
        let messages = if context.random.bool() { buffer } else { usize::MAX };
        let buffer = SubscriptionBuffer::new().messages(messages).overflow(overflow);
        let inbox = Arc::new(SubscriptionInbox::new(buffer));
        let outbox = SubscriptionOutbox::new(inbox.clone());
        let id = SubscriptionId(self.next);
        self.next += 1;
        let deliveries = Deliveries::new(overflow == Overflow::Close);
        let open = OpenSubscription { id, names: BTreeSet::new(), inbox, outbox, deliveries, awaits: false };
        self.open.insert(open).add(context)
    }

    pub(super) fn close(&mut self, context: &mut CallContext) -> Change {
        let Some(open) = self.open.take() else { return Change::Nothing };
        context.pool.close_subscription(open.id, context.now, context.outcomes);
        Change::Closed(open.id)
    }
}

impl OpenSubscription {
    /// Wants one to three names, and some of them perhaps already.
    fn add(&mut self, context: &mut CallContext) -> Change {
        let count = context.random.usize(1..=3);
        // A refused name is rare, because it ends the call.
        let most = if context.random.u32(..12) == 0 { NAMES.len() + 1 } else { NAMES.len() };
        let names: Vec<Name> = (0..count).map(|_| name(context.random.usize(..most))).collect();
        let new = self.inbox.want(names);
        self.names.extend(new.iter().cloned());
        self.awaits = true;
        context.pool.subscribe(self.id, new.clone(), context.now, context.outcomes);
        Change::Added(self.id, new)
    }

    fn remove(&mut self, context: &mut CallContext) -> Change {
        let Some(name) = context.random.choice(self.names.iter().cloned()) else { return Change::Nothing };
        self.names.remove(&name);
        let left = self.inbox.leave(vec![name]);
        context.pool.unsubscribe(self.id, left.clone(), context.now, context.outcomes);
        Change::Removed(self.id, left)
    }
}

const SUBSCRIPTIONS_MAX: u32 = 1 << 16;
