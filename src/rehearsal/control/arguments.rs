//! Reads the arguments of verbs.

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

/// Longest time that can be announced or waited for, in seconds: about 30 years.
const SECONDS_MAX: f64 = 1e9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read() {
        assert_eq!(unescape(r"a\r\n\t\\\x00\xfF").unwrap(), b"a\r\n\t\\\x00\xff");
        for wrong in ["\\", "\\x", "\\x1", "\\xg0", "\\q"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }
}
