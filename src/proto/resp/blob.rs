//! [`Blob`]: a payload that arrives in more than one read.

use super::limits::DecodeError;

/// A payload of announced length on its way in.
#[derive(Debug)]
pub(super) struct Blob {
    kind: u8,
    /// Initialized memory; what has arrived is at the front.
    payload: Vec<u8>,
    filled: usize,
    length: usize,
    /// How many bytes of the `\r\n` behind the payload have arrived.
    terminator: usize,
}

impl Blob {
    pub(super) fn new(kind: u8, length: usize) -> Self {
        Blob { kind, payload: Vec::new(), filled: 0, length, terminator: 0 }
    }

    /// The next chunk of a streamed string.
    pub(super) fn after(chunks: Vec<u8>, length: usize) -> Self {
        let filled = chunks.len();
        Blob { kind: b';', payload: chunks, filled, length: filled.saturating_add(length), terminator: 0 }
    }

    /// Moves what belongs to this payload out of `input`; true when it is complete.
    pub(super) fn take_from(&mut self, input: &mut &[u8]) -> Result<bool, DecodeError> {
        let wanted = (self.length - self.filled).min(input.len());
        let (part, rest) = input.split_at(wanted);
        self.payload.truncate(self.filled);
        self.payload.extend_from_slice(part);
        self.filled += part.len();
        *input = rest;
        while self.filled == self.length && self.terminator < 2 {
            let Some((&byte, rest)) = input.split_first() else { return Ok(false) };
            if Some(&byte) != b"\r\n".get(self.terminator) {
                return Err(DecodeError::MissingTerminator);
            }
            self.terminator += 1;
            *input = rest;
        }
        Ok(self.filled == self.length)
    }

    /// Room for the rest, grown with what has arrived rather than with what was announced.
    pub(super) fn read_buffer(&mut self) -> Option<&mut [u8]> {
        let missing = self.length - self.filled;
        if missing < SPACE_MIN {
            return None;
        }
        // More at once would take longer to be cleared than a turn of the driver may last.
        let room = missing.min(SPACE_FIRST);
        self.payload.resize(self.filled + room, 0);
        self.payload.get_mut(self.filled..)
    }

    /// Tells that `count` bytes were read into [`Blob::read_buffer`].
    pub(super) fn fill(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.payload.len());
    }

    /// The payload, once it is complete, and the type byte that it came with.
    pub(super) fn into_payload(self) -> (u8, Vec<u8>) {
        (self.kind, self.payload)
    }
}

/// A rest shorter than this is copied through the read buffer, which then may hold what comes after it, too.
const SPACE_MIN: usize = 4 << 10;
/// How much room there is for what arrives next of a payload.
pub(super) const SPACE_FIRST: usize = 1 << 20;
