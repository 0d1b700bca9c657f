//! Parsers for option values: numbers, durations, sizes, lists of cores, mixes and distributions.
//!
//! Every error says what is allowed; the caller adds the name of the option.

mod number;

use std::time::Duration;

pub(crate) use self::number::number;
use crate::load::{KeyDistribution, Mix, VALUE_SIZE_MAX, ValueSize};

/// A time above zero, with its unit: `10s`, `1m 30s`, `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let allowed = "allowed: 1ns to 365days, with a unit, e.g. 500ms, 10s, 1m30s";
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() && duration <= DURATION_MAX => Ok(duration),
        _ if text.parse::<u64>().is_ok_and(|number| number > 0) => {
            Err(format!("the unit is missing; did you mean {text}s, or {text}ms? {allowed}"))
        }
        _ => Err(allowed.to_owned()),
    }
}

/// A time with its unit, which may be zero.
pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err("allowed: 0s to 365days, with a unit, e.g. 500ms, 10s, 1m30s".to_owned()),
    }
}

/// A share of a whole, from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "allowed: a number from 0 to 1, e.g. 0.5".to_owned())
}

/// `N` or `MIN-MAX`, in bytes or with a unit.
pub(crate) fn value_size(text: &str) -> Result<ValueSize, String> {
    let allowed = || format!("allowed: N or MIN-MAX, from 0 to {VALUE_SIZE_MAX} bytes, e.g. 1KiB");
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let size = ValueSize { min: bytes(min).ok_or_else(allowed)?, max: bytes(max).ok_or_else(allowed)? };
    match size.min <= size.max && size.max <= VALUE_SIZE_MAX {
        true => Ok(size),
        false => Err(allowed()),
    }
}

fn bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "kb" => 1000,
        "mb" => 1_000_000,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// A list of cores: `1`, `1,3-5`. In the order given, none twice.
pub(crate) fn cores(text: &str) -> Result<Vec<usize>, String> {
    let allowed = || format!("allowed: cores from 0 to {CORE_MAX}, none twice, e.g. 1,3-5");
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let core = |text: &str| text.trim().parse::<usize>().ok().filter(|&core| core <= CORE_MAX);
        let (first, last) = core(first).zip(core(last)).ok_or_else(allowed)?;
        if first > last || (first..=last).any(|core| cores.contains(&core)) {
            return Err(allowed());
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

/// `SET:GET`, e.g. `1:10`.
pub(crate) fn ratio(text: &str) -> Result<Mix, String> {
    let parts = text.split_once(':');
    let numbers = parts.and_then(|(set, get)| set.trim().parse().ok().zip(get.trim().parse().ok()));
    match numbers {
        Some((set, get)) if set > 0 || get > 0 => Ok(Mix::Ratio { set, get }),
        _ => Err(format!("allowed: SET:GET, each from 0 to {}, not both 0, e.g. 1:10", u32::MAX)),
    }
}

/// `uniform`, `zipf:S`, `gaussian[:STDDEV]`, `hot:KEYS%:SHARE%` or `sequential`.
pub(crate) fn distribution(text: &str) -> Result<KeyDistribution, String> {
    let (name, numbers) = text.split_once(':').map_or((text, None), |(name, numbers)| (name, Some(numbers)));
    let float = |number: &str| number.parse::<f64>().ok();
    let percent = |number: &str| float(number.strip_suffix('%')?);
    let distribution = match (name, numbers) {
        ("uniform", None) => Some(KeyDistribution::Uniform),
        ("sequential", None) => Some(KeyDistribution::Sequential),
        ("zipf", Some(exponent)) => float(exponent).map(|exponent| KeyDistribution::Zipf { exponent }),
        ("gaussian", None) => Some(KeyDistribution::Gaussian { deviation: None }),
        ("gaussian", Some(deviation)) => {
            float(deviation).map(|deviation| KeyDistribution::Gaussian { deviation: Some(deviation) })
        }
        ("hot", Some(numbers)) => numbers
            .split_once(':')
            .and_then(|(keys, share)| percent(keys).zip(percent(share)))
            .map(|(keys, share)| KeyDistribution::Hot { keys, share }),
        _ => None,
    };
    // The bounds of a standard deviation depend on the key space, so that they are checked later.
    match distribution.map(|distribution| (distribution, distribution.out_of_range(u64::MAX))) {
        Some((distribution, None)) => Ok(distribution),
        Some((_, Some((_, allowed)))) if !name.starts_with("gauss") => Err(format!("allowed: {allowed}")),
        _ => Err("allowed: uniform, zipf:S with an exponent S, e.g. zipf:0.99, gaussian or gaussian:STDDEV with a \
                  standard deviation in keys, hot:KEYS%:SHARE%, e.g. hot:1%:90%, or sequential"
            .to_owned()),
    }
}

/// The longest time that an option takes.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// The highest core that can be named.
const CORE_MAX: usize = 4095;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for text in ["", "0s", "10", "-1s", "2 fortnights", "400days"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("10").is_err_and(|why| why.contains("did you mean 10s, or 10ms?")));
    }

    #[test]
    fn times_that_may_be_zero_and_shares() {
        assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
        assert_eq!(duration_or_zero("2500ms"), Ok(Duration::from_millis(2500)));
        assert_eq!([share("0"), share("0.25"), share("1")], [Ok(0.0), Ok(0.25), Ok(1.0)]);
        for text in ["", "-1s", "5", "9999days"] {
            assert!(duration_or_zero(text).is_err(), "{text}");
        }
        for text in ["", "-0.1", "1.01", "nan", "50%", "inf"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(value_size("64"), Ok(ValueSize { min: 64, max: 64 }));
        assert_eq!(value_size("1k-2KiB"), Ok(ValueSize { min: 1024, max: 2048 }));
        assert_eq!(value_size("0-1MB"), Ok(ValueSize { min: 0, max: 1_000_000 }));
        for text in ["", "-", "9-1", "-5", "1x", "513MiB", "99999999999999999999k"] {
            assert!(value_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn core_lists() {
        assert_eq!(cores("1,3-5"), Ok(vec![1, 3, 4, 5]));
        assert_eq!(cores("7"), Ok(vec![7]));
        for text in ["", "a", "3-1", "1,1", "0-3,2", "1,", "0-99999999999"] {
            assert!(cores(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mixes_and_distributions() {
        assert_eq!(ratio("1:10"), Ok(Mix::Ratio { set: 1, get: 10 }));
        for text in ["", "1", "0:0", "a:b", "-1:2", "1:2:3"] {
            assert!(ratio(text).is_err(), "{text}");
        }
        assert_eq!(distribution("zipf:0.99"), Ok(KeyDistribution::Zipf { exponent: 0.99 }));
        assert_eq!(distribution("gaussian"), Ok(KeyDistribution::Gaussian { deviation: None }));
        assert_eq!(distribution("gaussian:2.5"), Ok(KeyDistribution::Gaussian { deviation: Some(2.5) }));
        assert_eq!(distribution("hot:1%:90%"), Ok(KeyDistribution::Hot { keys: 1.0, share: 90.0 }));
        for good in ["uniform", "zipf:0.99", "gaussian", "gaussian:2.5", "hot:0.1%:99.5%", "sequential"] {
            assert_eq!(distribution(good).expect("it is known").to_string(), good);
        }
        for text in [
            "zipf",
            "gauss",
            "",
            "uniform:1",
            "sequential:",
            "hot",
            "hot:1%",
            "hot:1:90",
            "hot:1%:90",
            "gaussian:",
            "gaussian:0",
            "gaussian:nan",
        ] {
            assert!(distribution(text).is_err_and(|error| error.contains("zipf:S with")), "{text}");
        }
        for (text, allowed) in [
            ("zipf:0", "above 0, to 20"),
            ("zipf:nan", "above 0, to 20"),
            ("zipf:99", "above 0, to 20"),
            ("hot:0%:90%", "above 0 and below 100"),
            ("hot:1%:101%", "to 100"),
        ] {
            assert!(distribution(text).is_err_and(|error| error.contains(allowed)), "{text}");
        }
    }
}
