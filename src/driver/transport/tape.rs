//! [`Tape`]: what replaces a server and its socket where instructions are counted.

use std::io;
use std::task::Poll;

/// Returns the same replies after every write.
pub(crate) struct Tape {
    replies: Vec<u8>,
    /// How much of it is left to be read.
    left: usize,
}

impl Tape {
    pub(crate) fn new(replies: &str) -> Tape {
        Tape { replies: replies.as_bytes().to_vec(), left: 0 }
    }

    #[inline]
    pub(super) fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.left = self.replies.len();
        Poll::Ready(Ok(bytes.len()))
    }

    #[inline]
    pub(super) fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Pending;
        }
        let count = self.left.min(buffer.len());
        let from = self.replies.len() - self.left;
        buffer[..count].copy_from_slice(&self.replies[from..from + count]);
        self.left -= count;
        Poll::Ready(Ok(count))
    }
}
