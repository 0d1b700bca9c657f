//! When the next command is due: the arrivals of an open loop on all shards.
//!
//! Pure arithmetic on offsets from the start of the run; the caller reads the clock.

use std::time::Duration;

use crate::load::workload::Arrivals;
use crate::load::workload::sampling::exponential;
use crate::load::workload::values::splitmix64;

/// One shard's share of the arrivals. An arrival is a batch of commands that are sent together.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    batch: u64,
    due: Due,
}

#[derive(Debug, Clone)]
enum Due {
    /// Batch `j` of the whole run is due at `j × batch / rate`. Shard `s` of `n` takes the batches `s, s + n, s + 2n,
    /// …`, so that the arrivals of all shards are evenly spaced.
    Even { next: u64, stride: u64, nanos_per_batch: f64 },
    /// Every shard has its own Poisson process with its share of the rate. The sum of independent Poisson processes is
    /// a Poisson process, so the arrivals of all shards form one with the whole rate.
    Poisson { next: f64, mean_nanos: f64, rng: fastrand::Rng },
}

impl Pacer {
    /// `rate` is in commands per second on all `shards`; `batch` commands are sent together.
    pub(crate) fn new(
        arrivals: Arrivals,
        rate: u64,
        batch: usize,
        (shard, shards): (usize, usize),
        seed: u64,
    ) -> Pacer {
        let nanos_per_batch = 1e9 * batch.max(1) as f64 / rate.max(1) as f64;
        let due = match arrivals {
            Arrivals::Even => Due::Even { next: shard as u64, stride: shards.max(1) as u64, nanos_per_batch },
            Arrivals::Poisson => {
                let mean_nanos = nanos_per_batch * shards.max(1) as f64;
                // The callers' generators have other seeds, so arrivals and keys are independent.
                let mut rng = fastrand::Rng::with_seed(splitmix64(!seed ^ splitmix64(shard as u64)));
                Due::Poisson { next: mean_nanos * exponential(&mut rng), mean_nanos, rng }
            }
        };
        Pacer { batch: batch.max(1) as u64, due }
    }

    /// The intended time of the next batch, since the start. It does not depend on the time of the call: a late caller
    /// gets a time in the past, and its latency contains the delay.
    pub(crate) fn next(&mut self) -> Duration {
        let due = match &mut self.due {
            Due::Even { next, stride, nanos_per_batch } => {
                let due = *next as f64 * *nanos_per_batch;
                *next += *stride;
                due
            }
            Due::Poisson { next, mean_nanos, rng } => {
                let due = *next;
                *next += *mean_nanos * exponential(rng);
                due
            }
        };
        Duration::from_nanos(due as u64)
    }

    /// How many commands are due before `end` and were not taken. Up to [`DRAWN_MAX`] arrivals of a Poisson process are
    /// drawn one by one, as callers would have; beyond that the expected number is exact enough.
    pub(crate) fn left_before(&self, end: Duration) -> u64 {
        let nanos = end.as_nanos() as f64;
        let batches = match &self.due {
            Due::Even { next, stride, nanos_per_batch } => {
                ((nanos / nanos_per_batch - *next as f64) / *stride as f64).ceil()
            }
            Due::Poisson { next, mean_nanos, .. } if nanos - next > mean_nanos * DRAWN_MAX => {
                ((nanos - next) / mean_nanos).round()
            }
            Due::Poisson { .. } => {
                let mut rest = self.clone();
                std::iter::from_fn(|| Some(rest.next()).filter(|due| *due < end)).count() as f64
            }
        };
        // A negative number is converted to 0.
        (batches as u64).saturating_mul(self.batch)
    }
}

/// The most arrivals that are drawn to count them, which takes some milliseconds.
const DRAWN_MAX: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::goodness_of_fit::{chi_square_limit, ks_limit, ks_statistic};

    fn pacers(arrivals: Arrivals, rate: u64, batch: usize, shards: usize) -> impl Iterator<Item = Pacer> {
        (0..shards).map(move |shard| Pacer::new(arrivals, rate, batch, (shard, shards), 7))
    }

    fn even(rate: u64, batch: usize, shards: usize, each: usize) -> Vec<Duration> {
        let mut all: Vec<Duration> = pacers(Arrivals::Even, rate, batch, shards)
            .flat_map(|mut pacer| (0..each).map(move |_| pacer.next()).collect::<Vec<_>>())
            .collect();
        all.sort();
        all
    }

    /// All arrivals before `end`, in milliseconds and in order.
    fn before(arrivals: Arrivals, rate: u64, batch: usize, shards: usize, end: Duration) -> Vec<f64> {
        let all = pacers(arrivals, rate, batch, shards)
            .flat_map(|mut pacer| std::iter::from_fn(move || Some(pacer.next()).filter(|due| *due < end)));
        let mut all: Vec<f64> = all.map(|due| due.as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn arrivals_are_even_over_all_shards() {
        let expected: Vec<_> = (0..300).map(Duration::from_millis).collect();
        assert_eq!(even(1000, 1, 3, 100), expected);
    }

    #[test]
    fn a_batch_takes_the_time_of_its_commands() {
        let expected: Vec<_> = (0..10).map(|n| Duration::from_millis(n * 10)).collect();
        assert_eq!(even(1000, 10, 2, 5), expected);
    }

    #[test]
    fn the_rate_does_not_drift() {
        // The gap at this rate is not a whole number of nanoseconds; over a day a rounding error would show.
        let rate = 7_777_777;
        let mut pacer = Pacer::new(Arrivals::Even, rate, 1, (0, 1), 7);
        if let Due::Even { next, .. } = &mut pacer.due {
            *next = rate * 86_400;
        }
        let error = pacer.next().abs_diff(Duration::from_secs(86_400));
        assert!(error < Duration::from_micros(1), "{error:?}");
    }

    #[test]
    fn a_slow_rate_waits_long() {
        let mut pacer = Pacer::new(Arrivals::Even, 1, 1, (1, 4), 7);
        assert_eq!(pacer.next(), Duration::from_secs(1));
        assert_eq!(pacer.next(), Duration::from_secs(5));
    }

    /// The misfit of the gaps to the exponential distribution of a rate, and its limit.
    fn gaps_misfit(arrivals: &[f64], per_millisecond: f64) -> (f64, f64) {
        let mut gaps: Vec<f64> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let misfit = ks_statistic(&mut gaps, |gap| 1.0 - (-gap * per_millisecond).exp());
        (misfit, ks_limit(gaps.len()))
    }

    #[test]
    fn poisson_gaps_are_exponential_over_all_shards() {
        // Fifty batches a millisecond in every case.
        for (rate, batch, shards) in [(50_000, 1, 1), (50_000, 1, 3), (400_000, 8, 2)] {
            let all = before(Arrivals::Poisson, rate, batch, shards, Duration::from_secs(2));
            let (misfit, limit) = gaps_misfit(&all, 50.0);
            assert!(misfit < limit, "{rate}, {batch}, {shards}: {misfit} > {limit}");
            for wrong in [48.5, 51.5] {
                let (misfit, limit) = gaps_misfit(&all, wrong);
                assert!(misfit > limit, "a rate of {wrong} passes for 50: {misfit}");
            }
        }
        let (misfit, limit) =
            gaps_misfit(&before(Arrivals::Even, 50_000, 1, 3, Duration::from_secs(2)), 50.0);
        assert!(misfit > limit, "even arrivals pass for random ones");
    }

    /// The variance of the counts of a Poisson process equals their mean, so `Σ (n - m)² / m` is chi-square with one
    /// degree of freedom for each window. This finds exponential gaps that depend on each other, which the test of the
    /// gaps does not.
    #[test]
    fn poisson_counts_vary_as_they_should() {
        const WINDOWS: usize = 200;
        const EACH_MS: f64 = 10.0;
        let scatter = |arrivals| {
            let end = Duration::from_secs_f64(EACH_MS * WINDOWS as f64 / 1e3);
            let mut counts = vec![0u32; WINDOWS];
            for due in before(arrivals, 10_000, 1, 3, end) {
                counts[((due / EACH_MS) as usize).min(WINDOWS - 1)] += 1;
            }
            // The rate gives a mean of a hundred in each window.
            counts.iter().map(|&count| (f64::from(count) - 100.0).powi(2) / 100.0).sum::<f64>()
        };
        let poisson = scatter(Arrivals::Poisson);
        assert!(poisson < chi_square_limit(WINDOWS), "{poisson}");
        // The lower limit is as far below 200 as the upper one is above it.
        let least = 2.0 * WINDOWS as f64 - chi_square_limit(WINDOWS);
        assert!(poisson > least && scatter(Arrivals::Even) < least, "{poisson}");
    }

    #[test]
    fn arrivals_depend_on_the_seed() {
        let draw = |seed| Pacer::new(Arrivals::Poisson, 1000, 1, (0, 2), seed).next();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn arrivals_that_were_not_taken_are_counted() {
        let mut pacer = Pacer::new(Arrivals::Even, 1000, 5, (1, 2), 7);
        // Its batches are due at 5, 15, 25 and 35 ms.
        for (end, left) in [(0, 0), (5, 0), (6, 5), (15, 5), (16, 10), (40, 20)] {
            assert_eq!(pacer.left_before(Duration::from_millis(end)), left, "before {end} ms");
        }
        pacer.next();
        assert_eq!(pacer.left_before(Duration::from_millis(16)), 5);
        let mut pacer = Pacer::new(Arrivals::Poisson, 1000, 1, (0, 1), 7);
        let second = Duration::from_secs(1);
        let mut left = pacer.left_before(second);
        assert!(left.abs_diff(1000) < 160, "{left}");
        while pacer.next() < second {
            left -= 1;
            assert_eq!(pacer.left_before(second), left);
        }
        assert_eq!(left, 0);
        let many = pacer.left_before(second * 100_000) as f64;
        assert!((many / 99.999e6 - 1.0).abs() < 1e-3, "{many}");
    }
}
