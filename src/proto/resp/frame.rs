//! [`Frame`]: one decoded RESP value.

use std::fmt;

use bytes::Bytes;

/// One RESP value, as the server sent it.
///
/// RESP2 and RESP3 share this type: the two nulls of RESP2 (`$-1`, `*-1`) are [`Frame::Null`], and the blob
/// errors of RESP3 (`!`) are [`Frame::Error`]. Streamed strings and aggregates arrive whole.
/// [`FromReply`](crate::FromReply) turns a frame into what a caller asked for.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// `+` A status line such as `OK`.
    Simple(Bytes),
    /// `-` or `!` An error that the server answered with; its first word is the code, such as `WRONGTYPE`.
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
    /// `~` Elements that the server says are distinct; duplicates are kept as sent.
    Set(Vec<Frame>),
    /// `>` A message outside the order of replies. It never answers a command.
    Push(Vec<Frame>),
    /// `|` A value with attributes in front of it.
    Attributed {
        /// Pairs in the order of the wire.
        attributes: Vec<(Frame, Frame)>,
        /// What the attributes are about.
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

    /// The elements of a push, with or without attributes in front of it; `None` if it is something else.
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

/// Text where the bytes are text, and never more than a line of it.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Simple(text) => f.debug_tuple("Simple").field(&Excerpt(text)).finish(),
            Frame::Error(text) => f.debug_tuple("Error").field(&Excerpt(text)).finish(),
            Frame::Integer(n) => f.debug_tuple("Integer").field(n).finish(),
            Frame::Bulk(bytes) => f.debug_tuple("Bulk").field(&Excerpt(bytes)).finish(),
            Frame::Null => f.write_str("Null"),
            Frame::Boolean(b) => f.debug_tuple("Boolean").field(b).finish(),
            Frame::Double(d) => f.debug_tuple("Double").field(d).finish(),
            Frame::BigNumber(digits) => f.debug_tuple("BigNumber").field(&Excerpt(digits)).finish(),
            Frame::Verbatim { format, text } => {
                f.debug_tuple("Verbatim").field(&Excerpt(format)).field(&Excerpt(text)).finish()
            }
            Frame::Array(items) => f.debug_tuple("Array").field(items).finish(),
            Frame::Map(pairs) => f.debug_tuple("Map").field(pairs).finish(),
            Frame::Set(items) => f.debug_tuple("Set").field(items).finish(),
            Frame::Push(items) => f.debug_tuple("Push").field(items).finish(),
            Frame::Attributed { attributes, frame } => {
                f.debug_tuple("Attributed").field(attributes).field(frame).finish()
            }
        }
    }
}

/// Bytes as they appear in `Debug` output and in messages: escaped, and cut after [`EXCERPT_MAX`] bytes.
pub(crate) struct Excerpt<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..EXCERPT_MAX).unwrap_or(self.0);
        write!(f, "\"{}\"", shown.escape_ascii())?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            hidden => write!(f, " and {hidden} bytes more"),
        }
    }
}

const EXCERPT_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_in_forty_bytes() {
        assert_eq!(size_of::<Frame>(), 40);
    }

    #[test]
    fn debug_escapes_and_cuts() {
        assert_eq!(format!("{:?}", Frame::Simple(Bytes::from_static(b"O\r"))), r#"Simple("O\r")"#);
        let long = format!("{:?}", Frame::Bulk(Bytes::from(vec![b'a'; 121])));
        assert!(long.ends_with("\" and 1 bytes more)"), "{long}");
    }
}
