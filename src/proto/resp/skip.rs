//! [`Skip`]: reads a push that is not kept to its end.

use super::limits::DecodeError;
use super::wire::{TYPES, count};

/// The position within a frame, without the frame.
///
/// It only counts the elements and bytes that are still missing, so that a push of any size costs a few bytes of memory. It
/// checks only what determines where elements end: type bytes, lengths and line ends.
///
/// ```text
///            ┌──── a line that is a whole element ────▶ Line ────────────┐
/// Element ───┤                                                           ├──▶ Element, until none is missing
///    ▲       └──▶ Header ──┬── $ ! = ; with a length ──▶ Payload ────────┘
///    └── * ~ % | and null ─┘
/// ```
#[derive(Debug)]
pub(super) struct Skip {
    next: Next,
    /// How many elements are missing in the innermost streamed aggregate, or in the frame if there is none. The elements of
    /// an aggregate of known length are added to this number, so that its depth costs no memory.
    missing: u64,
    /// The same number for the surroundings of each streamed aggregate, outermost first.
    around: Vec<u64>,
    /// The next elements are chunks of a streamed string.
    in_chunks: bool,
    /// The beginning of a header whose end has not arrived.
    header: Vec<u8>,
}

/// The part that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Element,
    /// A line that announces a length or a count.
    Header,
    /// A line that is a whole element; `after_cr` if its last byte so far was `\r`.
    Line {
        after_cr: bool,
    },
    /// A payload of which `missing` bytes are missing, and `terminator` bytes of the final `\r\n`.
    Payload {
        missing: usize,
        terminator: usize,
    },
}

impl Skip {
    /// Starts between two elements of a frame. `aggregates` are the open ones, outermost first: whether each is an
    /// attribute, and how many elements are missing in it, if that is known. The next open aggregate counts as missing.
    pub(super) fn within(aggregates: impl Iterator<Item = (bool, Option<usize>)>, in_chunks: bool) -> Self {
        let mut skip = Skip {
            next: Next::Element,
            // The frame itself.
            missing: 1,
            around: Vec::new(),
            in_chunks,
            header: Vec::new(),
        };
        for (is_attribute, missing) in aggregates {
            skip.begin(is_attribute, missing.map(|missing| missing as u64));
        }
        skip
    }

    /// Starts behind the current element.
    pub(super) fn after_element(mut self) -> Self {
        self.end();
        self
    }

    /// Starts within a line that is a whole element, of which `arrived` has been read.
    pub(super) fn in_line(mut self, arrived: &[u8]) -> Self {
        self.next = Next::Line { after_cr: arrived.ends_with(b"\r") };
        self
    }

    /// Takes one complete line, without its end. It is the next element or the beginning of it.
    pub(super) fn line(&mut self, kind: u8, line: &[u8]) -> Result<(), DecodeError> {
        let bad_number = DecodeError::BadNumber(kind);
        match (kind, line) {
            (b'$' | b'*', b"-1") => self.end(),
            (b'$', b"?") => self.in_chunks = true,
            (b'*' | b'~' | b'%', b"?") => {
                if self.around.len() >= STREAMS_MAX {
                    return Err(DecodeError::TooDeep);
                }
                self.begin(false, None);
            }
            (b'$' | b'!' | b'=' | b';', digits) => {
                let length = count(digits).ok_or(bad_number)?;
                if kind == b';' && length == 0 {
                    self.in_chunks = false;
                    self.end();
                } else {
                    self.next = Next::Payload { missing: length, terminator: TERMINATOR.len() };
                }
            }
            (b'*' | b'~' | b'>' | b'%' | b'|', digits) => {
                let elements = count(digits).ok_or(bad_number)? as u64;
                let pairs = if matches!(kind, b'%' | b'|') { 2 } else { 1 };
                self.begin(kind == b'|', Some(elements.saturating_mul(pairs)));
            }
            (b'.', b"") if self.missing == 0 => {
                self.missing = self.around.pop().ok_or(DecodeError::BrokenStream)?;
            }
            (b'.', _) => return Err(DecodeError::BrokenStream),
            _ => self.end(),
        }
        Ok(())
    }

    /// Takes the bytes of the frame out of `input`; true once the frame has ended.
    pub(super) fn take_from(&mut self, input: &mut &[u8]) -> Result<bool, DecodeError> {
        while !self.is_over() {
            let Some(&first) = input.first() else { return Ok(false) };
            match self.next {
                Next::Element => self.next = self.next_of(first)?,
                Next::Header => self.take_header(input)?,
                Next::Line { after_cr } => self.take_line(after_cr, input)?,
                Next::Payload { missing, terminator } => self.take_payload(missing, terminator, input)?,
            }
        }
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.next == Next::Element && self.missing == 0 && self.around.is_empty() && !self.in_chunks
    }

    /// Counts one element as complete, or as replaced by the elements in it.
    fn end(&mut self) {
        // The elements of a streamed aggregate are not counted: the number stays 0.
        self.missing = self.missing.saturating_sub(1);
    }

    /// Begins an aggregate. An attribute is not an element; it precedes one.
    fn begin(&mut self, is_attribute: bool, elements: Option<u64>) {
        if !is_attribute {
            self.end();
        }
        match elements {
            Some(elements) => self.missing = self.missing.saturating_add(elements),
            None => self.around.push(std::mem::take(&mut self.missing)),
        }
    }

    fn next_of(&self, kind: u8) -> Result<Next, DecodeError> {
        if self.in_chunks != (kind == b';') && TYPES.contains(&kind) {
            return Err(DecodeError::BrokenStream);
        }
        match kind {
            b'>' => Err(DecodeError::Misplaced),
            b'$' | b'!' | b'=' | b';' | b'*' | b'~' | b'%' | b'|' | b'.' => Ok(Next::Header),
            kind if TYPES.contains(&kind) => Ok(Next::Line { after_cr: false }),
            kind => Err(DecodeError::UnknownType(kind)),
        }
    }

    fn take_header(&mut self, input: &mut &[u8]) -> Result<(), DecodeError> {
        let end = memchr::memchr(b'\n', input).map(|end| end + 1);
        let (part, rest) = input.split_at(end.unwrap_or(input.len()));
        if self.header.len() + part.len() > HEADER_MAX {
            let kind = self.header.first().or(part.first()).copied().unwrap_or_default();
            return Err(DecodeError::BadNumber(kind));
        }
        self.header.extend_from_slice(part);
        *input = rest;
        if end.is_some() {
            let mut header = std::mem::take(&mut self.header);
            let line = header.strip_suffix(TERMINATOR).ok_or(DecodeError::MissingTerminator)?;
            let (&kind, digits) = line.split_first().ok_or(DecodeError::MissingTerminator)?;
            self.next = Next::Element;
            self.line(kind, digits)?;
            header.clear();
            self.header = header;
        }
        Ok(())
    }

    fn take_line(&mut self, after_cr: bool, input: &mut &[u8]) -> Result<(), DecodeError> {
        let end = memchr::memchr(b'\n', input);
        let (part, rest) = input.split_at(end.unwrap_or(input.len()));
        let after_cr = part.last().map_or(after_cr, |last| *last == b'\r');
        *input = rest.get(1..).unwrap_or_default();
        self.next = Next::Line { after_cr };
        if end.is_some() {
            if !after_cr {
                return Err(DecodeError::MissingTerminator);
            }
            self.next = Next::Element;
            self.end();
        }
        Ok(())
    }

    fn take_payload(
        &mut self,
        missing: usize,
        terminator: usize,
        input: &mut &[u8],
    ) -> Result<(), DecodeError> {
        let (part, mut rest) = input.split_at(missing.min(input.len()));
        let missing = missing - part.len();
        let mut terminator = terminator;
        while missing == 0 && terminator > 0 {
            let Some((&byte, after)) = rest.split_first() else { break };
            if Some(&byte) != TERMINATOR.get(TERMINATOR.len() - terminator) {
                return Err(DecodeError::MissingTerminator);
            }
            terminator -= 1;
            rest = after;
        }
        *input = rest;
        self.next = Next::Payload { missing, terminator };
        if missing == 0 && terminator == 0 {
            self.next = Next::Element;
            if !self.in_chunks {
                self.end();
            }
        }
        Ok(())
    }
}

const TERMINATOR: &[u8] = b"\r\n";
/// A type byte, more digits than any length has, and a line end.
const HEADER_MAX: usize = 32;
/// How deep streamed aggregates may nest. Their nesting is the only part of a skipped push that takes memory.
const STREAMS_MAX: usize = 1024;
