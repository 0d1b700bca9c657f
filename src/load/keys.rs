//! Which key comes next: the distributions over a key space, and the text of a key.
//!
//! A [`KeyDistribution`] is what the user asked for; a [`KeyChooser`] is one caller's cheap,
//! seedable stream of key numbers drawn from it.

use std::fmt;

/// How the keys of a run are spread over the key space.
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
    /// Each caller walks the whole key space in order, from its own starting point.
    Sequential,
}

impl fmt::Display for KeyDistribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyDistribution::Uniform => f.write_str("uniform"),
            KeyDistribution::Zipf { exponent } => write!(f, "zipf:{exponent}"),
            KeyDistribution::Sequential => f.write_str("sequential"),
        }
    }
}

/// One caller's stream of key numbers, each below the size of the key space.
#[derive(Debug, Clone)]
pub(crate) enum KeyChooser {
    Uniform { size: u64 },
    Zipf(Zipf),
    Sequential { size: u64, next: u64 },
}

impl KeyChooser {
    /// A chooser over `size` keys; `part` of `parts` says where a sequential walk starts.
    pub(crate) fn new(distribution: KeyDistribution, size: u64, part: u64, parts: u64) -> Self {
        let size = size.max(1);
        match distribution {
            KeyDistribution::Uniform => KeyChooser::Uniform { size },
            KeyDistribution::Zipf { exponent } => KeyChooser::Zipf(Zipf::new(size, exponent)),
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
            KeyChooser::Sequential { size, next } => {
                let key = *next;
                *next = if key + 1 == *size { 0 } else { key + 1 };
                key
            }
        }
    }
}

/// Ranks `1..=size` with probability proportional to `rank^-exponent`, by rejection-inversion
/// (W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
/// distributions", 1996): no table, and about one draw a sample whatever the size.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    size: f64,
    exponent: f64,
    /// The integral of the hat at 1.5, less the whole mass of rank 1.
    low: f64,
    /// The integral of the hat at `size + 0.5`.
    high: f64,
    /// A candidate nearer to its rank than this is accepted without computing the hat.
    shortcut: f64,
}

impl Zipf {
    pub(crate) fn new(size: u64, exponent: f64) -> Zipf {
        let size = size.max(1) as f64;
        let low = integral(1.5, exponent) - 1.0;
        let high = integral(size + 0.5, exponent);
        let second = inverse_integral(integral(2.5, exponent) - hat(2.0, exponent), exponent);
        Zipf { size, exponent, low, high, shortcut: 2.0 - second }
    }

    pub(crate) fn sample(&self, rng: &mut fastrand::Rng) -> u64 {
        loop {
            let u = self.high + rng.f64() * (self.low - self.high);
            let x = inverse_integral(u, self.exponent);
            let rank = x.round().clamp(1.0, self.size);
            let accepted = rank - x <= self.shortcut
                || u >= integral(rank + 0.5, self.exponent) - hat(rank, self.exponent);
            if accepted {
                return rank as u64;
            }
        }
    }
}

/// `x^-exponent`: the density whose sums are wanted.
fn hat(x: f64, exponent: f64) -> f64 {
    (-exponent * x.ln()).exp()
}

/// The integral of the hat from 1 to `x`, in a form that stays exact when the exponent nears 1.
fn integral(x: f64, exponent: f64) -> f64 {
    let log = x.ln();
    expm1_over((1.0 - exponent) * log) * log
}

fn inverse_integral(y: f64, exponent: f64) -> f64 {
    // Below -1 there is no inverse; rounding may take the argument there at the far end.
    let t = (y * (1.0 - exponent)).max(-1.0);
    (log1p_over(t) * y).exp()
}

/// `(e^x - 1) / x`, and 1 at 0.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 * (1.0 + x / 3.0) }
}

/// `ln(1 + x) / x`, and 1 at 0.
fn log1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x / 3.0) }
}

/// The text of a key, `key:` and twelve digits (as redis-benchmark writes it), rewritten in place.
#[derive(Debug, Clone)]
pub(crate) struct KeyText([u8; KeyText::LEN]);

impl KeyText {
    const PREFIX: usize = 4;
    const LEN: usize = KeyText::PREFIX + DIGITS;

    pub(crate) fn new() -> KeyText {
        KeyText(*b"key:000000000000")
    }

    /// The key's text; the number's digits beyond the twelfth are dropped.
    pub(crate) fn write(&mut self, number: u64) -> &[u8] {
        if let Some(digits) = self.0.get_mut(KeyText::PREFIX..) {
            write_digits(digits, number);
        }
        &self.0
    }
}

/// How many digits a key has.
pub(crate) const DIGITS: usize = 12;

/// The largest key space that twelve digits can name.
pub const KEY_SPACE_MAX: u64 = 1_000_000_000_000;

/// Fills `out` with the decimal digits of `number`, zeros first.
pub(crate) fn write_digits(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        // The remainder is below 10, so nothing is cut off.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pearson's statistic of `samples` draws against the expected probabilities.
    fn chi_square(probabilities: &[f64], samples: u32, mut draw: impl FnMut() -> usize) -> f64 {
        let mut seen = vec![0u32; probabilities.len()];
        for _ in 0..samples {
            seen[draw()] += 1;
        }
        let expected = probabilities.iter().map(|p| p * f64::from(samples));
        seen.iter().zip(expected).map(|(&n, e)| (f64::from(n) - e).powi(2) / e).sum()
    }

    /// The 99.99 % quantile of chi-square with `freedom` degrees (Wilson and Hilferty).
    fn limit(freedom: usize) -> f64 {
        let k = freedom as f64;
        k * (1.0 - 2.0 / (9.0 * k) + 3.719 * (2.0 / (9.0 * k)).sqrt()).powi(3)
    }

    #[test]
    fn zipf_follows_its_definition() {
        for exponent in [0.3, 0.99, 1.0, 1.000_000_001, 1.5, 2.5] {
            for size in [1usize, 2, 10, 100] {
                let zipf = Zipf::new(size as u64, exponent);
                let weights: Vec<f64> = (1..=size).map(|k| (k as f64).powf(-exponent)).collect();
                let total: f64 = weights.iter().sum();
                let p: Vec<f64> = weights.iter().map(|w| w / total).collect();
                let mut rng = fastrand::Rng::with_seed(7);
                let x2 = chi_square(&p, 200_000, || zipf.sample(&mut rng) as usize - 1);
                assert!(size == 1 || x2 < limit(size - 1), "exponent {exponent}, {size}: {x2}");
            }
        }
    }

    #[test]
    fn zipf_stays_in_range_at_the_extremes() {
        let mut rng = fastrand::Rng::with_seed(3);
        for exponent in [0.01, 1.0, 10.0, 100.0] {
            let zipf = Zipf::new(KEY_SPACE_MAX, exponent);
            for _ in 0..10_000 {
                assert!((1..=KEY_SPACE_MAX).contains(&zipf.sample(&mut rng)));
            }
        }
    }

    #[test]
    fn uniform_is_uniform() {
        let mut chooser = KeyChooser::new(KeyDistribution::Uniform, 100, 0, 1);
        let mut rng = fastrand::Rng::with_seed(11);
        let x2 = chi_square(&[0.01; 100], 200_000, || chooser.next(&mut rng) as usize);
        assert!(x2 < limit(99), "{x2}");
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
    fn sequential_walks_everything_from_each_callers_own_start() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut second = KeyChooser::new(KeyDistribution::Sequential, 6, 1, 2);
        let walked: Vec<u64> = (0..7).map(|_| second.next(&mut rng)).collect();
        assert_eq!(walked, [3, 4, 5, 0, 1, 2, 3]);
    }

    #[test]
    fn key_text_has_twelve_digits() {
        let mut text = KeyText::new();
        assert_eq!(text.write(42), b"key:000000000042");
        assert_eq!(text.write(KEY_SPACE_MAX - 1), b"key:999999999999");
        assert_eq!(text.write(0), b"key:000000000000");
    }
}
