//! [`Breaker`]: whether a target may be dialed again.

use std::collections::BTreeMap;

use super::settings::BreakerConfig;
use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// The circuit breaker of one target.
///
/// Each dial that [`allows`](Breaker::allows) permits is followed by one [`failed`](Breaker::failed),
/// [`succeeded`](Breaker::succeeded) or [`abandoned`](Breaker::abandoned). A missing one keeps a probe, and the breaker
/// can stay half-open for ever.
#[derive(Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    state: State,
}

/// ```text
/// closed ──failures in a row──▶ open ──cooldown, or a new sequence id──▶ half-open ──success──▶ closed
///                                ▲                                           │
///                                └────────────────── failure ────────────────┘
/// ```
///
/// The time that is handed in makes it half-open, not a timer or a cleanup task: a breaker that depended on such a call
/// was seen to stay open for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { probes: u32 },
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Breaker { config, state: State::Closed { failures: 0 } }
    }

    /// Whether the target may be dialed now. In the half-open state this takes one of a few probes;
    /// [`Breaker::failed`], [`Breaker::succeeded`] or [`Breaker::abandoned`] gives it back.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        if self.is_open(now) {
            return false;
        }
        match self.state {
            State::Closed { .. } => {}
            State::Open { .. } => self.state = State::HalfOpen { probes: 1 },
            State::HalfOpen { probes } => self.state = State::HalfOpen { probes: probes.saturating_add(1) },
        }
        true
    }

    /// Whether no dial is allowed now. Takes no probe.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => false,
            State::Open { until } => now < until,
            State::HalfOpen { probes } => probes >= self.probes_max(),
        }
    }

    /// Whether probes are under way that decide whether it closes.
    pub(crate) fn is_half_open(&self) -> bool {
        matches!(self.state, State::HalfOpen { .. })
    }

    /// A dial that was allowed failed.
    pub(crate) fn failed(&mut self, now: Instant) {
        match self.state {
            State::Closed { failures } if failures.saturating_add(1) < self.config.failures => {
                self.state = State::Closed { failures: failures.saturating_add(1) };
            }
            State::Closed { .. } | State::HalfOpen { .. } => {
                self.state = State::Open { until: now.after(self.config.cooldown) };
            }
            // This dial began before the breaker opened: its failure must not extend the cooldown.
            State::Open { .. } => {}
        }
    }

    /// A dial succeeded: the target works, whatever failed before.
    pub(crate) fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// A dial that was allowed ended without telling whether the target works.
    pub(crate) fn abandoned(&mut self) {
        if let State::HalfOpen { probes } = &mut self.state {
            *probes = probes.saturating_sub(1);
        }
    }

    /// An announcement with a new sequence id names this target: the server may know that it works again.
    pub(crate) fn half_open(&mut self) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::HalfOpen { probes: 0 };
        }
    }

    /// When an open breaker becomes half-open.
    #[cfg(test)]
    pub(crate) fn reopens_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed { .. } | State::HalfOpen { .. } => None,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Without a probe it would stay half-open for ever.
    fn probes_max(&self) -> u32 {
        self.config.probes.max(1)
    }
}

/// The breakers of the targets that were dialed last. Their number is bounded, since a server can name any target.
#[derive(Debug)]
pub(crate) struct Breakers {
    config: BreakerConfig,
    table: BTreeMap<Endpoint, Known>,
    uses: u64,
}

#[derive(Debug)]
struct Known {
    breaker: Breaker,
    last_use: u64,
}

impl Breakers {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Breakers { config, table: BTreeMap::new(), uses: 0 }
    }

    /// The breaker of this target; a new one if there is none.
    pub(crate) fn of(&mut self, target: &Endpoint) -> &mut Breaker {
        self.uses += 1;
        if self.table.len() >= BREAKERS_MAX && !self.table.contains_key(target) {
            self.drop_one();
        }
        let new = || Known { breaker: Breaker::new(self.config), last_use: 0 };
        let known = self.table.entry(target.clone()).or_insert_with(new);
        known.last_use = self.uses;
        &mut known.breaker
    }

    /// Whether no dial of this target is allowed now. Takes no probe.
    pub(crate) fn is_open(&self, target: &Endpoint, now: Instant) -> bool {
        self.table.get(target).is_some_and(|known| known.breaker.is_open(now))
    }

    /// Drops the closed breaker that was not used for the longest time, or an open one if none is closed: a closed one
    /// remembers little.
    fn drop_one(&mut self) {
        let least = self.table.iter().min_by_key(|(_, known)| (!known.breaker.is_closed(), known.last_use));
        if let Some(target) = least.map(|(target, _)| target.clone()) {
            self.table.remove(&target);
        }
    }
}

/// More targets than a pool has at once.
pub(crate) const BREAKERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig { failures: 5, cooldown: Duration::from_secs(60), probes: 3 };

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    /// Opened at second 0.
    fn open() -> Breaker {
        let mut breaker = Breaker::new(CONFIG);
        for _ in 0..5 {
            assert!(breaker.allows(at(0)));
            breaker.failed(at(0));
        }
        breaker
    }

    /// How many dials are allowed at once.
    fn probes(breaker: &mut Breaker, now: Instant) -> usize {
        (0..100).take_while(|_| breaker.allows(now)).count()
    }

    #[test]
    fn it_opens_only_after_failures_in_a_row() {
        let mut breaker = Breaker::new(CONFIG);
        for _ in 0..4 {
            breaker.failed(at(0));
        }
        breaker.succeeded();
        for _ in 0..4 {
            breaker.failed(at(0));
        }
        assert!(!breaker.is_open(at(0)) && breaker.allows(at(0)));
        breaker.abandoned();
        breaker.failed(at(0));
        assert!(breaker.is_open(at(0)) && !breaker.allows(at(0)));
        assert_eq!(breaker.reopens_at(), Some(at(60)));
    }

    #[test]
    fn it_half_opens_by_time_alone() {
        let mut breaker = open();
        for second in 0..60 {
            assert!(breaker.is_open(at(second)) && !breaker.allows(at(second)));
        }
        assert!(!breaker.is_open(at(60)));
        assert_eq!(probes(&mut breaker, at(60)), 3);
        assert!(breaker.is_open(at(60)), "all probes are taken");
        breaker.abandoned();
        assert_eq!(probes(&mut breaker, at(61)), 1, "one probe came back");
        breaker.succeeded();
        assert_eq!((probes(&mut breaker, at(61)), breaker.reopens_at()), (100, None));
    }

    #[test]
    fn is_open_takes_no_probe() {
        let mut breaker = open();
        assert!((0..100).all(|_| !breaker.is_open(at(60))));
        assert_eq!(probes(&mut breaker, at(60)), 3);
    }

    #[test]
    fn failed_probe_reopens_it_for_a_whole_cooldown() {
        let mut breaker = open();
        assert_eq!(probes(&mut breaker, at(70)), 3);
        breaker.failed(at(75));
        assert_eq!(breaker.reopens_at(), Some(at(135)));
        breaker.failed(at(80));
        assert_eq!(breaker.reopens_at(), Some(at(135)), "the other probes began before");
        breaker.abandoned();
        assert!(breaker.is_open(at(134)));
        assert_eq!(probes(&mut breaker, at(135)), 3);
    }

    #[test]
    fn new_announcement_half_opens_it_once() {
        let mut breaker = open();
        breaker.half_open();
        assert_eq!(probes(&mut breaker, at(1)), 3);
        breaker.half_open();
        assert_eq!(probes(&mut breaker, at(1)), 0);
        let mut closed = Breaker::new(CONFIG);
        closed.half_open();
        assert_eq!(probes(&mut closed, at(1)), 100, "a closed one stays closed");
    }

    fn target(port: u16) -> Endpoint {
        Endpoint::new("10.0.0.1", port).unwrap()
    }

    #[test]
    fn each_target_has_its_own_breaker() {
        let mut breakers = Breakers::new(CONFIG);
        for _ in 0..5 {
            breakers.of(&target(1)).failed(at(0));
        }
        assert!(breakers.is_open(&target(1), at(0)));
        assert!(!breakers.is_open(&target(2), at(0)) && breakers.of(&target(2)).allows(at(0)));
    }

    #[test]
    fn table_is_bounded_and_keeps_open_breakers() {
        let mut breakers = Breakers::new(CONFIG);
        for _ in 0..5 {
            breakers.of(&target(1)).failed(at(0));
        }
        for port in 2..2000 {
            breakers.of(&target(port)).failed(at(0));
        }
        assert_eq!(breakers.table.len(), BREAKERS_MAX);
        assert!(breakers.is_open(&target(1), at(0)));
        for port in 3000..4000 {
            for _ in 0..5 {
                breakers.of(&target(port)).failed(at(0));
            }
        }
        assert_eq!(breakers.table.len(), BREAKERS_MAX);
        assert!(!breakers.is_open(&target(1), at(0)), "all are open: the least recently used one is dropped");
        assert!(breakers.is_open(&target(3999), at(0)));
    }
}
