//! Where the threads of a run report to: adds up intervals, and tells an observer every second.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::plan::{Message, TICK};
use super::recorder::{Counts, Interval};

/// How far a run is; handed to the observer of [`run`](super::run()).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Progress {
    /// Keys are being written before the run.
    Loading {
        /// Keys written so far.
        done: u64,
        /// Keys to write.
        all: u64,
    },
    /// The run is under way; one for each second.
    Running(Second),
}

/// What happened in the last second or so.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Second {
    /// Since the start.
    pub elapsed: Duration,
    /// Commands issued since the start.
    pub issued: u64,
    /// Commands that failed since the start.
    pub failed: u64,
    /// Answered commands per second, of late.
    pub throughput_per_second: f64,
    /// The median latency, of late; absent if nothing was answered.
    pub p50: Option<Duration>,
    /// The 99th percentile, of late.
    pub p99: Option<Duration>,
    /// Live connections, where callers know of them.
    pub connections: Option<usize>,
}

/// Everything that was recorded.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) total: Interval,
    /// Answered commands of each thread of callers.
    pub(crate) answered: Vec<u64>,
}

/// A second is reported when all threads have handed in theirs, or when one is this late.
const LATE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Collector<O> {
    observe: O,
    keys: u64,
    loaded: u64,
    total: Interval,
    recent: Interval,
    answered: Vec<u64>,
    connections: Vec<Option<usize>>,
    begin: Option<Instant>,
    /// When the last second was reported.
    last: Instant,
    handed_in: usize,
}

impl<O: FnMut(Progress)> Collector<O> {
    pub(crate) fn new(observe: O, keys: u64, threads: usize, open_loop: bool) -> Collector<O> {
        Collector {
            observe,
            keys,
            loaded: 0,
            total: Interval::new(open_loop),
            recent: Interval::new(open_loop),
            answered: vec![0; threads],
            connections: vec![None; threads],
            begin: None,
            last: Instant::now(),
            handed_in: 0,
        }
    }

    /// Collects until the end of the run.
    pub(crate) fn run(mut self, messages: Receiver<Message>) -> Collected {
        loop {
            let wait = (self.last + TICK + LATE).saturating_duration_since(Instant::now());
            match messages.recv_timeout(wait) {
                Ok(Message::Loaded(keys)) => self.loaded(keys),
                Ok(Message::Begin(begin)) => {
                    self.begin = Some(begin);
                    self.last = begin;
                }
                Ok(Message::Recorded { thread, mut interval, back, connections }) => {
                    self.recorded(thread, &mut interval, connections);
                    // The thread may be gone; then the interval is, too.
                    let _ = back.send(interval);
                }
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.second(Instant::now()),
            }
        }
        self.total.absorb(&mut self.recent);
        Collected { total: self.total, answered: self.answered }
    }

    fn loaded(&mut self, keys: u64) {
        self.loaded += keys;
        (self.observe)(Progress::Loading { done: self.loaded, all: self.keys });
    }

    fn recorded(&mut self, thread: usize, interval: &mut Interval, connections: Option<usize>) {
        if let Some(answered) = self.answered.get_mut(thread) {
            *answered += interval.counts.answered;
        }
        // Who hands in for the last time has nobody left to ask; the number before still stands.
        if let (Some(slot), Some(_)) = (self.connections.get_mut(thread), connections) {
            *slot = connections;
        }
        self.recent.absorb(interval);
        self.handed_in += 1;
        if self.handed_in >= self.answered.len() {
            self.second(Instant::now());
        }
    }

    fn second(&mut self, now: Instant) {
        let since_last = now.saturating_duration_since(self.last);
        self.handed_in = 0;
        let Some(begin) = self.begin else {
            self.last = now;
            return;
        };
        if since_last < TICK / 2 {
            // What is handed in at the very end is no second of its own.
            return;
        }
        self.last = now;
        let recent = &self.recent;
        let quantile = |at| {
            let nanos = || Duration::from_nanos(recent.latency.value_at_quantile(at));
            (!recent.latency.is_empty()).then(nanos)
        };
        let (p50, p99) = (quantile(0.5), quantile(0.99));
        let answered = recent.counts.answered;
        self.total.absorb(&mut self.recent);
        let Counts { issued, failed, .. } = self.total.counts;
        (self.observe)(Progress::Running(Second {
            elapsed: now.saturating_duration_since(begin),
            issued,
            failed,
            throughput_per_second: answered as f64 / since_last.as_secs_f64().max(1e-3),
            p50,
            p99,
            connections: self.connections.iter().copied().sum(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::load::recorder::Recorder;

    #[test]
    fn seconds_are_told_when_all_have_handed_in_and_everything_adds_up() {
        let (desk, messages) = mpsc::channel();
        let (back, returned) = mpsc::channel();
        let hand_in = |thread, answered: u64| {
            let mut recorder = Recorder::new(false);
            recorder.issued(answered as usize);
            for _ in 0..answered {
                recorder.answered(Duration::from_micros(50), Duration::ZERO);
            }
            let interval = recorder.exchange(Box::new(Interval::new(false)));
            let connections = Some(4);
            desk.send(Message::Recorded { thread, interval, back: back.clone(), connections })
        };
        assert!(desk.send(Message::Loaded(3)).is_ok());
        assert!(desk.send(Message::Begin(Instant::now() - TICK)).is_ok());
        for (thread, answered) in [(0, 10), (1, 20), (0, 5)] {
            assert!(hand_in(thread, answered).is_ok());
        }
        assert!(desk.send(Message::End).is_ok());
        let mut seen = Vec::new();
        let collector = Collector::new(|progress| seen.push(progress), 100, 2, false);
        let collected = collector.run(messages);
        assert_eq!(collected.answered, [15, 20]);
        assert_eq!(collected.total.counts.answered, 35);
        assert_eq!(collected.total.latency.len(), 35);
        assert_eq!(seen.first(), Some(&Progress::Loading { done: 3, all: 100 }));
        let Some(Progress::Running(second)) = seen.get(1) else { panic!("{seen:?}") };
        assert_eq!((second.issued, second.connections), (30, Some(8)));
        assert!(returned.recv().is_ok_and(|interval| interval.latency.is_empty()));
    }
}
