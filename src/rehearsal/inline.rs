//! Splits an inline command's line into arguments: what a person types into `telnet` or `nc`.

use super::request::Span;

/// Splits `line` at its spaces, and undoes double quotes (with `\n`, `\xNN` and the like) and
/// single quotes. The arguments go to `unquoted`, their places to `spans`. `None` if a quote is not
/// closed, or something other than a space follows its end.
pub(crate) fn split(line: &[u8], unquoted: &mut Vec<u8>, spans: &mut Vec<Span>) -> Option<()> {
    unquoted.clear();
    spans.clear();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let start = unquoted.len();
        rest = take_argument(rest, unquoted)?.trim_ascii_start();
        spans.push((start, unquoted.len()));
    }
    Some(())
}

/// Appends the argument at the head of `line` to `unquoted`, and returns what follows it.
fn take_argument<'a>(mut line: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match line {
            [] => return Some(line),
            [b'"', rest @ ..] => return end_of_quoted(take_double_quoted(rest, unquoted)?),
            [b'\'', rest @ ..] => return end_of_quoted(take_single_quoted(rest, unquoted)?),
            [byte, ..] if byte.is_ascii_whitespace() => return Some(line),
            [byte, rest @ ..] => {
                unquoted.push(*byte);
                line = rest;
            }
        }
    }
}

fn take_double_quoted<'a>(mut line: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, rest) = match line {
            [] => return None,
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), rest)
            }
            [b'\\', escaped, rest @ ..] => (unescape(*escaped), rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        unquoted.push(byte);
        line = rest;
    }
}

fn take_single_quoted<'a>(mut line: &'a [u8], unquoted: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, rest) = match line {
            [] => return None,
            [b'\\', b'\'', rest @ ..] => (b'\'', rest),
            [b'\'', rest @ ..] => return Some(rest),
            [byte, rest @ ..] => (*byte, rest),
        };
        unquoted.push(byte);
        line = rest;
    }
}

fn end_of_quoted(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest)
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        byte => byte,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        digit => (digit.to_ascii_lowercase() - b'a') + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Option<Vec<String>> {
        let (mut unquoted, mut spans) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut unquoted, &mut spans)?;
        let text = |&(start, end): &Span| String::from_utf8_lossy(&unquoted[start..end]).into();
        Some(spans.iter().map(text).collect())
    }

    #[test]
    fn quotes_and_escapes() {
        assert_eq!(arguments("  a  b\tc ").unwrap(), ["a", "b", "c"]);
        assert_eq!(
            arguments(r#"set "a \"b\" \x4A\x4b\t" 'c \' \n'"#).unwrap(),
            ["set", "a \"b\" JK\t", "c ' \\n"]
        );
        assert_eq!(arguments(r#""" '' "#).unwrap(), ["", ""]);
        assert_eq!(arguments(r#"a"b c""#).unwrap(), ["ab c"]);
        assert_eq!(arguments(r#""\xZZ""#).unwrap(), ["xZZ"]);
        for broken in [r#"""#, r#""a"b"#, "'", "'a'b", r#""\"#] {
            assert_eq!(arguments(broken), None, "{broken}");
        }
    }
}
