//! The reply writer: RESP2 or RESP3, as the connection asked for, into the session's output.

/// Output, in bytes, from which on a session's requests wait until its client has read (64 MiB).
pub const REPLY_BYTES_MAX: usize = 64 << 20;
/// Output, in bytes, at which a session is closed and what it did not read is dropped (1 GiB). Only
/// a transaction, a command for many values, or what others push to it, can bring a session there.
pub const REPLY_OVERRUN_BYTES_MAX: usize = 1 << 30;

/// Output memory that an idle session keeps.
const CAPACITY_KEPT_BYTES: usize = 256 << 10;

/// The protocol's version on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// What a command answers when it fails: the text behind the `-`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(std::borrow::Cow<'static, str>);

impl From<&'static str> for Failure {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// Replies that wait for the client to read them.
#[derive(Debug)]
pub(crate) struct ReplyBuffer {
    bytes: Vec<u8>,
    /// Bytes at the head that the connection has taken.
    taken: usize,
    /// Where a frame is open that others send in parts: what is written after it waits for its end. `usize::MAX` if
    /// none is.
    open_end: usize,
    pub(crate) protocol: Protocol,
}

impl Default for ReplyBuffer {
    fn default() -> Self {
        Self { bytes: Vec::new(), taken: 0, open_end: usize::MAX, protocol: Protocol::default() }
    }
}

impl ReplyBuffer {
    /// What the connection has not taken yet.
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
            // A client that is always behind would have its whole past kept.
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

    /// Adds what somebody else sends in parts: `whole`, up to the end of a frame, and a `part` of the frame after it.
    /// Until that one ends, what is written here waits.
    pub(crate) fn pass(&mut self, whole: &[u8], part: &[u8]) {
        if !whole.is_empty() {
            self.insert_at_open_end(whole);
            self.open_end = usize::MAX;
        }
        if !part.is_empty() {
            self.open_end = self.insert_at_open_end(part);
        }
    }

    /// Returns where the bytes end.
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

    /// An error. Its text must stay on one line, whatever a client put into it.
    pub(crate) fn error(&mut self, failure: &Failure) {
        let text = failure.0.replace(['\r', '\n'], " ");
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
        // A command can ask for a long value many times, and its session is only ended after it.
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

    /// Text for people; RESP3 clients are told so.
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

    /// `len` elements follow.
    pub(crate) fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// `len` pairs follow.
    pub(crate) fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * len),
            Protocol::Resp3 => self.header(b'%', len),
        }
    }

    /// `len` elements in no order follow.
    pub(crate) fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'~', len),
        }
    }

    /// Bytes that are replies already.
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
        let shapes: [(Write, &str, &str); 6] = [
            (ReplyBuffer::null, "$-1\r\n", "_\r\n"),
            (ReplyBuffer::null_array, "*-1\r\n", "_\r\n"),
            (|reply| reply.map(2), "*4\r\n", "%2\r\n"),
            (|reply| reply.set(2), "*2\r\n", "~2\r\n"),
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
        // Zeroed memory that nobody touches costs nothing.
        let mut reply = ReplyBuffer { bytes: vec![0; REPLY_OVERRUN_BYTES_MAX + 1], ..Default::default() };
        reply.bulk(b"more");
        assert_eq!(reply.pending().len(), REPLY_OVERRUN_BYTES_MAX + 1);
    }

    #[test]
    fn an_error_stays_on_its_line() {
        let failure = Failure::from("ERR a\r\n+b".to_owned());
        assert_eq!(written(Protocol::Resp2, |reply| reply.error(&failure)), "-ERR a  +b\r\n");
    }

    #[test]
    fn what_is_written_waits_for_the_end_of_an_open_frame() {
        let mut reply = ReplyBuffer::default();
        reply.pass(b"+a\r\n", b"$3\r\n");
        reply.raw(b">1\r\n+x\r\n");
        assert_eq!(reply.pending(), b"+a\r\n$3\r\n");
        reply.take(8);
        assert_eq!(reply.pending(), b"");
        reply.pass(b"", b"abc");
        assert_eq!(reply.pending(), b"abc");
        reply.take(3);
        reply.pass(b"\r\n+b\r\n", b"+");
        assert_eq!(reply.pending(), b"\r\n+b\r\n>1\r\n+x\r\n+");
        reply.take(reply.pending().len());
        reply.ok();
        assert_eq!(reply.pending(), b"");
        reply.pass(b"c\r\n", b"");
        assert_eq!(reply.pending(), b"c\r\n+OK\r\n");
    }

    #[test]
    fn what_was_taken_is_gone() {
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
