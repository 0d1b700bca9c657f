//! [`Published`]: a message of pub/sub, still in the bytes that were read.

use super::frame::Frame;
use super::wire::whole_payload;

/// A message of pub/sub, still in the bytes that were read. No frame is built for it.
///
/// A subscriber gets nothing but these for most of its life, so their path is short. It knows one form of each push, the one
/// that servers send. Every other form, a message that has not arrived in full, and all other pushes are left to the
/// [`Decoder`](super::Decoder), which knows them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published<'a> {
    pub(crate) kind: PublishedKind,
    /// The channel or pattern that was subscribed to.
    pub(crate) name: &'a [u8],
    pub(crate) channel: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// The first word of the push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishedKind {
    /// `message`
    Channel,
    /// `pmessage`
    Pattern,
    /// `smessage`
    Sharded,
}

impl<'a> Published<'a> {
    /// The most elements that the push of a message has.
    pub(super) const ELEMENTS_MAX: usize = 4;

    /// Reads the message that `input` begins with, and returns what follows it as well. RESP2 sends arrays: ask only where these
    /// are taken for pushes.
    #[inline]
    pub(super) fn read(input: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let input = input.strip_prefix(b">").or_else(|| input.strip_prefix(b"*"))?;
        let (kind, mut rest) = if let Some(rest) = input.strip_prefix(b"3\r\n$7\r\nmessage\r\n") {
            (PublishedKind::Channel, rest)
        } else if let Some(rest) = input.strip_prefix(b"4\r\n$8\r\npmessage\r\n") {
            (PublishedKind::Pattern, rest)
        } else {
            (PublishedKind::Sharded, input.strip_prefix(b"3\r\n$8\r\nsmessage\r\n")?)
        };
        let name = whole_payload(&mut rest)?;
        let channel = if kind == PublishedKind::Pattern { whole_payload(&mut rest)? } else { name };
        let payload = whole_payload(&mut rest)?;
        Some((Published { kind, name, channel, payload }, rest))
    }

    /// The message in a decoded push, if it is one.
    pub(crate) fn of(push: &'a Frame) -> Option<Self> {
        let text = |frame: &'a Frame| match frame {
            Frame::Bulk(text) => Some(&text[..]),
            _ => None,
        };
        let (word, rest) = push.push_items()?.split_first()?;
        let (kind, name, channel, payload) = match (text(word)?, rest) {
            (b"message", [name, payload]) => (PublishedKind::Channel, name, name, payload),
            (b"pmessage", [name, channel, payload]) => (PublishedKind::Pattern, name, channel, payload),
            (b"smessage", [name, payload]) => (PublishedKind::Sharded, name, name, payload),
            _ => return None,
        };
        Some(Published { kind, name: text(name)?, channel: text(channel)?, payload: text(payload)? })
    }

    /// How many bytes the limits of a frame count.
    pub(super) fn len(&self) -> usize {
        let (word, pattern) = match self.kind {
            PublishedKind::Channel => ("message", 0),
            PublishedKind::Pattern => ("pmessage", self.name.len()),
            PublishedKind::Sharded => ("smessage", 0),
        };
        word.len() + pattern + self.channel.len() + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::resp::{Decoder, Limits};

    fn wire(random: &mut fastrand::Rng) -> Vec<u8> {
        let word = random.choice(["message", "pmessage", "smessage", "subscribe"]).unwrap_or_default();
        let texts = if word == "pmessage" { 3 } else { 2 };
        let mut wire = format!(
            "{}{}\r\n${}\r\n{word}\r\n",
            random.choice(['>', '*']).unwrap_or('>'),
            texts + 1,
            word.len()
        );
        for _ in 0..texts {
            let length = if random.u32(..8) == 0 { 1200 } else { random.usize(..20) };
            let text: String = (0..length).map(|_| char::from(b"ab$\r\n0"[random.usize(..6)])).collect();
            wire += &format!("${}\r\n{text}\r\n", text.len());
        }
        wire.into_bytes()
    }

    fn damage(random: &mut fastrand::Rng, wire: &mut Vec<u8>) {
        let at = random.usize(..wire.len());
        let byte = b"\r\n$*>:+-0123456789mps"[random.usize(..21)];
        match random.u32(..4) {
            0 => wire[at] = byte,
            1 => wire.insert(at, byte),
            2 => drop(wire.remove(at)),
            _ => wire.truncate(at),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        /// What is read here, the decoder reads as well, and leaves the same rest.
        #[test]
        fn message_is_the_one_that_the_decoder_finds(seed: u64) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut wire = wire(&mut random);
            let is_whole = random.bool();
            if !is_whole {
                damage(&mut random, &mut wire);
            }
            let is_of_another_kind = wire.windows(9).any(|word| word == b"subscribe");
            wire.extend_from_slice([&b""[..], b"+after\r\n", b"$3\r\nab"][random.usize(..3)]);
            let read = Published::read(&wire);
            prop_assert!(read.is_some() || !is_whole || is_of_another_kind);
            if let Some((message, rest)) = read {
                let mut input = &wire[..];
                let frame = Decoder::new(Limits::default()).decode(&mut input).unwrap().unwrap();
                prop_assert_eq!(input, rest);
                let push = match frame {
                    Frame::Array(items) => Frame::Push(items),
                    frame => frame,
                };
                prop_assert_eq!(Published::of(&push), Some(message));
            }
        }
    }

    #[test]
    fn limits_leave_a_message_to_the_decoder() {
        let wire = b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$2\r\nab\r\n$3\r\nxyz\r\n";
        let fits = |limits| Decoder::new(limits).published(wire).is_some();
        let limits = Limits::default();
        assert!(fits(Limits { depth: 1, elements: 4, bytes: 15 }));
        assert!(!fits(Limits { depth: 0, ..limits }));
        assert!(!fits(Limits { elements: 3, ..limits }));
        assert!(!fits(Limits { bytes: 14, ..limits }));
        // Behind attributes, or within another frame, it is not alone.
        let mut decoder = Decoder::new(limits);
        assert_eq!(decoder.decode(&mut &b"|1\r\n+ttl\r\n:3\r\n"[..]), Ok(None));
        assert!(decoder.published(wire).is_none());
    }
}
