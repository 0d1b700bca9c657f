//! [`Blob`]: a payload that arrives in several reads.

use super::limits::DecodeError;

/// A payload of known length that has not arrived in full.
#[derive(Debug)]
pub(super) struct Blob {
    kind: u8,
    /// Initialized memory, of which the first `filled` bytes have arrived.
    payload: Vec<u8>,
    filled: usize,
    length: usize,
    /// How many bytes of the final `\r\n` have arrived.
    terminator: usize,
}

impl Blob {
    pub(super) fn new(kind: u8, length: usize) -> Self {
        Blob { kind, payload: Vec::new(), filled: 0, length, terminator: 0 }
    }

    /// The next chunk of a streamed string, behind the chunks that have arrived.
    pub(super) fn after(chunks: Vec<u8>, length: usize) -> Self {
        let filled = chunks.len();
        Blob { kind: b';', payload: chunks, filled, length: filled.saturating_add(length), terminator: 0 }
    }

    /// Takes the bytes of this payload out of `input`; true once the payload is complete.
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

    /// Memory for the next read. It grows with the bytes that have arrived, not with the announced length: a header that
    /// announces much must cost little.
    pub(super) fn read_buffer(&mut self) -> Option<&mut [u8]> {
        let missing = self.length - self.filled;
        if missing < READ_BUFFER_MIN {
            return None;
        }
        // Clearing more at once takes longer than a turn of the driver may last.
        let room = missing.min(READ_BUFFER_MAX);
        self.payload.resize(self.filled + room, 0);
        self.payload.get_mut(self.filled..)
    }

    /// Reports that `count` bytes were read into [`Blob::read_buffer`].
    pub(super) fn fill(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.payload.len());
    }

    /// The type byte and the complete payload.
    pub(super) fn into_payload(self) -> (u8, Vec<u8>) {
        (self.kind, self.payload)
    }
}

/// A shorter rest is copied through the driver's buffer: one read then also takes the frames behind it.
const READ_BUFFER_MIN: usize = 4 << 10;
/// The largest buffer for one read.
pub(super) const READ_BUFFER_MAX: usize = 1 << 20;
