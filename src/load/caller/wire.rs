//! The number of bytes of commands and replies on the wire in RESP3, without push messages and TLS.

use std::time::Duration;

use crate::{Error, Frame, FromReply, Result};

/// `GET key`, with a key of this length.
pub(crate) fn get(key: usize) -> u64 {
    header(2) + bulk(3) + bulk(key)
}

/// `SET key value`, or `SET key value PX milliseconds`.
pub(crate) fn set(key: usize, value: usize, ttl: Option<Duration>) -> u64 {
    let plain = bulk(3) + bulk(key) + bulk(value);
    match ttl {
        None => header(3) + plain,
        Some(ttl) => header(5) + plain + bulk(2) + bulk(digits(millis(ttl)) as usize),
    }
}

/// A time to live as the server counts it: whole milliseconds, at least one.
pub(crate) fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// `INCR key`.
pub(crate) fn incr(key: usize) -> u64 {
    header(2) + bulk(4) + bulk(key)
}

/// The size of a reply that is not an error, and whether it is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplySize {
    pub(crate) bytes: u64,
    /// Whether the key was not found.
    pub(crate) is_null: bool,
}

impl ReplySize {
    pub(crate) const OK: ReplySize = ReplySize { bytes: 5, is_null: false };

    pub(crate) fn value(value: Option<&[u8]>) -> ReplySize {
        match value {
            Some(value) => ReplySize { bytes: bulk(value.len()), is_null: false },
            None => ReplySize { bytes: NULL, is_null: true },
        }
    }

    pub(crate) fn integer(number: i64) -> ReplySize {
        ReplySize { bytes: line(signed(number)), is_null: false }
    }
}

impl FromReply for ReplySize {
    fn from_reply(reply: Frame) -> Result<ReplySize, Error> {
        let received = ReplySize { bytes: size(&reply), is_null: is_null(&reply) };
        <()>::from_reply(reply).map(|()| received)
    }
}

fn is_null(reply: &Frame) -> bool {
    match reply {
        Frame::Attributed { frame, .. } => is_null(frame),
        reply => *reply == Frame::Null,
    }
}

/// The recursion is bounded, because the decoder limits the depth of a frame.
fn size(frame: &Frame) -> u64 {
    let list = |items: &[Frame]| header(items.len() as u64) + items.iter().map(size).sum::<u64>();
    let pairs = |pairs: &[(Frame, Frame)]| {
        header(pairs.len() as u64) + pairs.iter().map(|(key, value)| size(key) + size(value)).sum::<u64>()
    };
    match frame {
        Frame::Simple(text) | Frame::Error(text) | Frame::BigNumber(text) => line(text.len() as u64),
        Frame::Integer(number) => line(signed(*number)),
        Frame::Bulk(text) => bulk(text.len()),
        Frame::Null => NULL,
        Frame::Boolean(_) => line(1),
        Frame::Double(number) => line(number.to_string().len() as u64),
        Frame::Verbatim { text, .. } => bulk(text.len() + VERBATIM_FORMAT),
        Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => list(items),
        Frame::Map(items) => pairs(items),
        Frame::Attributed { attributes, frame } => pairs(attributes) + size(frame),
    }
}

/// A type byte, the content, and the end of the line.
fn line(length: u64) -> u64 {
    1 + length + 2
}

fn header(count: u64) -> u64 {
    line(digits(count))
}

fn bulk(length: usize) -> u64 {
    header(length as u64) + length as u64 + 2
}

fn digits(number: u64) -> u64 {
    number.checked_ilog10().map_or(1, |last| u64::from(last) + 1)
}

fn signed(number: i64) -> u64 {
    digits(number.unsigned_abs()) + u64::from(number < 0)
}

const NULL: u64 = 3;

/// Three letters and a colon.
const VERBATIM_FORMAT: usize = 4;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cmd;

    #[test]
    fn commands_are_as_long_as_their_encoding() {
        let (key, value) = ("key:000000000000", "v".repeat(100));
        let length = |command: crate::Cmd| {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            assert_eq!(command.encoded_len(), bytes.len());
            bytes.len() as u64
        };
        assert_eq!(get(key.len()), length(cmd("GET").arg(key)));
        assert_eq!(set(key.len(), 100, None), length(cmd("SET").arg(key).arg(&value)));
        let ttl = Some(Duration::from_micros(1_500_700));
        assert_eq!(set(key.len(), 0, ttl), length(cmd("SET").arg(key).arg("").arg("PX").arg(1500)));
        assert_eq!(incr(key.len()), length(cmd("INCR").arg(key)));
    }

    #[test]
    fn replies_are_as_long_as_what_was_sent() {
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        for (frame, sent) in [
            (Frame::Simple(text("OK")), "+OK\r\n"),
            (Frame::Bulk(text("0123456789")), "$10\r\n0123456789\r\n"),
            (Frame::Integer(-42), ":-42\r\n"),
            (Frame::Null, "_\r\n"),
            (Frame::Array(vec![Frame::Null, Frame::Integer(0)]), "*2\r\n_\r\n:0\r\n"),
            (Frame::Map(vec![(Frame::Boolean(true), Frame::Double(1.5))]), "%1\r\n#t\r\n,1.5\r\n"),
            (Frame::Verbatim { format: *b"txt", text: text("a") }, "=5\r\ntxt:a\r\n"),
        ] {
            let received = ReplySize::from_reply(frame.clone()).expect("no error");
            assert_eq!(received, ReplySize { bytes: sent.len() as u64, is_null: frame == Frame::Null });
        }
        assert!(ReplySize::from_reply(Frame::Error(text("ERR no"))).is_err());
        assert_eq!(ReplySize::value(Some(b"abc")).bytes, 9);
        assert_eq!(
            (ReplySize::value(None), ReplySize::integer(7).bytes),
            (ReplySize { bytes: 3, is_null: true }, 4)
        );
    }
}
