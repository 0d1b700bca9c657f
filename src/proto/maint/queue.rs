//! [`HandoffQueue`]: which connections may be handed off now.
//!
//! ```text
//! push ──▶ waiting ──ready──▶ queued ──permit──▶ pop
//!             │                 ▲                 ▲
//!             └──no place──▶ deferred             │
//!             any of them, close to its deadline ─┘
//! ```
//!
//! A full queue is no error: what finds no place in it serves on, and gets one as others leave. Nor are permits that
//! dead targets hold: whoever is about to lose its connection goes without one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::proto::time::{Instant, earliest};

/// How many handoffs go on at once, and how many may be queued for that. "Workers" are permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandoffLimits {
    pub(crate) workers: usize,
    pub(crate) queue: usize,
}

impl HandoffLimits {
    /// The limits of a pool of so many connections; 0 workers, or a queue of 0, are automatic.
    pub(crate) fn derive(pool: usize, workers: usize, queue: usize) -> Self {
        let workers = match workers {
            0 => (pool / 3).clamp(1, WORKERS_AUTO_MAX),
            explicit => explicit.max(WORKERS_EXPLICIT_MIN),
        };
        let queue = match queue {
            0 => workers.saturating_mul(QUEUE_PER_WORKER),
            explicit => explicit,
        };
        HandoffLimits { workers, queue: queue.min(pool).max(1) }
    }
}

/// How an entry came out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It holds a permit until [`HandoffQueue::release`].
    Permit,
    /// It could not wait for one, and holds none.
    Bypass,
}

/// Entries that are to be handed off. There are never more of them than the pool has entries.
#[derive(Debug)]
pub(crate) struct HandoffQueue {
    limits: HandoffLimits,
    in_use: usize,
    in_use_max: usize,
    places_given: u64,
    waits: BTreeMap<u32, Wait>,
    // Every entry stands in one of these three, and in the fourth.
    waiting: BTreeSet<(Instant, u32)>,
    queued: BTreeSet<(u64, u32)>,
    deferred: BTreeSet<(Instant, u32)>,
    bypass: BTreeSet<(Instant, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    ready_at: Instant,
    deadline: Instant,
    /// So long before its deadline it waits for no permit any more.
    margin: Duration,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its time has not come.
    Waiting,
    /// Its place in the queue: the lowest is the next.
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

    /// An entry is to be handed off, from `ready_at` on and before `deadline`. One that is here already gets new times,
    /// and keeps its place if it has one: an announcement that comes again must not send it to the end.
    pub(crate) fn push(&mut self, entry: u32, ready_at: Instant, now: Instant, deadline: Instant) {
        self.promote(now);
        let before = self.take(entry);
        let margin = match before {
            Some(before) if before.deadline == deadline => before.margin,
            _ => BYPASS_MARGIN.min(deadline.since(now.max(ready_at)) / 2),
        };
        let stage = match before {
            Some(before) if ready_at <= now => before.stage,
            _ => Stage::Waiting,
        };
        self.put(entry, Wait { ready_at, deadline, margin, stage });
        self.fill_places();
        self.promote(now);
    }

    /// The next entry that may be handed off, if there is one.
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

    /// A permit comes back.
    pub(crate) fn release(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// An entry needs no handoff any more.
    pub(crate) fn remove(&mut self, entry: u32) {
        self.take(entry);
        self.fill_places();
    }

    /// When [`HandoffQueue::pop`] has something although nothing else happens.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let bypass = self.bypass.first().map(|&(at, _)| at);
        if !self.has_permit() {
            return bypass;
        }
        let queued = self.queued.first().and_then(|(_, entry)| self.waits.get(entry));
        let waiting = self.waiting.first().map(|&(ready_at, _)| ready_at);
        earliest(bypass, queued.map(|wait| wait.ready_at).or(waiting))
    }

    /// How many entries are to be handed off and have not come out.
    pub(crate) fn depth(&self) -> usize {
        self.waits.len()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// The most permits that were ever in use.
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

    /// Lets those whose time has come go on to the queue, or to be deferred, in the order of their times.
    fn promote(&mut self, now: Instant) {
        while let Some(&(ready_at, entry)) = self.waiting.first()
            && ready_at <= now
        {
            self.advance(entry, Stage::Deferred);
            self.fill_places();
        }
    }

    /// Gives the free places in the queue to those who need them soonest.
    fn fill_places(&mut self) {
        while self.queued.len() < self.limits.queue
            && let Some(&(_, entry)) = self.deferred.first()
        {
            self.advance(entry, Stage::Queued(self.places_given));
            self.places_given += 1;
        }
    }

    fn advance(&mut self, entry: u32, stage: Stage) {
        if let Some(wait) = self.take(entry) {
            self.put(entry, Wait { stage, ..wait });
        }
    }

    fn put(&mut self, entry: u32, wait: Wait) {
        match wait.stage {
            Stage::Waiting => self.waiting.insert((wait.ready_at, entry)),
            Stage::Queued(place) => self.queued.insert((place, entry)),
            Stage::Deferred => self.deferred.insert((wait.deadline, entry)),
        };
        self.bypass.insert((wait.bypass_at(), entry));
        self.waits.insert(entry, wait);
    }

    fn take(&mut self, entry: u32) -> Option<Wait> {
        let wait = self.waits.remove(&entry)?;
        match wait.stage {
            Stage::Waiting => self.waiting.remove(&(wait.ready_at, entry)),
            Stage::Queued(place) => self.queued.remove(&(place, entry)),
            Stage::Deferred => self.deferred.remove(&(wait.deadline, entry)),
        };
        self.bypass.remove(&(wait.bypass_at(), entry));
        Some(wait)
    }
}

/// So many permits a small machine has use for, unless somebody knows better.
const WORKERS_AUTO_MAX: usize = 10;
const WORKERS_EXPLICIT_MIN: usize = 10;
const QUEUE_PER_WORKER: usize = 10;
/// Time enough for a dial and a handshake. Of a shorter grace, half.
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
            (1, 0, 0, (1, 1)),
            (10, 0, 0, (3, 10)),
            (100, 0, 0, (10, 100)),
            (1000, 0, 0, (10, 100)),
            (10, 5, 0, (10, 10)),
            (1000, 5, 0, (10, 100)),
            (10, 15, 50, (15, 10)),
            (1000, 15, 50, (15, 50)),
            (1000, 15, 0, (15, 150)),
            (0, 0, 0, (1, 1)),
            (usize::MAX, usize::MAX, 0, (usize::MAX, usize::MAX)),
        ] {
            let limits = HandoffLimits::derive(pool, workers, queue);
            assert_eq!(
                (limits.workers, limits.queue),
                expected,
                "pool {pool}, {workers} workers, queue {queue}"
            );
        }
    }

    #[test]
    fn a_full_queue_defers_and_loses_nobody() {
        let mut queue = HandoffQueue::new(HandoffLimits::derive(1000, 0, 100));
        for entry in 0..1000 {
            queue.push(entry, at(1), at(0), at(600));
        }
        assert!(queue.pop(at(0)).is_none(), "its time has not come");
        let mut moved = drain(&mut queue, at(1));
        assert_eq!((moved.len(), queue.in_use(), queue.depth()), (10, 10, 990));
        assert_eq!(queue.queued.len(), 100, "as places free they are taken");
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
    fn who_is_close_to_its_deadline_needs_no_permit() {
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
    fn a_short_grace_bypasses_in_its_second_half_and_never_before_it_is_ready() {
        let mut queue = queue(1, 1);
        queue.in_use = 1;
        queue.push(1, at(10), at(10), at(12));
        assert_eq!(queue.next_timeout(), Some(at(11)));
        queue.push(1, at(11), at(11), at(12));
        assert_eq!(queue.next_timeout(), Some(at(11)), "told again, it is not put off");
        queue.push(2, at(40), at(11), at(40));
        queue.remove(1);
        assert_eq!((queue.pop(at(39)), queue.next_timeout()), (None, Some(at(40))));
        assert_eq!(queue.pop(at(40)), Some((2, Admission::Bypass)));
    }

    #[test]
    fn first_come_first_served_and_the_deferred_by_their_deadlines() {
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
    fn what_has_to_wait_takes_no_place_from_those_who_are_ready() {
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
    fn who_is_put_off_gives_up_its_place() {
        let mut queue = queue(1, 1);
        queue.push(1, at(0), at(0), at(60));
        queue.push(2, at(0), at(0), at(60));
        queue.push(1, at(9), at(0), at(60));
        assert_eq!(queue.pop(at(0)), Some((2, Admission::Permit)));
    }

    #[test]
    fn a_permit_that_comes_back_twice_is_one() {
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
        fn timers_fire_when_there_is_something_and_never_in_vain(
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
