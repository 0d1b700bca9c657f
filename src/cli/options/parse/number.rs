//! Whole numbers as users type them: `1000`, `1_000`, `1k`, `1.5k`, `1e4`. A comma separates a list, never thousands.

/// A whole number between `least` and `most`.
pub(crate) fn number(text: &str, least: u64, most: u64) -> Result<u64, String> {
    match whole(text) {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        None if is_list(text) => Err(ONE_NUMBER.to_owned()),
        _ if most == u64::MAX => Err(format!("allowed: a whole number from {least}, e.g. {}", least.max(1))),
        _ => Err(format!("allowed: a whole number from {least} to {most}")),
    }
}

/// Whether the text is a list of numbers.
fn is_list(text: &str) -> bool {
    text.contains(',') && text.split(',').all(|part| whole(part.trim()).is_some())
}

/// The number, if the text is one that is whole with its unit and exponent.
fn whole(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().next_back()? {
        (end, 'k' | 'K') => (text.get(..end)?, 3),
        (end, 'M') => (text.get(..end)?, 6),
        (end, 'G') => (text.get(..end)?, 9),
        _ => (text, 0),
    };
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (digits(integer)?, digits(fraction)?),
        None => (digits(mantissa)?, String::new()),
    };
    let fraction = fraction.trim_end_matches('0');
    let number = format!("{integer}{fraction}").parse::<u64>().ok()?;
    let zeros = i32::try_from(fraction.len()).ok()?;
    let power = exponent.checked_add(unit)?.checked_sub(zeros)?;
    let scale = 10_u64.checked_pow(power.unsigned_abs());
    match (power >= 0, scale) {
        _ if number == 0 => Some(0),
        (true, scale) => number.checked_mul(scale?),
        (false, scale) => scale.filter(|scale| number % scale == 0).map(|scale| number / scale),
    }
}

/// Digits, with `_` as an optional separator.
fn digits(text: &str) -> Option<String> {
    let are_digits = text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let are_parted = !text.starts_with('_') && !text.ends_with('_');
    (!text.is_empty() && are_digits && are_parted).then(|| text.replace('_', ""))
}

const ONE_NUMBER: &str = "it takes one number; hitless tune sweeps lists of --shards, --connections and --tasks (a \
                          thousand is 1000, 1_000, 1k or 1e3)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_they_look_like() {
        for (text, value) in [
            ("7", 7),
            ("007", 7),
            ("1_000", 1_000),
            ("1_000_000", 1_000_000),
            ("50k", 50_000),
            ("1.5k", 1_500),
            ("0.25M", 250_000),
            ("2M", 2_000_000),
            ("3G", 3_000_000_000),
            ("1e4", 10_000),
            ("1.25E2", 125),
            ("1.50e1", 15),
            ("20e-1", 2),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(number(text, 1, u64::MAX), Ok(value), "{text}");
        }
        assert_eq!(number("0", 0, 9), Ok(0));
        assert_eq!(number("0e999", 0, 9), Ok(0));
    }

    #[test]
    fn other_texts_are_rejected() {
        assert_eq!(number("0", 1, 9), Err("allowed: a whole number from 1 to 9".into()));
        for text in [
            "",
            "-1",
            "+1",
            "1.5",
            "1.2345k",
            "ten",
            "10",
            "k",
            "1k",
            "1x",
            "1e",
            "e1",
            "1e999",
            "1e-1",
            ".5k",
            "1.",
            "1_",
            "_1",
            "1.5e",
            "0x5",
            "1 000",
            "99999999999999999G",
            "1e99999999999",
            "٣",
            "5m",
        ] {
            assert!(number(text, 1, 9).is_err(), "{text}");
        }
    }

    #[test]
    fn a_comma_never_makes_another_number() {
        for text in ["1,16", "1,000", "1,", ",1", "1_000,000", "1, 2", "1k,2k"] {
            let refused = number(text, 1, u64::MAX).expect_err(text);
            assert!(refused.contains("allowed: ") || refused.contains("one number"), "{refused}");
        }
        let refused = number("1,16", 1, 10_000).expect_err("a list");
        assert!(refused.starts_with("it takes one number"), "{refused}");
        assert!(refused.contains("hitless tune sweeps lists"), "{refused}");
    }
}
