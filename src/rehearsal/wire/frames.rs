//! Where the frames of a reply stream end: for a proxy, which passes replies on as they come and adds its own
//! between them.
//!
//! Resumable at any byte and without a copy: each byte is looked at once, payloads are skipped, and memory does not
//! grow with what a frame announces. RESP2 and RESP3 whole, streamed strings and aggregates included.

/// Streamed aggregates inside each other; a stream with more is not followed any further.
const STREAMED_DEPTH_MAX: usize = 128;

/// Not RESP, or deeper than anyone would send it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAFrame;

/// A place in a stream of frames.
#[derive(Debug, Default)]
pub(crate) struct FrameScanner {
    at: At,
    /// Elements still to come before the frame, or the innermost streamed aggregate, is whole. Nesting needs no
    /// stack: an aggregate of three is two more elements than were missing before.
    missing: u64,
    /// What was missing outside of each streamed aggregate that is open.
    streamed: Vec<u64>,
    /// The type of the frame that has begun, 0 before it is known: attributes come first.
    kind: u8,
    /// Between the chunks of a streamed string.
    is_in_chunks: bool,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    /// A type.
    #[default]
    Type,
    /// In the number behind the type.
    Number(u8, Number),
    /// In a line whose text does not matter.
    Line,
    /// In a payload, of which so many bytes are left, its end of line included.
    Payload(u64),
}

/// A length as far as it is known.
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
        matches!(self.at, At::Type) && self.missing == 0 && self.streamed.is_empty() && !self.is_in_chunks
    }

    /// Goes on through `bytes` up to the end of a frame: how many bytes that took, and the frame's type. `None`
    /// if the frame does not end in `bytes`, all of which are done with then.
    pub(crate) fn frame_end(&mut self, bytes: &[u8]) -> Result<Option<(usize, u8)>, NotAFrame> {
        let mut rest = bytes;
        loop {
            let is_whole = match self.at {
                At::Type => {
                    let Some((&kind, tail)) = rest.split_first() else {
                        return Ok(None);
                    };
                    rest = tail;
                    self.begin(kind)?;
                    false
                }
                At::Line => {
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        return Ok(None);
                    };
                    rest = rest.get(end + 1..).unwrap_or_default();
                    self.end_element()
                }
                At::Payload(left) => {
                    let here = left.min(rest.len() as u64);
                    rest = rest.get(here as usize..).unwrap_or_default();
                    if here < left {
                        self.at = At::Payload(left - here);
                        return Ok(None);
                    }
                    self.at = At::Type;
                    !self.is_in_chunks && self.end_element()
                }
                At::Number(kind, number) => {
                    let Some((&byte, tail)) = rest.split_first() else {
                        return Ok(None);
                    };
                    rest = tail;
                    match number.read(byte)? {
                        Some(longer) => {
                            self.at = At::Number(kind, longer);
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

    /// An element, or the end of a streamed aggregate, begins.
    #[inline]
    fn begin(&mut self, kind: u8) -> Result<(), NotAFrame> {
        if self.is_in_chunks != (kind == b';') {
            return Err(NotAFrame);
        }
        if kind == b'.' {
            // It ends the innermost aggregate, which counts as one element of what is around it.
            self.missing = match self.missing {
                0 => self.streamed.pop().ok_or(NotAFrame)?,
                _ => return Err(NotAFrame),
            };
            self.at = At::Line;
            return Ok(());
        }
        self.missing = self.missing.max(1);
        if self.kind == 0 && self.missing == 1 && self.streamed.is_empty() && kind != b'|' {
            self.kind = kind;
        }
        self.at = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => At::Line,
            b'$' | b'*' | b'%' | b'~' | b'>' | b'|' | b'=' | b'!' | b';' => {
                At::Number(kind, Number::default())
            }
            _ => return Err(NotAFrame),
        };
        Ok(())
    }

    /// The number behind `kind` is known. Whether that was the end of the frame.
    fn announced(&mut self, kind: u8, number: Number) -> Result<bool, NotAFrame> {
        self.at = At::Type;
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
        // An attribute is not an element: it stands before one.
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
        self.at = At::Payload(number.value.checked_add(2).ok_or(NotAFrame)?);
        Ok(false)
    }

    /// An element is whole. Whether its frame is.
    #[inline]
    fn end_element(&mut self) -> bool {
        self.at = At::Type;
        self.missing = self.missing.saturating_sub(1);
        self.missing == 0 && self.streamed.is_empty()
    }
}

impl Number {
    /// The number with `byte` added; `None` at the end of its line.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The frames that `chunks` hold: their types and their lengths; and whether the stream ends between two.
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
    fn what_is_announced_takes_no_memory_and_nesting_no_stack() {
        let deep = b"*1\r\n".repeat(100_000);
        assert_eq!(scan([&deep[..]]), (Ok(vec![]), false));
        assert_eq!(scan([&[&deep[..], b":1\r\n"].concat()[..]]), (Ok(vec![(b'*', 400_004)]), true));
        assert_eq!(scan([&b"$9223372036854775807\r\nabc"[..]]), (Ok(vec![]), false));
        assert_eq!(scan([&b"*?\r\n".repeat(200)[..]]).0, Err(NotAFrame));
    }

    #[test]
    fn what_is_not_resp_is_refused() {
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
