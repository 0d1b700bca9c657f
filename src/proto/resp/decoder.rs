//! [`Decoder`]: turns a stream of bytes into frames, however the reads cut it.

mod skipping;

use bytes::Bytes;

use super::aggregate::{Aggregate, attributed, pairs};
use super::blob::Blob;
use super::frame::Frame;
use super::limits::{DecodeError, LINE_MAX, Limits, PUSH_LIMITS};
use super::published::Published;
use super::skip::Skip;
use super::wire::{TYPES, count, double, integer, take_line, whole_payload};

/// A resumable decoder for one direction of one connection.
///
/// The decoder looks at each byte once. It keeps an incomplete frame as partly built values, and never scans text again:
/// otherwise a server could make each read cost the whole frame. Small payloads are copied out of the read
/// buffer, which is free for the next read at once. A payload that is larger than a read is received directly into the memory
/// that the caller gets ([`Decoder::read_buffer`]).
///
/// A push answers no command, so it can be dropped. A push that exceeds its own, lower limits, or holds a malformed value,
/// is skipped to its end and counted. A reply of that kind ends the connection, because its caller would wait forever.
///
/// The owner calls [`Decoder::decode`] until it returns `None`, and must not use the decoder again after an error.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The limits of the frame that is being read: `push_limits` within a push, and else `reply_limits`.
    limits: Limits,
    reply_limits: Limits,
    push_limits: Limits,
    in_push: bool,
    /// The rest of a push that is skipped.
    skip: Option<Skip>,
    skipped: u64,
    /// The beginning of a line whose end has not arrived.
    line: Vec<u8>,
    /// A payload that has not arrived in full.
    blob: Option<Blob>,
    /// The chunks of a streamed string that have arrived.
    streamed: Option<Vec<u8>>,
    /// Aggregates that have not arrived in full, outermost first.
    open: Vec<Aggregate>,
    /// The attributes of the next frame at top level.
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

    /// Takes the next frame out of `input`; `None` if all input is consumed and no frame is complete.
    ///
    /// # Errors
    /// The stream is not RESP, or a reply exceeds the limits.
    #[inline(always)]
    pub(crate) fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, DecodeError> {
        if self.is_between_frames()
            && let Some(frame) = whole_bulk(input, self.limits.bytes)
        {
            return Ok(Some(frame));
        }
        self.decode_any(input)
    }

    /// The message of pub/sub that `input` begins with, and what follows it. `None` unless it has arrived in full, in the form
    /// that servers send, and within the limits of pushes: then [`Decoder::decode`] decides.
    #[inline]
    pub(crate) fn published<'a>(&self, input: &'a [u8]) -> Option<(Published<'a>, &'a [u8])> {
        let limits = self.push_limits;
        if !self.is_between_frames() || limits.depth == 0 || limits.elements < Published::ELEMENTS_MAX {
            return None;
        }
        Published::read(input).filter(|(message, _)| message.len() <= limits.bytes)
    }

    /// The memory for the next read, if the next bytes are the rest of a large payload: read into it, call
    /// [`Decoder::fill`], and then [`Decoder::decode`]. `None`: read into any buffer and call [`Decoder::decode`].
    pub(crate) fn read_buffer(&mut self) -> Option<&mut [u8]> {
        self.blob.as_mut()?.read_buffer()
    }

    /// Reports that `count` bytes were read into [`Decoder::read_buffer`].
    pub(crate) fn fill(&mut self, count: usize) {
        if let Some(blob) = &mut self.blob {
            blob.fill(count);
        }
    }

    /// Accepts pushes as large as replies: the client has asked for them.
    pub(crate) fn accept_large_pushes(&mut self) {
        self.push_limits = self.reply_limits;
    }

    /// Whether pushes were skipped since the last [`Decoder::take_skipped`].
    #[inline]
    pub(crate) fn has_skipped(&self) -> bool {
        self.skipped > 0
    }

    /// How many pushes were skipped since the last call, because they exceeded their limits or held a malformed value.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Whether all bytes that have arrived belong to complete frames.
    #[inline]
    pub(crate) fn is_between_frames(&self) -> bool {
        // A skipped push has counted elements as well, until its end.
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
                Ok(Element::Incomplete) => return Ok(None),
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

    /// Resets the counters and the limits for the next frame.
    #[inline]
    fn end_frame(&mut self) {
        self.elements = 0;
        self.bytes = 0;
        if self.in_push {
            self.in_push = false;
            self.limits = self.reply_limits;
        }
    }

    /// Reads one header line, and its payload if that has arrived.
    fn element(&mut self, input: &mut &[u8]) -> Result<Element, DecodeError> {
        if !self.line.is_empty() {
            return self.rest_of_line(input);
        }
        let Some(&kind) = input.first() else { return Ok(Element::Incomplete) };
        self.check_type(kind)?;
        match take_line(input) {
            Some(line) => self.line_of(line, input),
            None => self.keep_line(input),
        }
    }

    /// Like [`Decoder::element`], for a line whose beginning is kept. It stays kept after an error, because
    /// [`Decoder::skip_after`] looks at it.
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

    /// Keeps the beginning of a line whose end has not arrived.
    fn keep_line(&mut self, input: &mut &[u8]) -> Result<Element, DecodeError> {
        self.check_line(input.len())?;
        self.line.extend_from_slice(input);
        *input = &[];
        Ok(Element::Incomplete)
    }

    fn check_line(&self, more: usize) -> Result<(), DecodeError> {
        if self.line.len() + more > LINE_MAX { Err(DecodeError::LineTooLong) } else { Ok(()) }
    }

    /// Whether an element may begin with this byte here.
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

    /// Continues a payload with the bytes that `input` holds of it.
    fn resume(&mut self, mut blob: Blob, input: &mut &[u8]) -> Result<Element, DecodeError> {
        if !blob.take_from(input)? {
            self.blob = Some(blob);
            return Ok(Element::Incomplete);
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
            // The specification streams neither attributes nor pushes.
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

    /// Adds a complete element to its aggregate, and returns the frame if that completes one at top level.
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
                Element::Begun | Element::Incomplete => return Ok(None),
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

/// The result of reading one element.
enum Element {
    /// A complete value.
    Whole(Frame),
    /// The beginning or the end of an element that has others in it.
    Begun,
    /// The input ended before the element did.
    Incomplete,
}

/// The most common reply, a bulk string that has arrived in full. Skipping the general case is the hot path of a GET.
#[inline(always)]
fn whole_bulk(input: &mut &[u8], length_max: usize) -> Option<Frame> {
    let mut rest = *input;
    let payload = whole_payload(&mut rest).filter(|payload| payload.len() <= length_max)?;
    *input = rest;
    Some(Frame::Bulk(Bytes::copy_from_slice(payload)))
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

/// For how many elements memory is reserved before they arrive: a header that announces more must cost little.
const RESERVED_ELEMENTS_MAX: usize = 1024;
/// The length of the format and its colon.
const VERBATIM_PREFIX: usize = 4;

#[cfg(test)]
pub(crate) mod tests;
