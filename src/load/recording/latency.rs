//! Latencies as reports publish them: percentiles in microseconds, from histograms of nanoseconds.

use hdrhistogram::Histogram;
use serde::Serialize;

/// A latency distribution in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub struct Latency {
    pub min: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
}

impl Latency {
    /// Reads a histogram of nanoseconds; `None` if it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Latency> {
        if histogram.is_empty() {
            return None;
        }
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Some(Latency {
            min: micros(histogram.min()),
            mean: round(histogram.mean() / 1e3, 3),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: micros(histogram.max()),
        })
    }
}

/// The median and the maximum of some durations, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub struct Spread {
    pub p50: f64,
    pub max: f64,
}

impl Spread {
    /// Reads a histogram of nanoseconds; `None` if it is empty.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Spread> {
        let median = || micros(histogram.value_at_quantile(0.5));
        (!histogram.is_empty()).then(|| Spread { p50: median(), max: micros(histogram.max()) })
    }
}

/// The sum of two histograms; they have the same bounds, so every value fits.
pub(crate) fn sum_of(one: &Histogram<u64>, other: &Histogram<u64>) -> Histogram<u64> {
    let mut both = one.clone();
    let added = both.add(other);
    debug_assert!(added.is_ok(), "histograms of one shape");
    both
}

pub(crate) fn round(number: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (number * scale).round() / scale
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
