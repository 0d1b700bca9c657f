//! Numbers as Redis reads and writes them: over bytes, and stricter than `str::parse`.

/// Reads a decimal integer without plus sign, leading zeros, spaces or `-0`.
pub(crate) fn parse_i64(text: &[u8]) -> Option<i64> {
    let value = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut canonical = itoa::Buffer::new();
    (canonical.format(value).as_bytes() == text).then_some(value)
}

/// Reads a decimal fraction. NaN and surrounding spaces are rejected.
pub(crate) fn parse_f64(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Writes a number without an exponent, and without a decimal point when it is whole.
pub(crate) fn format_f64(value: f64) -> String {
    let text = format!("{value}");
    if text == "-0" { "0".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_are_strict() {
        assert_eq!(parse_i64(b"0"), Some(0));
        assert_eq!(parse_i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_i64(b"9223372036854775807"), Some(i64::MAX));
        let refused: [&[u8]; 11] = [
            b"",
            b"-",
            b"-0",
            b"00",
            b"01",
            b"+1",
            b" 1",
            b"1 ",
            b"1a",
            b"9223372036854775808",
            b"-9223372036854775809",
        ];
        for text in refused {
            assert_eq!(parse_i64(text), None, "{text:?}");
        }
    }

    #[test]
    fn fractions_have_no_exponent() {
        assert_eq!(format_f64(5000.0), "5000");
        assert_eq!(format_f64(10.6), "10.6");
        assert_eq!(format_f64(-0.0), "0");
        assert_eq!(parse_f64(b"5.0e3"), Some(5000.0));
        assert_eq!(parse_f64(b"nan"), None);
        assert_eq!(parse_f64(b" 1"), None);
    }

    proptest! {
        #[test]
        fn every_integer_survives(value: i64) {
            prop_assert_eq!(parse_i64(value.to_string().as_bytes()), Some(value));
        }
    }
}
