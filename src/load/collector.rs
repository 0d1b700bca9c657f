//! Receives the events of a run's threads, adds up their recordings, and reports the progress to an observer every
//! second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::handoffs::HandoffWatch;
use super::plan::{Message, Plan, TICK};
use hdrhistogram::Histogram;

use super::recorder::{Counts, Interval};
use super::timeline::Timeline;

/// The progress of a run; passed to the observer of [`run`](super::run()).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "it is told once a second, and not kept")]
pub enum Progress {
    /// Keys are being written before the run.
    Loading {
        /// Keys written so far.
        done: u64,
        /// Keys to write.
        all: u64,
    },
    /// The callers run their warm-up, which lasts this long.
    WarmingUp(Duration),
    /// The run has ended, and its keys are being removed.
    CleaningUp {
        /// Keys processed so far.
        done: u64,
        /// Keys to process.
        all: u64,
    },
    /// The run is in progress; sent every second.
    Running(Second),
}

/// What a run measured in about the last second, and since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Second {
    /// Time since the start.
    pub elapsed: Duration,
    /// Commands issued since the start.
    pub issued: u64,
    /// Commands that failed since the start.
    pub failed: u64,
    /// Answered commands per second, in the last second.
    pub throughput_per_second: f64,
    /// The median latency in the last second; absent if no command was answered.
    pub p50: Option<Duration>,
    /// The 99th percentile in the last second.
    pub p99: Option<Duration>,
    /// The 99.9th percentile in the last second.
    pub p99_9: Option<Duration>,
    /// The longest latency in the last second.
    pub max: Option<Duration>,
    /// Commands that were answered since the start.
    pub answered: u64,
    /// Latencies since the start; absent if no command was answered.
    pub overall: Option<Tail>,
    /// The maintenance in the last second, by the name of its announcement.
    pub maintenance: Option<&'static str>,
    /// The last `MOVING`, until all connections have followed it.
    pub moving: Option<Following>,
    /// Live connections, if the callers can count them.
    pub connections: Option<usize>,
}

#[cfg(all(test, feature = "cli"))]
impl Second {
    /// An example for tests of code that displays it.
    pub(crate) fn example() -> Second {
        let tail = |p50, p99, p99_9| Tail {
            p50: Duration::from_nanos(p50),
            p99: Duration::from_micros(p99),
            p99_9: Duration::from_micros(p99_9),
            max: Duration::from_micros(9900),
        };
        let recent = tail(78_100, 1200, 3100);
        Second {
            elapsed: Duration::from_millis(3002),
            issued: 2_500_000,
            failed: 7,
            throughput_per_second: 812_345.6,
            p50: Some(recent.p50),
            p99: Some(recent.p99),
            p99_9: Some(recent.p99_9),
            max: Some(recent.max),
            answered: 2_000_000,
            overall: Some(tail(77_000, 1100, 3000)),
            maintenance: None,
            moving: None,
            connections: Some(4),
        }
    }
}

/// Percentiles and the maximum of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is its own description")]
pub struct Tail {
    pub p50: Duration,
    pub p99: Duration,
    pub p99_9: Duration,
    pub max: Duration,
}

impl Tail {
    /// Reads a histogram of nanoseconds; `None` if it is empty.
    fn of(histogram: &Histogram<u64>) -> Option<Tail> {
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        let tail = || Tail { p50: at(0.5), p99: at(0.99), p99_9: at(0.999), max: at(1.0) };
        (!histogram.is_empty()).then(tail)
    }
}

/// How many connections have followed a `MOVING`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Following {
    /// The endpoint that it named.
    pub to: SocketAddr,
    /// Connections that were handed off since the announcement.
    pub handed_off: u64,
    /// All connections; 0 if none is expected to follow.
    pub connections: u64,
}

/// Everything that the collector received.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) total: Interval,
    /// Answered commands of each thread of callers.
    pub(crate) answered: Vec<u64>,
    /// Commands that each thread passed to the client.
    pub(crate) issued: Vec<u64>,
    pub(crate) timeline: Timeline,
    /// When the measured time started; `None` if the run failed before.
    pub(crate) begin: Option<Instant>,
}

/// A second that is shorter by up to this is reported, too: the threads do not hand in their recordings at the same
/// moment.
const EARLY: Duration = Duration::from_millis(50);
/// A second is reported when all threads have handed in their recordings, or when one of them is this late.
const LATE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Collector<O> {
    observe: O,
    keys: u64,
    loaded: u64,
    total: Interval,
    recent: Interval,
    timeline: Timeline,
    answered: Vec<u64>,
    issued: Vec<u64>,
    connections: Vec<Option<usize>>,
    watch: Arc<HandoffWatch>,
    /// Connections that are expected to follow a `MOVING`.
    following: u64,
    /// The target of the last `MOVING`, and how many handoffs had succeeded before it.
    moving: Option<(SocketAddr, u64)>,
    begin: Option<Instant>,
    /// When the last second was reported.
    last: Instant,
    handed_in: usize,
}

impl<O: FnMut(Progress)> Collector<O> {
    /// `following` connections are expected to be handed off at each `MOVING`.
    pub(crate) fn new(observe: O, plan: &Plan, watch: Arc<HandoffWatch>, following: u64) -> Collector<O> {
        let (open_loop, kinds) = (plan.workload.rate.is_some(), plan.kinds.names().len());
        Collector {
            observe,
            keys: plan.workload.key_space * plan.servers as u64,
            loaded: 0,
            total: Interval::new(open_loop, kinds),
            recent: Interval::new(open_loop, kinds),
            timeline: Timeline::new(plan.tick(), plan.shards),
            answered: vec![0; plan.shards],
            issued: vec![0; plan.shards],
            connections: vec![None; plan.shards],
            watch,
            following,
            moving: None,
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
                Ok(Message::WarmingUp(time)) => (self.observe)(Progress::WarmingUp(time)),
                Ok(Message::Begin(begin)) => {
                    self.begin = Some(begin);
                    // The start is in the near future, and a monotonic clock has no calendar date.
                    self.timeline.began = SystemTime::now() + begin.saturating_duration_since(Instant::now());
                    self.last = begin;
                }
                Ok(Message::Moving { to, handed_off }) => self.moving = Some((to, handed_off)),
                Ok(Message::Recorded { thread, mut interval, back, connections, span }) => {
                    self.note(&interval, span);
                    self.recorded(thread, &mut interval, connections);
                    // The thread may have ended; it does not need the recording back then.
                    let _ = back.send(interval);
                }
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.second(Instant::now()),
            }
        }
        self.total.absorb(&mut self.recent);
        let Collector { total, answered, issued, timeline, begin, .. } = self;
        Collected { total, answered, issued, timeline, begin }
    }

    fn note(&mut self, interval: &Interval, (from, to): (Instant, Instant)) {
        let Some(begin) = self.begin else { return };
        let since = |at: Instant| at.saturating_duration_since(begin);
        self.timeline.add(since(from), since(to), interval);
    }

    fn loaded(&mut self, keys: u64) {
        self.loaded += keys;
        (self.observe)(Progress::Loading { done: self.loaded, all: self.keys });
    }

    fn recorded(&mut self, thread: usize, interval: &mut Interval, connections: Option<usize>) {
        if let (Some(answered), Some(issued)) = (self.answered.get_mut(thread), self.issued.get_mut(thread)) {
            *answered += interval.counts.answered;
            *issued += interval.counts.issued;
        }
        // A thread's last recording comes without a count, because its target is gone; the earlier count stays valid.
        if let (Some(slot), Some(_)) = (self.connections.get_mut(thread), connections) {
            *slot = connections;
        }
        self.recent.absorb(interval);
        self.handed_in += 1;
        if self.handed_in >= self.answered.len() {
            self.handed_in = 0;
            let now = Instant::now();
            if now.saturating_duration_since(self.last) >= TICK - EARLY {
                self.second(now);
            }
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
            // The short rest at the end of a run is not a second of its own.
            return;
        }
        let before = std::mem::replace(&mut self.last, now);
        let moving = self.following();
        let recent = Tail::of(&self.recent.latency());
        let of_late = self.recent.counts.answered;
        self.total.absorb(&mut self.recent);
        let Counts { issued, answered, failed, .. } = self.total.counts;
        (self.observe)(Progress::Running(Second {
            elapsed: now.saturating_duration_since(begin),
            issued,
            failed,
            throughput_per_second: of_late as f64 / since_last.as_secs_f64().max(1e-3),
            p50: recent.map(|tail| tail.p50),
            p99: recent.map(|tail| tail.p99),
            p99_9: recent.map(|tail| tail.p99_9),
            max: recent.map(|tail| tail.max),
            answered,
            overall: Tail::of(&self.total.latency()),
            maintenance: self.watch.lately(before),
            moving,
            connections: self.connections.iter().copied().sum(),
        }));
    }

    /// Returns the last `MOVING`, until it was reported once that all connections have followed it.
    fn following(&mut self) -> Option<Following> {
        let (to, before) = self.moving?;
        let handed_off = self.watch.succeeded().saturating_sub(before).min(self.following);
        if handed_off == self.following {
            self.moving = None;
        }
        Some(Following { to, handed_off, connections: self.following })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;
    use crate::load::Workload;
    use crate::load::recorder::Recorder;
    use crate::observe::{Event, HandoffResult};

    /// What an observer receives for these events, of two threads with eight connections in all.
    fn observed(
        messages: impl IntoIterator<Item = Message>,
        watch: HandoffWatch,
    ) -> (Vec<Progress>, Collected) {
        let (desk, inbox) = mpsc::channel();
        let workload = Workload { key_space: 100, ..Workload::default() };
        let plan = Plan::new(workload, 2, Arc::new(AtomicBool::new(false)), desk.clone());
        for message in messages.into_iter().chain([Message::End]) {
            assert!(desk.send(message).is_ok());
        }
        let mut seen = Vec::new();
        let collector = Collector::new(|progress| seen.push(progress), &plan, Arc::new(watch), 8);
        let collected = collector.run(inbox);
        (seen, collected)
    }

    fn begin() -> Message {
        Message::Begin(Instant::now() - TICK)
    }

    fn hand_in(thread: usize, answered: u64, back: &mpsc::Sender<Box<Interval>>) -> Message {
        let mut recorder = Recorder::new(false, 1);
        recorder.issued(answered as usize);
        for _ in 0..answered {
            recorder.answer(Duration::from_micros(50), Duration::ZERO, 1);
        }
        let interval = recorder.exchange(Box::new(Interval::new(false, 1)));
        Message::Recorded {
            thread,
            interval,
            back: back.clone(),
            connections: Some(4),
            span: (Instant::now() - TICK, Instant::now()),
        }
    }

    #[test]
    fn seconds_are_reported_and_add_up_to_the_totals() {
        let (back, returned) = mpsc::channel();
        let recorded = [(0, 10), (1, 20), (0, 5)].map(|(thread, answered)| hand_in(thread, answered, &back));
        let messages = [Message::Loaded(3), begin()].into_iter().chain(recorded);
        let (seen, collected) = observed(messages, HandoffWatch::new(2));
        assert_eq!((&collected.answered, &collected.issued), (&vec![15, 20], &vec![15, 20]));
        assert_eq!(collected.total.counts.answered, 35);
        assert_eq!(collected.total.latency().len(), 35);
        assert_eq!(seen.first(), Some(&Progress::Loading { done: 3, all: 100 }));
        let Some(Progress::Running(second)) = seen.get(1) else { panic!("{seen:?}") };
        assert_eq!((second.issued, second.connections, second.moving), (30, Some(8), None));
        assert_eq!((second.answered, second.maintenance), (30, None));
        assert!(
            second.overall.is_some_and(|tail| tail.p50.as_micros() == 50 && Some(tail.max) == second.max)
        );
        assert_eq!(collected.timeline.stretches().map(|stretch| stretch.answered).sum::<u64>(), 35);
        assert!(returned.recv().is_ok_and(|interval| interval.latency().is_empty()));
    }

    #[test]
    fn a_second_counts_handoffs_since_the_last_moving() {
        let (back, _returned) = mpsc::channel();
        let (from, to) = (([127, 0, 0, 1], 1).into(), SocketAddr::from(([127, 0, 0, 1], 2)));
        let watch = HandoffWatch::new(2);
        for shard in [0, 0, 1] {
            let (to, duration) = (to.to_string().parse().unwrap(), Duration::ZERO);
            let result = HandoffResult::Succeeded;
            watch.note(shard, &Event::HandoffEnded { from, to, result, duration, attempts: 1 });
        }
        let recorded = [0, 1].map(|thread| hand_in(thread, 1, &back));
        let moving = Message::Moving { to, handed_off: 1 };
        let (seen, _) = observed([begin(), moving].into_iter().chain(recorded), watch);
        let Some(Progress::Running(second)) = seen.first() else { panic!("{seen:?}") };
        assert_eq!(second.moving, Some(Following { to, handed_off: 2, connections: 8 }));
    }
}
