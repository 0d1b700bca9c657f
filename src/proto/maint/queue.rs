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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn queue(workers: usize, queue: usize) -> HandoffQueue {
        HandoffQueue::new(HandoffLimits { workers, queue })
    }

    /// Everything that comes out at `now`, in order.
    fn drain(queue: &mut HandoffQueue, now: Instant) -> Vec<(u32, Admission)> {
        std::iter::from_fn(|| queue.pop(now)).collect()
    }

    fn entries(popped: &[(u32, Admission)]) -> Vec<u32> {
        popped.iter().map(|(entry, _)| *entry).collect()
    }

    #[test]
    fn mv_limiter_formulas() {
        for (pool, workers, queue, expected) in [
            (1, None, None, (1, 1)),
            (10, None, None, (3, 10)),
            (100, None, None, (10, 100)),
            (1000, None, None, (10, 100)),
            (10, Some(5), None, (10, 10)),
            (1000, Some(5), None, (10, 100)),
            (10, Some(15), Some(50), (15, 10)),
            (1000, Some(15), Some(50), (15, 50)),
            (1000, Some(15), None, (15, 150)),
            (0, None, None, (1, 1)),
            (usize::MAX, Some(usize::MAX), None, (usize::MAX, usize::MAX)),
        ] {
            let limits = HandoffLimits::derive(pool, workers, queue);
            assert_eq!(
                (limits.workers, limits.queue),
                expected,
                "pool {pool}, workers {workers:?}, queue {queue:?}"
            );
        }
    }

    #[test]
    fn full_queue_defers_and_loses_no_entry() {
        let mut queue = HandoffQueue::new(HandoffLimits::derive(1000, None, Some(100)));
        for entry in 0..1000 {
            queue.push(entry, at(1), at(0), at(600));
        }
        assert!(queue.pop(at(0)).is_none(), "its time has not come");
        let mut moved = drain(&mut queue, at(1));
        assert_eq!((moved.len(), queue.in_use(), queue.depth()), (10, 10, 990));
        assert_eq!(queue.queued.len(), 100, "a freed place is taken at once");
        while queue.depth() > 0 {
            queue.release();
            moved.extend(drain(&mut queue, at(2)));
        }
        assert_eq!(queue.in_use_max(), 10);
        assert!(moved.iter().all(|(_, admission)| *admission == Admission::Permit));
        let mut all = entries(&moved);
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>(), "all of them move, each once");
    }

    #[test]
    fn entry_near_its_deadline_needs_no_permit() {
        let mut queue = queue(1, 1);
        queue.push(0, at(0), at(0), at(60));
        assert_eq!(queue.pop(at(0)), Some((0, Admission::Permit)));
        queue.push(1, at(0), at(0), at(30));
        queue.push(2, at(0), at(0), at(15));
        assert_eq!((queue.pop(at(12)), queue.next_timeout()), (None, Some(at(13))));
        assert_eq!(queue.pop(at(13)), Some((2, Admission::Bypass)), "though it was deferred");
        assert_eq!((queue.pop(at(13)), queue.next_timeout()), (None, Some(at(28))));
        assert_eq!(queue.pop(at(28)), Some((1, Admission::Bypass)));
        assert_eq!((queue.in_use(), queue.in_use_max(), queue.depth()), (1, 1, 0));
    }

    #[test]
    fn short_grace_bypasses_in_its_second_half_once_ready() {
        let mut queue = queue(1, 1);
        queue.in_use = 1;
        queue.push(1, at(10), at(10), at(12));
        assert_eq!(queue.next_timeout(), Some(at(11)));
        queue.push(1, at(11), at(11), at(12));
        assert_eq!(queue.next_timeout(), Some(at(11)), "a copy does not postpone it");
        queue.push(2, at(40), at(11), at(40));
        queue.remove(1);
        assert_eq!((queue.pop(at(39)), queue.next_timeout()), (None, Some(at(40))));
        assert_eq!(queue.pop(at(40)), Some((2, Admission::Bypass)));
    }

    #[test]
    fn queue_is_fifo_and_deferred_go_by_deadline() {
        let mut queue = queue(1, 2);
        for (entry, deadline) in [(5, 100), (4, 90), (3, 80), (2, 50), (1, 60)] {
            queue.push(entry, at(0), at(0), at(deadline));
        }
        queue.push(4, at(0), at(1), at(95));
        let mut order = Vec::new();
        while let Some((entry, _)) = queue.pop(at(1)) {
            order.push(entry);
            queue.release();
        }
        assert_eq!(order, [5, 4, 2, 1, 3]);
    }

    #[test]
    fn waiting_entry_takes_no_place_from_ready_ones() {
        let mut queue = queue(2, 1);
        queue.push(1, at(8), at(0), at(15));
        queue.push(2, at(8), at(0), at(15));
        queue.push(3, at(1), at(0), at(15));
        assert_eq!(queue.next_timeout(), Some(at(1)));
        assert_eq!(entries(&drain(&mut queue, at(1))), [3]);
        assert_eq!(queue.next_timeout(), Some(at(8)));
        queue.push(1, at(9), at(2), at(15));
        assert_eq!(entries(&drain(&mut queue, at(8))), [2]);
        assert_eq!(
            (queue.next_timeout(), queue.depth()),
            (Some(at(13)), 1),
            "no permit is left: only the bypass"
        );
    }

    #[test]
    fn postponed_entry_gives_up_its_place() {
        let mut queue = queue(1, 1);
        queue.push(1, at(0), at(0), at(60));
        queue.push(2, at(0), at(0), at(60));
        queue.push(1, at(9), at(0), at(60));
        assert_eq!(queue.pop(at(0)), Some((2, Admission::Permit)));
    }

    #[test]
    fn permit_released_twice_counts_once() {
        let mut queue = queue(1, 2);
        queue.release();
        queue.push(1, at(0), at(0), at(60));
        queue.push(2, at(0), at(0), at(60));
        assert_eq!((drain(&mut queue, at(0)).len(), queue.in_use()), (1, 1));
        assert!(!queue.contains(1) && queue.contains(2));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push { entry: u32, ready_in: u64, deadline_in: u64 },
        Pop,
        Release,
        Remove(u32),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12_u32, 0..6_u64, 0..20_u64)
                .prop_map(|(entry, ready_in, deadline_in)| Step::Push { entry, ready_in, deadline_in }),
            3 => Just(Step::Pop),
            1 => Just(Step::Release),
            1 => (0..12_u32).prop_map(Step::Remove),
            2 => (0..4_u64).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn timer_fires_exactly_when_an_entry_is_due(
            workers in 1..4_usize,
            places in 1..4_usize,
            steps in proptest::collection::vec(steps(), 1..120),
        ) {
            let (mut queue, mut now) = (queue(workers, places), 0);
            for step in steps {
                match step {
                    Step::Push { entry, ready_in, deadline_in } => {
                        queue.push(entry, at(now + ready_in), at(now), at(now + deadline_in));
                    }
                    Step::Pop => {
                        let due = queue.next_timeout().is_some_and(|due| due <= at(now));
                        let (depth, in_use) = (queue.depth(), queue.in_use());
                        let popped = queue.pop(at(now));
                        prop_assert_eq!(popped.is_some(), due);
                        prop_assert_eq!(queue.depth() + usize::from(due), depth);
                        let counted = matches!(popped, Some((_, Admission::Permit)));
                        prop_assert_eq!(queue.in_use(), in_use + usize::from(counted));
                    }
                    Step::Release => queue.release(),
                    Step::Remove(entry) => {
                        queue.remove(entry);
                        prop_assert!(!queue.contains(entry));
                    }
                    Step::Pass(seconds) => now += seconds,
                }
                let places_taken = queue.queued.len();
                prop_assert!(queue.in_use() <= workers && places_taken <= places);
                prop_assert!(queue.deferred.is_empty() || places_taken == places);
                prop_assert_eq!(queue.waiting.len() + places_taken + queue.deferred.len(), queue.depth());
                prop_assert_eq!(queue.bypass.len(), queue.depth());
            }
            if let Some(due) = queue.next_timeout() {
                prop_assert!(queue.pop(due.max(at(now))).is_some());
            } else {
                prop_assert!(queue.pop(Instant::from_nanos(u64::MAX)).is_none());
            }
        }
    }
}
