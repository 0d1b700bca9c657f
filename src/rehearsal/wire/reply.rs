//! The reply writer: it writes RESP2 or RESP3 into a session's output.

/// The protocol version of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// The reply to a command that failed: the text behind the `-`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorReply(std::borrow::Cow<'static, str>);

impl From<&'static str> for ErrorReply {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for ErrorReply {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// The output of one session: frames that wait for the client to read them.
///
/// The owner appends whole frames, in the order in which the client must read them. A proxy relays frames in parts with
/// [`ReplyBuffer::relay`]. While a relayed frame is incomplete, frames of this server wait behind it in the buffer, and
/// [`ReplyBuffer::pending`] does not show them. So no frame is ever inside another.
#[derive(Debug)]
pub(crate) struct ReplyBuffer {
    bytes: Vec<u8>,
    /// Bytes at the head that the connection has written.
    taken: usize,
    /// The end of the arrived part of an incomplete relayed frame; `usize::MAX` when there is no such frame.
    open_end: usize,
    pub(crate) protocol: Protocol,
}

impl Default for ReplyBuffer {
    fn default() -> Self {
        Self { bytes: Vec::new(), taken: 0, open_end: usize::MAX, protocol: Protocol::default() }
    }
}

impl ReplyBuffer {
    /// The bytes that the connection may write.
    #[inline]
    pub(crate) fn pending(&self) -> &[u8] {
        self.bytes.get(self.taken..self.bytes.len().min(self.open_end)).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= self.bytes.len() {
            let is_open = self.open_end != usize::MAX;
            self.clear();
            self.open_end = if is_open { 0 } else { usize::MAX };
        } else if self.taken >= CAPACITY_KEPT_BYTES && self.taken >= self.bytes.len() / 2 {
            // Without this, a client that is always behind would keep all its earlier replies in memory.
            self.bytes.drain(..self.taken);
            if self.open_end != usize::MAX {
                self.open_end -= self.taken;
            }
            self.taken = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(CAPACITY_KEPT_BYTES);
        self.taken = 0;
        self.open_end = usize::MAX;
    }

    /// Adds bytes from upstream: `whole` ends with a frame, and `part` begins the frame after it. Frames of this server
    /// wait until that frame ends.
    pub(crate) fn relay(&mut self, whole: &[u8], part: &[u8]) {
        if !whole.is_empty() {
            self.insert_at_open_end(whole);
            self.open_end = usize::MAX;
        }
        if !part.is_empty() {
            self.open_end = self.insert_at_open_end(part);
        }
    }

    /// Inserts bytes behind the incomplete frame, and returns where they end.
    fn insert_at_open_end(&mut self, bytes: &[u8]) -> usize {
        let at = self.open_end.min(self.bytes.len());
        if at == self.bytes.len() {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes.splice(at..at, bytes.iter().copied());
        }
        at + bytes.len()
    }

    pub(crate) fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// Writes an error. Its text can quote a client, so line breaks in it become spaces.
    pub(crate) fn error(&mut self, error: &ErrorReply) {
        let text = error.0.replace(['\r', '\n'], " ");
        self.line(b'-', text.as_bytes());
    }

    pub(crate) fn integer(&mut self, value: i64) {
        self.line(b':', itoa::Buffer::new().format(value).as_bytes());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.header(b':', count);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.raw(if value { b":1\r\n" } else { b":0\r\n" });
    }

    #[inline]
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        // One command can request a long value many times, and the overrun check runs only after the command.
        if self.pending().len() > REPLY_OVERRUN_BYTES_MAX {
            return;
        }
        self.header(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.raw(b"\r\n");
    }

    pub(crate) fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// Writes text for humans: a verbatim string in RESP3, a bulk string in RESP2.
    pub(crate) fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.raw(b"txt:");
                self.line_end(text.as_bytes());
            }
        }
    }

    pub(crate) fn null(&mut self) {
        self.choose(b"$-1\r\n", b"_\r\n");
    }

    pub(crate) fn null_array(&mut self) {
        self.choose(b"*-1\r\n", b"_\r\n");
    }

    /// Begins an array; the caller writes `len` elements.
    pub(crate) fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Begins a push, which is an array in RESP2; the caller writes `len` elements.
    pub(crate) fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'>', len),
        }
    }

    /// Begins a map; the caller writes `len` pairs.
    pub(crate) fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * len),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// Begins a set; the caller writes `len` elements.
    pub(crate) fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'~', len),
        }
    }

    /// Writes bytes that are frames already.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn choose(&mut self, resp2: &[u8], resp3: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.raw(resp2),
            Protocol::Resp3 => self.raw(resp3),
        }
    }

    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        self.line(kind, itoa::Buffer::new().format(len).as_bytes());
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.bytes.push(kind);
        self.line_end(text);
    }

    #[inline]
    fn line_end(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Output at which a session's requests wait until its client has read (64 MiB).
pub(crate) const REPLY_BYTES_MAX: usize = 64 << 20;
/// Output at which a session is closed and its unread output dropped (1 GiB). Only a transaction, a command for many
/// values, or pushes from outside can bring a session there.
pub(crate) const REPLY_OVERRUN_BYTES_MAX: usize = 1 << 30;

/// Output memory that an idle session keeps.
const CAPACITY_KEPT_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut ReplyBuffer)) -> String {
        let mut reply = ReplyBuffer { protocol, ..ReplyBuffer::default() };
        write(&mut reply);
        String::from_utf8(reply.pending().to_vec()).unwrap()
    }

    #[test]
    fn shapes_depend_on_the_protocol() {
        type Write = fn(&mut ReplyBuffer);
        let shapes: [(Write, &str, &str); 7] = [
            (ReplyBuffer::null, "$-1\r\n", "_\r\n"),
            (ReplyBuffer::null_array, "*-1\r\n", "_\r\n"),
            (|reply| reply.map(2), "*4\r\n", "%2\r\n"),
            (|reply| reply.set(2), "*2\r\n", "~2\r\n"),
            (|reply| reply.push(3), "*3\r\n", ">3\r\n"),
            (|reply| reply.verbatim("a"), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"),
            (|reply| reply.integer(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
        ];
        for (write, resp2, resp3) in shapes {
            assert_eq!(written(Protocol::Resp2, write), resp2);
            assert_eq!(written(Protocol::Resp3, write), resp3);
        }
    }

    #[test]
    fn values_are_not_added_to_an_overrun() {
        // The kernel does not commit zeroed pages that are never touched.
        let mut reply = ReplyBuffer { bytes: vec![0; REPLY_OVERRUN_BYTES_MAX + 1], ..Default::default() };
        reply.bulk(b"more");
        assert_eq!(reply.pending().len(), REPLY_OVERRUN_BYTES_MAX + 1);
    }

    #[test]
    fn an_error_stays_on_its_line() {
        let error = ErrorReply::from("ERR a\r\n+b".to_owned());
        assert_eq!(written(Protocol::Resp2, |reply| reply.error(&error)), "-ERR a  +b\r\n");
    }

    #[test]
    fn own_frames_wait_for_the_end_of_a_relayed_frame() {
        let mut reply = ReplyBuffer::default();
        reply.relay(b"+a\r\n", b"$3\r\n");
        reply.raw(b">1\r\n+x\r\n");
        assert_eq!(reply.pending(), b"+a\r\n$3\r\n");
        reply.take(8);
        assert_eq!(reply.pending(), b"");
        reply.relay(b"", b"abc");
        assert_eq!(reply.pending(), b"abc");
        reply.take(3);
        reply.relay(b"\r\n+b\r\n", b"+");
        assert_eq!(reply.pending(), b"\r\n+b\r\n>1\r\n+x\r\n+");
        reply.take(reply.pending().len());
        reply.ok();
        assert_eq!(reply.pending(), b"");
        reply.relay(b"c\r\n", b"");
        assert_eq!(reply.pending(), b"c\r\n+OK\r\n");
    }

    #[test]
    fn written_bytes_are_removed() {
        let mut reply = ReplyBuffer::default();
        reply.ok();
        reply.take(2);
        assert_eq!(reply.pending(), b"K\r\n");
        reply.take(3);
        assert_eq!(reply.pending(), b"");
        reply.ok();
        assert_eq!(reply.pending(), b"+OK\r\n");
    }
}
