//! [`Dedup`]: whether a notification of one peer is new.
//!
//! A server sends each notification to all its connections, and again to every new one; proxies add copies of their
//! own. The client acts on it once. Numbers are compared with recent records only, since a server may start again at 0:
//! a forgotten number must not block a new one.

use std::collections::VecDeque;
use std::time::Duration;

use super::notification::{Notification, NotificationKind};
use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// The recent notifications of one peer, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    records: VecDeque<Record>,
}

/// What a notification is, compared with the recent ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    /// New, but the same number named another target before. The newest target holds.
    Conflict,
    /// A copy of a recorded notification.
    Duplicate,
    /// What it announces was over, or replaced by a newer event, before it was read.
    Stale,
}

#[derive(Debug)]
struct Record {
    kind: NotificationKind,
    seq: i64,
    target: Option<Endpoint>,
    until: Instant,
}

impl Dedup {
    /// Decides whether this is new, and records it if it is. A notification without a number is always new: nothing
    /// identifies its copies.
    pub(crate) fn record(&mut self, notification: &Notification, now: Instant) -> Novelty {
        self.records.retain(|record| record.until > now);
        let Some(seq) = notification.seq() else { return Novelty::New };
        let kind = notification.kind();
        let (target, grace) = match notification {
            Notification::Moving { target, grace, .. } => (target.as_ref(), *grace),
            _ => (None, Duration::ZERO),
        };
        let mut novelty = Novelty::New;
        for record in self.records.iter().filter(|record| (record.kind, record.seq) == (kind, seq)) {
            if is_same_target(record.target.as_ref(), target) {
                return Novelty::Duplicate;
            }
            novelty = Novelty::Conflict;
        }
        if self.records.iter().any(|record| record.outdates(kind, seq)) {
            return Novelty::Stale;
        }
        let until = now.after(grace.saturating_mul(2).max(LIFE_MIN));
        self.records.push_back(Record { kind, seq, target: target.cloned(), until });
        if self.records.len() > RECORDS_MAX {
            self.records.pop_front();
        }
        novelty
    }
}

impl Record {
    /// A closer outdates the openers before it, and a move the moves before it. A number alone never outdates a closer:
    /// pairing it with its opener decides.
    fn outdates(&self, kind: NotificationKind, seq: i64) -> bool {
        let is_newer = match kind {
            NotificationKind::Moving => self.kind == NotificationKind::Moving,
            opener => {
                !opener.is_closer() && self.kind.is_closer() && self.kind.operation() == opener.operation()
            }
        };
        is_newer && seq < self.seq
    }
}

/// Compares as DNS does: letters in any case, with or without the final dot.
fn is_same_target(one: Option<&Endpoint>, other: Option<&Endpoint>) -> bool {
    let host = |endpoint: &Endpoint| endpoint.host().trim_end_matches('.').to_ascii_lowercase();
    match (one, other) {
        (Some(one), Some(other)) => one.port() == other.port() && host(one) == host(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Copies can arrive this late: they wait in the sockets of connections that are not read.
const LIFE_MIN: Duration = Duration::from_secs(120);
/// More notifications than a server sends in that time.
pub(crate) const RECORDS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn moving_within(grace: u64, seq: i64, target: &str) -> Notification {
        let target = (!target.is_empty()).then(|| target.parse().unwrap());
        Notification::Moving { seq: Some(seq), grace: Duration::from_secs(grace), target }
    }

    fn moving(seq: i64, target: &str) -> Notification {
        moving_within(15, seq, target)
    }

    fn migrating(seq: Option<i64>) -> Notification {
        Notification::Migrating { seq, time: Duration::from_secs(2), shards: String::new() }
    }

    fn migrated(seq: i64) -> Notification {
        Notification::Migrated { seq: Some(seq), shards: String::new() }
    }

    fn slots_migrating(seq: i64) -> Notification {
        Notification::SlotsMigrating { seq: Some(seq), slots: Vec::new() }
    }

    fn slots_migrated(seq: i64) -> Notification {
        Notification::SlotsMigrated { seq: Some(seq), moves: Vec::new() }
    }

    #[test]
    fn zero_is_a_number_and_numbers_may_restart() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.record(&moving(0, "b:1"), at(0)), Novelty::New);
        assert_eq!(dedup.record(&moving(0, "b:1"), at(0)), Novelty::Duplicate);
        assert_eq!(dedup.record(&moving(7, "b:1"), at(10)), Novelty::New);
        assert_eq!(
            dedup.record(&moving(0, "b:1"), at(119)),
            Novelty::Duplicate,
            "a copy does not extend the record"
        );
        assert_eq!(dedup.record(&moving(0, "b:1"), at(129)), Novelty::Stale, "forgotten, but 7 is not");
        assert_eq!(dedup.record(&moving(0, "b:1"), at(130)), Novelty::New, "the numbers have started again");
    }

    #[test]
    fn closer_outdates_the_openers_before_it() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.record(&slots_migrated(19), at(0)), Novelty::New);
        assert_eq!(dedup.record(&slots_migrating(18), at(1)), Novelty::Stale);
        assert_eq!(dedup.record(&slots_migrating(18), at(1)), Novelty::Stale, "it was not recorded");
        assert_eq!(dedup.record(&slots_migrating(20), at(1)), Novelty::New);
        assert_eq!(dedup.record(&migrating(Some(3)), at(1)), Novelty::New, "of another operation");
        assert_eq!(dedup.record(&slots_migrating(18), at(120)), Novelty::New);
    }

    #[test]
    fn one_number_with_two_targets_is_a_conflict() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.record(&moving(5, "b:1"), at(0)), Novelty::New);
        assert_eq!(dedup.record(&moving(5, "c:1"), at(0)), Novelty::Conflict);
        assert_eq!(
            dedup.record(&moving(5, "b:1"), at(1)),
            Novelty::Duplicate,
            "an old copy does not restore its target"
        );
        assert_eq!(dedup.record(&moving(5, "C.:1"), at(1)), Novelty::Duplicate);
        assert_eq!(dedup.record(&moving(5, "c:2"), at(1)), Novelty::Conflict);
        assert_eq!(dedup.record(&moving(5, ""), at(1)), Novelty::Conflict);
        assert_eq!(dedup.record(&moving(5, ""), at(1)), Novelty::Duplicate);
    }

    #[test]
    fn move_outdates_earlier_moves() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.record(&moving(6, "c:1"), at(0)), Novelty::New);
        assert_eq!(dedup.record(&moving(5, "b:1"), at(0)), Novelty::Stale);
        assert_eq!(dedup.record(&moving(7, "d:1"), at(0)), Novelty::New);
        assert_eq!(dedup.record(&migrating(Some(1)), at(0)), Novelty::New, "of another operation");
    }

    #[test]
    fn closers_and_overlapping_openers_are_never_stale() {
        let mut dedup = Dedup::default();
        for notification in [migrating(Some(9)), migrating(Some(8)), migrated(11), migrated(10), migrated(1)]
        {
            assert_eq!(dedup.record(&notification, at(0)), Novelty::New, "{notification:?}");
        }
        assert_eq!(dedup.record(&migrated(10), at(0)), Novelty::Duplicate);
        assert_eq!(
            dedup.record(&migrating(Some(11)), at(0)),
            Novelty::New,
            "the same number is not a lower one"
        );
    }

    #[test]
    fn notification_without_number_is_always_new() {
        let mut dedup = Dedup::default();
        assert_eq!(dedup.record(&migrated(5), at(0)), Novelty::New);
        assert_eq!(
            [dedup.record(&migrating(None), at(0)), dedup.record(&migrating(None), at(0))],
            [Novelty::New; 2]
        );
    }

    #[test]
    fn move_is_remembered_for_twice_its_grace() {
        let mut dedup = Dedup::default();
        dedup.record(&moving_within(100, 1, "b:1"), at(0));
        assert_eq!(dedup.record(&moving_within(100, 1, "b:1"), at(199)), Novelty::Duplicate);
        assert_eq!(dedup.record(&moving_within(100, 1, "b:1"), at(200)), Novelty::New);
        let endless = Notification::Moving { seq: Some(2), grace: Duration::MAX, target: None };
        assert_eq!(dedup.record(&endless, at(200)), Novelty::New);
    }

    #[test]
    fn flood_drops_the_oldest_records() {
        let mut dedup = Dedup::default();
        for seq in 0..10_000 {
            assert_eq!(dedup.record(&migrated(seq), at(0)), Novelty::New);
        }
        assert_eq!(dedup.records.len(), RECORDS_MAX);
        assert_eq!(dedup.record(&migrated(9_744), at(0)), Novelty::Duplicate);
        assert_eq!(dedup.record(&migrated(9_743), at(0)), Novelty::New);
    }
}
