//! [`Names`]: the cache of look-ups, and which of them are pending. It does no I/O, and time is an argument.

use std::net::SocketAddr;
use std::time::Duration;

use futures_channel::oneshot;

use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// Every address of a name, or why there is none.
pub(crate) type Answer = Result<Vec<SocketAddr>, String>;

/// Which answers will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One from the cache, or that of a look-up that is pending already.
    Recent,
    /// That of a look-up that begins now.
    New,
}

/// The result of [`Names::ask`].
pub(super) enum Asked {
    Known(Vec<SocketAddr>),
    /// A look-up is pending already.
    Waits(oneshot::Receiver<Answer>),
    /// The caller has to begin this look-up, and to pass its result to [`Names::answered`].
    Begins(Lookup, oneshot::Receiver<Answer>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lookup(u64);

pub(super) struct Names {
    kept_for: Duration,
    /// A look-up that takes longer counts as stuck: no other caller joins it.
    joined_for: Duration,
    known: Vec<Known>,
    /// At most as many as there may be look-ups.
    pending: Vec<Pending>,
    next: u64,
}

struct Known {
    endpoint: Endpoint,
    addresses: Vec<SocketAddr>,
    began: Instant,
    found: Instant,
}

struct Pending {
    lookup: Lookup,
    endpoint: Endpoint,
    began: Instant,
    /// No connection to the endpoint has failed since, so that the answer is not too old.
    is_sound: bool,
    waiters: Vec<oneshot::Sender<Answer>>,
}

impl Names {
    pub(super) fn new(kept_for: Duration, joined_for: Duration) -> Self {
        Names { kept_for, joined_for, known: Vec::new(), pending: Vec::new(), next: 0 }
    }

    pub(super) fn ask(&mut self, endpoint: &Endpoint, wanted: Wanted, now: Instant) -> Asked {
        if wanted == Wanted::Recent {
            if let Some(known) = self.known.iter().find(|known| known.endpoint == *endpoint)
                && now.since(known.found) < self.kept_for
            {
                return Asked::Known(known.addresses.clone());
            }
            let joinable = |pending: &&mut Pending| {
                let is_stuck = now.since(pending.began) >= self.joined_for;
                pending.endpoint == *endpoint && pending.is_sound && !is_stuck
            };
            if let Some(pending) = self.pending.iter_mut().find(joinable) {
                let (sender, receiver) = oneshot::channel();
                pending.waiters.retain(|waiter| !waiter.is_canceled());
                pending.waiters.push(sender);
                return Asked::Waits(receiver);
            }
        }
        let (sender, receiver) = oneshot::channel();
        let (lookup, endpoint) = (Lookup(self.next), endpoint.clone());
        self.next += 1;
        self.pending.push(Pending { lookup, endpoint, began: now, is_sound: true, waiters: vec![sender] });
        Asked::Begins(lookup, receiver)
    }

    /// Answers every caller that waits, and caches addresses.
    pub(super) fn answered(&mut self, lookup: Lookup, answer: Answer, now: Instant) {
        let Some(at) = self.pending.iter().position(|pending| pending.lookup == lookup) else { return };
        let pending = self.pending.swap_remove(at);
        if let Ok(addresses) = &answer
            && pending.is_sound
        {
            self.keep(&pending, addresses, now);
        }
        for waiter in pending.waiters {
            // The caller may have stopped waiting.
            let _ = waiter.send(answer.clone());
        }
    }

    /// A connection to this endpoint has ended or could not be made: its server may have moved. Neither what is known of it nor
    /// the answer of a pending look-up is used again.
    pub(super) fn forget(&mut self, endpoint: &Endpoint) {
        self.known.retain(|known| known.endpoint != *endpoint);
        for pending in self.pending.iter_mut().filter(|pending| pending.endpoint == *endpoint) {
            pending.is_sound = false;
        }
    }

    fn keep(&mut self, pending: &Pending, addresses: &[SocketAddr], now: Instant) {
        let kept_for = self.kept_for;
        self.known.retain(|known| now.since(known.found) < kept_for);
        // A look-up that began later has the newer answer, even if it ended earlier.
        let is_better = |known: &Known| known.endpoint == pending.endpoint && known.began > pending.began;
        if kept_for.is_zero() || self.known.iter().any(is_better) {
            return;
        }
        self.known.retain(|known| known.endpoint != pending.endpoint);
        if self.known.len() >= NAMES_MAX {
            // They are in the order in which they were found, so the first is the oldest.
            self.known.remove(0);
        }
        self.known.push(Known {
            endpoint: pending.endpoint.clone(),
            addresses: addresses.to_vec(),
            began: pending.began,
            found: now,
        });
    }
}

/// How many names a shard remembers: that of its own endpoint, and those that servers announce.
const NAMES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn name(number: usize) -> Endpoint {
        Endpoint::new(format!("name-{number}"), 7).unwrap()
    }

    fn address(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([10, 0, 0, last], 7))]
    }

    fn begin(names: &mut Names, name: &Endpoint, wanted: Wanted, now: Instant) -> Lookup {
        match names.ask(name, wanted, now) {
            Asked::Begins(lookup, _) => lookup,
            Asked::Known(known) => panic!("known: {known:?}"),
            Asked::Waits(_) => panic!("it is pending"),
        }
    }

    fn known(names: &mut Names, name: &Endpoint, now: Instant) -> Option<Vec<SocketAddr>> {
        match names.ask(name, Wanted::Recent, now) {
            Asked::Known(known) => Some(known),
            Asked::Waits(_) | Asked::Begins(..) => None,
        }
    }

    #[test]
    fn name_is_looked_up_once_for_all_callers_and_cached() {
        let (mut names, name) = (Names::new(SECOND, SECOND * 5), name(0));
        let Asked::Begins(lookup, mut first) = names.ask(&name, Wanted::Recent, at(0)) else {
            panic!("known")
        };
        let Asked::Waits(mut second) = names.ask(&name, Wanted::Recent, at(900)) else {
            panic!("asked twice")
        };
        names.answered(lookup, Ok(address(1)), at(1000));
        for receiver in [&mut first, &mut second] {
            assert_eq!(receiver.try_recv(), Ok(Some(Ok(address(1)))));
        }
        assert_eq!(known(&mut names, &name, at(1999)), Some(address(1)));
        assert_eq!(known(&mut names, &name, at(2000)), None);
    }

    #[test]
    fn errors_reach_all_callers_and_are_not_cached() {
        let (mut names, name) = (Names::new(SECOND, SECOND * 5), name(0));
        let Asked::Begins(lookup, mut asker) = names.ask(&name, Wanted::Recent, at(0)) else {
            panic!("known")
        };
        names.answered(lookup, Err("no such name".to_owned()), at(1));
        assert_eq!(asker.try_recv(), Ok(Some(Err("no such name".to_owned()))));
        begin(&mut names, &name, Wanted::Recent, at(2));
    }

    #[test]
    fn later_look_up_replaces_the_answer_of_an_earlier_one() {
        let (mut names, name) = (Names::new(SECOND, SECOND * 5), name(0));
        let early = begin(&mut names, &name, Wanted::Recent, at(0));
        let late = begin(&mut names, &name, Wanted::New, at(10));
        names.answered(late, Ok(address(2)), at(20));
        names.answered(early, Ok(address(1)), at(30));
        assert_eq!(known(&mut names, &name, at(40)), Some(address(2)));
        let newest = begin(&mut names, &name, Wanted::New, at(50));
        names.answered(newest, Ok(address(3)), at(60));
        assert_eq!(known(&mut names, &name, at(70)), Some(address(3)));
    }

    #[test]
    fn after_a_connection_failed_nothing_older_is_used() {
        let (mut names, name) = (Names::new(SECOND, SECOND * 5), name(0));
        let lookup = begin(&mut names, &name, Wanted::Recent, at(0));
        names.answered(lookup, Ok(address(1)), at(1));
        names.forget(&name);
        let before = begin(&mut names, &name, Wanted::Recent, at(2));
        names.forget(&name);
        // A look-up from before the failure is neither joined nor cached.
        let after = begin(&mut names, &name, Wanted::Recent, at(3));
        names.answered(before, Ok(address(1)), at(4));
        assert!(matches!(names.ask(&name, Wanted::Recent, at(5)), Asked::Waits(_)));
        names.answered(after, Ok(address(2)), at(6));
        assert_eq!(known(&mut names, &name, at(7)), Some(address(2)));
    }

    #[test]
    fn look_up_that_is_stuck_is_not_joined() {
        let (mut names, name) = (Names::new(SECOND, SECOND), name(0));
        begin(&mut names, &name, Wanted::Recent, at(0));
        assert!(matches!(names.ask(&name, Wanted::Recent, at(999)), Asked::Waits(_)));
        begin(&mut names, &name, Wanted::Recent, at(1000));
    }

    #[test]
    fn cached_names_are_bounded_and_none_if_so_configured() {
        let mut names = Names::new(SECOND, SECOND);
        for number in 0..=NAMES_MAX {
            let lookup = begin(&mut names, &name(number), Wanted::Recent, at(0));
            names.answered(lookup, Ok(address(1)), at(number as u64));
        }
        assert_eq!(names.known.len(), NAMES_MAX);
        assert_eq!(known(&mut names, &name(0), at(100)), None, "the oldest made room");
        assert_eq!(known(&mut names, &name(1), at(100)), Some(address(1)));
        let mut never = Names::new(Duration::ZERO, SECOND);
        let lookup = begin(&mut never, &name(0), Wanted::Recent, at(0));
        never.answered(lookup, Ok(address(1)), at(1));
        assert_eq!((never.known.len(), known(&mut never, &name(0), at(1))), (0, None));
    }
}
