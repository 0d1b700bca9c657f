//! The accounts of a run, from what its tasks returned.

use super::ledger::{Found, Ledger};
use super::leftovers;
use super::outcome::Failures;
use super::plan::{DeliveryKind, DeliveryPlan};
use super::pubsub::{Heard, Published};
use super::queue::{Pushed, Taken};
use super::report::{PubSubReport, QueueReport};
use super::sequence::Checked;
use super::tasks::Done;
use crate::{Client, Error};

/// What all tasks returned, by kind.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pushed: Vec<Pushed>,
    taken: Vec<Taken>,
    published: Vec<Published>,
    heard: Vec<Heard>,
}

/// The result of the accounts.
#[derive(Debug, Default)]
pub(super) struct Accounted {
    pub(super) queue: Option<QueueReport>,
    pub(super) pubsub: Option<PubSubReport>,
    pub(super) failures: Failures,
    /// Elements that the sources sent, and those that were due and never sent.
    pub(super) sent: u64,
    pub(super) unsent: u64,
}

impl Accounts {
    pub(super) fn new(all: Vec<Done>) -> Accounts {
        let mut accounts = Accounts::default();
        for done in all {
            match done {
                Done::Pushed(pushed) => accounts.pushed.push(pushed),
                Done::Taken(taken) => accounts.taken.push(taken),
                Done::Published(published) => accounts.published.push(published),
                Done::Heard(heard) => accounts.heard.push(heard),
            }
        }
        accounts
    }

    /// Why a subscriber could not subscribe.
    pub(super) fn refused(&self) -> Option<&Error> {
        self.heard.iter().find_map(|heard| heard.refused.as_ref())
    }

    pub(super) fn settle(self, client: &Client, plan: &DeliveryPlan) -> Accounted {
        match plan.delivery.kind {
            DeliveryKind::Queue { .. } => queue(client, plan, self.pushed, self.taken),
            DeliveryKind::PubSub { .. } => pubsub(self.published, self.heard),
        }
    }
}

fn queue(client: &Client, plan: &DeliveryPlan, mut pushed: Vec<Pushed>, taken: Vec<Taken>) -> Accounted {
    let mut accounted = Accounted::default();
    pushed.sort_by_key(|pushed| pushed.producer);
    let mut pushes = Vec::with_capacity(pushed.len());
    for producer in pushed {
        accounted.failures.add(producer.failures);
        accounted.sent += producer.pushes.len() as u64;
        accounted.unsent += producer.unsent;
        pushes.push(producer.pushes);
    }
    let mut ledger = Ledger::new(pushes);
    for consumer in taken {
        for (stamp, fate) in consumer.elements {
            match stamp {
                Some(stamp) => ledger.note(Found { stamp, fate }),
                None => ledger.note_unexpected(),
            }
        }
        accounted.failures.add(consumer.failures);
    }
    if let Err(error) = leftovers::read(client, plan, &mut ledger) {
        accounted.failures.note(&error);
    }
    let balance = ledger.balance();
    accounted.queue = Some(QueueReport {
        pushed: balance.pushed,
        popped: balance.popped,
        returned: balance.returned,
        left: balance.left,
        lost: balance.lost,
        doubled: balance.doubled,
        unexpected: balance.unexpected,
        latency_us: None,
    });
    accounted
}

fn pubsub(published: Vec<Published>, heard: Vec<Heard>) -> Accounted {
    let mut accounted = Accounted::default();
    let (mut checked, mut confirmed) = (Checked::default(), 0);
    let nothing = super::sequence::Sequence::default();
    for publisher in &published {
        for (channel, (sent, failed)) in publisher.channels.iter().enumerate() {
            confirmed += sent - failed.len() as u64;
            for subscriber in &heard {
                let sequence = subscriber.sequences.get(&(publisher.publisher, channel)).unwrap_or(&nothing);
                checked.add(sequence.check(*sent, failed));
            }
        }
    }
    for publisher in published {
        accounted.failures.add(publisher.failures);
        accounted.sent += publisher.channels.iter().map(|(sent, _)| sent).sum::<u64>();
        accounted.unsent += publisher.unsent;
    }
    let sum = |count: fn(&Heard) -> u64| heard.iter().map(count).sum::<u64>();
    let lagged = sum(|heard| heard.lagged);
    accounted.pubsub = Some(PubSubReport {
        published: confirmed,
        delivered: sum(|heard| heard.delivered),
        expected: checked.expected,
        gaps: checked.gaps,
        // What a slow subscriber did not get was announced as well.
        unannounced: checked.unannounced.saturating_sub(lagged),
        announced_gaps: sum(|heard| heard.announced_gaps),
        duplicates: checked.duplicates,
        reordered: checked.reordered,
        lagged,
        unexpected: sum(|heard| heard.unexpected),
        latency_us: None,
    });
    accounted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The account of one publisher of three messages on one channel, and of a subscriber that received these.
    fn account(received: &[u64], failed: &[u64], lagged: u64) -> PubSubReport {
        let published =
            Published { publisher: 0, channels: vec![(3, failed.to_vec())], ..Published::default() };
        let mut heard = Heard { delivered: received.len() as u64, lagged, ..Heard::default() };
        for number in received {
            heard.sequences.entry((0, 0)).or_default().receive(*number);
        }
        pubsub(vec![published], vec![heard]).pubsub.expect("a report")
    }

    #[test]
    fn what_lagged_was_announced() {
        let report = |lagged| account(&[0, 2], &[], lagged);
        assert_eq!((report(0).gaps, report(0).unannounced, report(0).is_complete()), (1, 1, false));
        assert_eq!((report(1).gaps, report(1).unannounced, report(1).is_complete()), (1, 0, true));
    }

    #[test]
    fn a_subscriber_that_heard_nothing_misses_all() {
        let report = account(&[], &[1], 0);
        assert_eq!((report.published, report.expected, report.gaps, report.delivered), (2, 2, 2, 0));
    }

    #[test]
    fn repeated_and_late_messages_are_faults() {
        let report = account(&[1, 0, 2, 2], &[], 0);
        assert_eq!((report.duplicates, report.reordered, report.gaps), (1, 1, 0));
        assert!(!report.is_complete());
    }
}
