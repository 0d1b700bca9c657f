//! [`HandoffQueue`]: which connections may be handed off now.
//!
//! ```text
//! push ──▶ waiting ──ready──▶ queued ──permit──▶ pop
//!             │                 ▲                 ▲
//!             └──no place──▶ deferred             │
//!             any of them, close to its deadline ─┘
//! ```
//!
//! A full queue is no error: an entry without a place keeps serving, and gets one when another leaves. Permits that
//! dead targets hold are none either: an entry that is about to lose its connection goes without a permit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::proto::time::{Instant, earliest};

/// How many handoffs run at once, and how many wait in the queue. A "worker" is a permit, not a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandoffLimits {
    pub(crate) workers: usize,
    pub(crate) queue: usize,
}

impl HandoffLimits {
    /// The limits of a pool of so many connections. The specification of maintenance notifications fixes the formulas,
    /// with the minimum for explicit workers; the resolved configuration shows the result.
    pub(crate) fn derive(pool: usize, workers: Option<usize>, queue: Option<usize>) -> Self {
        let workers = match workers {
            None => (pool / 3).clamp(1, WORKERS_DERIVED_MAX),
            Some(explicit) => explicit.max(WORKERS_EXPLICIT_MIN),
        };
        let queue = queue.unwrap_or_else(|| workers.saturating_mul(QUEUE_PER_WORKER));
        HandoffLimits { workers, queue: queue.min(pool).max(1) }
    }
}

/// How an entry came out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It holds a permit until [`HandoffQueue::release`].
    Permit,
    /// Its deadline is near: it holds no permit.
    Bypass,
}

/// The entries that wait to be handed off: at most as many as the pool has.
///
/// Each call takes the time and moves the entries whose time has come. The pool calls [`pop`](HandoffQueue::pop)
/// until it returns `None`, after every push, release and removal and at
/// [`next_timeout`](HandoffQueue::next_timeout). Each [`Admission::Permit`] is given back by one
/// [`release`](HandoffQueue::release).
#[derive(Debug)]
pub(crate) struct HandoffQueue {
    limits: HandoffLimits,
    in_use: usize,
    in_use_max: usize,
    places_given: u64,
    waits: BTreeMap<u32, Wait>,
    // Every entry is in one of these three, and in the fourth.
    waiting: BTreeSet<(Instant, u32)>,
    queued: BTreeSet<(u64, u32)>,
    deferred: BTreeSet<(Instant, u32)>,
    bypass: BTreeSet<(Instant, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    ready_at: Instant,
    deadline: Instant,
    /// This long before its deadline it goes without a permit.
    margin: Duration,
    state: WaitState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitState {
    /// Its time has not come.
    Waiting,
    /// Its place in the queue. The lowest comes next.
    Queued(u64),
    /// The queue was full.
    Deferred,
}

impl Wait {
    fn bypass_at(&self) -> Instant {
        let margin = u64::try_from(self.margin.as_nanos()).unwrap_or(u64::MAX);
        self.ready_at.max(Instant::from_nanos(self.deadline.as_nanos().saturating_sub(margin)))
    }
}

impl HandoffQueue {
    pub(crate) fn new(limits: HandoffLimits) -> Self {
        let limits = HandoffLimits { workers: limits.workers.max(1), queue: limits.queue.max(1) };
        HandoffQueue {
            limits,
            in_use: 0,
            in_use_max: 0,
            places_given: 0,
            waits: BTreeMap::new(),
            waiting: BTreeSet::new(),
            queued: BTreeSet::new(),
            deferred: BTreeSet::new(),
            bypass: BTreeSet::new(),
        }
    }

    /// Adds an entry that has to be handed off between `ready_at` and `deadline`. An entry that is here already gets
    /// the new times and keeps its place: a copy of an announcement must not send it to the end.
    pub(crate) fn push(&mut self, entry: u32, ready_at: Instant, now: Instant, deadline: Instant) {
        self.promote(now);
        let before = self.take(entry);
        let margin = match before {
            Some(before) if before.deadline == deadline => before.margin,
            _ => BYPASS_MARGIN.min(deadline.since(now.max(ready_at)) / 2),
        };
        let state = match before {
            Some(before) if ready_at <= now => before.state,
            _ => WaitState::Waiting,
        };
        self.put(entry, Wait { ready_at, deadline, margin, state });
        self.fill_places();
        self.promote(now);
    }

    /// Takes out the next entry that may be handed off now.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(u32, Admission)> {
        self.promote(now);
        if let Some(&(at, entry)) = self.bypass.first()
            && at <= now
        {
            self.remove(entry);
            return Some((entry, Admission::Bypass));
        }
        if !self.has_permit() {
            return None;
        }
        let &(_, entry) = self.queued.first()?;
        self.remove(entry);
        self.in_use += 1;
        self.in_use_max = self.in_use_max.max(self.in_use);
        Some((entry, Admission::Permit))
    }

    /// Gives a permit back.
    pub(crate) fn release(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// Drops an entry that needs no handoff any more.
    pub(crate) fn remove(&mut self, entry: u32) {
        self.take(entry);
        self.fill_places();
    }

    /// When [`HandoffQueue::pop`] returns an entry, if nothing is added, released or removed before.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let bypass = self.bypass.first().map(|&(at, _)| at);
        if !self.has_permit() {
            return bypass;
        }
        let queued = self.queued.first().and_then(|(_, entry)| self.waits.get(entry));
        let waiting = self.waiting.first().map(|&(ready_at, _)| ready_at);
        earliest(bypass, queued.map(|wait| wait.ready_at).or(waiting))
    }

    /// How many entries wait.
    pub(crate) fn depth(&self) -> usize {
        self.waits.len()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// The most permits that were in use at once.
    pub(crate) fn in_use_max(&self) -> usize {
        self.in_use_max
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, entry: u32) -> bool {
        self.waits.contains_key(&entry)
    }

    fn has_permit(&self) -> bool {
        self.in_use < self.limits.workers
    }

    /// Moves the entries whose time has come to the queue, or to the deferred ones, in the order of their times.
    fn promote(&mut self, now: Instant) {
        while let Some(&(ready_at, entry)) = self.waiting.first()
            && ready_at <= now
        {
            self.advance(entry, WaitState::Deferred);
            self.fill_places();
        }
    }

    /// Gives free places in the queue to the deferred entries with the earliest deadlines.
    fn fill_places(&mut self) {
        while self.queued.len() < self.limits.queue
            && let Some(&(_, entry)) = self.deferred.first()
        {
            self.advance(entry, WaitState::Queued(self.places_given));
            self.places_given += 1;
        }
    }

    fn advance(&mut self, entry: u32, state: WaitState) {
        if let Some(wait) = self.take(entry) {
            self.put(entry, Wait { state, ..wait });
        }
    }

    fn put(&mut self, entry: u32, wait: Wait) {
        match wait.state {
            WaitState::Waiting => self.waiting.insert((wait.ready_at, entry)),
            WaitState::Queued(place) => self.queued.insert((place, entry)),
            WaitState::Deferred => self.deferred.insert((wait.deadline, entry)),
        };
        self.bypass.insert((wait.bypass_at(), entry));
        self.waits.insert(entry, wait);
    }

    fn take(&mut self, entry: u32) -> Option<Wait> {
        let wait = self.waits.remove(&entry)?;
        match wait.state {
            WaitState::Waiting => self.waiting.remove(&(wait.ready_at, entry)),
            WaitState::Queued(place) => self.queued.remove(&(place, entry)),
            WaitState::Deferred => self.deferred.remove(&(wait.deadline, entry)),
        };
        self.bypass.remove(&(wait.bypass_at(), entry));
        Some(wait)
    }
}

/// As many permits as a small machine can use.
const WORKERS_DERIVED_MAX: usize = 10;
const WORKERS_EXPLICIT_MIN: usize = 10;
const QUEUE_PER_WORKER: usize = 10;
/// Enough time for a dial and a handshake. In a shorter grace period it is half of that.
const BYPASS_MARGIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
