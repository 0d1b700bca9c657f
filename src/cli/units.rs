//! Numbers and counted words in human-readable form.

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 shard`, `2 shards`, `1,024 tasks`.
pub(crate) fn plural(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
}

/// Microseconds in a fitting unit, with three digits.
pub(crate) fn micros(micros: f64) -> String {
    let (number, unit) = match micros {
        x if x < 1.0 => (x * 1e3, "ns"),
        x if x < 999.5 => (x, "µs"),
        x if x < 999.5e3 => (x / 1e3, "ms"),
        x => (x / 1e6, "s"),
    };
    let decimals = match number {
        x if x < 9.995 => 2,
        x if x < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$} {unit}")
}

/// Bytes in a fitting unit, with three digits.
pub(crate) fn bytes(bytes: f64) -> String {
    let (number, unit) = match bytes {
        x if x < 999.5 => return format!("{x:.0} B"),
        x if x < 999.5e3 => (x / 1e3, "kB"),
        x if x < 999.5e6 => (x / 1e6, "MB"),
        x => (x / 1e9, "GB"),
    };
    let decimals = match number {
        x if x < 9.995 => 2,
        x if x < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let all = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn bytes_have_three_digits_and_a_unit() {
        let all = [0.0, 999.0, 1234.0, 56_700_000.0, 8.9e9].map(bytes);
        assert_eq!(all, ["0 B", "999 B", "1.23 kB", "56.7 MB", "8.90 GB"]);
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let all = [0.5, 1.0, 12.34, 999.4, 999.6, 12_345.0, 1_500_000.0, 60e6].map(micros);
        let expected = ["500 ns", "1.00 µs", "12.3 µs", "999 µs", "1.00 ms", "12.3 ms", "1.50 s", "60.0 s"];
        assert_eq!(all, expected);
    }
}
