//! When a source sends its next element, and when it stops.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::place::Place;
use super::plan::DeliveryPlan;
use crate::load::workload::Limit;

/// The schedule of one source.
#[derive(Debug)]
pub(super) struct Pace {
    plan: Arc<DeliveryPlan>,
    /// The number of the source among all.
    source: u64,
    sources: u64,
    sent: u64,
    /// How many elements this source sends; `None` without a limit.
    budget: Option<u64>,
}

impl Pace {
    pub(super) fn new(plan: Arc<DeliveryPlan>, source: usize) -> Pace {
        let (source, sources) = (source as u64, plan.delivery.sources().max(1) as u64);
        let budget = match plan.delivery.limit {
            Limit::Requests(all) => Some(all / sources + u64::from(source < all % sources)),
            Limit::Duration(_) => None,
        };
        Pace { plan, source, sources, sent: 0, budget }
    }

    /// Waits until the next element is due, and returns when it was due. `None` at the end of the run.
    ///
    /// With a rate, a late source gets a time in the past, and the latency of its element contains the delay.
    pub(super) async fn next<P: Place>(&mut self, place: &P) -> Option<Instant> {
        let begin = loop {
            match self.plan.begin() {
                _ if self.plan.is_stopped() => return None,
                Some(begin) => break begin,
                None => place.sleep(START_CHECK).await,
            }
        };
        if self.budget.is_some_and(|budget| self.sent >= budget) {
            return None;
        }
        let due = self.due(begin);
        loop {
            let now = Instant::now();
            if self.plan.is_stopped() || self.plan.end().is_some_and(|end| due.max(now) >= end) {
                return None;
            }
            match due.saturating_duration_since(now) {
                Duration::ZERO => break,
                wait => place.sleep(wait.min(STOP_CHECK)).await,
            }
        }
        self.sent += 1;
        Some(if self.plan.delivery.rate.is_some() { due } else { Instant::now() })
    }

    /// How many elements were due before the end of the run and were not sent: the source was still waiting for the server.
    pub(super) fn unsent(&self) -> u64 {
        let (Some(rate), Some(begin), Some(end)) =
            (self.plan.delivery.rate, self.plan.begin(), self.plan.end())
        else {
            return 0;
        };
        if self.plan.is_stopped() {
            return 0;
        }
        let all = (end.saturating_duration_since(begin).as_secs_f64() * rate as f64).ceil() as u64;
        let due = all.saturating_sub(self.source).div_ceil(self.sources);
        due.saturating_sub(self.sent)
    }

    /// When the next element is due. The sources take turns.
    fn due(&self, begin: Instant) -> Instant {
        let Some(rate) = self.plan.delivery.rate else { return begin };
        let index = self.source + self.sent * self.sources;
        begin + Duration::from_nanos((index as f64 * 1e9 / rate as f64) as u64)
    }
}

/// How often a source checks whether the run has begun.
const START_CHECK: Duration = Duration::from_millis(1);
/// How often a waiting source checks whether the user stopped the run.
const STOP_CHECK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::delivery::plan::{Delivery, DeliveryKind, QueueType};
    use crate::load::workload::Via;

    fn pace(limit: Limit, rate: Option<u64>, source: usize, sources: usize) -> Pace {
        let kind = DeliveryKind::Queue { producers: sources, consumers: 1, queue: QueueType::List };
        let delivery = Delivery {
            kind,
            limit,
            warm_up: Duration::ZERO,
            rate,
            via: Via::Client,
            key_prefix: String::new(),
            cleanup: false,
        };
        Pace::new(Arc::new(DeliveryPlan::new(delivery, Arc::default(), 1, Duration::from_secs(1))), source)
    }

    #[test]
    fn sources_share_a_rate_in_turn() {
        let begin = Instant::now();
        let mut due: Vec<Duration> = Vec::new();
        for source in 0..2 {
            let mut pace = pace(Limit::Requests(4), Some(1000), source, 2);
            for sent in 0..2 {
                pace.sent = sent;
                due.push(pace.due(begin) - begin);
            }
        }
        due.sort_unstable();
        assert_eq!(due, [0, 1, 2, 3].map(Duration::from_millis));
    }

    #[test]
    fn elements_that_were_due_and_not_sent_are_counted() {
        let unsent = |sent, rate, source| {
            let mut pace = pace(Limit::Duration(Duration::from_millis(10)), rate, source, 3);
            pace.plan.set_begin(Instant::now());
            pace.sent = sent;
            pace.unsent()
        };
        // Ten are due: four of the first source, and three of each other one.
        assert_eq!([0, 1, 2].map(|source| unsent(0, Some(1000), source)), [4, 3, 3]);
        assert_eq!([unsent(1, Some(1000), 0), unsent(4, Some(1000), 0), unsent(0, None, 0)], [3, 0, 0]);
    }

    #[test]
    fn sources_share_a_number_of_elements() {
        let budgets: Vec<_> = (0..3).map(|source| pace(Limit::Requests(8), None, source, 3).budget).collect();
        assert_eq!(budgets, [Some(3), Some(3), Some(2)]);
    }
}
