//! [`Ledger`]: whether a notification of one peer is news.
//!
//! A server tells each connection, and a new one again; proxies tell it on their own. It is acted upon once. Numbers
//! are compared only with what was recorded lately: they may start again, and what is forgotten blocks nothing.

use std::collections::VecDeque;
use std::time::Duration;

use super::notification::{Notification, NotificationKind};
use crate::proto::endpoint::Endpoint;
use crate::proto::time::Instant;

/// The notifications of one peer that were news lately, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: VecDeque<Record>,
}

/// What a notification is to somebody who has the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    New,
    /// New, but the same number named another target before: the newest counts.
    Conflict,
    /// A copy of one that is known.
    Duplicate,
    /// What it announces was over, or overtaken, before it was read.
    Stale,
}

#[derive(Debug)]
struct Record {
    kind: NotificationKind,
    seq: i64,
    target: Option<Endpoint>,
    until: Instant,
}

impl Ledger {
    /// Says whether this is news, and records it if it is. Without a number it always is: there is nothing to know
    /// it again by.
    pub(crate) fn record(&mut self, notification: &Notification, now: Instant) -> News {
        self.records.retain(|record| record.until > now);
        let Some(seq) = notification.seq() else { return News::New };
        let kind = notification.kind();
        let (target, grace) = match notification {
            Notification::Moving { target, grace, .. } => (target.as_ref(), *grace),
            _ => (None, Duration::ZERO),
        };
        let mut news = News::New;
        for record in self.records.iter().filter(|record| (record.kind, record.seq) == (kind, seq)) {
            if is_same_target(record.target.as_ref(), target) {
                return News::Duplicate;
            }
            news = News::Conflict;
        }
        if self.records.iter().any(|record| record.outdates(kind, seq)) {
            return News::Stale;
        }
        let until = now.after(grace.saturating_mul(2).max(LIFE_MIN));
        self.records.push_back(Record { kind, seq, target: target.cloned(), until });
        if self.records.len() > LEDGER_MAX {
            self.records.pop_front();
        }
        news
    }
}

impl Record {
    /// A closer outdates the openers before it, and a move the moves before it. Nothing outdates a closer by its
    /// number alone: which opener it belongs to shows when they are paired.
    fn outdates(&self, kind: NotificationKind, seq: i64) -> bool {
        let overtakes = match kind {
            NotificationKind::Moving => self.kind == NotificationKind::Moving,
            opener => {
                !opener.is_closer() && self.kind.is_closer() && self.kind.operation() == opener.operation()
            }
        };
        overtakes && seq < self.seq
    }
}

/// As names are compared: in any case, and with or without the dot at the end.
fn is_same_target(one: Option<&Endpoint>, other: Option<&Endpoint>) -> bool {
    let host = |endpoint: &Endpoint| endpoint.host().trim_end_matches('.').to_ascii_lowercase();
    match (one, other) {
        (Some(one), Some(other)) => one.port() == other.port() && host(one) == host(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Copies can come as late as this: they wait in sockets that nobody reads.
const LIFE_MIN: Duration = Duration::from_secs(120);
/// More than a server announces in that time.
pub(crate) const LEDGER_MAX: usize = 256;

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
    fn zero_is_a_number_like_others_and_numbers_may_restart() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.record(&moving(0, "b:1"), at(0)), News::New);
        assert_eq!(ledger.record(&moving(0, "b:1"), at(0)), News::Duplicate);
        assert_eq!(ledger.record(&moving(7, "b:1"), at(10)), News::New);
        assert_eq!(
            ledger.record(&moving(0, "b:1"), at(119)),
            News::Duplicate,
            "told again, it lives no longer"
        );
        assert_eq!(ledger.record(&moving(0, "b:1"), at(129)), News::Stale, "forgotten, but 7 is not");
        assert_eq!(ledger.record(&moving(0, "b:1"), at(130)), News::New, "the numbers have started again");
    }

    #[test]
    fn a_closer_outdates_the_openers_before_it() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.record(&slots_migrated(19), at(0)), News::New);
        assert_eq!(ledger.record(&slots_migrating(18), at(1)), News::Stale);
        assert_eq!(ledger.record(&slots_migrating(18), at(1)), News::Stale, "it was not recorded");
        assert_eq!(ledger.record(&slots_migrating(20), at(1)), News::New);
        assert_eq!(ledger.record(&migrating(Some(3)), at(1)), News::New, "of another operation");
        assert_eq!(ledger.record(&slots_migrating(18), at(120)), News::New);
    }

    #[test]
    fn one_number_with_two_targets_is_a_conflict() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.record(&moving(5, "b:1"), at(0)), News::New);
        assert_eq!(ledger.record(&moving(5, "c:1"), at(0)), News::Conflict);
        assert_eq!(ledger.record(&moving(5, "b:1"), at(1)), News::Duplicate, "an old copy does not win back");
        assert_eq!(ledger.record(&moving(5, "C.:1"), at(1)), News::Duplicate);
        assert_eq!(ledger.record(&moving(5, "c:2"), at(1)), News::Conflict);
        assert_eq!(ledger.record(&moving(5, ""), at(1)), News::Conflict);
        assert_eq!(ledger.record(&moving(5, ""), at(1)), News::Duplicate);
    }

    #[test]
    fn a_move_overtakes_those_before_it() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.record(&moving(6, "c:1"), at(0)), News::New);
        assert_eq!(ledger.record(&moving(5, "b:1"), at(0)), News::Stale);
        assert_eq!(ledger.record(&moving(7, "d:1"), at(0)), News::New);
        assert_eq!(ledger.record(&migrating(Some(1)), at(0)), News::New, "of another operation");
    }

    #[test]
    fn closers_are_never_stale_and_openers_do_not_outdate_each_other() {
        let mut ledger = Ledger::default();
        for notification in [migrating(Some(9)), migrating(Some(8)), migrated(11), migrated(10), migrated(1)]
        {
            assert_eq!(ledger.record(&notification, at(0)), News::New, "{notification:?}");
        }
        assert_eq!(ledger.record(&migrated(10), at(0)), News::Duplicate);
        assert_eq!(
            ledger.record(&migrating(Some(11)), at(0)),
            News::New,
            "the same number is not a lower one"
        );
    }

    #[test]
    fn without_a_number_it_is_always_news() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.record(&migrated(5), at(0)), News::New);
        assert_eq!(
            [ledger.record(&migrating(None), at(0)), ledger.record(&migrating(None), at(0))],
            [News::New; 2]
        );
    }

    #[test]
    fn a_move_is_known_for_twice_its_grace() {
        let mut ledger = Ledger::default();
        ledger.record(&moving_within(100, 1, "b:1"), at(0));
        assert_eq!(ledger.record(&moving_within(100, 1, "b:1"), at(199)), News::Duplicate);
        assert_eq!(ledger.record(&moving_within(100, 1, "b:1"), at(200)), News::New);
        let endless = Notification::Moving { seq: Some(2), grace: Duration::MAX, target: None };
        assert_eq!(ledger.record(&endless, at(200)), News::New);
    }

    #[test]
    fn a_flood_pushes_out_the_oldest() {
        let mut ledger = Ledger::default();
        for seq in 0..10_000 {
            assert_eq!(ledger.record(&migrated(seq), at(0)), News::New);
        }
        assert_eq!(ledger.records.len(), LEDGER_MAX);
        assert_eq!(ledger.record(&migrated(9_744), at(0)), News::Duplicate);
        assert_eq!(ledger.record(&migrated(9_743), at(0)), News::New);
    }
}
