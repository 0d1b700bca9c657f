//! Writes frames and reads commands without the crate's encoder and decoder, so that their mistakes are not repeated.

use crate::proto::resp::Frame;

/// Writes a frame in its plainest form: nothing is streamed, and every error carries its length.
pub(super) fn write(frame: &Frame, out: &mut Vec<u8>) {
    match frame {
        Frame::Simple(text) => line(out, '+', text),
        Frame::Error(text) => blob(out, '!', b"", text),
        Frame::Integer(number) => line(out, ':', number.to_string().as_bytes()),
        Frame::Bulk(bytes) => blob(out, '$', b"", bytes),
        Frame::Null => line(out, '_', b""),
        Frame::Boolean(truth) => line(out, '#', if *truth { b"t" } else { b"f" }),
        Frame::Double(number) if number.is_nan() => line(out, ',', b"nan"),
        Frame::Double(number) => line(out, ',', number.to_string().as_bytes()),
        Frame::BigNumber(digits) => line(out, '(', digits),
        Frame::Verbatim { format, text } => blob(out, '=', &[&format[..], b":"].concat(), text),
        Frame::Array(items) => aggregate(out, '*', items.len(), items),
        Frame::Set(items) => aggregate(out, '~', items.len(), items),
        Frame::Push(items) => aggregate(out, '>', items.len(), items),
        Frame::Map(pairs) => aggregate(out, '%', pairs.len(), pairs.iter().flat_map(|(k, v)| [k, v])),
        Frame::Attributed { attributes, frame } => {
            aggregate(out, '|', attributes.len(), attributes.iter().flat_map(|(k, v)| [k, v]));
            write(frame, out);
        }
    }
}

/// Removes the complete commands at the head of `input` and returns them. An incomplete command stays.
///
/// # Panics
/// If the input is not an array of bulk strings whose lengths are in shortest form.
pub(super) fn read_commands(input: &mut Vec<u8>) -> Vec<Vec<Vec<u8>>> {
    let mut commands = Vec::new();
    while let Some((command, length)) = read_command(input) {
        input.drain(..length);
        commands.push(command);
    }
    commands
}

fn read_command(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (count, mut at) = read_header(input, 0, b'*')?;
    let mut arguments = Vec::new();
    for _ in 0..count {
        let (length, start) = read_header(input, at, b'$')?;
        let payload = input.get(start..start + length)?;
        let end = input.get(start + length..start + length + 2)?;
        assert_eq!(end, b"\r\n", "an argument ends where its length says");
        arguments.push(payload.to_vec());
        at = start + length + 2;
    }
    Some((arguments, at))
}

fn read_header(input: &[u8], at: usize, kind: u8) -> Option<(usize, usize)> {
    let rest = input.get(at..)?;
    assert!(rest.first().is_none_or(|first| *first == kind), "{:?}", rest.escape_ascii().to_string());
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let digits = std::str::from_utf8(&rest[1..end]).unwrap_or_default();
    let count = digits.parse::<usize>().ok().filter(|count| count.to_string() == digits);
    assert!(count.is_some(), "{digits:?} is not a count");
    Some((count?, at + end + 2))
}

fn line(out: &mut Vec<u8>, kind: char, text: &[u8]) {
    out.push(kind as u8);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn blob(out: &mut Vec<u8>, kind: char, before: &[u8], bytes: &[u8]) {
    line(out, kind, (before.len() + bytes.len()).to_string().as_bytes());
    out.extend_from_slice(before);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn aggregate<'a>(out: &mut Vec<u8>, kind: char, count: usize, items: impl IntoIterator<Item = &'a Frame>) {
    line(out, kind, count.to_string().as_bytes());
    for item in items {
        write(item, out);
    }
}
