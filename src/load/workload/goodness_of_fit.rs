//! Goodness-of-fit tests, for the tests of all samplers. A correct sampler exceeds a limit with one seed in ten
//! thousand; the tests have fixed seeds, so their results do not change.

/// Pearson's chi-square statistic of `samples` samples against the probabilities of their bins.
pub(crate) fn chi_square(probabilities: &[f64], samples: u32, mut draw: impl FnMut() -> usize) -> f64 {
    let mut seen = vec![0u32; probabilities.len()];
    for _ in 0..samples {
        seen[draw()] += 1;
    }
    let expected = probabilities.iter().map(|p| p * f64::from(samples));
    seen.iter().zip(expected).map(|(&n, e)| (f64::from(n) - e).powi(2) / e).sum()
}

/// The 99.99 % quantile of chi-square with `freedom` degrees (E. Wilson, M. Hilferty).
pub(crate) fn chi_square_limit(freedom: usize) -> f64 {
    let k = freedom as f64;
    k * (1.0 - 2.0 / (9.0 * k) + 3.719 * (2.0 / (9.0 * k)).sqrt()).powi(3)
}

/// The Kolmogorov-Smirnov statistic: the largest distance between the samples and their cumulative distribution
/// `below`.
pub(crate) fn ks_statistic(draws: &mut [f64], below: impl Fn(f64) -> f64) -> f64 {
    draws.sort_by(f64::total_cmp);
    let count = draws.len() as f64;
    let distance = |(index, &draw): (usize, &f64)| {
        let expected = below(draw);
        let (before, after) = (index as f64 / count, (index + 1) as f64 / count);
        (expected - before).abs().max((expected - after).abs())
    };
    draws.iter().enumerate().map(distance).fold(0.0, f64::max)
}

/// The 99.99 % quantile of the Kolmogorov-Smirnov statistic for many samples: the root of `ln(2 / 0.0001) / 2n`.
pub(crate) fn ks_limit(draws: usize) -> f64 {
    ((2.0f64 / 0.0001).ln() / (2.0 * draws as f64)).sqrt()
}

/// The cumulative normal distribution at `x`, by Simpson's rule from 0.
pub(crate) fn normal_below(x: f64) -> f64 {
    const STEPS: u32 = 200;
    let density = |t: f64| (-t * t / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let x = x.clamp(-9.0, 9.0);
    let step = x / f64::from(STEPS);
    let inner = (1..STEPS).map(|i| {
        let weight = if i % 2 == 1 { 4.0 } else { 2.0 };
        weight * density(f64::from(i) * step)
    });
    0.5 + (density(0.0) + inner.sum::<f64>() + density(x)) * step / 3.0
}

#[test]
fn normal_below_matches_published_tables() {
    for (x, below) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.96, 0.024_997_895), (3.0, 0.998_650_102)] {
        assert!((normal_below(x) - below).abs() < 1e-8, "{x}: {}", normal_below(x));
    }
}
