//! A message allocates nothing: receivers share the bytes that the decoder has made.

use super::*;
use crate::proto::resp::{PublishedKind, peak_of};

/// Counts messages, and keeps none.
#[derive(Default)]
struct Count(usize);

impl Receive for Count {
    fn deliver(&mut self, _: SubscriptionId, event: PubSubEvent) {
        self.0 += usize::from(matches!(event, PubSubEvent::Message(_)));
    }
}

#[test]
fn message_path_allocates_nothing() {
    let mut fixture = Fixture::subscribed(&["a", "b"]);
    fixture.add(B, CHANNEL, "a");
    fixture.add(A, PATTERN, "a*");
    fixture.answer(OLD);
    let word = |text: &'static str| Frame::Bulk(bytes(text));
    let mut count = Count::default();
    let ((), peak) = peak_of(|| {
        let message = [word("message"), word("a"), word("x")];
        let pattern = [word("pmessage"), word("a*"), word("ab"), word("x")];
        for _ in 0..1000 {
            fixture.subscriptions.handle_push(OLD, &message, fixture.now, &mut count);
            fixture.subscriptions.handle_push(OLD, &pattern, fixture.now, &mut count);
        }
    });
    assert_eq!((count.0, peak), (3000, 0));
}

#[test]
fn messages_of_a_read_share_memory() {
    let mut fixture = Fixture::subscribed(&["a"]);
    let payload = [b'x'; 64];
    let message = Published { kind: PublishedKind::Channel, name: b"a", channel: b"a", payload: &payload };
    let mut count = Count::default();
    let ((), peak) = peak_of(|| {
        for _ in 0..1000 {
            assert!(fixture.subscriptions.handle_published(OLD, message, fixture.now, &mut count));
        }
    });
    assert_eq!(count.0, 1000);
    assert!(peak <= 2 * 1024 + 128, "two blocks at most: {peak} bytes");
}

#[test]
fn overlap_allocates_its_queues_only() {
    let mut fixture = Fixture::overlapping(&["a"]);
    let message = [Frame::Bulk(bytes("message")), Frame::Bulk(bytes("a")), Frame::Bulk(bytes("x"))];
    let mut count = Count::default();
    let ((), peak) = peak_of(|| {
        for _ in 0..1000 {
            fixture.subscriptions.handle_push(OLD, &message, fixture.now, &mut count);
        }
    });
    // A queue that grows exists twice, and is at most half empty.
    assert!(peak <= 1024 * 3 * size_of::<Message>(), "{peak} bytes");
}
