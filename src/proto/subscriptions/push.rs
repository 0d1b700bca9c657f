//! [`Push`]: what a pub/sub push says.

use bytes::Bytes;

use super::command::Verb;
use super::event::SubscriptionKind;
use crate::proto::resp::Frame;

/// One pub/sub push. RESP2 sends the same items as an array.
#[derive(Debug, PartialEq)]
pub(super) enum Push<'a> {
    /// A message of `name`, which is the channel or the pattern that was subscribed to.
    Message { kind: SubscriptionKind, name: &'a Bytes, channel: &'a Bytes, payload: &'a Bytes },
    /// The name is subscribed or unsubscribed, as the verb says.
    Confirmation { verb: Verb, name: &'a Bytes },
    /// The first word is one of pub/sub, and the rest does not fit.
    Malformed,
}

impl<'a> Push<'a> {
    /// Reads the items of a push; `None` if it is none of pub/sub.
    #[inline]
    pub(super) fn read(items: &'a [Frame]) -> Option<Push<'a>> {
        let (word, rest) = items.split_first()?;
        Some(match &text(word)?[..] {
            b"message" => message(SubscriptionKind::Channel, rest),
            b"pmessage" => message(SubscriptionKind::Pattern, rest),
            b"smessage" => message(SubscriptionKind::Sharded, rest),
            b"subscribe" => confirmation(Verb::Subscribe, rest),
            b"psubscribe" => confirmation(Verb::PSubscribe, rest),
            b"ssubscribe" => confirmation(Verb::SSubscribe, rest),
            b"unsubscribe" => confirmation(Verb::Unsubscribe, rest),
            b"punsubscribe" => confirmation(Verb::PUnsubscribe, rest),
            b"sunsubscribe" => confirmation(Verb::SUnsubscribe, rest),
            _ => return None,
        })
    }
}

fn message(kind: SubscriptionKind, rest: &[Frame]) -> Push<'_> {
    let read = match (kind, rest) {
        (SubscriptionKind::Pattern, [pattern, channel, payload]) => {
            text(pattern).zip(text(channel)).zip(text(payload))
        }
        (SubscriptionKind::Channel | SubscriptionKind::Sharded, [channel, payload]) => {
            text(channel).zip(text(channel)).zip(text(payload))
        }
        _ => None,
    };
    match read {
        Some(((name, channel), payload)) => Push::Message { kind, name, channel, payload },
        None => Push::Malformed,
    }
}

fn confirmation(verb: Verb, rest: &[Frame]) -> Push<'_> {
    match rest {
        // The count of the connection's subscriptions follows. Servers disagree about what it counts.
        [name, ..] => text(name).map_or(Push::Malformed, |name| Push::Confirmation { verb, name }),
        [] => Push::Malformed,
    }
}

fn text(frame: &Frame) -> Option<&Bytes> {
    match frame {
        Frame::Bulk(text) | Frame::Simple(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &'static str) -> Frame {
        Frame::Bulk(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn other_pushes_are_not_of_pubsub() {
        for items in [
            vec![],
            vec![bulk("invalidate"), Frame::Null],
            vec![bulk("MOVING"), Frame::Integer(1)],
            vec![Frame::Integer(1), bulk("message")],
            vec![bulk("MESSAGE"), bulk("a"), bulk("b")],
        ] {
            assert_eq!(Push::read(&items), None);
        }
    }

    #[test]
    fn pushes_of_a_wrong_shape_are_malformed() {
        for items in [
            vec![bulk("message")],
            vec![bulk("message"), bulk("a")],
            vec![bulk("message"), bulk("a"), Frame::Null],
            vec![bulk("message"), bulk("a"), bulk("b"), bulk("c")],
            vec![bulk("pmessage"), bulk("a"), bulk("b")],
            vec![bulk("subscribe")],
            vec![bulk("unsubscribe"), Frame::Null, Frame::Integer(0)],
        ] {
            assert_eq!(Push::read(&items), Some(Push::Malformed));
        }
    }

    #[test]
    fn pattern_messages_belong_to_their_pattern() {
        let items = [bulk("pmessage"), bulk("a*"), bulk("ab"), bulk("x")];
        let Some(Push::Message { kind, name, channel, payload }) = Push::read(&items) else { panic!() };
        assert_eq!((kind, &name[..], &channel[..]), (SubscriptionKind::Pattern, &b"a*"[..], &b"ab"[..]));
        assert_eq!(&payload[..], b"x");
    }
}
