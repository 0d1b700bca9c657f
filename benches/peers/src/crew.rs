//! [`Crew`]: what the callers of a run share: when to begin a round, and where to count it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::plan::Plan;
use crate::work::{Material, Peer, Work};

pub struct Crew {
    pub plan: Arc<Plan>,
    pub material: Arc<Material>,
    /// Rounds of each caller so far. Only the caller writes its own: no read-modify-write is needed.
    rounds: Box<[AtomicU64]>,
    stopped: AtomicBool,
    measuring: AtomicBool,
    /// In nanoseconds.
    latency: Mutex<Histogram<u64>>,
    arrivals: Mutex<Arrivals>,
    /// When the first round of an open loop was to begin, and the time between two.
    pub schedule: Option<Schedule>,
}

#[derive(Clone, Copy)]
pub struct Schedule {
    pub begin: Instant,
    pub interval: f64,
}

#[derive(Default)]
struct Arrivals {
    due: u64,
    taken: u64,
    waiting: VecDeque<Waker>,
}

impl Schedule {
    /// When round `number` was to begin.
    pub fn intended(&self, number: u64) -> Instant {
        self.begin + Duration::from_secs_f64(self.interval * number as f64)
    }

    /// How many rounds were to begin until now; the first begins with the schedule.
    pub fn due(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.begin).as_secs_f64() / self.interval) as u64 + 1
    }
}

impl Crew {
    pub fn new(plan: Arc<Plan>) -> Crew {
        // The client connects before the first arrival.
        let begin = Instant::now() + Duration::from_millis(500);
        Crew {
            material: Arc::new(Material::new(&plan)),
            rounds: (0..plan.tasks).map(|_| AtomicU64::new(0)).collect(),
            stopped: AtomicBool::new(false),
            measuring: AtomicBool::new(false),
            latency: Mutex::new(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("fixed bounds")),
            arrivals: Mutex::default(),
            schedule: plan.rate.map(|rate| Schedule { begin, interval: 1.0 / rate }),
            plan,
        }
    }

    /// A caller: round after round, until it is told to stop.
    pub async fn call(self: Arc<Self>, mut peer: impl Peer, caller: usize) {
        let mut work = Work::new(self.material.clone(), caller);
        if let Some(schedule) = self.schedule {
            while let Some(number) = self.next_arrival().await {
                work.round(&mut peer).await;
                self.done(caller, Some(schedule.intended(number)));
            }
            return;
        }
        while !self.is_stopped() {
            let begun = self.plan.latency.then(Instant::now);
            work.round(&mut peer).await;
            self.done(caller, begun);
        }
    }

    /// A round is over that began, or was to begin, at that time.
    #[inline]
    pub fn done(&self, caller: usize, begun: Option<Instant>) {
        let rounds = &self.rounds[caller];
        rounds.store(rounds.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if let Some(begun) = begun
            && self.measuring.load(Ordering::Relaxed)
        {
            let nanos = begun.elapsed().as_nanos() as u64;
            self.latency.lock().expect("nobody panics").saturating_record(nanos);
        }
    }

    /// So many rounds are to begin now.
    pub fn arrive(&self, count: u64) {
        let mut arrivals = self.arrivals.lock().expect("nobody panics");
        arrivals.due += count;
        let woken = arrivals.waiting.len().min(count as usize);
        let waiting: Vec<Waker> = arrivals.waiting.drain(..woken).collect();
        drop(arrivals);
        waiting.into_iter().for_each(Waker::wake);
    }

    async fn next_arrival(&self) -> Option<u64> {
        poll_fn(|context| {
            if self.is_stopped() {
                return Poll::Ready(None);
            }
            let mut arrivals = self.arrivals.lock().expect("nobody panics");
            if arrivals.taken < arrivals.due {
                arrivals.taken += 1;
                return Poll::Ready(Some(arrivals.taken - 1));
            }
            arrivals.waiting.push_back(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// From now on the time of rounds is recorded.
    pub fn measure(&self) {
        self.measuring.store(true, Ordering::Relaxed);
    }

    /// Rounds of each caller so far.
    pub fn rounds(&self) -> Vec<u64> {
        self.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect()
    }

    /// The times that were recorded, in nanoseconds.
    pub fn latency(&self) -> Histogram<u64> {
        self.latency.lock().expect("nobody panics").clone()
    }
}
