//! When the next command is due: even arrivals of an open loop, over all shards.
//!
//! Pure arithmetic on offsets from the start of the run; whoever calls it owns the clock.

use std::time::Duration;

/// One shard's share of the arrivals. Batch `j` of the whole run is due at `j × batch / rate`;
/// shard `s` of `n` takes the batches `s, s + n, s + 2n, …`, so that together they are even.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    next: u64,
    stride: u64,
    nanos_per_batch: f64,
}

impl Pacer {
    /// `rate` is in commands per second over all `shards`; `batch` commands go out together.
    pub(crate) fn new(rate: u64, batch: usize, shard: usize, shards: usize) -> Pacer {
        let nanos_per_batch = 1e9 * batch.max(1) as f64 / rate.max(1) as f64;
        Pacer { next: shard as u64, stride: shards.max(1) as u64, nanos_per_batch }
    }

    /// The intended time of the next batch, counted from the start. It does not depend on when
    /// it is asked for: a late caller gets a time in the past, and its latency says so.
    pub(crate) fn next(&mut self) -> Duration {
        let due = self.next as f64 * self.nanos_per_batch;
        self.next += self.stride;
        Duration::from_nanos(due as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(rate: u64, batch: usize, shards: usize, each: usize) -> Vec<Duration> {
        let mut all: Vec<Duration> = (0..shards)
            .flat_map(|shard| {
                let mut pacer = Pacer::new(rate, batch, shard, shards);
                (0..each).map(move |_| pacer.next()).collect::<Vec<_>>()
            })
            .collect();
        all.sort();
        all
    }

    #[test]
    fn arrivals_are_even_over_all_shards() {
        let all = arrivals(1000, 1, 3, 100);
        let expected: Vec<_> = (0..300).map(Duration::from_millis).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_batch_takes_the_time_of_its_commands() {
        let all = arrivals(1000, 10, 2, 5);
        let expected: Vec<_> = (0..10).map(|n| Duration::from_millis(n * 10)).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn the_rate_does_not_drift() {
        // A rate that no whole number of nanoseconds expresses, over a day of virtual time.
        let rate = 7_777_777;
        let mut pacer = Pacer::new(rate, 1, 0, 1);
        pacer.next = rate * 86_400;
        let error = pacer.next().abs_diff(Duration::from_secs(86_400));
        assert!(error < Duration::from_micros(1), "{error:?}");
    }

    #[test]
    fn a_slow_rate_waits_long() {
        let mut pacer = Pacer::new(1, 1, 1, 4);
        assert_eq!(pacer.next(), Duration::from_secs(1));
        assert_eq!(pacer.next(), Duration::from_secs(5));
    }
}
