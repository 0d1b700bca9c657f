//! [`Receivers`]: the subscriptions that want one name.

use super::event::{GapReason, Message, PubSubEvent, Receive, SubscriptionId};
use super::names::Name;
use crate::proto::time::Instant;

/// The subscriptions that want one name, by their ids.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    list: Vec<Receiver>,
}

#[derive(Debug)]
struct Receiver {
    id: SubscriptionId,
    /// The application waits for the confirmation of this name.
    awaits_confirmation: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The name was not confirmed since this subscription began.
    Waiting,
    /// Messages are delivered.
    Live,
    /// The name was confirmed before, and is not any more.
    Missing { since: Instant, reason: GapReason },
}

impl Receivers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether messages are delivered to any receiver.
    #[inline]
    pub(super) fn any_is_live(&self) -> bool {
        self.list.iter().any(|receiver| receiver.state == State::Live)
    }

    /// Whether no receiver has had a message yet.
    pub(super) fn all_are_waiting(&self) -> bool {
        self.list.iter().all(|receiver| receiver.state == State::Waiting)
    }

    pub(super) fn add(&mut self, id: SubscriptionId) {
        match self.list.binary_search_by_key(&id, |receiver| receiver.id) {
            Ok(index) => {
                if let Some(receiver) = self.list.get_mut(index) {
                    receiver.awaits_confirmation = true;
                }
            }
            Err(index) => {
                let receiver = Receiver { id, awaits_confirmation: true, state: State::Waiting };
                self.list.insert(index, receiver);
            }
        }
    }

    /// Returns whether the subscription was among the receivers.
    pub(super) fn remove(&mut self, id: SubscriptionId) -> bool {
        let found = self.list.binary_search_by_key(&id, |receiver| receiver.id);
        found.map(|index| self.list.remove(index)).is_ok()
    }

    /// Removes all receivers.
    pub(super) fn take_ids(&mut self) -> Vec<SubscriptionId> {
        self.list.drain(..).map(|receiver| receiver.id).collect()
    }

    /// Messages are missed from here on. Returns whether any receiver is affected.
    pub(super) fn begin_gap(&mut self, since: Instant, reason: GapReason) -> bool {
        let mut is_affected = false;
        for receiver in self.list.iter_mut().filter(|receiver| receiver.state == State::Live) {
            receiver.state = State::Missing { since, reason };
            is_affected = true;
        }
        is_affected
    }

    /// The name is confirmed: open gaps end, and waiting receivers begin.
    pub(super) fn settle(&mut self, name: &Name, now: Instant, receive: &mut impl Receive) {
        for receiver in &mut self.list {
            let before = std::mem::replace(&mut receiver.state, State::Live);
            if let State::Missing { since, reason } = before {
                let (kind, name) = (name.kind, name.bytes.clone());
                receive.deliver(receiver.id, PubSubEvent::Gap { kind, name, since, until: now, reason });
            }
            if std::mem::take(&mut receiver.awaits_confirmation) {
                let (kind, name) = (name.kind, name.bytes.clone());
                receive.deliver(receiver.id, PubSubEvent::Confirmed { kind, name });
            }
        }
    }

    /// Delivers a message to all live receivers. Only references are cloned.
    #[inline]
    pub(super) fn deliver(&self, message: Message, receive: &mut impl Receive) {
        let mut live = self.list.iter().filter(|receiver| receiver.state == State::Live).peekable();
        while let Some(receiver) = live.next() {
            if live.peek().is_none() {
                receive.deliver(receiver.id, PubSubEvent::Message(message));
                return;
            }
            receive.deliver(receiver.id, PubSubEvent::Message(message.clone()));
        }
    }
}
