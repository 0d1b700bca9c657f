//! [`Decoder`]: turns bytes, however they were cut on the way, into frames.
//!
//! Every byte is looked at once: what has arrived of a frame is kept as half-built values, never as text to be
//! scanned again. Small payloads are copied out of the read buffer, which frees it for the next read at once; a
//! payload that outgrows a read is received straight into the memory that the caller gets ([`Decoder::read_buffer`]).
//!
//! A push answers nothing, and can therefore be missed: one that exceeds its own, lower limits, or holds what is no
//! value, is read to its end, counted, and not kept. A reply of that kind ends the connection, since its caller would
//! wait for ever.

use bytes::Bytes;

use super::blob::Blob;
use super::frame::Frame;
use super::limits::{DecodeError, LINE_MAX, Limits, PUSH_LIMITS};
use super::skip::{Skip, TYPES};

/// A resumable decoder for one direction of one connection.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// Those of the frame that is being read: a push has others than all else.
    limits: Limits,
    reply_limits: Limits,
    push_limits: Limits,
    in_push: bool,
    /// The rest of a push that is not kept.
    skip: Option<Skip>,
    skipped: u64,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// A payload that has not arrived whole.
    blob: Option<Blob>,
    /// The chunks so far of a streamed string.
    streamed: Option<Vec<u8>>,
    /// Aggregates that have not arrived whole, outermost first.
    open: Vec<Aggregate>,
    /// Attributes for the frame that comes next at top level.
    attributes: Vec<Frame>,
    elements: usize,
    bytes: usize,
}

impl Decoder {
    pub(crate) fn new(limits: Limits) -> Self {
        Decoder {
            limits,
            reply_limits: limits,
            push_limits: limits.least(PUSH_LIMITS),
            in_push: false,
            skip: None,
            skipped: 0,
            line: Vec::new(),
            blob: None,
            streamed: None,
            open: Vec::new(),
            attributes: Vec::new(),
            elements: 0,
            bytes: 0,
        }
    }

    /// Takes the next frame off the front of `input`; `None` when all of it was consumed before a frame's end.
    ///
    /// After an error the stream has lost its meaning, and the decoder must not be used again.
    #[inline]
    pub(crate) fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, DecodeError> {
        if self.is_between_frames()
            && let Some(frame) = whole_bulk(input, self.limits.bytes)
        {
            return Ok(Some(frame));
        }
        self.decode_any(input)
    }

    /// Where the next bytes of the stream belong, when they are the rest of a large payload: read there, then
    /// call [`Decoder::fill`]. `None` means: read anywhere, then call [`Decoder::decode`].
    pub(crate) fn read_buffer(&mut self) -> Option<&mut [u8]> {
        self.blob.as_mut()?.read_buffer()
    }

    /// Tells that `count` bytes were read into [`Decoder::read_buffer`].
    pub(crate) fn fill(&mut self, count: usize) {
        if let Some(blob) = &mut self.blob {
            blob.fill(count);
        }
    }

    /// Whether pushes were skipped that nobody was told of yet.
    #[inline]
    pub(crate) fn has_skipped(&self) -> bool {
        self.skipped > 0
    }

    /// How many pushes were skipped since the last call, because they exceeded their limits or held what is no value.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Whether everything that has arrived was given out, or skipped, as whole frames.
    #[inline]
    pub(crate) fn is_between_frames(&self) -> bool {
        // What is skipped has had elements.
        self.elements == 0 && self.line.is_empty()
    }

    fn decode_any(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, DecodeError> {
        if self.skip.is_some() && !self.skip_on(input)? {
            return Ok(None);
        }
        loop {
            let before = *input;
            let element = match self.blob.take() {
                Some(blob) => self.resume(blob, input),
                None => self.element(input),
            };
            let frame = match element {
                Ok(Element::Whole(frame)) => self.place(frame)?,
                Ok(Element::Begun) => None,
                Ok(Element::Starved) => return Ok(None),
                Err(error) => match self.skip_after(error, before, input)? {
                    true => None,
                    false => return Ok(None),
                },
            };
            if let Some(frame) = frame {
                self.end_frame();
                return Ok(Some(frame));
            }
        }
    }

    /// What was counted of a frame is not counted for the next.
    #[inline]
    fn end_frame(&mut self) {
        self.elements = 0;
        self.bytes = 0;
        if self.in_push {
            self.in_push = false;
            self.limits = self.reply_limits;
        }
    }

    /// Reads one header line, and what follows it if that is already there.
    fn element(&mut self, input: &mut &[u8]) -> Result<Element, DecodeError> {
        if !self.line.is_empty() {
            return self.rest_of_line(input);
        }
        let Some(&kind) = input.first() else { return Ok(Element::Starved) };
        self.check_type(kind)?;
        match take_line(input) {
            Some(line) => self.line_of(line, input),
            None => self.keep_line(input),
        }
    }

    /// The same for a line whose beginning has been kept. It still is after an error.
    #[inline(never)]
    fn rest_of_line(&mut self, input: &mut &[u8]) -> Result<Element, DecodeError> {
        let mut rest = *input;
        let Some(part) = take_line(&mut rest) else { return self.keep_line(input) };
        self.check_line(part.len())?;
        *input = rest;
        self.line.extend_from_slice(part);
        let line = std::mem::take(&mut self.line);
        let element = self.line_of(&line, input);
        if element.is_err() {
            self.line = line;
        }
        element
    }

    #[inline]
    fn line_of(&mut self, line: &[u8], input: &mut &[u8]) -> Result<Element, DecodeError> {
        let line = line.strip_suffix(b"\r\n").ok_or(DecodeError::MissingTerminator)?;
        let (&kind, line) = line.split_first().ok_or(DecodeError::MissingTerminator)?;
        self.header(kind, line, input)
    }

    /// Keeps the beginning of a line, which is all that there is.
    fn keep_line(&mut self, input: &mut &[u8]) -> Result<Element, DecodeError> {
        self.check_line(input.len())?;
        self.line.extend_from_slice(input);
        *input = &[];
        Ok(Element::Starved)
    }

    fn check_line(&self, more: usize) -> Result<(), DecodeError> {
        if self.line.len() + more > LINE_MAX { Err(DecodeError::LineTooLong) } else { Ok(()) }
    }

    /// Whether a frame may begin with this byte, here.
    fn check_type(&self, kind: u8) -> Result<(), DecodeError> {
        if !TYPES.contains(&kind) {
            return Err(DecodeError::UnknownType(kind));
        }
        if self.streamed.is_some() != (kind == b';') {
            return Err(DecodeError::BrokenStream);
        }
        Ok(())
    }

    fn header(&mut self, kind: u8, line: &[u8], input: &mut &[u8]) -> Result<Element, DecodeError> {
        self.count_element()?;
        let bad_number = DecodeError::BadNumber(kind);
        let frame = match kind {
            b'$' | b'!' | b'=' | b';' => return self.begin_blob(kind, line, input),
            b'*' | b'~' | b'>' | b'%' | b'|' => return self.begin_aggregate(kind, line),
            b'.' => return self.end_streamed(line),
            b'+' => Frame::Simple(self.text(line)?),
            b'-' => Frame::Error(self.text(line)?),
            b'(' => {
                let digits = line.strip_prefix(b"-").or(line.strip_prefix(b"+")).unwrap_or(line);
                if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                    return Err(bad_number);
                }
                Frame::BigNumber(self.text(line)?)
            }
            b':' => Frame::Integer(integer(line).ok_or(bad_number)?),
            b',' => Frame::Double(double(line).ok_or(bad_number)?),
            b'#' if line == b"t" => Frame::Boolean(true),
            b'#' if line == b"f" => Frame::Boolean(false),
            b'_' if line.is_empty() => Frame::Null,
            _ => return Err(bad_number),
        };
        Ok(Element::Whole(frame))
    }

    fn begin_blob(&mut self, kind: u8, line: &[u8], input: &mut &[u8]) -> Result<Element, DecodeError> {
        if kind == b'$' && line == b"-1" {
            return Ok(Element::Whole(Frame::Null));
        }
        if kind == b'$' && line == b"?" {
            self.streamed = Some(Vec::new());
            return Ok(Element::Begun);
        }
        let length = count(line).ok_or(DecodeError::BadNumber(kind))?;
        self.count_bytes(length)?;
        if kind == b';' {
            let chunks = self.streamed.take().unwrap_or_default();
            if length == 0 {
                return Ok(Element::Whole(Frame::Bulk(chunks.into())));
            }
            return self.resume(Blob::after(chunks, length), input);
        }
        if let Some((payload, rest)) = input.split_at_checked(length)
            && let Some(rest) = rest.strip_prefix(b"\r\n")
        {
            *input = rest;
            return blob_frame(kind, Bytes::copy_from_slice(payload)).map(Element::Whole);
        }
        self.resume(Blob::new(kind, length), input)
    }

    /// Continues a payload with what `input` holds of it.
    fn resume(&mut self, mut blob: Blob, input: &mut &[u8]) -> Result<Element, DecodeError> {
        if !blob.take_from(input)? {
            self.blob = Some(blob);
            return Ok(Element::Starved);
        }
        match blob.into_payload() {
            (b';', chunks) => {
                self.streamed = Some(chunks);
                Ok(Element::Begun)
            }
            (kind, payload) => blob_frame(kind, payload.into()).map(Element::Whole),
        }
    }

    fn begin_aggregate(&mut self, kind: u8, line: &[u8]) -> Result<Element, DecodeError> {
        if kind == b'*' && line == b"-1" {
            return Ok(Element::Whole(Frame::Null));
        }
        if kind == b'>' && !self.open.is_empty() {
            return Err(DecodeError::Misplaced);
        }
        if kind == b'>' {
            self.in_push = true;
            self.limits = self.push_limits;
        }
        let pairs = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
        let missing = match line {
            // Attributes and pushes are announced with their length: the specification streams neither.
            b"?" if !matches!(kind, b'|' | b'>') => None,
            _ => {
                let count = count(line).ok_or(DecodeError::BadNumber(kind))?;
                Some(count.checked_mul(pairs).ok_or(DecodeError::TooManyElements)?)
            }
        };
        if missing.unwrap_or(0) > self.limits.elements {
            return Err(DecodeError::TooManyElements);
        }
        if self.open.len() >= self.limits.depth {
            return Err(DecodeError::TooDeep);
        }
        let reserved = missing.unwrap_or(0).min(RESERVED_ELEMENTS_MAX);
        let aggregate =
            Aggregate { kind, missing, items: Vec::with_capacity(reserved), attributes: Vec::new() };
        if missing == Some(0) {
            return self.close(aggregate);
        }
        self.open.push(aggregate);
        Ok(Element::Begun)
    }

    fn end_streamed(&mut self, line: &[u8]) -> Result<Element, DecodeError> {
        match self.open.pop() {
            Some(aggregate) if aggregate.missing.is_none() && line.is_empty() => self.close(aggregate),
            _ => Err(DecodeError::BrokenStream),
        }
    }

    /// Puts a whole element where it belongs; gives it back if that is the top level.
    fn place(&mut self, mut frame: Frame) -> Result<Option<Frame>, DecodeError> {
        loop {
            let Some(parent) = self.open.last_mut() else {
                return Ok(Some(attributed(&mut self.attributes, frame)));
            };
            let frame_in_place = attributed(&mut parent.attributes, frame);
            parent.items.push(frame_in_place);
            let Some(missing) = &mut parent.missing else { return Ok(None) };
            *missing -= 1;
            if *missing > 0 {
                return Ok(None);
            }
            let Some(aggregate) = self.open.pop() else { return Ok(None) };
            match self.close(aggregate)? {
                Element::Whole(whole) => frame = whole,
                Element::Begun | Element::Starved => return Ok(None),
            }
        }
    }

    fn close(&mut self, aggregate: Aggregate) -> Result<Element, DecodeError> {
        if !aggregate.attributes.is_empty() {
            return Err(DecodeError::Misplaced);
        }
        let items = aggregate.items;
        let frame = match aggregate.kind {
            b'%' => Frame::Map(pairs(items).ok_or(DecodeError::OddMap)?),
            b'~' => Frame::Set(items),
            b'>' => Frame::Push(items),
            b'|' => {
                let pending = match self.open.last_mut() {
                    Some(parent) => &mut parent.attributes,
                    None => &mut self.attributes,
                };
                pending.extend(items);
                return Ok(Element::Begun);
            }
            _ => Frame::Array(items),
        };
        Ok(Element::Whole(frame))
    }

    fn text(&mut self, line: &[u8]) -> Result<Bytes, DecodeError> {
        self.count_bytes(line.len())?;
        Ok(match line {
            b"OK" => Bytes::from_static(b"OK"),
            line => Bytes::copy_from_slice(line),
        })
    }

    fn count_element(&mut self) -> Result<(), DecodeError> {
        self.elements += 1;
        // One more than the limit: the outermost aggregate is not an element of itself.
        if self.elements > self.limits.elements.saturating_add(1) {
            return Err(DecodeError::TooManyElements);
        }
        Ok(())
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.bytes { Err(DecodeError::TooLong) } else { Ok(()) }
    }
}

/// What becomes of a push that is not kept. None of it concerns replies.
impl Decoder {
    /// Something is wrong with the element that began with what is kept of a line, or else with `before`: the end of
    /// a push, or of everything. True when the push has been skipped, false when the input ended first.
    #[cold]
    fn skip_after(
        &mut self,
        error: DecodeError,
        mut before: &[u8],
        input: &mut &[u8],
    ) -> Result<bool, DecodeError> {
        if !self.in_push {
            return Err(error);
        }
        let kept = std::mem::take(&mut self.line);
        let line = if kept.is_empty() { take_line(&mut before).unwrap_or(before) } else { &kept[..] };
        let kind = line.first().copied().unwrap_or_default();
        let skip = match error {
            DecodeError::LineTooLong if b"+-(".contains(&kind) => self.begin_skip().in_line(&kept),
            DecodeError::BadVerbatim | DecodeError::OddMap => self.begin_skip().after_element(),
            DecodeError::Misplaced if kind == b'.' => self.begin_skip().after_element(),
            error if is_about_content(error) => {
                let content = line.get(1..).and_then(|line| line.strip_suffix(b"\r\n")).ok_or(error)?;
                let mut skip = self.begin_skip();
                skip.line(kind, content)?;
                skip
            }
            error => return Err(error),
        };
        self.skip = Some(skip);
        self.skip_on(input)
    }

    /// Forgets what there is of the push.
    fn begin_skip(&mut self) -> Skip {
        self.attributes.clear();
        let aggregates = std::mem::take(&mut self.open);
        let open = aggregates.iter().map(|aggregate| (aggregate.kind == b'|', aggregate.missing));
        Skip::within(open, self.streamed.take().is_some())
    }

    /// Takes what is to be skipped out of `input`; true when that was all.
    #[cold]
    fn skip_on(&mut self, input: &mut &[u8]) -> Result<bool, DecodeError> {
        let Some(skip) = &mut self.skip else { return Ok(true) };
        if !skip.take_from(input)? {
            return Ok(false);
        }
        self.skip = None;
        self.skipped += 1;
        self.end_frame();
        Ok(true)
    }
}

enum Element {
    /// A value, complete.
    Whole(Frame),
    /// Something that more elements belong to.
    Begun,
    /// The input ended.
    Starved,
}

#[derive(Debug)]
struct Aggregate {
    kind: u8,
    /// Elements that have not arrived; `None` when only an end marker will tell.
    missing: Option<usize>,
    items: Vec<Frame>,
    /// Attributes for the element that comes next.
    attributes: Vec<Frame>,
}

/// The commonest reply, a bulk string that is there in full, without the detour through the general case.
#[inline]
fn whole_bulk(input: &mut &[u8], length_max: usize) -> Option<Frame> {
    let rest = input.strip_prefix(b"$")?;
    let mut length = 0usize;
    let mut digits = 0;
    for &byte in rest.iter().take(WHOLE_DIGITS_MAX) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        length = length * 10 + usize::from(digit);
        digits += 1;
    }
    if digits == 0 || length > length_max {
        return None;
    }
    let (payload, rest) = rest.get(digits..)?.strip_prefix(b"\r\n")?.split_at_checked(length)?;
    let rest = rest.strip_prefix(b"\r\n")?;
    let frame = Frame::Bulk(Bytes::copy_from_slice(payload));
    *input = rest;
    Some(frame)
}

fn blob_frame(kind: u8, payload: Bytes) -> Result<Frame, DecodeError> {
    match kind {
        b'!' => Ok(Frame::Error(payload)),
        b'=' => match payload.first_chunk::<4>() {
            Some(&[a, b, c, b':']) => {
                Ok(Frame::Verbatim { format: [a, b, c], text: payload.slice(VERBATIM_PREFIX..) })
            }
            _ => Err(DecodeError::BadVerbatim),
        },
        _ => Ok(Frame::Bulk(payload)),
    }
}

/// Whether all is well but for what an element holds, or how much there is: its end is known.
fn is_about_content(error: DecodeError) -> bool {
    match error {
        DecodeError::TooDeep | DecodeError::TooManyElements | DecodeError::TooLong => true,
        DecodeError::BadNumber(kind) => b":,#_(".contains(&kind),
        _ => false,
    }
}

fn attributed(pending: &mut Vec<Frame>, frame: Frame) -> Frame {
    if pending.is_empty() {
        return frame;
    }
    let attributes = pairs(std::mem::take(pending)).unwrap_or_default();
    Frame::Attributed { attributes, frame: Box::new(frame) }
}

fn pairs(items: Vec<Frame>) -> Option<Vec<(Frame, Frame)>> {
    if !items.len().is_multiple_of(2) {
        return None;
    }
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    Some(pairs)
}

/// The next line with its end, if that is there.
fn take_line<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(b'\n', input.get(..LINE_MAX).unwrap_or(input))?;
    let (line, rest) = input.split_at(end + 1);
    *input = rest;
    Some(line)
}

/// A length or a count: digits only.
pub(super) fn count(line: &[u8]) -> Option<usize> {
    if line.is_empty() || line.len() > COUNT_DIGITS_MAX {
        return None;
    }
    line.iter().try_fold(0usize, |number, byte| match byte.wrapping_sub(b'0') {
        digit @ 0..=9 => number.checked_mul(10)?.checked_add(usize::from(digit)),
        _ => None,
    })
}

fn integer(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// `inf`, `-inf`, `nan`, or what Rust's parser takes, which is a superset of the specification's grammar.
fn double(line: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(line).ok()?;
    match text.trim_start_matches(['+', '-']).bytes().next() {
        Some(b'0'..=b'9' | b'.' | b'i' | b'n' | b'I' | b'N') => text.parse().ok(),
        _ => None,
    }
}

/// No count of more digits can be within any limit.
const COUNT_DIGITS_MAX: usize = 18;
/// Lengths of more digits cannot be whole within one read.
const WHOLE_DIGITS_MAX: usize = 6;
/// How many elements memory is reserved for before any has arrived.
const RESERVED_ELEMENTS_MAX: usize = 1024;
/// The format and its colon.
const VERBATIM_PREFIX: usize = 4;

#[cfg(test)]
mod tests;
