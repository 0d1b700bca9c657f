//! The elements of the wire format that several files read: type bytes, lines and numbers.

use super::limits::LINE_MAX;

/// Takes the next line, including its end, out of `input`; `None` if the end has not arrived.
#[inline]
pub(super) fn take_line<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(b'\n', input.get(..LINE_MAX).unwrap_or(input))?;
    let (line, rest) = input.split_at(end + 1);
    *input = rest;
    Some(line)
}

/// Reads a length or a count, which consists of digits only.
#[inline]
pub(super) fn count(line: &[u8]) -> Option<usize> {
    if line.is_empty() || line.len() > COUNT_DIGITS_MAX {
        return None;
    }
    line.iter().try_fold(0usize, |number, byte| match byte.wrapping_sub(b'0') {
        digit @ 0..=9 => number.checked_mul(10)?.checked_add(usize::from(digit)),
        _ => None,
    })
}

/// Takes a bulk string that has arrived in full out of `input`, and returns its payload. `None` leaves `input` as it is.
#[inline(always)]
pub(super) fn whole_payload<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let rest = input.strip_prefix(b"$")?;
    let mut length = 0usize;
    let mut digits = 0;
    for &byte in rest.iter().take(WHOLE_DIGITS_MAX) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        length = length * 10 + usize::from(digit);
        digits += 1;
    }
    if digits == 0 {
        return None;
    }
    let (payload, rest) = rest.get(digits..)?.strip_prefix(b"\r\n")?.split_at_checked(length)?;
    *input = rest.strip_prefix(b"\r\n")?;
    Some(payload)
}

#[inline]
pub(super) fn integer(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Reads `inf`, `-inf`, `nan`, or what Rust's parser accepts, which is a superset of the specification's grammar.
pub(super) fn double(line: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(line).ok()?;
    match text.trim_start_matches(['+', '-']).bytes().next() {
        Some(b'0'..=b'9' | b'.' | b'i' | b'n' | b'I' | b'N') => text.parse().ok(),
        _ => None,
    }
}

/// All bytes that an element can begin with.
pub(super) const TYPES: &[u8] = b"$+-:*_#,(!=~%>|.;";
/// A string whose length has more digits does not fit into one read.
const WHOLE_DIGITS_MAX: usize = 6;
/// No count with more digits is within any limit.
const COUNT_DIGITS_MAX: usize = 18;
