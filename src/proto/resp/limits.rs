//! [`Limits`]: the largest frames that a decoder accepts, and [`DecodeError`]: why it rejects a stream.

/// The largest frames that the client accepts. A larger reply ends the connection.
///
/// Servers are untrusted input. The bounds hold for every length and count on the wire, and the decoder only allocates
/// memory for bytes that have arrived. Pushes are limited to 4 levels, 64 Ki elements and 1 MiB as well. A larger push is
/// skipped, and the connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How deep aggregates may nest (32).
    pub depth: usize,
    /// How many elements one frame may hold at all depths together, including attributes (16 Mi).
    pub elements: usize,
    /// How many bytes of payload one frame may hold (512 MiB, the bound of servers for one string).
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { depth: 32, elements: 16 << 20, bytes: 512 << 20 }
    }
}

impl Limits {
    /// The lower of both bounds in each field.
    pub(super) fn least(self, other: Limits) -> Limits {
        Limits {
            depth: self.depth.min(other.depth),
            elements: self.elements.min(other.elements),
            bytes: self.bytes.min(other.bytes),
        }
    }
}

/// Why a stream of bytes is not RESP. Its connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A frame began with a byte that is not a type.
    #[error("a frame began with the byte {0:#04x}, which is not a RESP type")]
    UnknownType(u8),
    /// A length, a count or a number was malformed.
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
    /// A streamed string or aggregate was ended, continued or interrupted at the wrong place.
    #[error("a streamed string or aggregate was broken off")]
    BrokenStream,
    /// A streamed map had an odd number of elements.
    #[error("a map held a key without a value")]
    OddMap,
    /// A push within another frame, or an attribute at the end of an aggregate.
    #[error("a push or an attribute was misplaced")]
    Misplaced,
}

/// The limits of a push. The client did not ask for it, so it is not worth more memory.
pub(super) const PUSH_LIMITS: Limits = Limits { depth: 4, elements: 64 << 10, bytes: 1 << 20 };
/// The longest line: simple strings, errors, big numbers and headers.
pub(super) const LINE_MAX: usize = 64 << 10;
