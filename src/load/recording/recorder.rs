//! What one thread of callers records: a latency histogram for each kind of command, and plain counters.
//!
//! A recorder belongs to one thread and has no locks. About once a second its content goes to the collector as a
//! [`Recording`], in exchange for an empty one: the recording thread neither copies nor clears a histogram.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// An empty histogram of nanoseconds. All histograms of a run have these bounds.
pub(crate) fn histogram() -> Histogram<u64> {
    let longest = LATENCY_MAX.as_nanos() as u64;
    Histogram::new_with_bounds(1, longest, SIGNIFICANT_DIGITS)
        .unwrap_or_else(|_| unreachable!("constant bounds that the crate documents as valid"))
}

/// How many commands had which outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Commands passed to the client.
    pub(crate) issued: u64,
    /// Those of them that were passed during the warm-up and ended after it.
    pub(crate) from_warm_up: u64,
    /// Commands that got a reply other than an error.
    pub(crate) answered: u64,
    /// Commands that failed: `issued` less `answered`, once the run has ended.
    pub(crate) failed: u64,
    /// Failed commands that may have been executed.
    pub(crate) ambiguous: u64,
    /// Failed commands whose reply did not arrive in time.
    pub(crate) timed_out: u64,
    /// `GET`s that found no value.
    pub(crate) missing: u64,
    /// Failed commands by the name of the error's kind.
    pub(crate) errors: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Adds another recorder's counts.
    pub(crate) fn add(&mut self, other: &Counts) {
        self.issued += other.issued;
        self.from_warm_up += other.from_warm_up;
        self.answered += other.answered;
        self.failed += other.failed;
        self.ambiguous += other.ambiguous;
        self.timed_out += other.timed_out;
        self.missing += other.missing;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// How one command failed, as the counters distinguish it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) kind: &'static str,
    pub(crate) ambiguous: bool,
    pub(crate) timed_out: bool,
}

/// Answers of one kind of command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) count: u64,
    /// Those of them that found no value.
    pub(crate) missing: u64,
    /// Bytes of the commands.
    pub(crate) sent: u64,
    /// Bytes of the replies.
    pub(crate) received: u64,
}

impl Answers {
    /// Counts one more answer with these bytes.
    pub(crate) fn note(&mut self, sent: u64, received: u64, is_miss: bool) {
        self.add(&Answers { count: 1, missing: u64::from(is_miss), sent, received });
    }

    fn add(&mut self, other: &Answers) {
        self.count += other.count;
        self.missing += other.missing;
        self.sent += other.sent;
        self.received += other.received;
    }
}

/// What was recorded of one kind of command.
#[derive(Debug)]
pub(crate) struct KindRecord {
    pub(crate) latency: Histogram<u64>,
    pub(crate) answers: Answers,
    pub(crate) failed: u64,
}

impl KindRecord {
    fn new() -> KindRecord {
        KindRecord { latency: histogram(), answers: Answers::default(), failed: 0 }
    }
}

/// What was recorded since the last exchange.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) counts: Counts,
    /// What was recorded of each kind of command, by its number.
    pub(crate) kinds: Vec<KindRecord>,
    /// Latency of the commands that overlapped a handoff.
    pub(crate) in_handoff: Histogram<u64>,
    /// Latency from the time of sending; only in an open loop, where it differs from the latency.
    pub(crate) service: Option<Histogram<u64>>,
    /// Time from the intended time until the failure of the failed commands; `None` if none failed.
    pub(crate) failures: Option<Box<Histogram<u64>>>,
    pub(crate) longest_gap: Duration,
    /// The text of the first error of each kind.
    pub(crate) examples: BTreeMap<&'static str, String>,
}

impl Recording {
    /// For a run with this many kinds of commands.
    pub(crate) fn new(open_loop: bool, kinds: usize) -> Recording {
        Recording {
            counts: Counts::default(),
            kinds: (0..kinds).map(|_| KindRecord::new()).collect(),
            in_handoff: histogram(),
            service: open_loop.then(histogram),
            failures: None,
            longest_gap: Duration::ZERO,
            examples: BTreeMap::new(),
        }
    }

    /// The histograms of the kinds that have any.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = &Histogram<u64>> {
        self.kinds.iter().map(|kind| &kind.latency).filter(|latency| !latency.is_empty())
    }

    /// The latencies of all kinds together. The sum is computed on demand, so that a command is recorded in one
    /// histogram only.
    pub(crate) fn latency(&self) -> Histogram<u64> {
        let mut all = histogram();
        for latency in self.latencies() {
            // Both have the same bounds, so every value fits.
            let added = all.add(latency);
            debug_assert!(added.is_ok(), "histograms of one shape");
        }
        all
    }

    /// Adds `other` and leaves it empty for the next use.
    pub(crate) fn absorb(&mut self, other: &mut Recording) {
        self.counts.add(&std::mem::take(&mut other.counts));
        for (own, other) in self.kinds.iter_mut().zip(&mut other.kinds) {
            own.answers.add(&std::mem::take(&mut other.answers));
            own.failed += std::mem::take(&mut other.failed);
            absorb_histogram(&mut own.latency, &mut other.latency);
        }
        absorb_histogram(&mut self.in_handoff, &mut other.in_handoff);
        if let (Some(own), Some(other)) = (&mut self.service, &mut other.service) {
            absorb_histogram(own, other);
        }
        if let Some(other) = &mut other.failures {
            absorb_histogram(self.failures.get_or_insert_with(|| Box::new(histogram())), other);
        }
        let gap = std::mem::take(&mut other.longest_gap);
        self.longest_gap = self.longest_gap.max(gap);
        for (kind, example) in std::mem::take(&mut other.examples) {
            self.examples.entry(kind).or_insert(example);
        }
    }
}

/// Records the measurements of one thread of callers.
#[derive(Debug)]
pub(crate) struct Recorder {
    now: Box<Recording>,
}

impl Recorder {
    /// For a run with this many kinds of commands.
    pub(crate) fn new(open_loop: bool, kinds: usize) -> Recorder {
        Recorder { now: Box::new(Recording::new(open_loop, kinds)) }
    }

    /// Returns what was recorded so far and continues with `empty`.
    pub(crate) fn exchange(&mut self, empty: Box<Recording>) -> Box<Recording> {
        std::mem::replace(&mut self.now, empty)
    }

    pub(crate) fn issued(&mut self, commands: usize) {
        self.now.counts.issued += commands as u64;
    }

    /// Counts commands that were sent during the warm-up and end after it. They are measured: otherwise a stall at the
    /// end of the warm-up would not show, nor would the commands that it delayed.
    #[cold]
    pub(crate) fn carried_over(&mut self, commands: u64) {
        self.now.counts.issued += commands;
        self.now.counts.from_warm_up += commands;
    }

    /// Records commands of one kind that were answered at the same time. `latency` counts from the intended time,
    /// `service` from the time of sending.
    pub(crate) fn answered(&mut self, kind: usize, answers: &Answers, latency: Duration, service: Duration) {
        self.now.counts.answered += answers.count;
        self.now.counts.missing += answers.missing;
        if let Some(of_kind) = self.now.kinds.get_mut(kind) {
            of_kind.latency.saturating_record_n(nanos(latency), answers.count);
            of_kind.answers.add(answers);
        }
        if let Some(histogram) = &mut self.now.service {
            histogram.saturating_record_n(nanos(service), answers.count);
        }
    }

    /// Records commands of the first kind, for tests that do not depend on kinds and sizes.
    #[cfg(test)]
    pub(crate) fn answer(&mut self, latency: Duration, service: Duration, count: u64) {
        self.answered(0, &Answers { count, ..Answers::default() }, latency, service);
    }

    /// Records answered commands that overlapped a handoff.
    #[cold]
    pub(crate) fn in_handoff(&mut self, latency: Duration, count: u64) {
        self.now.in_handoff.saturating_record_n(nanos(latency), count);
    }

    /// Records a failed command of this kind; `took` counts from the intended time.
    #[cold]
    pub(crate) fn failed(
        &mut self,
        kind: usize,
        failure: Failure,
        took: Duration,
        error: &dyn std::fmt::Display,
    ) {
        if let Some(of_kind) = self.now.kinds.get_mut(kind) {
            of_kind.failed += 1;
        }
        let failures = self.now.failures.get_or_insert_with(|| Box::new(histogram()));
        failures.saturating_record(nanos(took));
        self.now.examples.entry(failure.kind).or_insert_with(|| error.to_string());
        let counts = &mut self.now.counts;
        counts.failed += 1;
        counts.ambiguous += u64::from(failure.ambiguous);
        counts.timed_out += u64::from(failure.timed_out);
        *counts.errors.entry(failure.kind).or_default() += 1;
    }

    /// Records how long a caller waited between two completions.
    pub(crate) fn gap(&mut self, gap: Duration) {
        if gap > self.now.longest_gap {
            self.now.longest_gap = gap;
        }
    }
}

/// Nanoseconds in 64 bits cover 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn absorb_histogram(into: &mut Histogram<u64>, from: &mut Histogram<u64>) {
    if from.is_empty() {
        return;
    }
    // Both have the same bounds, so every value fits.
    let added = into.add(&*from);
    debug_assert!(added.is_ok(), "histograms of one shape");
    from.reset();
}

/// The longest latency that histograms represent; longer ones count as this one.
const LATENCY_MAX: Duration = Duration::from_secs(3600);
const SIGNIFICANT_DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(kind: &'static str, ambiguous: bool) -> Failure {
        Failure { kind, ambiguous, timed_out: kind == "timeout" }
    }

    #[test]
    fn intervals_add_up_to_the_whole() {
        let mut recorder = Recorder::new(true, 1);
        let mut total = Recording::new(true, 1);
        for round in 1..=3u64 {
            recorder.issued(3);
            recorder.answer(Duration::from_micros(round * 10), Duration::from_micros(5), 1);
            recorder.failed(0, failure("timeout", true), Duration::from_millis(round), &"too late");
            recorder.failed(0, failure("overloaded", false), Duration::ZERO, &"full");
            recorder.gap(Duration::from_millis(10 - round));
            if round == 2 {
                recorder.in_handoff(Duration::from_micros(20), 1);
            }
            let mut taken = recorder.exchange(Box::new(Recording::new(true, 1)));
            total.absorb(&mut taken);
            assert_eq!(taken.counts, Counts::default());
            assert!(taken.latency().is_empty());
        }
        assert_eq!(total.counts.issued, 9);
        assert_eq!(total.counts.issued, total.counts.answered + total.counts.failed);
        assert_eq!((total.counts.ambiguous, total.counts.timed_out), (3, 3));
        assert_eq!(total.counts.errors, BTreeMap::from([("overloaded", 3), ("timeout", 3)]));
        assert_eq!(total.latency().len(), 3);
        assert!(total.latency().max().abs_diff(30_000) < 60);
        assert_eq!(total.service.map(|h| h.len()), Some(3));
        assert_eq!((total.in_handoff.len(), total.in_handoff.max() / 1000), (1, 20));
        let failures = total.failures.expect("some failed");
        assert_eq!((failures.len(), failures.max() / 1_000_000), (6, 3));
        assert_eq!(total.longest_gap, Duration::from_millis(9));
        assert_eq!(total.examples.get("timeout").map(String::as_str), Some("too late"));
    }

    #[test]
    fn latencies_above_the_maximum_are_counted() {
        let mut recorder = Recorder::new(false, 1);
        recorder.answer(Duration::from_secs(1_000_000), Duration::ZERO, 1);
        recorder.answer(Duration::ZERO, Duration::ZERO, 1);
        let taken = recorder.exchange(Box::new(Recording::new(false, 1)));
        assert_eq!(taken.latency().len(), 2);
        assert!(taken.latency().max() >= 3_600_000_000_000);
    }

    #[test]
    fn kinds_are_separate_and_add_up() {
        let mut recorder = Recorder::new(false, 2);
        let mut total = Recording::new(false, 2);
        for (kind, micros) in [(0, 10), (1, 500), (1, 700)] {
            let mut answers = Answers::default();
            answers.note(36, 70, kind == 1);
            recorder.answered(kind, &answers, Duration::from_micros(micros), Duration::ZERO);
        }
        recorder.failed(1, failure("timeout", true), Duration::from_secs(1), &"too late");
        total.absorb(&mut recorder.exchange(Box::new(Recording::new(false, 2))));
        assert_eq!(total.kinds[0].answers, Answers { count: 1, missing: 0, sent: 36, received: 70 });
        assert_eq!(total.kinds[1].answers, Answers { count: 2, missing: 2, sent: 72, received: 140 });
        assert_eq!((total.kinds[0].failed, total.kinds[1].failed), (0, 1));
        assert!(total.kinds[0].latency.max().abs_diff(10_000) < 10);
        assert!(total.kinds[1].latency.min().abs_diff(500_000) < 500);
        assert_eq!((total.latency().len(), total.counts.answered, total.counts.missing), (3, 3, 2));
    }
}
