//! Which key comes next, and its text: the distributions of accesses over a key space.
//!
//! A [`KeyDistribution`] is the user's choice. A [`KeyChooser`] is one caller's seeded stream of key numbers with that
//! distribution. [`sampling`](super::sampling) documents the cost of a sample.

use std::fmt;

use super::sampling::{Normal, Zipf};

/// How the accesses of a run are distributed over the key space.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum KeyDistribution {
    /// Every key is equally likely.
    Uniform,
    /// The key of rank `k` (from 1) has a probability proportional to `1 / k^exponent`; rank 1 is
    /// key number 0.
    Zipf {
        /// The exponent: greater than 0; 0.99 is the classic choice for caches.
        exponent: f64,
    },
    /// The normal distribution around the middle of the key space, cut off at both ends.
    Gaussian {
        /// The standard deviation in keys. `None`: a sixth of the key space, so that 99.7 % of the accesses fall into
        /// it before the ends are cut off.
        deviation: Option<f64>,
    },
    /// A hot set: the first keys of the key space get most of the accesses. Inside and outside of the set every key is
    /// equally likely.
    Hot {
        /// The size of the set in percent of the keys: above 0, below 100. The set has at least one key.
        keys: f64,
        /// The percentage of the accesses that the set gets: above 0, up to 100.
        share: f64,
    },
    /// Each caller reads the whole key space in order, each from a different starting point.
    Sequential,
}

impl KeyDistribution {
    /// The same distribution over a subset: `part` of the `whole` keys, evenly spaced.
    pub(crate) fn over(self, part: u64, whole: u64) -> KeyDistribution {
        match self {
            KeyDistribution::Gaussian { deviation: Some(deviation) } => {
                let deviation = Some(deviation * part as f64 / whole.max(1) as f64);
                KeyDistribution::Gaussian { deviation }
            }
            same => same,
        }
    }

    /// The value that is out of range in a key space of `keys` keys, with the allowed range; `None` if all are valid.
    pub(crate) fn out_of_range(&self, keys: u64) -> Option<(String, String)> {
        let within = |number: f64, most: f64| number > 0.0 && number <= most;
        match *self {
            KeyDistribution::Zipf { exponent } if !within(exponent, ZIPF_EXPONENT_MAX) => {
                Some((exponent.to_string(), format!("an exponent above 0, to {ZIPF_EXPONENT_MAX}")))
            }
            // With a larger deviation nearly all samples would fall outside of the key space and be repeated.
            KeyDistribution::Gaussian { deviation: Some(wide) } if !within(wide, keys as f64) => Some((
                wide.to_string(),
                format!("a standard deviation above 0, to the {keys} keys that there are (--key-space)"),
            )),
            KeyDistribution::Hot { keys, share }
                if !(within(keys, 100.0) && keys < 100.0 && within(share, 100.0)) =>
            {
                let allowed = "KEYS% above 0 and below 100, and SHARE% above 0, to 100";
                Some((format!("{keys}%:{share}%"), allowed.to_owned()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for KeyDistribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyDistribution::Uniform => f.write_str("uniform"),
            KeyDistribution::Zipf { exponent } => write!(f, "zipf:{exponent}"),
            KeyDistribution::Gaussian { deviation: None } => f.write_str("gaussian"),
            KeyDistribution::Gaussian { deviation: Some(deviation) } => write!(f, "gaussian:{deviation}"),
            KeyDistribution::Hot { keys, share } => write!(f, "hot:{keys}%:{share}%"),
            KeyDistribution::Sequential => f.write_str("sequential"),
        }
    }
}

/// One caller's stream of key numbers, each below the size of the key space.
#[derive(Debug, Clone)]
pub(crate) enum KeyChooser {
    Uniform { size: u64 },
    Zipf(Zipf),
    Gaussian { size: f64, deviation: f64, normal: Normal },
    Hot { hot: u64, size: u64, share: f64 },
    Sequential { size: u64, next: u64 },
}

impl KeyChooser {
    /// A chooser over `size` keys; `part` of `parts` sets the starting point of a sequential walk.
    pub(crate) fn new(distribution: KeyDistribution, size: u64, part: u64, parts: u64) -> Self {
        let size = size.max(1);
        match distribution {
            KeyDistribution::Uniform => KeyChooser::Uniform { size },
            KeyDistribution::Zipf { exponent } => KeyChooser::Zipf(Zipf::new(size, exponent)),
            KeyDistribution::Gaussian { deviation } => {
                let size = size as f64;
                let deviation = deviation.unwrap_or(size / DEVIATIONS);
                KeyChooser::Gaussian { size, deviation, normal: Normal::default() }
            }
            KeyDistribution::Hot { keys, share } => {
                let hot = ((size as f64 * keys / 100.0).ceil() as u64).clamp(1, size);
                // If the set is the whole key space, it gets every access.
                let share = if hot == size { 1.0 } else { share / 100.0 };
                KeyChooser::Hot { hot, size, share }
            }
            KeyDistribution::Sequential => {
                let start = u128::from(size) * u128::from(part) / u128::from(parts.max(1));
                let next = u64::try_from(start).unwrap_or(0) % size;
                KeyChooser::Sequential { size, next }
            }
        }
    }

    pub(crate) fn next(&mut self, rng: &mut fastrand::Rng) -> u64 {
        match self {
            KeyChooser::Uniform { size } => rng.u64(..*size),
            KeyChooser::Zipf(zipf) => zipf.sample(rng) - 1,
            // At the largest deviation, which is the size, 38 % of the samples fall into the key space.
            KeyChooser::Gaussian { size, deviation, normal } => loop {
                let key = *size / 2.0 + *deviation * normal.sample(rng);
                if key >= 0.0 && key < *size {
                    return key as u64;
                }
            },
            KeyChooser::Hot { hot, size, share } => match rng.f64() < *share {
                true => rng.u64(..*hot),
                false => rng.u64(*hot..*size),
            },
            KeyChooser::Sequential { size, next } => {
                let key = *next;
                *next = if key + 1 == *size { 0 } else { key + 1 };
                key
            }
        }
    }
}

/// The text of a key: a prefix and twelve digits, as redis-benchmark writes it. It is rewritten in place.
#[derive(Debug, Clone)]
pub(crate) struct KeyText {
    text: Vec<u8>,
    /// The number of the first key.
    minimum: u64,
}

impl KeyText {
    /// Starts with the text of the first key.
    pub(crate) fn new(prefix: &str, minimum: u64) -> KeyText {
        let mut text = prefix.as_bytes().to_vec();
        text.extend([b'0'; DIGITS]);
        let mut key = KeyText { text, minimum };
        key.write(0);
        key
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The text of the key at this place of the key space; digits beyond the twelfth are dropped.
    pub(crate) fn write(&mut self, place: u64) -> &[u8] {
        if let Some(digits) = self.text.last_chunk_mut::<DIGITS>() {
            write_digits(digits, self.minimum.saturating_add(place));
        }
        &self.text
    }

    /// The text of a key for messages.
    pub(crate) fn name_of(&self, place: u64) -> String {
        String::from_utf8_lossy(self.clone().write(place)).into_owned()
    }
}

/// Fills `out` with the decimal digits of `number`, with leading zeros.
pub(crate) fn write_digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        // The remainder is below 10, so nothing is cut off.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The largest Zipf exponent: above it nearly every access goes to the first key.
pub(crate) const ZIPF_EXPONENT_MAX: f64 = 20.0;
/// The default width of the key space in standard deviations.
const DEVIATIONS: f64 = 6.0;
/// The default prefix of keys.
pub(crate) const KEY_PREFIX: &str = "key:";
/// The longest prefix of keys, in bytes.
pub(crate) const KEY_PREFIX_MAX: usize = 256;
/// The number of digits of a key.
pub(crate) const DIGITS: usize = 12;
/// The largest key space that twelve digits can number.
pub(crate) const KEY_SPACE_MAX: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::goodness_of_fit::{chi_square, chi_square_limit, normal_below};

    const SIZE: usize = 60;

    /// Pearson's statistic of keys chosen out of [`SIZE`] against the expected probabilities.
    fn misfit(distribution: KeyDistribution, probabilities: &[f64]) -> f64 {
        let mut chooser = KeyChooser::new(distribution, SIZE as u64, 0, 1);
        let mut rng = fastrand::Rng::with_seed(11);
        chi_square(probabilities, 200_000, || chooser.next(&mut rng) as usize)
    }

    /// The probability of each key in a normal distribution around the middle, with the ends cut off.
    fn gaussian(deviation: f64) -> Vec<f64> {
        let below = |key: usize| normal_below((key as f64 - SIZE as f64 / 2.0) / deviation);
        let all = below(SIZE) - below(0);
        (0..SIZE).map(|key| (below(key + 1) - below(key)) / all).collect()
    }

    fn hot(keys: usize, share: f64) -> Vec<f64> {
        let (inside, outside) = (share / keys as f64, (1.0 - share) / (SIZE - keys) as f64);
        (0..SIZE).map(|key| if key < keys { inside } else { outside }).collect()
    }

    #[test]
    fn keys_follow_their_distribution() {
        let even = vec![1.0 / SIZE as f64; SIZE];
        let wide = KeyDistribution::Gaussian { deviation: Some(25.5) };
        for (distribution, probabilities) in [
            (KeyDistribution::Uniform, even),
            (KeyDistribution::Gaussian { deviation: None }, gaussian(10.0)),
            (wide, gaussian(25.5)),
            (KeyDistribution::Hot { keys: 10.0, share: 90.0 }, hot(6, 0.9)),
            // 6.06 keys are rounded up to seven.
            (KeyDistribution::Hot { keys: 10.1, share: 2.5 }, hot(7, 0.025)),
        ] {
            let misfit = misfit(distribution, &probabilities);
            assert!(misfit < chi_square_limit(SIZE - 1), "{distribution}: {misfit}");
        }
    }

    #[test]
    fn another_key_distribution_is_detected() {
        let nearly_even: Vec<f64> =
            (0..SIZE).map(|key| (1.0 + if key < 30 { 0.02 } else { -0.02 }) / SIZE as f64).collect();
        for (distribution, probabilities) in [
            (KeyDistribution::Uniform, nearly_even),
            (KeyDistribution::Gaussian { deviation: None }, gaussian(10.3)),
            (KeyDistribution::Gaussian { deviation: Some(25.5) }, gaussian(24.0)),
            (KeyDistribution::Hot { keys: 10.0, share: 90.0 }, hot(6, 0.89)),
            (KeyDistribution::Hot { keys: 10.0, share: 90.0 }, hot(7, 0.9)),
        ] {
            let misfit = misfit(distribution, &probabilities);
            assert!(misfit > chi_square_limit(SIZE - 1), "{distribution}: {misfit}");
        }
    }

    #[test]
    fn every_distribution_stays_in_the_key_space() {
        let mut rng = fastrand::Rng::with_seed(2);
        for size in [1, 2, 3, KEY_SPACE_MAX] {
            for distribution in [
                KeyDistribution::Uniform,
                KeyDistribution::Zipf { exponent: 0.99 },
                KeyDistribution::Gaussian { deviation: None },
                KeyDistribution::Gaussian { deviation: Some(size as f64) },
                KeyDistribution::Gaussian { deviation: Some(1e-9) },
                KeyDistribution::Hot { keys: 1e-9, share: 1e-9 },
                KeyDistribution::Hot { keys: 99.999, share: 100.0 },
                KeyDistribution::Sequential,
            ] {
                assert_eq!(distribution.out_of_range(size), None);
                let mut keys = KeyChooser::new(distribution, size, 2, 3);
                assert!((0..1000).all(|_| keys.next(&mut rng) < size), "{distribution}, {size}");
            }
        }
    }

    #[test]
    fn invalid_parameters_are_rejected_with_the_allowed_range() {
        for (distribution, named) in [
            (KeyDistribution::Zipf { exponent: f64::NAN }, "to 20"),
            (KeyDistribution::Gaussian { deviation: Some(0.0) }, "to the 100 keys"),
            (KeyDistribution::Gaussian { deviation: Some(100.1) }, "to the 100 keys"),
            (KeyDistribution::Hot { keys: 100.0, share: 50.0 }, "below 100"),
            (KeyDistribution::Hot { keys: f64::NAN, share: 50.0 }, "below 100"),
            (KeyDistribution::Hot { keys: 1.0, share: 0.0 }, "SHARE% above 0"),
        ] {
            let (_, allowed) = distribution.out_of_range(100).expect("it makes no sense");
            assert!(allowed.contains(named), "{allowed}");
        }
    }

    #[test]
    fn a_chooser_allocates_nothing_for_any_key_space() {
        // Every caller has one, so a table of the key space would cost memory for each of thousands of callers.
        assert!(!std::mem::needs_drop::<KeyChooser>());
        assert!(size_of::<KeyChooser>() <= 64, "{} bytes", size_of::<KeyChooser>());
    }

    #[test]
    fn the_same_seed_gives_the_same_keys() {
        let draw = || {
            let mut rng = fastrand::Rng::with_seed(5);
            let mut keys = KeyChooser::new(KeyDistribution::Zipf { exponent: 0.9 }, 1000, 0, 1);
            (0..50).map(|_| keys.next(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn sequential_callers_start_at_different_keys() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut second = KeyChooser::new(KeyDistribution::Sequential, 6, 1, 2);
        let walked: Vec<u64> = (0..7).map(|_| second.next(&mut rng)).collect();
        assert_eq!(walked, [3, 4, 5, 0, 1, 2, 3]);
    }

    #[test]
    fn key_text_has_twelve_digits() {
        let mut text = KeyText::new(KEY_PREFIX, 0);
        assert_eq!(text.write(42), b"key:000000000042");
        assert_eq!(text.write(KEY_SPACE_MAX - 1), b"key:999999999999");
        assert_eq!(text.write(0), b"key:000000000000");
        let other = KeyText::new("tenant/7/é", 1000);
        assert_eq!(
            (other.as_bytes(), other.name_of(1)),
            ("tenant/7/é000000001000".as_bytes(), "tenant/7/é000000001001".to_owned())
        );
    }
}
