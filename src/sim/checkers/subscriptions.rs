//! A subscription gets each message of a confirmed name once and in order. A `Gap` tells of all that is missing, and a counter of
//! what comes twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::proto::pool::{ConnectionSnapshot, Role};
use crate::proto::subscriptions::{
    Message, PubSubEvent, SubscriptionId, SubscriptionKind, SubscriptionStats,
};
use crate::proto::time::Instant;
use crate::sim::publications::{Name, Publications, is_refused, shortened};
use crate::sim::violation::Violation;

/// What the subscriptions of one shard want, and what they have got.
#[derive(Debug, Default)]
pub(in crate::sim) struct SubscriptionChecks {
    wanted: BTreeMap<(SubscriptionId, Name), Want>,
    /// Names that were given up, until the shard says so.
    leaving: BTreeSet<(SubscriptionId, Name)>,
    before: SubscriptionStats,
    /// How many connections that may have carried the subscriptions were lost, now and at the last check.
    losses: i64,
    losses_before: i64,
    /// The active connection of each exclusive entry, and when it took over from another one.
    active: BTreeMap<u32, (u32, Option<Instant>)>,
}

#[derive(Debug)]
enum Want {
    /// It is not confirmed.
    Asked,
    Confirmed(Seen),
}

/// What one subscription has seen of one confirmed name.
#[derive(Debug)]
struct Seen {
    /// The publication that was delivered last.
    last: Option<usize>,
    /// The publications from here on are due. Earlier ones may come as well: the server may have confirmed before the client has
    /// read it.
    due_from: usize,
    /// The publications before this one may come again, because the overlap of a handoff was cut, which is counted.
    repeats_before: usize,
    /// How many more gaps there can be than connections were lost.
    gaps_left: i64,
}

impl SubscriptionChecks {
    pub(in crate::sim) fn note_added(&mut self, id: SubscriptionId, names: &[Name]) {
        for name in names {
            self.wanted.insert((id, name.clone()), Want::Asked);
        }
    }

    pub(in crate::sim) fn note_removed(&mut self, id: SubscriptionId, names: &[Name]) {
        for name in names {
            self.wanted.remove(&(id, name.clone()));
            self.leaving.insert((id, name.clone()));
        }
    }

    /// A connection for one user is lost, or left before it had drained.
    pub(in crate::sim) fn note_loss(&mut self) {
        self.losses += 1;
    }

    /// The state of all connections. The entries of the first `shared` numbers carry no subscriptions.
    pub(in crate::sim) fn note_connections(
        &mut self,
        all: &[ConnectionSnapshot],
        shared: usize,
        now: Instant,
    ) {
        let is_active = |known: &&ConnectionSnapshot| known.role == Role::Active;
        for ConnectionSnapshot { id, .. } in all.iter().filter(is_active) {
            if (id.entry.0 as usize) < shared {
                continue;
            }
            let before = self.active.get(&id.entry.0).copied();
            if before.is_none_or(|(generation, _)| generation != id.generation) {
                let is_left = |known: &ConnectionSnapshot| {
                    known.id.entry == id.entry
                        && before.is_some_and(|(generation, _)| generation == known.id.generation)
                };
                let taken_over = all.iter().any(is_left).then_some(now);
                self.active.insert(id.entry.0, (id.generation, taken_over));
            }
        }
    }

    /// No event of it follows.
    pub(in crate::sim) fn note_closed(&mut self, id: SubscriptionId) {
        self.wanted.retain(|(of, _), _| *of != id);
    }

    /// The names that any subscription wants.
    pub(in crate::sim) fn names(&self) -> BTreeSet<&Name> {
        self.wanted.keys().map(|(_, name)| name).collect()
    }

    /// Checks the events since the last call, in their order. `stats` are the counters after them.
    pub(in crate::sim) fn check(
        &mut self,
        events: &[(SubscriptionId, PubSubEvent)],
        stats: SubscriptionStats,
        published: &Publications,
        now: Instant,
    ) -> Result<(), Violation> {
        let before = std::mem::replace(&mut self.before, stats);
        let is_cut = stats.overlaps_bounded > before.overlaps_bounded;
        let is_long = |since: Instant| now.since(since) >= OVERLAP_MIN;
        if is_cut && !self.active.values().filter_map(|(_, since)| *since).any(is_long) {
            return violated(
                ORDER,
                format!("an overlap is cut, and all have begun since: {:?}", self.active),
            );
        }
        if is_cut {
            // Its predecessor may be dead, and what it has not delivered is missing.
            self.note_loss();
            self.seen().for_each(|seen| seen.repeats_before = usize::MAX);
        }
        for (id, event) in events {
            self.check_event(*id, event, published, now)?;
        }
        if is_cut {
            self.seen().for_each(|seen| seen.repeats_before = seen.last.map_or(0, |last| last + 1));
        }
        let losses = self.losses - std::mem::replace(&mut self.losses_before, self.losses);
        self.seen().for_each(|seen| seen.gaps_left += losses);
        match self.leaving.first() {
            Some((id, name)) => {
                violated(CONFIRMED, format!("{id:?} {name:?} is given up, and no event says so"))
            }
            None => Ok(()),
        }
    }

    /// Checks that each of these names is confirmed, because a call for them has ended.
    pub(in crate::sim) fn check_resolved<'a>(
        &self,
        id: SubscriptionId,
        names: impl IntoIterator<Item = &'a Name>,
    ) -> Result<(), Violation> {
        for name in names {
            if !matches!(self.wanted.get(&(id, name.clone())), Some(Want::Confirmed(_))) {
                return violated(CONFIRMED, format!("{id:?} is resolved before {name:?}"));
            }
        }
        Ok(())
    }

    /// Runs long after the last fault, and after one more publication on each channel: each name is confirmed, and has the newest
    /// publication.
    pub(in crate::sim) fn check_recovered(&self, published: &Publications) -> Result<(), Violation> {
        for ((id, name), want) in &self.wanted {
            let what = match want {
                Want::Asked if is_refused(name) => "is neither confirmed nor refused".to_owned(),
                Want::Asked => "is not confirmed".to_owned(),
                Want::Confirmed(seen) if seen.last == published.newest_of(name) => continue,
                Want::Confirmed(seen) => {
                    format!("has not the newest message, but {:?} of {}", seen.last, published.len())
                }
            };
            return violated("every subscription recovers", format!("{id:?} {name:?} {what}"));
        }
        Ok(())
    }

    fn seen(&mut self) -> impl Iterator<Item = &mut Seen> {
        self.wanted.values_mut().filter_map(|want| match want {
            Want::Confirmed(seen) => Some(seen),
            Want::Asked => None,
        })
    }

    fn check_event(
        &mut self,
        id: SubscriptionId,
        event: &PubSubEvent,
        published: &Publications,
        now: Instant,
    ) -> Result<(), Violation> {
        let key = (id, name_of(event));
        match (event, self.wanted.get_mut(&key)) {
            (PubSubEvent::Message(message), Some(Want::Confirmed(seen))) => {
                seen.check(&key, message, published)
            }
            (PubSubEvent::Gap { since, until, .. }, Some(Want::Confirmed(seen))) => {
                seen.due_from = seen.due_from.max(published.first_after(*until));
                let is_needed = self.losses - self.losses_before + seen.gaps_left > 0;
                seen.gaps_left -= 1;
                match is_needed && since <= until && *until <= now {
                    true => Ok(()),
                    false => violated(MISSING, format!("{key:?} gets {event:?} without a loss")),
                }
            }
            (PubSubEvent::Confirmed { .. }, Some(want @ Want::Asked)) if !is_refused(&key.1) => {
                let due_from = published.len();
                *want = Want::Confirmed(Seen { last: None, due_from, repeats_before: 0, gaps_left: 0 });
                Ok(())
            }
            (PubSubEvent::Refused { .. }, Some(Want::Asked)) if is_refused(&key.1) => {
                self.wanted.remove(&key);
                Ok(())
            }
            (PubSubEvent::Unsubscribed { .. }, _) if self.leaving.remove(&key) => Ok(()),
            (event, want) => violated(CONFIRMED, format!("{key:?} gets {event:?} and is {want:?}")),
        }
    }
}

impl Seen {
    fn check(
        &mut self,
        (id, name): &(SubscriptionId, Name),
        message: &Message,
        published: &Publications,
    ) -> Result<(), Violation> {
        let stamp = message.payload.escape_ascii();
        let found = published.find(message).and_then(|index| Some((index, published.get(index)?)));
        let Some((index, publication)) = found.filter(|(_, publication)| publication.is_of(name)) else {
            return violated(ORDER, format!("{id:?} {name:?} gets {stamp}, which was not published there"));
        };
        if let Some(last) = self.last.filter(|last| *last >= index && index >= self.repeats_before) {
            let last = published.get(last).map(|last| last.describe());
            let what = format!("{id:?} {name:?} gets {} after {last:?}", publication.describe());
            return violated(ORDER, what);
        }
        let mut due = (self.due_from..index).filter_map(|index| published.get(index));
        if let Some(missing) = due.find(|one| one.is_of(name)) {
            let (missing, got) = (missing.describe(), publication.describe());
            return violated(MISSING, format!("{id:?} {name:?} gets {got}, and {missing} is missing"));
        }
        (self.last, self.due_from) = (Some(index), index + 1);
        Ok(())
    }
}

fn name_of(event: &PubSubEvent) -> Name {
    match event {
        PubSubEvent::Message(Message {
            kind: kind @ SubscriptionKind::Pattern, channel, pattern, ..
        }) => (*kind, pattern.clone().unwrap_or_else(|| channel.clone())),
        PubSubEvent::Message(Message { kind, channel, .. }) => (*kind, channel.clone()),
        PubSubEvent::Gap { kind, name, .. }
        | PubSubEvent::Confirmed { kind, name }
        | PubSubEvent::Refused { kind, name, .. }
        | PubSubEvent::Unsubscribed { kind, name } => (*kind, name.clone()),
    }
}

fn violated(invariant: &'static str, what: String) -> Result<(), Violation> {
    Err(Violation::new(invariant, shortened(&what)))
}

/// No overlap is cut earlier, unless it holds 10,000 messages.
const OVERLAP_MIN: Duration = Duration::from_secs(2);
const CONFIRMED: &str = "a subscription is alive by its confirmation";
const ORDER: &str = "each message comes once and in order";
const MISSING: &str = "a gap tells of each missing message";
