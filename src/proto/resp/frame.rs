//! [`Frame`]: one decoded RESP value.

use std::fmt;

use bytes::Bytes;

/// One RESP value, as the server sent it.
///
/// RESP2 and RESP3 share this type: the two nulls of RESP2 (`$-1`, `*-1`) are [`Frame::Null`], and the blob errors of
/// RESP3 (`!`) are [`Frame::Error`]. The decoder delivers streamed strings and aggregates in full.
/// [`FromReply`](crate::FromReply) converts a frame into the type that the caller asks for.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// `+` A status line such as `OK`.
    Simple(Bytes),
    /// `-` or `!` An error of the server; its first word is the code, such as `WRONGTYPE`.
    Error(Bytes),
    /// `:` A signed 64-bit number.
    Integer(i64),
    /// `$` A binary-safe string.
    Bulk(Bytes),
    /// `_` The absence of a value.
    Null,
    /// `#` True or false.
    Boolean(bool),
    /// `,` A floating-point number.
    Double(f64),
    /// `(` A number of any size, in decimal digits with an optional sign.
    BigNumber(Bytes),
    /// `=` Text with a format of three letters, such as `txt` or `mkd`.
    Verbatim {
        /// The format's three letters.
        format: [u8; 3],
        /// The text itself, without the format.
        text: Bytes,
    },
    /// `*` An ordered list.
    Array(Vec<Frame>),
    /// `%` Pairs in the order of the wire.
    Map(Vec<(Frame, Frame)>),
    /// `~` Elements that the server declares distinct. Duplicates are kept.
    Set(Vec<Frame>),
    /// `>` A message outside the order of replies. It answers no command.
    Push(Vec<Frame>),
    /// `|` A value with attributes in front of it.
    Attributed {
        /// Pairs in the order of the wire.
        attributes: Vec<(Frame, Frame)>,
        /// The value that the attributes describe.
        frame: Box<Frame>,
    },
}

impl Frame {
    /// The frame without the attributes in front of it, if any.
    pub fn without_attributes(self) -> Frame {
        match self {
            Frame::Attributed { frame, .. } => *frame,
            frame => frame,
        }
    }

    /// The frame's kind as a word, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Frame::Simple(_) => "simple string",
            Frame::Error(_) => "error",
            Frame::Integer(_) => "integer",
            Frame::Bulk(_) => "bulk string",
            Frame::Null => "null",
            Frame::Boolean(_) => "boolean",
            Frame::Double(_) => "double",
            Frame::BigNumber(_) => "big number",
            Frame::Verbatim { .. } => "verbatim string",
            Frame::Array(_) => "array",
            Frame::Map(_) => "map",
            Frame::Set(_) => "set",
            Frame::Push(_) => "push",
            Frame::Attributed { frame, .. } => frame.kind(),
        }
    }

    /// The frame in words, without its values.
    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape(self)
    }

    /// The elements of a push, with or without attributes in front of it; `None` for other frames.
    pub(crate) fn push_items(&self) -> Option<&[Frame]> {
        match self {
            Frame::Push(items) => Some(items),
            Frame::Attributed { frame, .. } => frame.push_items(),
            _ => None,
        }
    }

    pub(crate) fn is_push(&self) -> bool {
        match self {
            Frame::Push(_) => true,
            Frame::Attributed { frame, .. } => frame.is_push(),
            _ => false,
        }
    }
}

/// Shows kinds and lengths. A frame holds the data of users, which must not end up in a log because a program prints a
/// reply. To see the values, match on the variants.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}", self.shape())?;
        let elements: Vec<&Frame> = match self {
            Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => {
                items.iter().take(SHOWN_MAX).collect()
            }
            Frame::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key, value]).take(SHOWN_MAX).collect(),
            Frame::Attributed { frame, .. } => vec![frame],
            _ => Vec::new(),
        };
        for (index, element) in elements.into_iter().enumerate() {
            write!(f, "{} {}", if index == 0 { ":" } else { "," }, element.shape())?;
        }
        f.write_str(")")
    }
}

/// A frame in words, without its values.
pub(crate) struct Shape<'a>(&'a Frame);

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.0.kind();
        match self.0 {
            Frame::Simple(bytes)
            | Frame::Bulk(bytes)
            | Frame::BigNumber(bytes)
            | Frame::Verbatim { text: bytes, .. } => {
                write!(f, "a {kind} of {} bytes", bytes.len())
            }
            Frame::Error(text) => {
                let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
                match code.len() <= CODE_MAX && code.iter().all(u8::is_ascii_uppercase) {
                    true => write!(f, "the error {}", code.escape_ascii()),
                    false => write!(f, "an error of {} bytes", text.len()),
                }
            }
            Frame::Array(items) | Frame::Set(items) | Frame::Push(items) => {
                let article = if kind.starts_with('a') { "an" } else { "a" };
                write!(f, "{article} {kind} of {} elements", items.len())
            }
            Frame::Map(pairs) => write!(f, "a map of {} pairs", pairs.len()),
            Frame::Attributed { attributes, .. } => write!(f, "{} attributes of a value", attributes.len()),
            Frame::Null => f.write_str("null"),
            Frame::Integer(_) => f.write_str("an integer"),
            Frame::Boolean(_) | Frame::Double(_) => write!(f, "a {kind}"),
        }
    }
}

/// How many elements of an aggregate `Debug` shows.
const SHOWN_MAX: usize = 8;
/// The longest code of an error.
const CODE_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_fits_in_forty_bytes() {
        assert_eq!(size_of::<Frame>(), 40);
    }

    #[test]
    fn debug_shows_shapes_and_no_values() {
        let secret = || Bytes::from_static(b"s3cret");
        for (frame, shown) in [
            (Frame::Bulk(secret()), "Frame(a bulk string of 6 bytes)"),
            (Frame::Simple(secret()), "Frame(a simple string of 6 bytes)"),
            (Frame::Error(Bytes::from_static(b"WRONGTYPE s3cret")), "Frame(the error WRONGTYPE)"),
            (Frame::Error(secret()), "Frame(an error of 6 bytes)"),
            (Frame::Integer(4711), "Frame(an integer)"),
            (Frame::Double(47.11), "Frame(a double)"),
            (Frame::BigNumber(Bytes::from_static(b"4711")), "Frame(a big number of 4 bytes)"),
            (Frame::Verbatim { format: *b"txt", text: secret() }, "Frame(a verbatim string of 6 bytes)"),
            (Frame::Null, "Frame(null)"),
            (
                Frame::Array(vec![Frame::Bulk(secret()), Frame::Set(vec![Frame::Integer(4711)])]),
                "Frame(an array of 2 elements: a bulk string of 6 bytes, a set of 1 elements)",
            ),
            (
                Frame::Map(vec![(Frame::Bulk(secret()), Frame::Null)]),
                "Frame(a map of 1 pairs: a bulk string of 6 bytes, null)",
            ),
        ] {
            assert_eq!(format!("{frame:?}"), shown);
            assert_eq!(format!("{frame:#?}"), shown);
        }
        let many = Frame::Array(vec![Frame::Null; 1_000_000]);
        assert!(format!("{many:?}").len() < 200);
    }
}
