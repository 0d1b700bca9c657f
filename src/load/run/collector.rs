//! Receives the events of a run's threads, adds up their recordings, and reports the progress to an observer every
//! second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::progress::{HandoffProgress, Percentiles, Progress, Second};
use crate::load::plan::{Plan, RunEvent, TICK};
use crate::load::recording::handoffs::HandoffWatch;
use crate::load::recording::recorder::{Counts, Recording};
use crate::load::recording::timeline::Timeline;

/// Everything that the collector received.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) total: Recording,
    /// Answered commands of each thread of callers.
    pub(crate) answered: Vec<u64>,
    /// Commands that each thread passed to the client.
    pub(crate) issued: Vec<u64>,
    pub(crate) timeline: Timeline,
    /// When the measured time started; `None` if the run failed before.
    pub(crate) begin: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Collector<O> {
    observe: O,
    keys: u64,
    loaded: u64,
    total: Recording,
    recent: Recording,
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
            total: Recording::new(open_loop, kinds),
            recent: Recording::new(open_loop, kinds),
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
    pub(crate) fn run(mut self, messages: Receiver<RunEvent>) -> Collected {
        loop {
            let wait = (self.last + TICK + LATE).saturating_duration_since(Instant::now());
            match messages.recv_timeout(wait) {
                Ok(RunEvent::Loaded(keys)) => self.loaded(keys),
                Ok(RunEvent::WarmingUp(time)) => (self.observe)(Progress::WarmingUp(time)),
                Ok(RunEvent::Begin(begin)) => {
                    self.begin = Some(begin);
                    // The start is in the near future, and a monotonic clock has no calendar date.
                    self.timeline.began = SystemTime::now() + begin.saturating_duration_since(Instant::now());
                    self.last = begin;
                }
                Ok(RunEvent::Moving { to, handed_off }) => self.moving = Some((to, handed_off)),
                Ok(RunEvent::Recorded { thread, mut recording, back, connections, span }) => {
                    self.note(&recording, span);
                    self.recorded(thread, &mut recording, connections);
                    // The thread may have ended; it does not need the recording back then.
                    let _ = back.send(recording);
                }
                Ok(RunEvent::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.second(Instant::now()),
            }
        }
        self.total.absorb(&mut self.recent);
        let Collector { total, answered, issued, timeline, begin, .. } = self;
        Collected { total, answered, issued, timeline, begin }
    }

    fn note(&mut self, recording: &Recording, (from, to): (Instant, Instant)) {
        let Some(begin) = self.begin else { return };
        let since = |at: Instant| at.saturating_duration_since(begin);
        self.timeline.add(since(from), since(to), recording);
    }

    fn loaded(&mut self, keys: u64) {
        self.loaded += keys;
        (self.observe)(Progress::Loading { done: self.loaded, all: self.keys });
    }

    fn recorded(&mut self, thread: usize, recording: &mut Recording, connections: Option<usize>) {
        if let (Some(answered), Some(issued)) = (self.answered.get_mut(thread), self.issued.get_mut(thread)) {
            *answered += recording.counts.answered;
            *issued += recording.counts.issued;
        }
        // A thread's last recording comes without a count, because its target is gone; the earlier count stays valid.
        if let (Some(slot), Some(_)) = (self.connections.get_mut(thread), connections) {
            *slot = connections;
        }
        self.recent.absorb(recording);
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
        let recent = Percentiles::of(&self.recent.latency());
        let recently_answered = self.recent.counts.answered;
        self.total.absorb(&mut self.recent);
        let Counts { issued, answered, failed, .. } = self.total.counts;
        (self.observe)(Progress::Running(Second {
            elapsed: now.saturating_duration_since(begin),
            issued,
            failed,
            throughput_per_second: recently_answered as f64 / since_last.as_secs_f64().max(1e-3),
            p50: recent.map(|recent| recent.p50),
            p99: recent.map(|recent| recent.p99),
            p99_9: recent.map(|recent| recent.p99_9),
            max: recent.map(|recent| recent.max),
            answered,
            overall: Percentiles::of(&self.total.latency()),
            maintenance: self.watch.kind_since(before),
            moving,
            connections: self.connections.iter().copied().sum(),
        }));
    }

    /// Returns the last `MOVING`, until it was reported once that all connections have followed it.
    fn following(&mut self) -> Option<HandoffProgress> {
        let (to, before) = self.moving?;
        let handed_off = self.watch.succeeded().saturating_sub(before).min(self.following);
        if handed_off == self.following {
            self.moving = None;
        }
        Some(HandoffProgress { to, handed_off, connections: self.following })
    }
}

/// A second that is shorter by up to this is reported, too: the threads do not hand in their recordings at the same
/// recording.
const EARLY: Duration = Duration::from_millis(50);
/// A second is reported when all threads have handed in their recordings, or when one of them is this late.
const LATE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;
    use crate::load::recording::recorder::Recorder;
    use crate::load::workload::Workload;
    use crate::observe::{Event, HandoffResult};

    /// What an observer receives for these events, of two threads with eight connections in all.
    fn observed(
        messages: impl IntoIterator<Item = RunEvent>,
        watch: HandoffWatch,
    ) -> (Vec<Progress>, Collected) {
        let (events, inbox) = mpsc::channel();
        let workload = Workload { key_space: 100, ..Workload::default() };
        let plan = Plan::new(workload, 2, Arc::new(AtomicBool::new(false)), events.clone());
        for message in messages.into_iter().chain([RunEvent::End]) {
            assert!(events.send(message).is_ok());
        }
        let mut seen = Vec::new();
        let collector = Collector::new(|progress| seen.push(progress), &plan, Arc::new(watch), 8);
        let collected = collector.run(inbox);
        (seen, collected)
    }

    fn begin() -> RunEvent {
        RunEvent::Begin(Instant::now() - TICK)
    }

    fn hand_in(thread: usize, answered: u64, back: &mpsc::Sender<Box<Recording>>) -> RunEvent {
        let mut recorder = Recorder::new(false, 1);
        recorder.issued(answered as usize);
        for _ in 0..answered {
            recorder.answer(Duration::from_micros(50), Duration::ZERO, 1);
        }
        let recording = recorder.exchange(Box::new(Recording::new(false, 1)));
        RunEvent::Recorded {
            thread,
            recording,
            back: back.clone(),
            connections: Some(4),
            span: (Instant::now() - TICK, Instant::now()),
        }
    }

    #[test]
    fn seconds_are_reported_and_add_up_to_the_totals() {
        let (back, returned) = mpsc::channel();
        let recorded = [(0, 10), (1, 20), (0, 5)].map(|(thread, answered)| hand_in(thread, answered, &back));
        let messages = [RunEvent::Loaded(3), begin()].into_iter().chain(recorded);
        let (seen, collected) = observed(messages, HandoffWatch::new(2));
        assert_eq!((&collected.answered, &collected.issued), (&vec![15, 20], &vec![15, 20]));
        assert_eq!(collected.total.counts.answered, 35);
        assert_eq!(collected.total.latency().len(), 35);
        assert_eq!(seen.first(), Some(&Progress::Loading { done: 3, all: 100 }));
        let Some(Progress::Running(second)) = seen.get(1) else { panic!("{seen:?}") };
        assert_eq!((second.issued, second.connections, second.moving), (30, Some(8), None));
        assert_eq!((second.answered, second.maintenance), (30, None));
        assert!(second.overall.is_some_and(
            |percentiles| percentiles.p50.as_micros() == 50 && Some(percentiles.max) == second.max
        ));
        assert_eq!(collected.timeline.intervals().map(|recording| recording.answered).sum::<u64>(), 35);
        assert!(returned.recv().is_ok_and(|recording| recording.latency().is_empty()));
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
        let moving = RunEvent::Moving { to, handed_off: 1 };
        let (seen, _) = observed([begin(), moving].into_iter().chain(recorded), watch);
        let Some(Progress::Running(second)) = seen.first() else { panic!("{seen:?}") };
        assert_eq!(second.moving, Some(HandoffProgress { to, handed_off: 2, connections: 8 }));
    }
}
