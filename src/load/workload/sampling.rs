//! Samples of distributions that are not uniform: Zipf ranks, the normal distribution, and the gaps of a Poisson
//! process.
//!
//! A load generator must know the cost of its own samples, so these are hand-written. Each sample is arithmetic on a
//! few floats, without a table, an allocation or a lock. In a release build a uniform sample took 1 ns, a hot set 3 ns,
//! a normal sample 12 ns, and a Zipf sample 21 to 33 ns. A `GET` costs a client 500 ns of CPU: uniform keys add 0.2 %,
//! and Zipf keys at most 7 %.

/// Ranks `1..=size` with probability proportional to `rank^-exponent`, by rejection-inversion (W. Hörmann, G.
/// Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", 1996). It needs no
/// table, and about one uniform sample for each rank, whatever the size.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    size: f64,
    exponent: f64,
    /// The integral of the hat at 1.5, less the whole mass of rank 1.
    low: f64,
    /// The integral of the hat at `size + 0.5`.
    high: f64,
    /// A candidate that is closer to its rank than this is accepted without evaluating the hat.
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

/// Samples the normal distribution with the polar method (G. Marsaglia, 1964), which yields two at a time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Normal {
    spare: Option<f64>,
}

impl Normal {
    /// One sample with mean 0 and standard deviation 1.
    pub(crate) fn sample(&mut self, rng: &mut fastrand::Rng) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * rng.f64() - 1.0, 2.0 * rng.f64() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }
}

/// One gap between independent arrivals with a mean gap of 1.
pub(crate) fn exponential(rng: &mut fastrand::Rng) -> f64 {
    // Never the logarithm of 0: the uniform sample is below 1.
    -(1.0 - rng.f64()).ln()
}

/// `x^-exponent`: the hat, which bounds the probabilities.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::goodness_of_fit::{
        chi_square, chi_square_limit, ks_limit, ks_statistic, normal_below,
    };
    use crate::load::workload::keys::KEY_SPACE_MAX;

    fn zipf_probabilities(size: usize, exponent: f64) -> Vec<f64> {
        let weights: Vec<f64> = (1..=size).map(|rank| (rank as f64).powf(-exponent)).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / total).collect()
    }

    /// Pearson's statistic of Zipf samples with exponent `drawn` against the probabilities of exponent `expected`.
    fn zipf_misfit(drawn: f64, expected: f64, size: usize) -> f64 {
        let zipf = Zipf::new(size as u64, drawn);
        let mut rng = fastrand::Rng::with_seed(7);
        let rank = || zipf.sample(&mut rng) as usize - 1;
        chi_square(&zipf_probabilities(size, expected), 200_000, rank)
    }

    #[test]
    fn zipf_samples_fit_their_exponent() {
        for exponent in [0.3, 0.99, 1.0, 1.000_000_001, 1.5, 2.5] {
            for size in [2, 10, 100] {
                let misfit = zipf_misfit(exponent, exponent, size);
                assert!(misfit < chi_square_limit(size - 1), "exponent {exponent}, {size}: {misfit}");
            }
        }
    }

    #[test]
    fn another_zipf_exponent_is_detected() {
        for (drawn, expected) in [(0.99, 1.02), (0.99, 0.96), (1.5, 1.45), (0.01, 0.05)] {
            let misfit = zipf_misfit(drawn, expected, 100);
            assert!(misfit > chi_square_limit(99), "{drawn} passes for {expected}: {misfit}");
        }
    }

    #[test]
    fn zipf_stays_in_range_at_the_extremes() {
        let mut rng = fastrand::Rng::with_seed(3);
        assert_eq!(Zipf::new(1, 0.99).sample(&mut rng), 1);
        for exponent in [0.01, 1.0, 10.0, 100.0] {
            let zipf = Zipf::new(KEY_SPACE_MAX, exponent);
            for _ in 0..10_000 {
                assert!((1..=KEY_SPACE_MAX).contains(&zipf.sample(&mut rng)));
            }
        }
    }

    #[test]
    fn normal_samples_fit_the_normal_distribution_only() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut normal = Normal::default();
        let mut draws: Vec<f64> = (0..100_000).map(|_| normal.sample(&mut rng)).collect();
        let misfit = ks_statistic(&mut draws, normal_below);
        assert!(misfit < ks_limit(draws.len()), "{misfit}");
        for wrong in [|x: f64| normal_below(x * 1.03), |x: f64| normal_below(x + 0.02)] {
            assert!(ks_statistic(&mut draws, wrong) > ks_limit(draws.len()));
        }
    }

    #[test]
    fn exponential_samples_fit_their_distribution_only() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut draws: Vec<f64> = (0..100_000).map(|_| exponential(&mut rng)).collect();
        let misfit = ks_statistic(&mut draws, |x| 1.0 - (-x).exp());
        assert!(misfit < ks_limit(draws.len()), "{misfit}");
        assert!(ks_statistic(&mut draws, |x| 1.0 - (-1.03 * x).exp()) > ks_limit(draws.len()));
    }
}
