//! What the tasks of a run return besides their accounts: failed commands, and the latencies of what arrived.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Error;
use crate::load::recording::latency::sum_of;
use crate::load::recording::recorder::{histogram, nanos};

/// Failed commands, by the kind of the error.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) count: u64,
    pub(super) by_kind: BTreeMap<&'static str, u64>,
    /// The text of the first error of each kind.
    pub(super) examples: BTreeMap<&'static str, String>,
}

impl Failures {
    pub(super) fn note(&mut self, error: &Error) {
        let kind = error.kind().name();
        self.count += 1;
        *self.by_kind.entry(kind).or_default() += 1;
        self.examples.entry(kind).or_insert_with(|| error.to_string());
    }

    pub(super) fn add(&mut self, other: Failures) {
        self.count += other.count;
        for (kind, count) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += count;
        }
        for (kind, example) in other.examples {
            self.examples.entry(kind).or_insert(example);
        }
    }
}

/// The latencies of the elements that one task received.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(histogram())
    }
}

impl Latencies {
    /// Records the latency of an element, unless it was sent in the warm-up.
    pub(super) fn note(&mut self, latency: Option<Duration>) {
        if let Some(latency) = latency {
            self.0.saturating_record(nanos(latency).max(1));
        }
    }

    pub(super) fn add(&mut self, other: &Latencies) {
        self.0 = sum_of(&self.0, &other.0);
    }

    pub(super) fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}
