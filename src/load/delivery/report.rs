//! What a delivery run measured, as it is published in JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::recording::latency::Latency;
use crate::load::report::counts::{Cleanup, MaintenanceReport, OfferedLoad};
use crate::load::report::measured::Recorded;
use crate::load::report::phases::{MaintenanceWindow, ReportInterval};
use crate::load::report::verdict::Problem;

/// The result of a delivery run. Counts cover the whole run with its warm-up; latencies and rates leave the warm-up out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DeliveryReport {
    /// When the measured time began, in seconds since the Unix epoch.
    pub(crate) started_at_unix_seconds: f64,
    /// From there to the end of the last source.
    pub(crate) elapsed_seconds: f64,
    pub(crate) interrupted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) problems: Vec<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<QueueReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pubsub: Option<PubSubReport>,
    /// Elements or messages that arrived in a second.
    pub(crate) throughput_per_second: f64,
    /// The latency of the queue or of the subscribers, where reports of all workloads have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<Latency>,
    /// The load that `--rate` offered, with the warm-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered: Option<OfferedLoad>,
    /// Commands that failed.
    pub(crate) failed: u64,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    /// The text of the first error of each kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) error_examples: BTreeMap<&'static str, String>,
    pub(crate) maintenance: MaintenanceReport,
    /// Shared connections that did not follow a rehearsed `MOVING`.
    pub(crate) connections_left_behind: u64,
    pub(crate) connections: BTreeMap<String, usize>,
    /// The run before, during and after each maintenance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) maintenance_windows: Vec<MaintenanceWindow>,
    /// The run in at most 240 intervals. What is answered there is an element that arrived, or a message.
    pub(crate) timeline: Vec<ReportInterval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cleanup: Option<Cleanup>,
    /// The recorded data, for the picture and the log.
    #[serde(skip)]
    pub(crate) recorded: Recorded,
}

/// Where the elements of a queue went: `pushed` is `popped` + `returned` + `left` + `lost`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct QueueReport {
    /// Elements whose push was confirmed, and those whose push was ambiguous and that were found.
    pub(crate) pushed: u64,
    /// Elements that consumers took.
    pub(crate) popped: u64,
    /// Elements that a wait returned when it was ended at the end of the run.
    pub(crate) returned: u64,
    /// Elements that were in the queue at the end.
    pub(crate) left: u64,
    /// Elements that were found nowhere.
    pub(crate) lost: u64,
    /// How often an element was found again.
    pub(crate) doubled: u64,
    /// Elements that no producer of this run has pushed, or whose push was refused.
    pub(crate) unexpected: u64,
    /// From the push of an element, or the time at which it was due, to its delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<Latency>,
}

/// What subscribers received.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct PubSubReport {
    /// Messages whose publication was confirmed.
    pub(crate) published: u64,
    /// Messages that all subscribers received.
    pub(crate) delivered: u64,
    /// Messages that all subscribers should have received.
    pub(crate) expected: u64,
    /// Messages that did not come.
    pub(crate) gaps: u64,
    /// Of these, messages whose absence no event announced.
    pub(crate) unannounced: u64,
    /// Gaps that the client announced, each for a channel of a subscriber.
    pub(crate) announced_gaps: u64,
    pub(crate) duplicates: u64,
    /// Messages that came after a later one of their publisher and channel.
    pub(crate) reordered: u64,
    /// Messages that were dropped because a subscriber was too slow.
    pub(crate) lagged: u64,
    /// Messages that are not of this run.
    pub(crate) unexpected: u64,
    /// From the publication of a message, or the time at which it was due, to its delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<Latency>,
}

impl DeliveryReport {
    /// Whether something was measured, no command failed, everything is accounted for, and every connection followed each
    /// rehearsed `MOVING`.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
            && self.failed == 0
            && self.connections_left_behind == 0
            && self.queue.is_none_or(|queue| queue.is_complete())
            && self.pubsub.is_none_or(|pubsub| pubsub.is_complete())
            && self.cleanup.as_ref().is_none_or(|cleanup| cleanup.error.is_none())
    }
}

impl QueueReport {
    /// Whether every element was found once.
    pub(crate) fn is_complete(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.unexpected == 0
    }
}

impl PubSubReport {
    /// Whether every message came once and in order, except for those whose absence an event announced.
    pub(crate) fn is_complete(&self) -> bool {
        self.unannounced == 0 && self.duplicates == 0 && self.reordered == 0 && self.unexpected == 0
    }
}

#[cfg(all(test, feature = "cli"))]
impl DeliveryReport {
    /// A clean report of either kind, for tests of code that displays it.
    pub(crate) fn example(queue: Option<QueueReport>, pubsub: Option<PubSubReport>) -> DeliveryReport {
        DeliveryReport {
            started_at_unix_seconds: 1_800_000_000.0,
            elapsed_seconds: 10.0,
            interrupted: false,
            problems: Vec::new(),
            queue,
            pubsub,
            throughput_per_second: 100.0,
            latency_us: None,
            offered: None,
            failed: 0,
            errors: BTreeMap::new(),
            error_examples: BTreeMap::new(),
            maintenance: MaintenanceReport::default(),
            connections_left_behind: 0,
            connections: BTreeMap::new(),
            maintenance_windows: Vec::new(),
            timeline: Vec::new(),
            cleanup: None,
            recorded: Recorded::example(),
        }
    }
}

#[cfg(all(test, feature = "cli"))]
impl QueueReport {
    /// One with a thousand elements, all accounted for.
    pub(crate) fn example() -> QueueReport {
        QueueReport {
            pushed: 1000,
            popped: 997,
            returned: 1,
            left: 2,
            lost: 0,
            doubled: 0,
            unexpected: 0,
            latency_us: None,
        }
    }
}

#[cfg(all(test, feature = "cli"))]
impl PubSubReport {
    /// One with a thousand messages for two subscribers, all of which came.
    pub(crate) fn example() -> PubSubReport {
        PubSubReport {
            published: 1000,
            delivered: 2000,
            expected: 2000,
            gaps: 0,
            unannounced: 0,
            announced_gaps: 0,
            duplicates: 0,
            reordered: 0,
            lagged: 0,
            unexpected: 0,
            latency_us: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_or_doubled_element_is_not_clean() {
        let clean = |change: fn(&mut QueueReport)| {
            let mut queue = QueueReport::example();
            change(&mut queue);
            DeliveryReport::example(Some(queue), None).is_clean()
        };
        assert!(clean(|_| {}));
        assert!(!clean(|queue| queue.lost = 1));
        assert!(!clean(|queue| queue.doubled = 1));
        assert!(!clean(|queue| queue.unexpected = 1));
    }

    #[test]
    fn an_announced_gap_is_clean_and_any_other_fault_is_not() {
        let clean = |change: fn(&mut PubSubReport)| {
            let mut pubsub = PubSubReport::example();
            change(&mut pubsub);
            DeliveryReport::example(None, Some(pubsub)).is_clean()
        };
        assert!(clean(|_| {}));
        assert!(clean(|pubsub| pubsub.gaps = 5));
        assert!(clean(|pubsub| pubsub.lagged = 5));
        assert!(!clean(|pubsub| pubsub.unannounced = 1));
        assert!(!clean(|pubsub| pubsub.duplicates = 1));
        assert!(!clean(|pubsub| pubsub.reordered = 1));
    }

    #[test]
    fn a_failed_command_or_a_connection_left_behind_is_not_clean() {
        let report = || DeliveryReport::example(Some(QueueReport::example()), None);
        assert!(!DeliveryReport { failed: 1, ..report() }.is_clean());
        assert!(!DeliveryReport { connections_left_behind: 1, ..report() }.is_clean());
    }
}
