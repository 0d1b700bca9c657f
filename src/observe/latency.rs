//! [`LatencyHistogram`]: how long commands took, in constant memory.

use std::fmt;
use std::time::Duration;

/// How long commands took: counts in buckets whose width is an eighth of a power of two.
///
/// A reported time is the middle of its bucket, and so at most 6.25 % off. [`mean`](LatencyHistogram::mean) and
/// [`max`](LatencyHistogram::max) are exact. A histogram takes 2.6 KiB. Times beyond 2⁴³ ns, about two hours, share the last
/// bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    total_ns: u64,
    max_ns: u64,
}

impl LatencyHistogram {
    /// The number of recorded times.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; `None` if no time is recorded.
    pub fn mean(&self) -> Option<Duration> {
        self.total_ns.checked_div(self.count).map(Duration::from_nanos)
    }

    /// The longest time; `None` if no time is recorded.
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.max_ns))
    }

    /// The time that `percent` percent of the times, such as 99.9, do not exceed; `None` if no time is recorded.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let rank = (self.count as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(middle_of(bucket).min(self.max_ns)))
    }

    /// Adds the times of another histogram.
    pub fn merge(&mut self, other: &LatencyHistogram) {
        for (count, more) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *count += more;
        }
        self.count += other.count;
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// Records one time, in nanoseconds.
    #[inline]
    pub(crate) fn record(&mut self, nanos: u64) {
        if let Some(count) = self.buckets.get_mut(bucket_of(nanos)) {
            *count += 1;
        }
        self.count += 1;
        self.total_ns = self.total_ns.saturating_add(nanos);
        self.max_ns = self.max_ns.max(nanos);
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        LatencyHistogram { buckets: Box::new([0; BUCKETS]), count: 0, total_ns: 0, max_ns: 0 }
    }
}

impl fmt::Debug for LatencyHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("LatencyHistogram");
        fields.field("count", &self.count).field("mean", &self.mean());
        for (name, percent) in [("p50", 50.0), ("p99", 99.0), ("p99_9", 99.9)] {
            fields.field(name, &self.percentile(percent));
        }
        fields.field("max", &self.max()).finish()
    }
}

/// The bucket of a time. Each time below 8 ns has a bucket, and each power of two above has eight.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    if nanos < 8 {
        return nanos as usize;
    }
    let exponent = nanos.ilog2();
    let eighth = (nanos >> (exponent - 3)) & 7;
    (((exponent - 2) * 8) as usize + eighth as usize).min(BUCKETS - 1)
}

fn middle_of(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (power, eighth) = (bucket / 8 - 1, bucket as u64 % 8);
    ((8 + eighth) << power) + ((1 << power) / 2)
}

const BUCKETS: usize = 41 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reported_time_is_at_most_a_sixteenth_off() {
        let mut nanos = 1;
        while nanos < 1 << 42 {
            for nanos in [nanos, nanos + nanos / 3, nanos * 2 - 1] {
                let reported = middle_of(bucket_of(nanos));
                assert!(reported.abs_diff(nanos) * 16 <= nanos, "{nanos} is reported as {reported}");
            }
            nanos *= 2;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_mean_and_maximum_match_the_times() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!((histogram.percentile(50.0), histogram.mean(), histogram.max()), (None, None, None));
        (1..=1000).for_each(|micros| histogram.record(micros * 1_000));
        let mut other = LatencyHistogram::default();
        other.record(7_000_000);
        histogram.merge(&other);
        assert_eq!((histogram.count(), histogram.max()), (1001, Some(Duration::from_millis(7))));
        assert_eq!(histogram.mean(), Some(Duration::from_nanos(506_993)));
        let within = |percent: f64, micros: u64| {
            let (found, nanos) = (histogram.percentile(percent).unwrap().as_nanos() as u64, micros * 1000);
            assert!(found.abs_diff(nanos) * 16 <= nanos, "{percent}: {found}");
        };
        within(50.0, 500);
        within(99.0, 990);
        within(100.0, 7000);
        within(0.0, 1);
    }
}
