//! The request parser. It reads RESP arrays of bulk strings, and inline commands: words on a line, which unlike those
//! of Redis have no quotes.
//!
//! The parser is resumable. The caller passes an incomplete request again from its first byte, with more bytes, and the
//! parser continues where it stopped. Arguments are spans of the input. Memory is allocated for bytes that have
//! arrived, never for an announced length.

/// The position of an argument in the input: its first byte, and the byte behind its last.
pub(crate) type Span = (usize, usize);

/// The arguments of a request; the command's name is the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    pub(crate) fn new(bytes: &'a [u8], spans: &'a [Span]) -> Self {
        Self { bytes, spans }
    }

    pub(crate) fn len(self) -> usize {
        self.spans.len()
    }

    /// Argument `index`, or an empty one if the request has fewer. The arity check makes sure that commands see the
    /// arguments that they need.
    #[inline]
    pub(crate) fn at(self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn get(self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.spans.get(index)?;
        self.bytes.get(start..end)
    }

    /// The arguments from `index` on.
    pub(crate) fn from(self, index: usize) -> Self {
        Self { bytes: self.bytes, spans: self.spans.get(index..).unwrap_or_default() }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        self.spans.iter().map(move |&(start, end)| self.bytes.get(start..end).unwrap_or_default())
    }

    /// The arguments in pairs. A last argument without a partner is left out.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        (0..self.len() / 2).map(move |pair| (self.at(2 * pair), self.at(2 * pair + 1)))
    }
}

/// The result of parsing the head of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// A request of this many bytes without arguments, which needs no reply.
    Empty(usize),
    /// A request of this many bytes. [`Parser::args`] returns its arguments.
    Request(usize),
    /// A protocol violation: the text behind `Protocol error: `.
    Invalid(String),
}

/// The parser's position in the current request of one connection.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
    /// Bytes of the current request that are parsed already.
    cursor: usize,
    spans: Vec<Span>,
}

/// ```text
///  Start ─┬─ '*' ──▶ Header ──▶ Bulk ──▶ Start, after the last argument
///         │            ▲          │
///         │            └──────────┘  next argument
///         └─ else ─▶ Inline ───────────▶ Start, at the end of the line
/// ```
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Start,
    Inline,
    /// The header of the next argument is expected; `remaining` arguments are missing.
    Header {
        remaining: usize,
    },
    /// The argument's `length` bytes and its CRLF are expected.
    Bulk {
        remaining: usize,
        length: usize,
    },
}

impl Parser {
    /// Parses the request at the head of `input`. After [`Parsed::Incomplete`], the next call must pass the same bytes
    /// again, followed by more.
    #[inline]
    pub(crate) fn parse(&mut self, input: &[u8]) -> Parsed {
        match self.advance(input) {
            Ok(Some(done)) => {
                self.state = State::Start;
                self.cursor = 0;
                done
            }
            Ok(None) => Parsed::Incomplete,
            Err(text) => Parsed::Invalid(text),
        }
    }

    /// The arguments of the request that was just parsed from `input`.
    #[inline]
    pub(crate) fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args::new(input, &self.spans)
    }

    /// Releases the parsed part of an incomplete request. Returns how many bytes the caller need not pass again. The
    /// arguments of that request are lost.
    pub(crate) fn release(&mut self, input: &[u8]) -> usize {
        let arrived = input.len().saturating_sub(self.cursor);
        let released = match &mut self.state {
            State::Start | State::Inline => return 0,
            State::Header { .. } => self.cursor,
            State::Bulk { length, .. } => {
                // The CRLF stays in the input and is checked when it is complete.
                let part = arrived.min(*length);
                *length -= part;
                self.cursor + part
            }
        };
        self.cursor = 0;
        self.spans.clear();
        released
    }

    fn advance(&mut self, input: &[u8]) -> Result<Option<Parsed>, String> {
        loop {
            match self.state {
                State::Start => {
                    let Some(&first) = input.first() else {
                        return Ok(None);
                    };
                    self.spans.clear();
                    self.spans.shrink_to(SPANS_KEPT_MAX);
                    if first != b'*' {
                        self.state = State::Inline;
                        continue;
                    }
                    let Some((count, end)) = read_number(input, 1, "invalid multibulk length")? else {
                        return Ok(None);
                    };
                    self.cursor = end;
                    if count <= 0 {
                        return Ok(Some(Parsed::Empty(end)));
                    }
                    let remaining = usize::try_from(count).unwrap_or(usize::MAX);
                    if remaining > ARGUMENTS_MAX {
                        return Err("invalid multibulk length".to_owned());
                    }
                    self.state = State::Header { remaining };
                }
                State::Inline => return self.advance_inline(input),
                State::Header { remaining } => {
                    let Some(length) = self.advance_header(input)? else {
                        return Ok(None);
                    };
                    self.state = State::Bulk { remaining, length };
                }
                State::Bulk { remaining, length } => {
                    let Some(()) = self.advance_bulk(input, length)? else {
                        return Ok(None);
                    };
                    if remaining == 1 {
                        return Ok(Some(Parsed::Request(self.cursor)));
                    }
                    self.state = State::Header { remaining: remaining - 1 };
                }
            }
        }
    }

    fn advance_header(&mut self, input: &[u8]) -> Result<Option<usize>, String> {
        match input.get(self.cursor) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&byte) => return Err(format!("expected '$', got '{}'", byte.escape_ascii())),
        }
        let found = read_number(input, self.cursor + 1, "invalid bulk length")?;
        let Some((length, end)) = found else {
            return Ok(None);
        };
        self.cursor = end;
        match usize::try_from(length) {
            Ok(length) if length <= BULK_BYTES_MAX => Ok(Some(length)),
            _ => Err("invalid bulk length".to_owned()),
        }
    }

    fn advance_bulk(&mut self, input: &[u8], length: usize) -> Result<Option<()>, String> {
        let end = self.cursor + length;
        match input.get(end..) {
            Some([b'\r', b'\n', ..]) => {
                self.spans.push((self.cursor, end));
                self.cursor = end + 2;
                Ok(Some(()))
            }
            // Redis skips these two bytes without a check. This server rejects them, to reveal a client that sends
            // a wrong length.
            Some([b'\r'] | []) | None => Ok(None),
            Some(_) => Err("expected CRLF after bulk string".to_owned()),
        }
    }

    fn advance_inline(&mut self, input: &[u8]) -> Result<Option<Parsed>, String> {
        let unseen = input.get(self.cursor..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', unseen) else {
            self.cursor = input.len();
            return match self.cursor > INLINE_BYTES_MAX {
                true => Err("too big inline request".to_owned()),
                false => Ok(None),
            };
        };
        let end = self.cursor + found;
        if end > INLINE_BYTES_MAX {
            return Err("too big inline request".to_owned());
        }
        let mut start = 0;
        for word in input.get(..end).unwrap_or_default().split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                self.spans.push((start, start + word.len()));
            }
            start += word.len() + 1;
        }
        Ok(Some(match self.spans.is_empty() {
            true => Parsed::Empty(end + 1),
            false => Parsed::Request(end + 1),
        }))
    }
}

/// Reads the number at `start` and its CRLF. Returns the number and the position behind the CRLF. It fails at the first
/// byte that cannot belong to a valid number, so that wrong bytes are not scanned again and again.
#[inline]
fn read_number(input: &[u8], start: usize, error: &str) -> Result<Option<(i64, usize)>, String> {
    let tail = input.get(start..).unwrap_or_default();
    // Nearly every header has one or two digits, so these two cases skip the general parser.
    match tail {
        [a @ b'1'..=b'9', b'\r', b'\n', ..] => return Ok(Some((i64::from(a - b'0'), start + 3))),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
            return Ok(Some((i64::from(a - b'0') * 10 + i64::from(b - b'0'), start + 4)));
        }
        _ => {}
    }
    let digits = tail
        .iter()
        .take(NUMBER_BYTES_MAX + 1)
        .take_while(|&&byte| byte.is_ascii_digit() || byte == b'-')
        .count();
    let number = tail.get(..digits).unwrap_or_default();
    match tail.get(digits..) {
        Some([b'\r', b'\n', ..]) => match super::number::parse_i64(number) {
            Some(value) => Ok(Some((value, start + digits + 2))),
            None => Err(error.to_owned()),
        },
        Some([] | [b'\r']) if digits <= NUMBER_BYTES_MAX => Ok(None),
        _ => Err(error.to_owned()),
    }
}

/// Most arguments of one request.
const ARGUMENTS_MAX: usize = 1 << 20;
/// Most bytes of one argument (512 MiB).
pub(crate) const BULK_BYTES_MAX: usize = 512 << 20;
/// Most bytes of an inline command's line (64 KiB).
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Digits, and a sign, of the longest valid number.
const NUMBER_BYTES_MAX: usize = 20;
/// Spans that are kept from one request to the next; a larger request returns its memory.
const SPANS_KEPT_MAX: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Passes `chunks` to the parser one after the other, as a session does, and returns the requests.
    fn parse_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Vec<Vec<u8>>, String>> {
        let (mut parser, mut input, mut found) = (Parser::default(), Vec::new(), Vec::new());
        for chunk in chunks {
            input.extend_from_slice(chunk);
            loop {
                match parser.parse(&input) {
                    Parsed::Incomplete => break,
                    Parsed::Empty(used) => drop(input.drain(..used)),
                    Parsed::Request(used) => {
                        found.push(Ok(parser.args(&input).iter().map(<[u8]>::to_vec).collect()));
                        input.drain(..used);
                    }
                    Parsed::Invalid(text) => {
                        found.push(Err(text));
                        return found;
                    }
                }
            }
        }
        found
    }

    fn protocol_error(input: &[u8]) -> String {
        parse_chunks([input]).pop().unwrap().unwrap_err()
    }

    const PIPELINE: &[u8] = b"*1\r\n$4\r\nPING\r\n*0\r\n\r\nGET  a\tb'c \r\n*-1\r\n\
        *3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nabc\r\n*1\r\n$1x\r\nPING\n*2\r\n$100\r\n";

    #[test]
    fn arrays_and_inline_commands() {
        let found = parse_chunks([PIPELINE]);
        let found: Vec<Vec<&[u8]>> = found
            .iter()
            .map(|request| request.as_ref().unwrap().iter().map(Vec::as_slice).collect())
            .collect();
        let expected: [Vec<&[u8]>; 4] = [
            vec![b"PING"],
            vec![b"GET", b"a", b"b'c"],
            vec![b"SET", b"", b"abc\r\n*1\r\n$1x"],
            vec![b"PING"],
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_split_in_two_and_every_single_byte() {
        let whole = parse_chunks([PIPELINE]);
        for cut in 0..PIPELINE.len() {
            assert_eq!(parse_chunks([&PIPELINE[..cut], &PIPELINE[cut..]]), whole, "cut at {cut}");
        }
        assert_eq!(parse_chunks(PIPELINE.chunks(1)), whole);
    }

    #[test]
    fn protocol_errors_name_the_mistake() {
        assert_eq!(protocol_error(b"*1048577\r\n"), "invalid multibulk length");
        assert_eq!(protocol_error(b"*\r\n"), "invalid multibulk length");
        assert_eq!(protocol_error(b"*+1\r\n"), "invalid multibulk length");
        assert_eq!(protocol_error(&[b'*'; 70_000]), "invalid multibulk length");
        assert_eq!(protocol_error(b"*111111111111111111111111"), "invalid multibulk length");
        assert_eq!(protocol_error(b"*1\r\n$536870913\r\n"), "invalid bulk length");
        assert_eq!(protocol_error(b"*1\r\n$2147483648\r\n"), "invalid bulk length");
        assert_eq!(protocol_error(b"*1\r\n$-1\r\n"), "invalid bulk length");
        assert_eq!(protocol_error(b"*1\r\n:1\r\n"), "expected '$', got ':'");
        assert_eq!(protocol_error(b"*1\r\n$1\r\nab\r\n"), "expected CRLF after bulk string");
        assert_eq!(protocol_error(&[b'x'; INLINE_BYTES_MAX + 1]), "too big inline request");
    }

    #[test]
    fn released_bytes_need_not_be_passed_again() {
        let request = b"*4\r\n$3\r\nSET\r\n$10\r\n0123456789\r\n$0\r\n\r\n$2\r\nNX\r\n+";
        for size in 1..request.len() {
            let (mut parser, mut input, mut released) = (Parser::default(), Vec::new(), 0);
            for chunk in request.chunks(size) {
                input.extend_from_slice(chunk);
                match parser.parse(&input) {
                    Parsed::Incomplete => {
                        let part = parser.release(&input);
                        input.drain(..part);
                        released += part;
                    }
                    found => {
                        let Parsed::Request(used) = found else { panic!("{found:?}") };
                        assert_eq!(released + used, request.len() - 1);
                        input.drain(..used);
                        released = usize::MAX / 2;
                    }
                }
            }
            assert!(released >= usize::MAX / 2, "in chunks of {size}");
        }
        let mut parser = Parser::default();
        let wrong = b"*1\r\n$4\r\nabcd\rX";
        assert_eq!(parser.parse(&wrong[..12]), Parsed::Incomplete);
        let part = parser.release(&wrong[..12]);
        assert!(matches!(parser.parse(&wrong[part..]), Parsed::Invalid(_)));
    }

    #[test]
    fn an_announced_length_takes_no_memory() {
        let mut parser = Parser::default();
        let announced = b"*1048576\r\n$536870912\r\nx";
        assert_eq!(parser.parse(announced), Parsed::Incomplete);
        assert!(parser.spans.capacity() <= SPANS_KEPT_MAX);
    }

    proptest! {
        #[test]
        fn the_split_does_not_matter(
            input in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                prop::collection::vec(prop::sample::select(b"*$-12\r\n a\"'\\x".to_vec()), 0..200),
            ],
            size in 1usize..20,
        ) {
            prop_assert_eq!(parse_chunks(input.chunks(size)), parse_chunks([&input[..]]));
        }
    }
}
