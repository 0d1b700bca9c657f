//! [`SubscriptionOutbox`]: the end of a subscription that its shard keeps.

use std::sync::Arc;

use super::batch::Batch;
use super::event::Message;
use super::inbox::SubscriptionInbox;
use crate::driver::clock::Clock;
use crate::proto::subscriptions as pool;

/// The end of a subscription that its shard keeps.
///
/// It gathers the messages of a read, and hands them over together: the lock of the inbox, which the subscriber may hold on
/// another core, is taken once for a read, and the subscriber is woken once. The shard calls
/// [`hand_over`](SubscriptionOutbox::hand_over) before it ends its borrow, so that nothing stays here.
#[derive(Debug)]
pub(crate) struct SubscriptionOutbox {
    inbox: Arc<SubscriptionInbox>,
    batch: Batch,
    /// The shard knows that it has to hand over.
    is_due: bool,
}

impl SubscriptionOutbox {
    pub(crate) fn new(inbox: Arc<SubscriptionInbox>) -> Self {
        SubscriptionOutbox { inbox, batch: Batch::default(), is_due: false }
    }

    /// Takes an event of the pool. True if this is the first one that has to be handed over.
    pub(crate) fn deliver(&mut self, event: pool::PubSubEvent, clock: Clock) -> bool {
        match event {
            pool::PubSubEvent::Message(pool::Message { channel, pattern, payload, .. }) => {
                self.batch.push(Message { channel, pattern, payload });
            }
            event => {
                self.inbox.append(&mut self.batch);
                if !self.inbox.deliver(event, clock) {
                    return false;
                }
            }
        }
        !std::mem::replace(&mut self.is_due, true)
    }

    /// Hands everything over. Returns the inbox of a subscriber that waits for it: wake it after the borrow.
    pub(crate) fn hand_over(&mut self) -> Option<Arc<SubscriptionInbox>> {
        self.is_due = false;
        self.inbox.append(&mut self.batch).then(|| self.inbox.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::config::SubscriptionBuffer;
    use crate::driver::subscriptions::PubSubEvent;
    use crate::driver::testing::Wakes;
    use crate::proto::time::Instant;

    const KIND: pool::SubscriptionKind = pool::SubscriptionKind::Channel;

    fn message(payload: &'static str) -> pool::PubSubEvent {
        let (channel, payload) = (Bytes::from_static(b"c"), Bytes::from_static(payload.as_bytes()));
        pool::PubSubEvent::Message(pool::Message { kind: KIND, channel, pattern: None, payload })
    }

    fn gap() -> pool::PubSubEvent {
        let (since, until) = (Instant::default(), Instant::default().after(Duration::from_secs(1)));
        let reason = pool::GapReason::ConnectionLost;
        pool::PubSubEvent::Gap { kind: KIND, name: Bytes::from_static(b"c"), since, until, reason }
    }

    fn outbox() -> (SubscriptionOutbox, Arc<SubscriptionInbox>) {
        let inbox = Arc::new(SubscriptionInbox::new(SubscriptionBuffer::new()));
        (SubscriptionOutbox::new(inbox.clone()), inbox)
    }

    /// What has come, in words.
    fn taken(inbox: &SubscriptionInbox, context: &Context<'_>) -> Vec<String> {
        let mut taken = Vec::new();
        while let Poll::Ready(Some(event)) = inbox.poll_next(context) {
            taken.push(match event {
                PubSubEvent::Message(message) => String::from_utf8_lossy(&message.payload).into_owned(),
                other => format!("{other:?}"),
            });
        }
        taken
    }

    #[test]
    fn subscriber_is_woken_once_for_all_messages_of_a_read() {
        let (mut outbox, inbox) = outbox();
        let wakes = Arc::<Wakes>::default();
        let waker = wakes.waker();
        let context = Context::from_waker(&waker);
        assert!(inbox.poll_next(&context).is_pending());
        let is_due = ["1", "2", "3"].map(|payload| outbox.deliver(message(payload), Clock::of_process()));
        assert_eq!(is_due, [true, false, false]);
        assert_eq!(taken(&inbox, &context), [""; 0], "nothing is handed over yet");
        outbox.hand_over().unwrap().wake();
        assert_eq!((wakes.take(), taken(&inbox, &context)), (1, ["1", "2", "3"].map(str::to_owned).into()));
        // A subscriber that does not wait is not woken.
        let (mut outbox, inbox) = self::outbox();
        assert!(outbox.deliver(message("4"), Clock::of_process()));
        assert!(outbox.hand_over().is_none());
        assert_eq!(taken(&inbox, &context), ["4"]);
    }

    #[test]
    fn gap_keeps_its_place_among_the_messages_of_a_read() {
        let (mut outbox, inbox) = outbox();
        for event in [message("1"), gap(), message("2")] {
            outbox.deliver(event, Clock::of_process());
        }
        let removed = pool::PubSubEvent::Unsubscribed { kind: KIND, name: Bytes::from_static(b"c") };
        assert!(!outbox.deliver(removed, Clock::of_process()), "it is due already");
        outbox.hand_over();
        let context = Context::from_waker(Waker::noop());
        assert_eq!(taken(&inbox, &context), ["1", "Gap(ConnectionLost, 1s)", "2"]);
    }
}
