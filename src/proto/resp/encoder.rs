//! [`Encoder`]: writes commands as arrays of bulk strings, directly into the buffer that is sent.

/// Writes the arguments of one command into a buffer.
///
/// The number of arguments precedes the first of them on the wire. The caller must write exactly as many as it announced;
/// otherwise the server takes the next command for the rest of this one.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Begins a command of `arguments` arguments, including its name.
    #[inline]
    pub(crate) fn command(out: &'a mut Vec<u8>, arguments: usize) -> Encoder<'a> {
        header(out, b'*', arguments);
        Encoder { out }
    }

    /// Continues a command whose number of arguments the caller writes elsewhere.
    pub(crate) fn arguments(out: &'a mut Vec<u8>) -> Encoder<'a> {
        Encoder { out }
    }

    /// Writes one argument, binary-safe.
    #[inline]
    pub(crate) fn bytes(&mut self, argument: &[u8]) {
        self.out.reserve(argument.len() + HEADER_MAX);
        header(self.out, b'$', argument.len());
        self.out.extend_from_slice(argument);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes a number as its decimal digits.
    pub(crate) fn integer(&mut self, argument: i64) {
        self.bytes(itoa::Buffer::new().format(argument).as_bytes());
    }
}

#[inline]
fn header(out: &mut Vec<u8>, kind: u8, count: usize) {
    // Nearly all counts have one or two digits. The compiler writes an array of known length without a call.
    match u8::try_from(count) {
        Ok(count @ 0..10) => out.extend_from_slice(&[kind, b'0' + count, b'\r', b'\n']),
        Ok(count @ 10..100) => {
            out.extend_from_slice(&[kind, b'0' + count / 10, b'0' + count % 10, b'\r', b'\n']);
        }
        _ => long_header(out, kind, count),
    }
}

#[cold]
fn long_header(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A type byte, up to twenty digits, `\r\n`, and the `\r\n` behind a payload.
const HEADER_MAX: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        let mut encoder = Encoder::command(&mut out, 3);
        encoder.bytes(b"SET");
        encoder.bytes(&[b'x'; 10]);
        encoder.integer(-12);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$10\r\nxxxxxxxxxx\r\n$3\r\n-12\r\n");
    }

    #[test]
    fn counts_of_every_length_are_written_in_full() {
        for count in [0, 9, 10, 99, 100, 1_000_000] {
            let mut out = Vec::new();
            header(&mut out, b'$', count);
            assert_eq!(out, format!("${count}\r\n").as_bytes());
        }
    }
}
