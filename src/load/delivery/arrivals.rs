//! What the sinks of a run record: when elements arrived, and how long they took.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

use crate::load::recording::latency::sum_of;
use crate::load::recording::recorder::{histogram, nanos};
use crate::load::recording::timeline::Timeline;
use crate::load::report::measured::Recorded;

/// The arrivals of a run, on its timeline. All times count from the start of the measured time.
///
/// The sinks of one thread share a recorder, so its lock is free, and a run with thousands of sinks has few histograms. A
/// recorder hands its latencies in to the timeline at the end of each interval.
#[derive(Debug)]
pub(super) struct Arrivals {
    width: Duration,
    recorders: Box<[Mutex<ThreadArrivals>]>,
    timeline: Mutex<Timeline>,
}

/// What arrived on one thread.
#[derive(Debug)]
struct ThreadArrivals {
    /// The latencies of the present interval, and its start.
    latency: Histogram<u64>,
    from: Duration,
    /// The latencies of all earlier intervals.
    all: Histogram<u64>,
    last: Duration,
}

impl Arrivals {
    /// For sinks that are dealt out to so many threads, in turn. An interval has this `width`.
    pub(super) fn new(sinks: usize, threads: usize, width: Duration) -> Arrivals {
        let recorders = sinks.min(threads).max(1);
        let recorder = || ThreadArrivals {
            latency: histogram(),
            from: Duration::ZERO,
            all: histogram(),
            last: Duration::ZERO,
        };
        Arrivals {
            width,
            recorders: (0..recorders).map(|_| Mutex::new(recorder())).collect(),
            timeline: Mutex::new(Timeline::new(width, recorders)),
        }
    }

    /// Notes an element that came to this sink.
    pub(super) fn note(&self, sink: usize, at: Duration, latency: Duration) {
        let Some(recorder) = self.recorders.get(sink % self.recorders.len()) else { return };
        let mut recorder = lock(recorder);
        self.advance(&mut recorder, at);
        recorder.latency.saturating_record(nanos(latency).max(1));
        recorder.last = recorder.last.max(at);
    }

    /// Notes a command that failed.
    pub(super) fn note_failure(&self, at: Duration) {
        // A part without a length belongs to the interval of its time.
        let at = at + self.width / 2;
        lock(&self.timeline).add_part((at, at), 0, 1, std::iter::empty());
    }

    /// Ends the recording: the run began at this date and ended at `end`, or with the last arrival if that came later.
    pub(super) fn finish(&self, began: SystemTime, end: Duration) -> Recorded {
        let last = self.recorders.iter().map(|recorder| lock(recorder).last).max().unwrap_or_default();
        let end = end.max(last);
        let mut latency = histogram();
        for recorder in &self.recorders {
            let mut recorder = lock(recorder);
            self.advance(&mut recorder, end);
            if end > recorder.from || !recorder.latency.is_empty() {
                self.hand_in(&mut recorder, end);
            }
            latency = sum_of(&latency, &recorder.all);
        }
        let mut timeline = lock(&self.timeline).clone();
        timeline.began = began;
        Recorded { timeline, latency, by_command: BTreeMap::new(), in_handoff: histogram(), service: None }
    }

    /// Hands in the intervals that have ended by then.
    fn advance(&self, recorder: &mut ThreadArrivals, at: Duration) {
        while at >= recorder.from + self.width {
            let to = recorder.from + self.width;
            self.hand_in(recorder, to);
        }
    }

    fn hand_in(&self, recorder: &mut ThreadArrivals, to: Duration) {
        let arrived = recorder.latency.len();
        lock(&self.timeline).add_part((recorder.from, to), arrived, 0, [&recorder.latency].into_iter());
        if arrived > 0 {
            recorder.all = sum_of(&recorder.all, &recorder.latency);
            recorder.latency.reset();
        }
        recorder.from = to;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn arrivals_are_counted_in_the_interval_in_which_they_came() {
        let arrivals = Arrivals::new(5, 2, millis(100));
        for (sink, at) in [(0, 10), (1, 20), (4, 199), (3, 350), (1, 360)] {
            arrivals.note(sink, millis(at), millis(at));
        }
        arrivals.note_failure(millis(250));
        let recorded = arrivals.finish(SystemTime::UNIX_EPOCH, millis(300));
        let found: Vec<_> = recorded.timeline.intervals().map(|one| (one.answered, one.failed)).collect();
        assert_eq!(found, [(2, 0), (1, 0), (0, 1), (2, 0)]);
        let lengths: Vec<_> = recorded.timeline.intervals().map(|one| one.latency.len()).collect();
        assert_eq!((lengths, recorded.latency.len()), (vec![2, 1, 0, 2], 5));
        let last = recorded.timeline.intervals().last().expect("an interval");
        assert_eq!((last.from, last.length), (millis(300), millis(60)));
    }

    #[test]
    fn a_run_without_arrivals_has_empty_intervals() {
        let recorded = Arrivals::new(0, 2, millis(100)).finish(SystemTime::UNIX_EPOCH, millis(250));
        assert_eq!(recorded.timeline.intervals().map(|one| one.answered).collect::<Vec<_>>(), [0, 0, 0]);
        assert!(recorded.latency.is_empty());
    }
}
