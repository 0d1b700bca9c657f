//! [`Callers`]: the state that the callers of a run share: when to start a round, and where to count it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::plan::Plan;
use crate::work::{Material, Peer, Work};

pub struct Callers {
    pub plan: Arc<Plan>,
    pub material: Arc<Material>,
    /// Rounds of each caller so far. Only the caller writes its own count, so it needs no read-modify-write.
    rounds: Box<[AtomicU64]>,
    stopped: AtomicBool,
    measuring: AtomicBool,
    /// In nanoseconds.
    latency: Mutex<Histogram<u64>>,
    arrivals: Mutex<Arrivals>,
    /// For an open loop: when the first round is scheduled, and the time between two.
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
    /// The time for which round `number` is scheduled.
    pub fn intended(&self, number: u64) -> Instant {
        self.begin + Duration::from_secs_f64(self.interval * number as f64)
    }

    /// How many rounds are scheduled up to now; the first starts with the schedule.
    pub fn due(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.begin).as_secs_f64() / self.interval) as u64 + 1
    }
}

impl Callers {
    pub fn new(plan: Arc<Plan>) -> Callers {
        // The client connects before the first arrival.
        let begin = Instant::now() + Duration::from_millis(500);
        Callers {
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

    /// Runs a caller: round after round, until the run stops.
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

    /// Counts a finished round, which started or was scheduled at `begun`.
    #[inline]
    pub fn done(&self, caller: usize, begun: Option<Instant>) {
        let rounds = &self.rounds[caller];
        rounds.store(rounds.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if let Some(begun) = begun
            && self.measuring.load(Ordering::Relaxed)
        {
            let nanos = begun.elapsed().as_nanos() as u64;
            self.latency.lock().expect("no caller panics").saturating_record(nanos);
        }
    }

    /// Lets `count` scheduled rounds start.
    pub fn arrive(&self, count: u64) {
        let mut arrivals = self.arrivals.lock().expect("no caller panics");
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
            let mut arrivals = self.arrivals.lock().expect("no caller panics");
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

    /// Records the time of rounds from now on.
    pub fn measure(&self) {
        self.measuring.store(true, Ordering::Relaxed);
    }

    /// Rounds of each caller so far.
    pub fn rounds(&self) -> Vec<u64> {
        self.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).collect()
    }

    /// The recorded times, in nanoseconds.
    pub fn latency(&self) -> Histogram<u64> {
        self.latency.lock().expect("no caller panics").clone()
    }
}
