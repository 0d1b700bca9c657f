//! Reads the arguments of verbs.

use crate::rehearsal::ids::NodeId;
use crate::rehearsal::maintenance::node::Node;

/// The result of a verb: the text of its reply.
pub(super) type VerbResult = Result<String, VerbError>;

/// Why a verb was not executed.
#[derive(Debug)]
pub(super) enum VerbError {
    /// The arguments do not fit; the error shows the verb's syntax.
    Syntax,
    /// The text of the error.
    Text(String),
}

impl From<String> for VerbError {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for VerbError {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The reply of a verb that has nothing else to tell.
pub(super) fn done() -> VerbResult {
    Ok("OK".to_owned())
}

pub(super) fn no_arguments(args: &[&str]) -> Result<(), VerbError> {
    if args.is_empty() { Ok(()) } else { Err("takes no arguments".into()) }
}

pub(super) fn exactly<'a, const N: usize>(args: &[&'a str]) -> Result<[&'a str; N], VerbError> {
    args.try_into().map_err(|_| VerbError::Syntax)
}

pub(super) fn on_or_off(verb: &str, text: &str) -> Result<bool, VerbError> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{verb}: '{text}' is neither 'on' nor 'off'").into()),
    }
}

/// Reads seconds, which may be fractional and negative. Returns microseconds.
pub(super) fn micros(argument: &str, text: &str) -> Result<i64, VerbError> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds: &f64| seconds.abs() <= SECONDS_MAX);
    let seconds = seconds.ok_or_else(|| format!("{argument}: '{text}' is not a number of seconds"))?;
    Ok((seconds * 1e6).round() as i64)
}

/// The time `after_us` from now.
pub(super) fn time_after(now_us: u64, after_us: i64) -> i64 {
    i64::try_from(now_us).unwrap_or(i64::MAX).saturating_add(after_us)
}

/// Replaces the escapes `\r`, `\n`, `\t`, `\\` and `\xNN`.
pub(super) fn unescape(text: &str) -> Result<Vec<u8>, VerbError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes().iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| 16 * high + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or("\\x needs two hexadecimal digits")?
            }
            _ => return Err("a \\ must be followed by r, n, t, x or another \\".into()),
        });
    }
    Ok(bytes)
}

/// Finds a node by its index, its address, or its port.
pub(super) fn find_node(nodes: &[Node], wanted: &str) -> Result<NodeId, String> {
    let index = wanted.parse().ok().filter(|&index: &usize| index < nodes.len());
    let port = wanted.trim_start_matches(':').parse().ok();
    let has_address = |node: &Node| node.address.to_string() == wanted;
    let found = index.or_else(|| nodes.iter().position(has_address));
    let mut at_port = nodes.iter().enumerate().filter(|(_, node)| Some(node.address.port()) == port);
    match (found, at_port.next(), at_port.next()) {
        (Some(index), ..) | (None, Some((index, _)), None) => Ok(NodeId(index)),
        (None, Some((_, one)), Some((_, other))) => Err(format!(
            "nodes {} and {} both have port '{wanted}'; name one of them",
            one.address, other.address
        )),
        (None, None, _) => Err(format!("there is no node '{wanted}'")),
    }
}

/// Reads a time: milliseconds, or a number with its unit, such as `500ms`, `2s` or `200us`. Returns microseconds.
pub(super) fn duration_us(argument: &str, text: &str) -> Result<u64, VerbError> {
    let lower = text.to_ascii_lowercase();
    let units = [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("", 1_000)];
    let split = units.iter().find_map(|(unit, unit_us)| Some((lower.strip_suffix(unit)?, unit_us)));
    let us = split.and_then(|(digits, unit_us)| digits.parse::<u64>().ok()?.checked_mul(*unit_us));
    let us = us.filter(|us| *us <= DURATION_MAX_US);
    us.ok_or_else(|| {
        format!("{argument}: '{text}' is not a time such as 500, 500ms, 2s or 200us, up to a day").into()
    })
}

/// Longest time of a duration: one day.
const DURATION_MAX_US: u64 = 86_400_000_000;
/// Longest time that can be announced or waited for, in seconds: about 30 years.
const SECONDS_MAX: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_or_without_a_unit() {
        let read = |text| duration_us("x", text).ok();
        assert_eq!(
            [read("5"), read("5ms"), read("5S"), read("5us")].map(Option::unwrap),
            [5_000, 5_000, 5_000_000, 5]
        );
        assert_eq!([read(""), read("s"), read("-1"), read("1.5s"), read("90000s")], [None; 5]);
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(unescape(r"a\r\n\t\\\x00\xfF").unwrap(), b"a\r\n\t\\\x00\xff");
        for wrong in ["\\", "\\x", "\\x1", "\\xg0", "\\q"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }
}
