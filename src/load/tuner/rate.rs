//! The search for the largest rate of an open loop that meets an objective: a bisection that starts below the
//! throughput of the closed loop.

/// The bisection. A rate that misses the objective is probed a second time, because one disturbance of the machine is
/// not a limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RateSearch {
    next: f64,
    met: Option<f64>,
    missed: Option<f64>,
    is_second_try: bool,
    probes: usize,
}

impl RateSearch {
    /// A search from a closed loop's throughput, in commands per second.
    pub(crate) fn new(throughput: f64) -> RateSearch {
        let next = (throughput * FIRST).max(1.0);
        RateSearch { next, met: None, missed: None, is_second_try: false, probes: 0 }
    }

    /// The rate to try next, in commands per second; `None` if the search is over.
    pub(crate) fn next(&self) -> Option<u64> {
        let is_close = match (self.met, self.missed) {
            (Some(met), Some(missed)) => missed / met <= CLOSE,
            (None, Some(missed)) => missed <= 1.0,
            _ => false,
        };
        (self.probes < PROBES_MAX && !is_close).then(|| (self.next.round() as u64).max(1))
    }

    /// Notes whether the last probe met the objective.
    pub(crate) fn note(&mut self, met: bool) {
        self.probes += 1;
        let tried = self.next.round().max(1.0);
        if !met && !std::mem::replace(&mut self.is_second_try, true) {
            return;
        }
        self.is_second_try = false;
        match met {
            true => self.met = Some(tried),
            false => self.missed = Some(tried),
        }
        self.next = match (self.met, self.missed) {
            (Some(met), Some(missed)) => f64::midpoint(met, missed),
            (Some(met), None) => met * FURTHER,
            (None, _) => tried / 2.0,
        };
    }

    /// The largest rate that met it.
    pub(crate) fn largest(&self) -> Option<u64> {
        self.met.map(|rate| rate as u64)
    }
}

/// The most probes of one search.
const PROBES_MAX: usize = 12;
/// The search ends when the smallest rate that missed the objective is within this factor of the largest that met it.
const CLOSE: f64 = 1.05;
/// The first probe, as a share of the closed loop's throughput. Closer to it, queues grow without bound.
const FIRST: f64 = 0.7;
/// The factor of the next probe while none has missed.
const FURTHER: f64 = 1.25;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn search(throughput: f64, mut meets: impl FnMut(u64) -> bool) -> (Option<u64>, usize) {
        let mut search = RateSearch::new(throughput);
        let mut probes = 0;
        while let Some(rate) = search.next() {
            search.note(meets(rate));
            probes += 1;
        }
        (search.largest(), probes)
    }

    #[test]
    fn an_impossible_search_ends() {
        assert_eq!(search(100_000.0, |_| false), (None, PROBES_MAX));
        let (rate, probes) = search(100_000.0, |_| true);
        assert!(rate.is_some_and(|rate| rate > 500_000) && probes == PROBES_MAX);
        assert_eq!(search(0.0, |_| false).0, None);
    }

    #[test]
    fn one_disturbed_probe_is_not_the_limit() {
        let mut hiccup = true;
        let (rate, _) = search(100_000.0, |rate| rate <= 90_000 && !std::mem::take(&mut hiccup));
        assert!(rate.is_some_and(|rate| (85_000..=90_000).contains(&rate)), "{rate:?}");
    }

    proptest! {
        #[test]
        fn the_search_finds_the_limit(throughput in 100.0f64..2e6, share in 0.3f64..1.4) {
            let limit = (throughput * share) as u64;
            let (rate, _) = search(throughput, |rate| rate <= limit);
            let rate = rate.expect("a rate") as f64;
            prop_assert!(rate <= limit as f64 && rate >= limit as f64 / 1.1, "{rate} of {limit}");
        }
    }
}
