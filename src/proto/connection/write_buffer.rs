//! [`WriteBuffer`]: the bytes that a connection has taken from the queue, and how many of them are written.

/// The write buffer of a connection. The socket has taken the first bytes of it; the others are unwritten.
///
/// A driver writes [`WriteBuffer::unwritten`] and reports by [`WriteBuffer::advance`]. A driver that must not keep the pool
/// while it writes [takes](WriteBuffer::take) the bytes instead, and [gives back](WriteBuffer::give_back) what the socket had no
/// room for. Taken bytes count as written: no other connection may send their commands.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    bytes: Vec<u8>,
    written: usize,
    /// How many bytes were written since the beginning.
    sent: u64,
}

impl WriteBuffer {
    #[inline]
    pub(crate) fn unwritten(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn unwritten_len(&self) -> usize {
        self.bytes.len().saturating_sub(self.written)
    }

    #[inline]
    pub(crate) fn is_written(&self) -> bool {
        self.written >= self.bytes.len()
    }

    /// The socket has taken `count` more bytes.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.written = (self.written + count).min(self.bytes.len());
        self.sent += count as u64;
    }

    /// Moves the unwritten bytes into `bytes`, which must be empty.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>) {
        if bytes.capacity() > KEPT_MAX {
            // It would stay here until the next command.
            *bytes = Vec::new();
        }
        self.bytes.drain(..self.written);
        self.written = 0;
        self.sent += self.bytes.len() as u64;
        std::mem::swap(&mut self.bytes, bytes);
    }

    /// Takes back the bytes of [`WriteBuffer::take`], of which the socket took the first `count`. No command was taken out of the
    /// queue in between, so that they still belong to the newest commands in flight.
    pub(crate) fn give_back(&mut self, bytes: &mut Vec<u8>, count: usize) {
        self.sent -= bytes.len().saturating_sub(count) as u64;
        bytes.extend_from_slice(self.unwritten());
        std::mem::swap(&mut self.bytes, bytes);
        self.written = count.min(self.bytes.len());
        bytes.clear();
    }

    /// How many bytes were written, and taken, since the beginning.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The buffer, to append to.
    #[inline]
    pub(super) fn appended(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The empty buffer, to be filled anew once all of it is written.
    #[inline]
    pub(super) fn cleared(&mut self) -> &mut Vec<u8> {
        self.bytes.clear();
        self.written = 0;
        if self.bytes.capacity() > KEPT_MAX {
            self.bytes = Vec::new();
        }
        &mut self.bytes
    }

    /// The last `length` bytes, which must be unwritten.
    pub(super) fn tail(&self, length: usize) -> &[u8] {
        self.bytes.get(self.bytes.len() - length..).unwrap_or_default()
    }

    /// Removes the last `length` bytes, which must be unwritten.
    pub(super) fn cut(&mut self, length: usize) {
        self.bytes.truncate(self.bytes.len() - length);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// A buffer that has grown past this is freed once it is written.
pub(super) const KEPT_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> WriteBuffer {
        let mut buffer = WriteBuffer::default();
        buffer.appended().extend_from_slice(text.as_bytes());
        buffer
    }

    #[test]
    fn taken_bytes_count_as_written() {
        let (mut buffer, mut taken) = (filled("abcdef"), Vec::new());
        buffer.advance(2);
        buffer.take(&mut taken);
        assert_eq!((&taken[..], buffer.unwritten(), buffer.sent()), (&b"cdef"[..], &b""[..], 6));
        assert!(buffer.is_written());
    }

    #[test]
    fn bytes_that_are_given_back_come_before_later_ones() {
        let (mut buffer, mut taken) = (filled("abcdef"), Vec::new());
        buffer.take(&mut taken);
        buffer.appended().extend_from_slice(b"gh");
        buffer.give_back(&mut taken, 4);
        assert_eq!((buffer.unwritten(), buffer.sent(), taken.len()), (&b"efgh"[..], 4, 0));
        buffer.take(&mut taken);
        assert_eq!((&taken[..], buffer.sent()), (&b"efgh"[..], 8));
    }

    #[test]
    fn memory_of_a_large_write_is_not_kept() {
        let (mut buffer, mut taken) = (WriteBuffer::default(), Vec::with_capacity(KEPT_MAX + 1));
        buffer.take(&mut taken);
        assert!(buffer.capacity() <= KEPT_MAX);
    }

    #[test]
    fn all_of_it_may_be_given_back() {
        let (mut buffer, mut taken) = (filled("ab"), Vec::new());
        buffer.take(&mut taken);
        buffer.give_back(&mut taken, 0);
        assert_eq!((buffer.unwritten(), buffer.sent(), buffer.is_written()), (&b"ab"[..], 0, false));
    }
}
