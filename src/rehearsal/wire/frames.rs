//! Finds where frames end in a stream of replies. A proxy relays replies as they arrive and inserts frames between
//! them.
//!
//! The scanner resumes at any byte and copies nothing. It looks at each byte once, skips payloads, and uses the same
//! memory for any announced length. It knows all of RESP2 and RESP3, with streamed strings and aggregates.

/// The stream is not RESP, or its streamed aggregates are nested too deeply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAFrame;

/// A position in a stream of frames.
///
/// ```text
///            ┌──── element without length ────▶ Line ──┐
///  Type ─────┤                                         ├─▶ Type, or the end of the frame
///   ▲        └─▶ Number ─┬─ string ─▶ Payload ─────────┤
///   └─── aggregate ──────┴─ empty or null ─────────────┘
/// ```
#[derive(Debug, Default)]
pub(crate) struct FrameScanner {
    expected: Expected,
    /// Elements that are missing before the frame, or the innermost streamed aggregate, is complete. Nesting needs no
    /// stack: an array of three is one element that arrived, and three more that are missing.
    missing: u64,
    /// The number of elements that are missing outside of each open streamed aggregate.
    streamed: Vec<u64>,
    /// The type of the current frame; 0 before it is known, because attributes come first.
    kind: u8,
    /// The next chunk of a streamed string is expected.
    is_in_chunks: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default)]
enum Expected {
    /// The type of the next element.
    #[default]
    Type,
    /// The number behind a type.
    Number(u8, Number),
    /// A line whose text does not matter.
    Line,
    /// A payload, with the number of bytes that are left, CRLF included.
    Payload(u64),
}

/// The part of a length that has arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Number {
    value: u64,
    is_negative: bool,
    is_streamed: bool,
}

impl FrameScanner {
    /// Whether the next byte begins a frame.
    #[cfg(test)]
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.expected, Expected::Type)
            && self.missing == 0
            && self.streamed.is_empty()
            && !self.is_in_chunks
    }

    /// Scans `bytes` up to the end of a frame. Returns the number of scanned bytes and the frame's type. `None`
    /// means that all of `bytes` were scanned and the frame does not end in them.
    pub(crate) fn frame_end(&mut self, bytes: &[u8]) -> Result<Option<(usize, u8)>, NotAFrame> {
        let mut rest = bytes;
        loop {
            let is_whole = match self.expected {
                Expected::Type => {
                    let Some((&kind, tail)) = rest.split_first() else {
                        return Ok(None);
                    };
                    rest = tail;
                    self.begin(kind)?;
                    false
                }
                Expected::Line => {
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        return Ok(None);
                    };
                    rest = rest.get(end + 1..).unwrap_or_default();
                    self.end_element()
                }
                Expected::Payload(left) => {
                    let here = left.min(rest.len() as u64);
                    rest = rest.get(here as usize..).unwrap_or_default();
                    if here < left {
                        self.expected = Expected::Payload(left - here);
                        return Ok(None);
                    }
                    self.expected = Expected::Type;
                    !self.is_in_chunks && self.end_element()
                }
                Expected::Number(kind, number) => {
                    let Some((&byte, tail)) = rest.split_first() else {
                        return Ok(None);
                    };
                    rest = tail;
                    match number.read(byte)? {
                        Some(longer) => {
                            self.expected = Expected::Number(kind, longer);
                            false
                        }
                        None => self.announced(kind, number)?,
                    }
                }
            };
            if is_whole {
                let kind = std::mem::take(&mut self.kind);
                return Ok(Some((bytes.len() - rest.len(), kind)));
            }
        }
    }

    /// Reads the type byte of an element, or the end of a streamed aggregate.
    #[inline]
    fn begin(&mut self, kind: u8) -> Result<(), NotAFrame> {
        if self.is_in_chunks != (kind == b';') {
            return Err(NotAFrame);
        }
        if kind == b'.' {
            // The innermost streamed aggregate ends. It counts as one element of the aggregate around it.
            self.missing = match self.missing {
                0 => self.streamed.pop().ok_or(NotAFrame)?,
                _ => return Err(NotAFrame),
            };
            self.expected = Expected::Line;
            return Ok(());
        }
        self.missing = self.missing.max(1);
        if self.kind == 0 && self.missing == 1 && self.streamed.is_empty() && kind != b'|' {
            self.kind = kind;
        }
        self.expected = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Expected::Line,
            b'$' | b'*' | b'%' | b'~' | b'>' | b'|' | b'=' | b'!' | b';' => {
                Expected::Number(kind, Number::default())
            }
            _ => return Err(NotAFrame),
        };
        Ok(())
    }

    /// Handles the number behind `kind`. Returns whether the frame ends there.
    fn announced(&mut self, kind: u8, number: Number) -> Result<bool, NotAFrame> {
        self.expected = Expected::Type;
        let elements = match kind {
            b'$' | b'=' | b'!' | b';' => return self.announced_payload(kind, number),
            b'%' | b'|' => number.value.checked_mul(2).ok_or(NotAFrame)?,
            _ => number.value,
        };
        if number.is_streamed {
            if kind == b'|' || self.streamed.len() >= STREAMED_DEPTH_MAX {
                return Err(NotAFrame);
            }
            self.streamed.push(self.missing);
            self.missing = 0;
            return Ok(false);
        }
        if !number.is_negative {
            self.missing = self.missing.checked_add(elements).ok_or(NotAFrame)?;
        }
        // An attribute is not an element; it precedes one.
        Ok(kind != b'|' && self.end_element())
    }

    fn announced_payload(&mut self, kind: u8, number: Number) -> Result<bool, NotAFrame> {
        if number.is_streamed {
            self.is_in_chunks = kind != b';';
            return if self.is_in_chunks { Ok(false) } else { Err(NotAFrame) };
        }
        if number.is_negative {
            return Ok(self.end_element());
        }
        if kind == b';' && number.value == 0 {
            self.is_in_chunks = false;
            return Ok(self.end_element());
        }
        self.expected = Expected::Payload(number.value.checked_add(2).ok_or(NotAFrame)?);
        Ok(false)
    }

    /// Counts a complete element. Returns whether its frame is complete too.
    #[inline]
    fn end_element(&mut self) -> bool {
        self.expected = Expected::Type;
        self.missing = self.missing.saturating_sub(1);
        self.missing == 0 && self.streamed.is_empty()
    }
}

impl Number {
    /// Adds a digit or sign to the number. Returns `None` at the end of the line.
    #[inline]
    fn read(mut self, byte: u8) -> Result<Option<Self>, NotAFrame> {
        match byte {
            b'0'..=b'9' => {
                let shifted = self.value.checked_mul(10).ok_or(NotAFrame)?;
                self.value = shifted.checked_add(u64::from(byte - b'0')).ok_or(NotAFrame)?;
            }
            b'\r' | b'+' => {}
            b'-' => self.is_negative = true,
            b'?' => self.is_streamed = true,
            b'\n' => return Ok(None),
            _ => return Err(NotAFrame),
        }
        Ok(Some(self))
    }
}

/// Most streamed aggregates inside each other. The scanner rejects a deeper stream.
const STREAMED_DEPTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The types and lengths of the frames in `chunks`, and whether the stream ends between two frames.
    fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Result<Vec<(u8, usize)>, NotAFrame>, bool) {
        let (mut scanner, mut frames, mut length) = (FrameScanner::default(), Vec::new(), 0);
        for chunk in chunks {
            let mut rest = chunk;
            loop {
                match scanner.frame_end(rest) {
                    Ok(Some((end, kind))) => {
                        frames.push((kind, length + end));
                        length = 0;
                        rest = &rest[end..];
                    }
                    Ok(None) => break,
                    Err(error) => return (Err(error), false),
                }
            }
            length += rest.len();
        }
        (Ok(frames), scanner.is_between())
    }

    const FRAMES: &[&[u8]] = &[
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":-12\r\n",
        b"_\r\n",
        b"#t\r\n",
        b",1.5\r\n",
        b"(123\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"$0\r\n\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n*2\r\n:1\r\n$-1\r\n%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n",
        b">3\r\n$8\r\nMIGRATED\r\n:1\r\n*1\r\n$2\r\n27\r\n",
        b"=6\r\ntxt:ab\r\n",
        b"!3\r\nERR\r\n",
        b"|1\r\n+ttl\r\n*1\r\n:1\r\n*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n",
        b"|1\r\n+k\r\n+v\r\n>1\r\n+x\r\n",
        b"$?\r\n;4\r\nabcd\r\n;1\r\n\n\r\n;0\r\n",
        b"*?\r\n:1\r\n*?\r\n.\r\n%?\r\n+a\r\n*2\r\n:1\r\n:2\r\n.\r\n.\r\n",
        b"*2\r\n*?\r\n.\r\n$?\r\n;0\r\n",
    ];

    #[test]
    fn every_type_in_every_split() {
        let stream = FRAMES.concat();
        let expected: Vec<(u8, usize)> = FRAMES
            .iter()
            .map(|frame| (if frame[0] == b'|' { frame[frame.len() - 8] } else { frame[0] }, frame.len()))
            .collect();
        // The two frames with an attribute are an array and a push.
        let expected: Vec<(u8, usize)> = expected
            .into_iter()
            .zip(FRAMES)
            .map(|((kind, length), frame)| match frame[0] {
                b'|' => (if frame.windows(4).any(|found| found == b">1\r\n") { b'>' } else { b'*' }, length),
                _ => (kind, length),
            })
            .collect();
        assert_eq!(scan([&stream[..]]), (Ok(expected.clone()), true));
        for cut in 0..stream.len() {
            assert_eq!(scan([&stream[..cut], &stream[cut..]]), (Ok(expected.clone()), true), "cut at {cut}");
        }
        assert_eq!(scan(stream.chunks(1)), (Ok(expected), true));
        for frame in FRAMES {
            for cut in 1..frame.len() {
                assert_eq!(scan([&frame[..cut]]), (Ok(vec![]), false), "{:?}", frame.escape_ascii());
            }
        }
    }

    #[test]
    fn announced_lengths_take_no_memory_and_nesting_no_stack() {
        let deep = b"*1\r\n".repeat(100_000);
        assert_eq!(scan([&deep[..]]), (Ok(vec![]), false));
        assert_eq!(scan([&[&deep[..], b":1\r\n"].concat()[..]]), (Ok(vec![(b'*', 400_004)]), true));
        assert_eq!(scan([&b"$9223372036854775807\r\nabc"[..]]), (Ok(vec![]), false));
        assert_eq!(scan([&b"*?\r\n".repeat(200)[..]]).0, Err(NotAFrame));
    }

    #[test]
    fn bytes_that_are_not_resp_are_rejected() {
        for wrong in
            [&b"x"[..], b"\r\n", b".\r\n", b";1\r\na\r\n", b"$1x\r\n", b"*?\r\n*1\r\n.\r\n", b"$?\r\n+a\r\n"]
        {
            assert_eq!(scan([wrong]).0, Err(NotAFrame), "{:?}", wrong.escape_ascii());
        }
        assert_eq!(scan([&b"*18446744073709551616\r\n"[..]]).0, Err(NotAFrame));
        assert_eq!(scan([&b"$18446744073709551615\r\n"[..]]).0, Err(NotAFrame));
    }

    proptest! {
        #[test]
        fn the_split_does_not_matter(
            input in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                prop::collection::vec(prop::sample::select(b"*$%>|;.?+012-\r\n".to_vec()), 0..200),
                prop::collection::vec(prop::sample::select(FRAMES.to_vec()), 0..20)
                    .prop_map(|frames| frames.concat()),
            ],
            size in 1usize..20,
        ) {
            prop_assert_eq!(scan(input.chunks(size)), scan([&input[..]]));
        }
    }
}
