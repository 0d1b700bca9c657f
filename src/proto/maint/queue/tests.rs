//! The order, the bounds and the timer of the queue.

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
