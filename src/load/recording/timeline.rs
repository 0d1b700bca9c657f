//! The timeline of a run: its intervals, and what each of them measured.
//!
//! The threads of a run hand in their recordings several times a second, or once a second in long runs. The timeline
//! stores them packed. When there are too many intervals, it joins them in pairs: memory is bounded, and a long run has
//! a coarser resolution.

use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

use super::packed::Packed;
use super::recorder::{Recording, histogram};

/// The consecutive intervals of a run from its start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timeline {
    /// The calendar date of the start.
    pub(crate) began: SystemTime,
    width: Duration,
    threads: u32,
    bins: Vec<Bin>,
    /// The index of the bin that is being filled; its latencies are not packed yet.
    open: usize,
    latency: Histogram<u64>,
}

/// One interval of a run, or several joined ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interval {
    /// Start of the interval, since the start of the run.
    pub(crate) from: Duration,
    pub(crate) length: Duration,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) throughput_per_second: f64,
    /// Nanoseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Timeline {
    /// For this many threads, each of which hands in its recording after each `width`.
    pub(crate) fn new(width: Duration, threads: usize) -> Timeline {
        Timeline {
            began: SystemTime::UNIX_EPOCH,
            width: width.max(Duration::from_millis(1)),
            threads: u32::try_from(threads).unwrap_or(u32::MAX).max(1),
            bins: Vec::new(),
            open: 0,
            latency: histogram(),
        }
    }

    /// Adds the recording of one thread, with its start and end since the start of the run.
    pub(crate) fn add(&mut self, from: Duration, to: Duration, recording: &Recording) {
        let counts = &recording.counts;
        self.add_part((from, to), counts.answered, counts.failed, recording.latencies());
    }

    /// Adds what one thread recorded between two times: its answered and failed commands, and their latencies.
    pub(crate) fn add_part<'a>(
        &mut self,
        (from, to): (Duration, Duration),
        answered: u64,
        failed: u64,
        latencies: impl Iterator<Item = &'a Histogram<u64>>,
    ) {
        // A recording that is handed in late still belongs to the interval in which it should have ended. The short
        // rest at the end of a run is not an interval of its own.
        let place =
            |width: Duration| (to.saturating_sub(width / 2).as_nanos() / width.as_nanos().max(1)) as usize;
        while place(self.width) >= INTERVALS_MAX {
            self.join();
        }
        let place = place(self.width);
        if place > self.open {
            self.close();
            self.open = place;
        }
        if self.bins.len() <= place {
            self.bins.resize_with(place + 1, Bin::default);
        }
        let Some(bin) = self.bins.get_mut(place) else { return };
        bin.recorded += to.saturating_sub(from);
        bin.answered += answered;
        bin.failed += failed;
        let mut latencies = latencies.filter(|latency| !latency.is_empty()).peekable();
        if place == self.open {
            latencies.for_each(|latency| add(&mut self.latency, latency));
        } else if latencies.peek().is_some() {
            let mut late = histogram();
            bin.latency.add_to(&mut late);
            latencies.for_each(|latency| add(&mut late, latency));
            bin.latency = Packed::of(&late);
        }
    }

    /// Packs the bin that is being filled.
    fn close(&mut self) {
        if let Some(bin) = self.bins.get_mut(self.open) {
            bin.latency.add_to(&mut self.latency);
            bin.latency = Packed::of(&self.latency);
        }
        self.latency.reset();
    }

    /// Joins the intervals in pairs.
    fn join(&mut self) {
        self.close();
        let mut joined = Vec::with_capacity(self.bins.len().div_ceil(2));
        for pair in self.bins.chunks(2) {
            let mut whole = Bin::default();
            self.latency.reset();
            for bin in pair {
                whole.recorded += bin.recorded;
                whole.answered += bin.answered;
                whole.failed += bin.failed;
                bin.latency.add_to(&mut self.latency);
            }
            whole.latency = Packed::of(&self.latency);
            joined.push(whole);
        }
        self.latency.reset();
        self.bins = joined;
        self.width *= 2;
        self.open /= 2;
    }

    /// All intervals in order.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn intervals(&self) -> impl Iterator<Item = Interval> {
        (0..self.bins.len()).map(|place| self.interval(place, place + 1))
    }

    /// The intervals, joined into at most `most` groups.
    pub(crate) fn at_most(&self, most: usize) -> impl Iterator<Item = Interval> {
        let each = self.bins.len().div_ceil(most.max(1)).max(1);
        (0..self.bins.len()).step_by(each).map(move |place| self.interval(place, place + each))
    }

    /// The joined intervals that overlap the time between `from` and `to`; `None` if there are none.
    pub(crate) fn touching(&self, from: Duration, to: Duration) -> Option<Interval> {
        let first = self.place(from);
        let end = (self.place(to) + 1).min(self.bins.len());
        (first < end).then(|| self.interval(first, end))
    }

    /// The joined intervals that lie entirely between `from` and `to`; `None` if there are none.
    pub(crate) fn within(&self, from: Duration, to: Duration) -> Option<Interval> {
        let first = self.place(from.saturating_add(self.width).saturating_sub(Duration::from_nanos(1)));
        let end = self.place(to).min(self.bins.len());
        (first < end).then(|| self.interval(first, end))
    }

    fn place(&self, at: Duration) -> usize {
        usize::try_from(at.as_nanos() / self.width.as_nanos().max(1)).unwrap_or(usize::MAX - 1)
    }

    fn interval(&self, from: usize, to: usize) -> Interval {
        let (mut whole, mut latency) = (Bin::default(), histogram());
        let to = to.min(self.bins.len());
        for bin in self.bins.get(from..to).unwrap_or_default() {
            whole.recorded += bin.recorded;
            whole.answered += bin.answered;
            whole.failed += bin.failed;
            bin.latency.add_to(&mut latency);
        }
        if (from..to).contains(&self.open) {
            add(&mut latency, &self.latency);
        }
        let seconds = (whole.recorded / self.threads).as_secs_f64();
        let places = |count: usize| self.width * u32::try_from(count).unwrap_or(u32::MAX);
        Interval {
            from: places(from),
            // The last interval may be shorter.
            length: if to == self.bins.len() {
                places(to - from - 1) + self.last()
            } else {
                places(to - from)
            },
            answered: whole.answered,
            failed: whole.failed,
            throughput_per_second: if seconds > 0.0 { whole.answered as f64 / seconds } else { 0.0 },
            latency,
        }
    }

    /// The length of the last interval.
    fn last(&self) -> Duration {
        let recorded = self.bins.last().map_or(Duration::ZERO, |bin| bin.recorded / self.threads);
        if recorded.is_zero() { self.width } else { recorded.min(self.width) }
    }
}

/// The stored form of one interval.
#[derive(Debug, Clone, Default, PartialEq)]
struct Bin {
    /// The recorded time, summed over the threads.
    recorded: Duration,
    answered: u64,
    failed: u64,
    latency: Packed,
}

fn add(into: &mut Histogram<u64>, from: &Histogram<u64>) {
    if !from.is_empty() {
        // Both have the same bounds, so every value fits.
        let added = into.add(from);
        debug_assert!(added.is_ok(), "histograms of one shape");
    }
}

/// The most intervals that are kept: 20 minutes of seconds.
pub(crate) const INTERVALS_MAX: usize = 1200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recording::recorder::{Failure, Recorder};

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn recording(answered: u64, micros: u64) -> Recording {
        let mut recorder = Recorder::new(false, 1);
        for _ in 0..answered {
            recorder.answer(Duration::from_micros(micros), Duration::ZERO, 1);
        }
        *recorder.exchange(Box::new(Recording::new(false, 1)))
    }

    #[test]
    fn late_recordings_go_to_their_interval() {
        let mut timeline = Timeline::new(millis(100), 2);
        // The second thread is late by more than an interval, and the first one has a short rest at the end.
        for (from, to, answered) in [
            (0, 100, 10),
            (0, 101, 20),
            (100, 201, 30),
            (201, 300, 40),
            (101, 199, 50),
            (199, 300, 60),
            (300, 303, 1),
        ] {
            timeline.add(millis(from), millis(to), &recording(answered, to));
        }
        let answered: Vec<u64> = timeline.intervals().map(|interval| interval.answered).collect();
        assert_eq!(answered, [30, 80, 101]);
        let counted: Vec<u64> = timeline.intervals().map(|interval| interval.latency.len()).collect();
        assert_eq!(counted, answered);
        let second = timeline.intervals().nth(1).unwrap();
        assert_eq!((second.from, second.length), (millis(100), millis(100)));
        assert!((second.throughput_per_second - 80.0 / 0.0995).abs() < 1.0, "{second:?}");
    }

    #[test]
    fn a_long_run_joins_intervals_and_keeps_every_count() {
        let mut timeline = Timeline::new(millis(100), 1);
        let all = INTERVALS_MAX as u64 * 5 + 3;
        for n in 0..all {
            timeline.add(millis(n * 100), millis(n * 100 + 100), &recording(2, n % 50 + 1));
        }
        assert!(
            (INTERVALS_MAX / 2..=INTERVALS_MAX).contains(&timeline.bins.len()),
            "{}",
            timeline.bins.len()
        );
        assert_eq!(timeline.width, millis(800));
        assert_eq!(timeline.intervals().map(|interval| interval.answered).sum::<u64>(), all * 2);
        assert_eq!(timeline.intervals().map(|interval| interval.latency.len()).sum::<u64>(), all * 2);
        let joined: Vec<Interval> = timeline.at_most(10).collect();
        assert!(joined.len() <= 10);
        assert_eq!(joined.iter().map(|interval| interval.latency.len()).sum::<u64>(), all * 2);
        assert!(joined.iter().all(|interval| (interval.throughput_per_second - 20.0).abs() < 0.01));
    }

    #[test]
    fn intervals_within_and_touching_a_time_are_separate() {
        let mut timeline = Timeline::new(millis(100), 1);
        for n in 0..10 {
            timeline.add(millis(n * 100), millis(n * 100 + 100), &recording(n + 1, 10));
        }
        let (from, to) = (millis(420), millis(430));
        let answered = |interval: Option<Interval>| interval.map(|interval| interval.answered);
        assert_eq!(answered(timeline.within(Duration::ZERO, from)), Some(1 + 2 + 3 + 4));
        assert_eq!(answered(timeline.touching(from, to)), Some(5));
        assert_eq!(answered(timeline.within(to, millis(5000))), Some(6 + 7 + 8 + 9 + 10));
        assert_eq!(answered(timeline.within(millis(910), millis(5000))), None);
        assert_eq!(answered(timeline.touching(millis(2000), millis(3000))), None);
    }

    #[test]
    fn failures_are_counted_in_intervals_without_answers() {
        let mut timeline = Timeline::new(millis(100), 1);
        let mut recorder = Recorder::new(false, 1);
        let failure = Failure { kind: "timeout", ambiguous: true, timed_out: true };
        recorder.failed(0, failure, millis(150), &"too late");
        timeline.add(millis(100), millis(200), &recorder.exchange(Box::new(Recording::new(false, 1))));
        let counts: Vec<(u64, u64)> = timeline.intervals().map(|one| (one.answered, one.failed)).collect();
        assert_eq!(counts, [(0, 0), (0, 1)]);
    }
}
