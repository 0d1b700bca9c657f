//! [`Limits`]: what is accepted from a server, and [`DecodeError`]: what is not.

/// What a decoder accepts from a server before it calls the stream broken.
///
/// A server is untrusted input: these bounds hold whatever a length or a count on the wire announces, and memory
/// is only ever reserved for what has arrived. Messages that answer nothing are held to 4 levels, 64 Ki elements and
/// 1 MiB as well; those that exceed that are left out, and do not break the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deep aggregates may nest (32).
    pub depth: usize,
    /// How many elements one frame may hold at all depths together, attributes included (16 Mi).
    pub elements: usize,
    /// How many bytes of payload one frame may hold (512 MiB, the server's own bound for one string).
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 32, elements: 16 << 20, bytes: 512 << 20 }
    }
}

impl Limits {
    /// The lower of both in each respect.
    pub(super) fn least(self, other: Limits) -> Limits {
        Limits {
            depth: self.depth.min(other.depth),
            elements: self.elements.min(other.elements),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

/// What is kept of a push at most: 4 levels, 64 Ki elements, 1 MiB of payload. Nobody asked for it, so that it
/// cannot be worth more memory than that.
pub(super) const PUSH_LIMITS: Limits = Limits { depth: 4, elements: 64 << 10, bytes: 1 << 20 };

/// Why a stream of bytes is not RESP. The connection that it came from cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A frame began with a byte that is no type.
    #[error("a frame began with the byte {0:#04x}, which is no RESP type")]
    UnknownType(u8),
    /// A length, a count or a number was not one.
    #[error("a `{}` header held no valid number", char::from(*.0))]
    BadNumber(u8),
    /// A verbatim string did not begin with its format.
    #[error("a verbatim string did not begin with its format")]
    BadVerbatim,
    /// A line was longer than 64 KiB.
    #[error("a line exceeded {LINE_MAX} bytes")]
    LineTooLong,
    /// A line or a payload was not followed by `\r\n`.
    #[error("a line or a payload did not end with CR LF")]
    MissingTerminator,
    /// Aggregates nested deeper than [`Limits::depth`].
    #[error("aggregates nested deeper than the limit")]
    TooDeep,
    /// A frame held more elements than [`Limits::elements`].
    #[error("a frame held more elements than the limit")]
    TooManyElements,
    /// A frame held more payload than [`Limits::bytes`].
    #[error("a frame held more bytes than the limit")]
    TooLong,
    /// A streamed string or aggregate was ended, continued or interrupted where it must not be.
    #[error("a streamed string or aggregate was broken off")]
    BrokenStream,
    /// A map's streamed elements were odd in number.
    #[error("a map held a key without a value")]
    OddMap,
    /// A push, or an attribute at the end of an aggregate, stood where no frame of its kind can.
    #[error("a push or an attribute was misplaced")]
    Misplaced,
}

/// The longest line: simple strings, errors and big numbers, and every header.
pub(super) const LINE_MAX: usize = 64 << 10;
