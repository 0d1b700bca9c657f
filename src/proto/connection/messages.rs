//! How messages of pub/sub leave a connection without becoming pushes.

use super::{Connection, Deliver};
use crate::proto::resp::{Frame, Published};

impl Connection {
    /// Delivers the messages that `input` begins with, and takes them out of it. It stops at anything else, and at a message
    /// that has to be handled as a push.
    ///
    /// Behind a push that waits, messages wait as well: they keep their places among pushes.
    #[inline]
    pub(super) fn pass_messages(&self, input: &mut &[u8], deliver: &mut impl Deliver) {
        // Before it has subscribed, an array of RESP2 is a reply.
        if !self.pushes.is_empty() || !self.internal.subscribing.has_subscribed() {
            return;
        }
        while let Some((message, rest)) = self.decoder.published(input)
            && deliver.message(message)
        {
            *input = rest;
        }
    }

    /// Delivers a message that arrived in parts. False if the push is none, or has to be handled as a push.
    pub(super) fn pass_decoded(&self, push: &Frame, deliver: &mut impl Deliver) -> bool {
        let may_pass = self.pushes.is_empty() && self.internal.subscribing.has_subscribed();
        let message = Published::of(push).filter(|message| may_pass && message.payload.len() <= COPIED_MAX);
        message.is_some_and(|message| deliver.message(message))
    }
}

/// A decoded payload that is longer is not copied once more.
const COPIED_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{NOW, queue, ready, write};
    use super::*;
    use crate::proto::connection::Ticket;
    use crate::proto::error::Failure;
    use crate::proto::resp::PublishedKind;

    /// Takes all messages but those with the payload `refused`.
    #[derive(Default)]
    struct Taking {
        frames: Vec<Frame>,
        messages: usize,
    }

    impl Deliver for Taking {
        const TAKES_MESSAGES: bool = true;

        fn message(&mut self, message: Published<'_>) -> bool {
            if message.payload.starts_with(b"refused") {
                return false;
            }
            let Published { kind, name, channel, payload } = message;
            let items: &[&[u8]] = match kind {
                PublishedKind::Channel => &[b"message", channel, payload],
                PublishedKind::Pattern => &[b"pmessage", name, channel, payload],
                PublishedKind::Sharded => &[b"smessage", channel, payload],
            };
            self.messages += 1;
            let bulk = |item: &&[u8]| Frame::Bulk(item.to_vec().into());
            self.frames.push(Frame::Push(items.iter().map(bulk).collect()));
            true
        }

        fn reply(&mut self, _ticket: Ticket, _frame: Frame, _last: bool) {}

        fn fail(&mut self, _ticket: Ticket, _failure: Failure) {}

        fn push(&mut self, _frame: Frame) -> bool {
            false
        }
    }

    /// A connection that has subscribed.
    fn subscribed() -> Connection {
        let mut connection = ready().0;
        connection.subscribe("SUBSCRIBE", vec!["a".into()]);
        write(&mut connection, &mut queue());
        connection
    }

    /// What a connection delivers, its pushes included, and how it ends.
    fn received<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Taking, Option<String>) {
        let (mut connection, mut taking) = (subscribed(), Taking::default());
        for chunk in chunks {
            let result = connection.handle_bytes(NOW, chunk, &mut taking);
            let pushes = connection.take_pushes().into_iter();
            taking.frames.extend(pushes.map(|push| push.frame.without_attributes()));
            if let Err(reason) = result {
                return (taking, Some(format!("{reason:?}")));
            }
        }
        (taking, None)
    }

    /// The same by frames alone.
    fn decoded(wire: &[u8]) -> (Vec<Frame>, Option<String>) {
        let (mut connection, mut replies) = (subscribed(), ready().1);
        let result = connection.handle_bytes(NOW, wire, &mut replies);
        let pushes = connection.take_pushes().into_iter();
        let ended = result.err().map(|reason| format!("{reason:?}"));
        (pushes.map(|push| push.frame.without_attributes()).collect(), ended)
    }

    fn push(random: &mut fastrand::Rng) -> String {
        let texts = |words: &[&str]| {
            words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect::<String>()
        };
        let payload = match random.u32(..8) {
            0 => "refused".to_owned(),
            1 => "x".repeat(COPIED_MAX + random.usize(..3)),
            length => "\r\n$>3".repeat(length as usize),
        };
        let kind = if random.bool() { '>' } else { '*' };
        match random.u32(..20) {
            0 => ">2\r\n+MIGRATED\r\n:1\r\n".to_owned(),
            1 => format!(">3\r\n{}:1\r\n", texts(&["subscribe", "a"])),
            2 => format!(">3\r\n+message\r\n{}", texts(&["a", &payload])),
            3 => format!("|1\r\n+ttl\r\n:3\r\n>3\r\n{}", texts(&["message", "a", &payload])),
            4 => format!(">3\r\n{}$-1\r\n", texts(&["message", "a"])),
            5 => format!("{kind}2\r\n{}", texts(&["message", "a"])),
            6 => format!("{kind}3\r\n{}", texts(&["MESSAGE", "a", &payload])),
            7 => format!("{kind}3\r\n{}", texts(&["smessage", "a", &payload])),
            8 | 9 => format!("{kind}4\r\n{}", texts(&["pmessage", "a*", "ab", &payload])),
            // A reply that no command has asked for.
            10 if random.u32(..8) == 0 => ":1\r\n".to_owned(),
            _ => format!("{kind}3\r\n{}", texts(&["message", "a", &payload])),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_cut_gives_the_messages_and_pushes_of_the_decoder(seed: u64) {
            let mut random = fastrand::Rng::with_seed(seed);
            let wire: String = (0..random.usize(1..20)).map(|_| push(&mut random)).collect();
            let (mut rest, mut chunks) = (wire.as_bytes(), Vec::new());
            let longest = [3, 60, 400, 10_000][random.usize(..4)];
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(random.usize(1..=longest).min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            let (taking, ended) = received(chunks.into_iter());
            prop_assert_eq!((taking.frames, ended), decoded(wire.as_bytes()));
        }
    }

    fn message(payload: &str) -> String {
        format!(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n${}\r\n{payload}\r\n", payload.len())
    }

    #[test]
    fn messages_become_no_pushes_wherever_reads_end() {
        let wire = ["1", "22", "333"].map(message).concat();
        for cut in 0..wire.len() {
            let (mut connection, mut taking) = (subscribed(), Taking::default());
            for chunk in [&wire[..cut], &wire[cut..]] {
                connection.handle_bytes(NOW, chunk.as_bytes(), &mut taking).unwrap();
            }
            assert_eq!((taking.messages, connection.has_notices()), (3, false), "cut at {cut}");
        }
    }

    #[test]
    fn messages_behind_a_push_stay_behind_it() {
        let wire = ["1", "refused", "3"].map(message).concat();
        let (mut connection, mut taking) = (subscribed(), Taking::default());
        connection.handle_bytes(NOW, wire.as_bytes(), &mut taking).unwrap();
        assert_eq!((taking.messages, connection.take_pushes().len()), (1, 2));
    }

    #[test]
    fn array_is_a_reply_before_the_connection_subscribes() {
        let (mut connection, mut taking) = (ready().0, Taking::default());
        let reply = message("1").replacen('>', "*", 1);
        connection.handle_bytes(NOW, reply.as_bytes(), &mut taking).unwrap_err();
        assert_eq!(taking.messages, 0);
    }
}
