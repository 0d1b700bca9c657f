//! A service level objective: upper limits of latencies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::row::Row;
use crate::load::recording::latency::Latency;

/// The quantities of a latency distribution that an objective can limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantile {
    Mean,
    P50,
    P90,
    P99,
    P99_9,
    P99_99,
    Max,
}

impl Quantile {
    /// Microseconds.
    pub(crate) fn of(self, latency: &Latency) -> f64 {
        match self {
            Quantile::Mean => latency.mean,
            Quantile::P50 => latency.p50,
            Quantile::P90 => latency.p90,
            Quantile::P99 => latency.p99,
            Quantile::P99_9 => latency.p99_9,
            Quantile::P99_99 => latency.p99_99,
            Quantile::Max => latency.max,
        }
    }
}

impl FromStr for Quantile {
    type Err = String;

    fn from_str(text: &str) -> Result<Quantile, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, quantile)| *quantile);
        found.ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("'{text}' is none of {}", names.join(", "))
        })
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, quantile)| quantile == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// The limits that must all hold, such as a p99 of at most 2 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objective(pub(crate) Vec<(Quantile, Duration)>);

impl Objective {
    /// The largest ratio of a latency to its limit: at most 1 meets the objective, 2 is twice too long.
    pub(crate) fn load(&self, latency: &Latency) -> f64 {
        let share = |(quantile, limit): &(Quantile, Duration)| {
            quantile.of(latency) / (limit.as_nanos() as f64 / 1e3).max(f64::MIN_POSITIVE)
        };
        self.0.iter().map(share).fold(0.0, f64::max)
    }

    /// The load of a row's median sample.
    pub(crate) fn load_of(&self, row: &Row) -> Option<f64> {
        row.median(|sample| sample.latency_us.as_ref().map(|latency| self.load(latency)))
    }

    pub(crate) fn is_met_by(&self, row: &Row) -> bool {
        self.load_of(row).is_some_and(|load| load <= 1.0)
    }
}

const NAMES: [(&str, Quantile); 7] = [
    ("mean", Quantile::Mean),
    ("p50", Quantile::P50),
    ("p90", Quantile::P90),
    ("p99", Quantile::P99),
    ("p99.9", Quantile::P99_9),
    ("p99.99", Quantile::P99_99),
    ("max", Quantile::Max),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn latency() -> Latency {
        Latency {
            min: 1.0,
            mean: 2.0,
            p50: 2.0,
            p90: 3.0,
            p99: 1000.0,
            p99_9: 6000.0,
            p99_99: 7000.0,
            max: 9.0,
        }
    }

    #[test]
    fn the_worst_of_the_limits_decides() {
        let limits = |text: &[(&str, u64)]| {
            let limit =
                |(name, micros): &(&str, u64)| (name.parse().unwrap(), Duration::from_micros(*micros));
            Objective(text.iter().map(limit).collect()).load(&latency())
        };
        assert_eq!(limits(&[("p99", 2000)]), 0.5);
        assert_eq!(limits(&[("p99", 2000), ("p99.9", 3000)]), 2.0);
        assert_eq!(limits(&[("p99.99", 7000), ("max", 90), ("mean", 4), ("p50", 4), ("p90", 6)]), 1.0);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, quantile) in NAMES {
            assert_eq!((name.parse(), quantile.to_string().as_str()), (Ok(quantile), name));
        }
        assert!("p95".parse::<Quantile>().unwrap_err().contains("'p95' is none of mean, p50"));
    }
}
