//! [`Move`]: the announced move of one peer; and [`Handoff`]: the state of one connection that follows it.

use std::net::SocketAddr;
use std::time::Duration;

use super::event::{Event, HandoffResult};
use crate::proto::endpoint::Endpoint;
use crate::proto::targets::{RedirectSource, Redirection};
use crate::proto::time::{Backoff, Instant};

/// The number of a move within its pool: later moves have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MoveId(pub(crate) u64);

/// What a peer announced: that it closes its connections at the deadline, and where they can go.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) id: MoveId,
    /// The target, once it is known.
    pub(crate) to: Option<Endpoint>,
    /// The message that named the target; `None` if it is the configured endpoint, which the user chose.
    pub(crate) redirect: Option<RedirectSource>,
    /// The target that the server named and that this client refused.
    pub(crate) refused: Option<Endpoint>,
    /// The target is the address that is left: another server may answer there by now. If the successor hears of the
    /// same move, the old one does.
    pub(crate) is_redial: bool,
    /// When the first connection may be handed off.
    pub(crate) from_then: Instant,
    /// Halfway through the grace period.
    pub(crate) half: Instant,
    pub(crate) deadline: Instant,
}

impl Move {
    /// A move that was announced at `received`, with `grace` to follow it.
    ///
    /// `target` is where the server says to go. Without one, the configured endpoint is the target, if it is an
    /// address; a configured name is resolved again halfway through the grace period. `spread` is a random number
    /// between 0 and 1 that keeps many shards and clients from dialing at the same moment.
    pub(crate) fn announced(
        id: MoveId,
        peer: SocketAddr,
        (received, grace): (Instant, Duration),
        target: Option<&Endpoint>,
        configured: &Endpoint,
        spread: f64,
    ) -> Move {
        let (half, deadline) = (received.after(grace / 2), received.after(grace));
        let leads_back = |endpoint: &Endpoint| endpoint.is_same(&Endpoint::from(peer));
        match target {
            Some(target) if !leads_back(target) => {
                let jitter =
                    if grace <= JITTER_GRACE_MIN { Duration::ZERO } else { (grace / 10).min(JITTER_MAX) };
                let from_then = received.after(jitter.mul_f64(spread.clamp(0.0, 1.0)));
                let redirect = Some(RedirectSource { by: peer, how: Redirection::Moving });
                let to = Some(target.clone());
                Move { id, to, redirect, refused: None, is_redial: false, from_then, half, deadline }
            }
            _ => {
                let known = target.or(Some(configured).filter(|endpoint| endpoint.socket_addr().is_some()));
                let (to, is_redial) = (known.cloned(), known.is_some());
                Move { id, to, redirect: None, refused: None, is_redial, from_then: half, half, deadline }
            }
        }
    }

    /// The same move without its target, which was refused. It has another id, since connections have given up on the
    /// first one.
    pub(crate) fn without_target(&self, id: MoveId, configured: &Endpoint, now: Instant) -> Move {
        let to = configured.socket_addr().is_some().then(|| configured.clone());
        let (is_redial, from_then) = (to.is_some(), self.half.max(now));
        let (half, deadline, refused) = (self.half, self.deadline, self.to.clone());
        Move { id, to, redirect: None, refused, is_redial, from_then, half, deadline }
    }

    /// A move to the address that the configured name resolves to now.
    pub(crate) fn to_configured(id: MoveId, to: SocketAddr, now: Instant, deadline: Instant) -> Move {
        let to = Some(to.into());
        Move { id, to, redirect: None, refused: None, is_redial: false, from_then: now, half: now, deadline }
    }

    pub(crate) fn is_live(&self, now: Instant) -> bool {
        now < self.deadline
    }
}

/// The handoff of one connection to its successor.
///
/// It belongs to an entry whose connection serves until the successor is ready. The pool queues it, begins an attempt
/// by [`dial`](Handoff::dial), and ends it by [`ended`](Handoff::ended), exactly once. No attempt begins after the
/// deadline.
#[derive(Debug)]
pub(crate) struct Handoff {
    /// `None` if no server announced a move: the same endpoint is dialed again.
    pub(crate) move_id: Option<MoveId>,
    pub(crate) from: SocketAddr,
    pub(crate) to: Endpoint,
    /// The message that named the target, if a server did.
    pub(crate) redirect: Option<RedirectSource>,
    half: Instant,
    pub(crate) deadline: Instant,
    /// It holds one of the permits.
    pub(crate) has_permit: bool,
    state: State,
    attempts: u32,
    began: Option<Instant>,
    backoff: Backoff,
}

/// ```text
///            dial               ready
/// Waiting ─────────▶ Dialing ─────────▶ (ended: Succeeded)
///    ▲                │ ▲ │
///    │   led back     │ │ └─ last attempt failed ──▶ (ended: GaveUp)
///    └────────────────┤ │
///              failed ▼ │ dial
///                  BackingOff
///
/// each of them ── deadline, newer move, open breaker, loss of the connection, shutdown ──▶ (ended)
/// ```
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Queued for a permit, or for a later time.
    Waiting,
    Dialing,
    BackingOff {
        until: Instant,
    },
}

/// What follows from a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The target is dialed again later.
    Again,
    /// The handoff is over; the old connection serves until its server closes it.
    Over(HandoffResult),
}

impl Handoff {
    pub(crate) fn new(from: SocketAddr, followed: &Move, to: Endpoint) -> Self {
        Handoff {
            move_id: Some(followed.id),
            redirect: followed.redirect,
            half: followed.half,
            ..Handoff::unannounced(from, to, followed.deadline)
        }
    }

    /// A handoff that no server announced.
    pub(crate) fn unannounced(from: SocketAddr, to: Endpoint, deadline: Instant) -> Self {
        Handoff {
            move_id: None,
            from,
            to,
            redirect: None,
            half: deadline,
            deadline,
            has_permit: false,
            state: State::Waiting,
            attempts: 0,
            began: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MAX),
        }
    }

    /// Begins an attempt, and returns how long it may take; `None` if the deadline has passed.
    pub(crate) fn dial(&mut self, now: Instant, handoff_timeout: Duration) -> Option<Duration> {
        let budget = self.deadline.since(now).min(handoff_timeout);
        if budget.is_zero() {
            return None;
        }
        self.attempts += 1;
        self.state = State::Dialing;
        self.began.get_or_insert(now);
        Some(budget)
    }

    /// An attempt failed. `is_final` says that another one would fail as well.
    pub(crate) fn failed(
        &mut self,
        why: &str,
        is_final: bool,
        now: Instant,
        retries_max: u32,
        random: &mut fastrand::Rng,
    ) -> Failed {
        if is_final || self.attempts > retries_max {
            return Failed::Over(HandoffResult::GaveUp(why.to_owned()));
        }
        let until = now.after(self.backoff.next_delay(random));
        if until >= self.deadline {
            return Failed::Over(HandoffResult::Deadline);
        }
        self.state = State::BackingOff { until };
        Failed::Again
    }

    /// The target led back to the server that is about to close: returns when it may lead elsewhere. Operators change
    /// names late, so a name is tried once more halfway through the grace period; an address is not.
    pub(crate) fn led_back(&self, now: Instant) -> Option<Instant> {
        let is_name = self.to.socket_addr().is_none();
        (is_name && now < self.half).then_some(self.half)
    }

    /// The handoff returns to the queue.
    pub(crate) fn wait(&mut self) {
        self.state = State::Waiting;
    }

    /// Whether the next attempt is due.
    pub(crate) fn is_retry_due(&self, now: Instant) -> bool {
        matches!(self.state, State::BackingOff { until } if now >= until)
    }

    /// When the next attempt is due, if one is planned.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::BackingOff { until } => Some(until),
            State::Waiting | State::Dialing => None,
        }
    }

    /// Whether the target was ever dialed. Only such a handoff is counted and reported.
    pub(crate) fn is_begun(&self) -> bool {
        self.began.is_some()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The event that reports the end of a handoff that was begun.
    pub(crate) fn ended(self, result: HandoffResult, now: Instant) -> Event {
        let duration = self.began.map_or(Duration::ZERO, |began| now.since(began));
        Event::HandoffEnded { from: self.from, to: self.to, result, duration, attempts: self.attempts }
    }
}

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A grace period up to this is too short to spend any of it on spreading the dials.
const JITTER_GRACE_MIN: Duration = Duration::from_secs(2);
const JITTER_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    fn announced(grace_s: u64, target: Option<&str>, configured: &str, spread: f64) -> Move {
        let target = target.map(endpoint);
        let times = (at(1000), Duration::from_secs(grace_s));
        let peer = "10.0.0.1:6379".parse().unwrap();
        Move::announced(MoveId(1), peer, times, target.as_ref(), &endpoint(configured), spread)
    }

    #[test]
    fn named_target_is_dialed_soon_with_jitter() {
        for (grace_s, spread, latest_ms) in [(30, 1.0, 1000), (5, 1.0, 500), (5, 0.5, 250), (2, 1.0, 0)] {
            let found = announced(grace_s, Some("10.0.0.2:6379"), "redis.example:6379", spread);
            assert_eq!(found.from_then, at(1000 + latest_ms), "{grace_s} {spread}");
            assert_eq!((found.to, found.is_redial), (Some(endpoint("10.0.0.2:6379")), false));
            assert_eq!(found.deadline, at(1000 + grace_s * 1000));
        }
    }

    #[test]
    fn no_target_is_dialed_before_half_the_grace() {
        let by_name = announced(15, None, "redis.example:6379", 1.0);
        assert_eq!((by_name.to, by_name.from_then), (None, at(8500)));
        let by_address = announced(1, None, "10.0.0.1:6379", 1.0);
        assert_eq!((by_address.to, by_address.from_then), (Some(endpoint("10.0.0.1:6379")), at(1500)));
        assert!(by_address.is_redial);
        let back = announced(4, Some("10.0.0.1:6379"), "redis.example:6379", 1.0);
        assert_eq!(
            (back.to, back.from_then, back.is_redial),
            (Some(endpoint("10.0.0.1:6379")), at(3000), true)
        );
    }

    #[test]
    fn attempts_are_bounded_by_number_and_deadline() {
        let followed = announced(10, Some("10.0.0.2:6379"), "10.0.0.1:6379", 0.0);
        let mut random = fastrand::Rng::with_seed(1);
        let mut handoff =
            Handoff::new("10.0.0.1:6379".parse().unwrap(), &followed, endpoint("10.0.0.2:6379"));
        assert!(!handoff.is_begun());
        let mut now = at(1000);
        for _ in 0..3 {
            assert_eq!(handoff.dial(now, Duration::from_secs(5)), Some(Duration::from_secs(5)));
            assert_eq!(handoff.failed("refused", false, now, 3, &mut random), Failed::Again);
            now = handoff.next_timeout().unwrap();
            assert!(handoff.is_retry_due(now));
        }
        handoff.dial(now, Duration::from_secs(5)).unwrap();
        let over = handoff.failed("refused", false, now, 3, &mut random);
        assert_eq!(over, Failed::Over(HandoffResult::GaveUp("refused".into())));

        let mut late = Handoff::new("10.0.0.1:6379".parse().unwrap(), &followed, endpoint("10.0.0.2:6379"));
        assert_eq!(late.dial(at(10_999), Duration::from_secs(5)), Some(Duration::from_millis(1)));
        assert_eq!(
            late.failed("refused", false, at(10_999), 3, &mut random),
            Failed::Over(HandoffResult::Deadline)
        );
        assert_eq!(late.dial(at(11_000), Duration::from_secs(5)), None);
    }

    #[test]
    fn permanent_failure_is_not_retried() {
        let followed = announced(10, Some("10.0.0.2:6379"), "10.0.0.1:6379", 0.0);
        let mut handoff =
            Handoff::new("10.0.0.1:6379".parse().unwrap(), &followed, endpoint("10.0.0.2:6379"));
        handoff.dial(at(1000), Duration::from_secs(5)).unwrap();
        let over = handoff.failed("WRONGPASS", true, at(1001), 3, &mut fastrand::Rng::with_seed(1));
        assert_eq!(over, Failed::Over(HandoffResult::GaveUp("WRONGPASS".into())));
    }
}
