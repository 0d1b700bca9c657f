//! The options of a delivery run, and what its tasks share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use crate::load::workload::{Limit, Via};

/// What a run sends, and who takes it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) kind: DeliveryKind,
    /// When the sources stop: after a time, or after so many elements of all of them.
    pub(crate) limit: Limit,
    /// How long the sources run before latencies are recorded. Its elements are accounted for.
    pub(crate) warm_up: Duration,
    /// Elements per second of all sources; `None`: each sends when its last element is confirmed.
    pub(crate) rate: Option<u64>,
    pub(crate) via: Via,
    pub(crate) key_prefix: String,
    /// Whether the queue is removed from the server at the end.
    pub(crate) cleanup: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryKind {
    Queue { producers: usize, consumers: usize, queue: QueueType },
    PubSub { publishers: usize, subscribers: usize, channels: usize },
}

/// What holds the elements of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueueType {
    /// `RPUSH` and `BLPOP`.
    List,
    /// `XADD`, and `XREADGROUP` with `BLOCK` and `XACK`.
    Stream,
}

/// One task of a run, with its number among those of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Source(usize),
    Sink(usize),
}

/// What all tasks of a run share.
///
/// The sinks start first, and each reports when it is ready. Then the coordinator sets the start, and the sources send. When
/// the last source has finished, the sinks take what is left for up to [`DRAIN_MAX`].
#[derive(Debug)]
pub(super) struct DeliveryPlan {
    pub(super) delivery: Delivery,
    /// Distinguishes the elements of this run from those of earlier runs.
    pub(super) run: u32,
    /// Stamps count from here.
    epoch: Instant,
    begin: OnceLock<Instant>,
    stop: Arc<AtomicBool>,
    is_aborted: AtomicBool,
    ready_sinks: AtomicUsize,
    finished_sources: AtomicUsize,
    sources_end: OnceLock<Instant>,
    /// Elements whose sending the server has confirmed.
    confirmed: AtomicU64,
    /// Elements that the consumers of a queue have taken together.
    taken: AtomicU64,
    pub(super) arrivals: Arrivals,
}

impl Delivery {
    pub(super) fn sources(&self) -> usize {
        match self.kind {
            DeliveryKind::Queue { producers, .. } => producers,
            DeliveryKind::PubSub { publishers, .. } => publishers,
        }
    }

    pub(super) fn sinks(&self) -> usize {
        match self.kind {
            DeliveryKind::Queue { consumers, .. } => consumers,
            DeliveryKind::PubSub { subscribers, .. } => subscribers,
        }
    }
}

impl DeliveryPlan {
    /// For a run on so many threads, with intervals of this `width`.
    pub(super) fn new(
        delivery: Delivery,
        stop: Arc<AtomicBool>,
        threads: usize,
        width: Duration,
    ) -> DeliveryPlan {
        let arrivals = Arrivals::new(delivery.sinks(), threads, width);
        DeliveryPlan {
            arrivals,
            delivery,
            run: fastrand::u32(..),
            epoch: Instant::now(),
            begin: OnceLock::new(),
            stop,
            is_aborted: AtomicBool::new(false),
            ready_sinks: AtomicUsize::new(0),
            finished_sources: AtomicUsize::new(0),
            sources_end: OnceLock::new(),
            confirmed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        }
    }

    /// The tasks of one of several threads. The tasks are dealt out in turn, so each thread has sources and sinks.
    pub(super) fn roles(&self, thread: usize, threads: usize) -> Vec<Role> {
        let sinks = (0..self.delivery.sinks()).map(Role::Sink);
        let all = sinks.chain((0..self.delivery.sources()).map(Role::Source)).enumerate();
        all.filter(|(place, _)| place % threads.max(1) == thread).map(|(_, role)| role).collect()
    }

    /// The key of the queue. The number of the run keeps it apart from what an earlier run has left.
    pub(super) fn queue_key(&self) -> String {
        format!("{}queue:{:08x}", self.delivery.key_prefix, self.run)
    }

    /// The channels, with the number of the run as well: several runs may use one server at a time.
    pub(super) fn channels(&self) -> Vec<String> {
        let DeliveryKind::PubSub { channels, .. } = self.delivery.kind else { return Vec::new() };
        let prefix = &self.delivery.key_prefix;
        (0..channels).map(|channel| format!("{prefix}channel:{:08x}:{channel}", self.run)).collect()
    }

    pub(super) fn set_begin(&self, begin: Instant) {
        // Only the coordinator sets it, once.
        let _ = self.begin.set(begin);
    }

    pub(super) fn begin(&self) -> Option<Instant> {
        self.begin.get().copied()
    }

    /// When the measured time starts.
    pub(super) fn measured_from(&self) -> Option<Instant> {
        Some(self.begin()? + self.delivery.warm_up)
    }

    /// When the sources stop, if the run is limited by time.
    pub(super) fn end(&self) -> Option<Instant> {
        match self.delivery.limit {
            Limit::Duration(length) => Some(self.measured_from()? + length),
            Limit::Requests(_) => None,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_aborted() || self.is_interrupted()
    }

    /// Whether the user stopped the run.
    pub(super) fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends a run that cannot begin: a sink failed to subscribe.
    pub(super) fn abort(&self) {
        self.is_aborted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Relaxed)
    }

    pub(super) fn sink_ready(&self) {
        self.ready_sinks.fetch_add(1, Ordering::Release);
    }

    pub(super) fn sinks_are_ready(&self) -> bool {
        self.ready_sinks.load(Ordering::Acquire) >= self.delivery.sinks()
    }

    pub(super) fn source_finished(&self) {
        if self.finished_sources.fetch_add(1, Ordering::AcqRel) + 1 >= self.delivery.sources() {
            // Only the last source comes here.
            let _ = self.sources_end.set(Instant::now());
        }
    }

    /// When the last source had finished; `None` while one of them runs.
    pub(super) fn sources_end(&self) -> Option<Instant> {
        self.sources_end.get().copied()
    }

    pub(super) fn note_confirmed(&self) {
        self.confirmed.fetch_add(1, Ordering::Release);
    }

    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Acquire)
    }

    pub(super) fn note_taken(&self, count: usize) {
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether the sinks are to stop: all sources have finished, and everything was taken or the time for it is over.
    pub(super) fn is_drained(&self, taken: u64) -> bool {
        let is_over = |end: Instant| match end.elapsed() {
            since if since < DRAIN_MIN => false,
            since => taken >= self.confirmed() || since >= DRAIN_MAX,
        };
        self.is_aborted() || self.sources_end().is_some_and(is_over)
    }

    /// Nanoseconds since the start of the process's run, as elements carry them.
    pub(super) fn stamp_at(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// An element with this stamp comes to this sink now. Elements of the warm-up are not measured.
    pub(super) fn note_arrival(&self, sink: usize, stamp: u64) {
        let Some(from) = self.measured_from() else { return };
        let (sent, now) = (self.epoch + Duration::from_nanos(stamp), Instant::now());
        if sent >= from {
            let latency = now.saturating_duration_since(sent);
            self.arrivals.note(sink, now.saturating_duration_since(from), latency);
        }
    }

    /// A command fails now.
    pub(super) fn note_failure(&self) {
        if let Some(at) = self.measured_from().and_then(|from| Instant::now().checked_duration_since(from)) {
            self.arrivals.note_failure(at);
        }
    }
}

/// How long the sinks go on in any case: an element that comes twice may come late.
const DRAIN_MIN: Duration = Duration::from_millis(100);
/// How long the sinks may take what the sources have left behind. A queue that is longer keeps the rest.
const DRAIN_MAX: Duration = Duration::from_secs(2);
