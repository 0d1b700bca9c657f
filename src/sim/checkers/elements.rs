//! A pushed element is in one place: in its list, with one caller, or reported as orphaned. It is lost only with a blocking command
//! whose caller knows that it may have taken something, or has left. A command that took nothing holds nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::error::Outcome;
use crate::proto::maint::event::Event;
use crate::proto::resp::Frame;
use crate::sim::callers::value;
use crate::sim::outcomes::{Call, CallKind, End, Outcomes, Take};
use crate::sim::violation::Violation;

/// What became of the elements that the blocking commands of one shard took.
#[derive(Debug, Default)]
pub(in crate::sim) struct Elements {
    /// Those that were reported as orphaned.
    orphans: Vec<u64>,
    /// The blocking commands whose reply has arrived: their connection was used again.
    answered: BTreeSet<u32>,
    /// The places where each element was found.
    places: BTreeMap<u64, Vec<String>>,
    /// How many elements may be lost, because the command that took them is.
    may_be_lost: usize,
}

impl Elements {
    pub(in crate::sim) fn note(&mut self, event: &Event) {
        if let Event::Orphaned { reply, .. } = event {
            self.orphans.extend(elements(reply));
        }
    }

    pub(in crate::sim) fn note_answered(&mut self, ticket: u32) {
        self.answered.insert(ticket);
    }

    /// How many elements were reported as orphaned.
    pub(in crate::sim) fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Runs at the end: `queue` is what the list holds, and `moved` what each moving command has moved to its own list.
    pub(in crate::sim) fn check(
        mut self,
        outcomes: &Outcomes,
        queue: &[u64],
        moved: &BTreeMap<u32, Vec<u64>>,
    ) -> Result<(), Violation> {
        queue.iter().for_each(|element| self.place(*element, "the list".to_owned()));
        let mut orphans = std::mem::take(&mut self.orphans);
        for (ticket, call) in &outcomes.calls {
            if let CallKind::Take(take) = call.kind {
                let moved = moved.get(ticket).map(Vec::as_slice).unwrap_or_default();
                self.check_take(*ticket, call, take, moved, &mut orphans)?;
            }
        }
        for orphan in orphans {
            self.place(orphan, "an event".to_owned());
            // It is the one of a lost command, so no other is lost with that.
            self.may_be_lost = self.may_be_lost.saturating_sub(1);
        }
        if let Some((element, places)) = self.places.iter().find(|(_, places)| places.len() > 1) {
            return violated(format!("element {element} is in {}", places.join(" and ")));
        }
        self.check_pushed(outcomes)
    }

    fn check_take(
        &mut self,
        ticket: u32,
        call: &Call,
        take: Take,
        moved: &[u64],
        orphans: &mut Vec<u64>,
    ) -> Result<(), Violation> {
        let delivered: Vec<u64> = call.replies.iter().flat_map(elements).collect();
        if take.is_move && moved.len() > 1 {
            return violated(format!("the command of ticket {ticket} took {moved:?}"));
        }
        for element in if take.is_move { moved } else { delivered.as_slice() } {
            self.place(*element, format!("the hands of ticket {ticket}"));
        }
        if call.end == End::Answered {
            return match take.is_move && delivered != moved {
                true => {
                    violated(format!("ticket {ticket} got {delivered:?}, and its command took {moved:?}"))
                }
                false => Ok(()),
            };
        }
        if call.end == End::Failed(Outcome::Unsent) {
            return match moved {
                [] => Ok(()),
                _ => violated(format!("ticket {ticket} was reported as unsent, and it took {moved:?}")),
            };
        }
        let is_reported =
            moved.first().and_then(|element| orphans.iter().position(|orphan| orphan == element));
        if let Some(index) = is_reported {
            orphans.remove(index);
        }
        let is_answered = self.answered.contains(&ticket);
        if is_answered && !moved.is_empty() && is_reported.is_none() {
            return violated(format!("{moved:?} of ticket {ticket} are not reported as orphaned"));
        }
        if !take.is_move {
            self.may_be_lost += take.most;
        }
        Ok(())
    }

    /// Each element that was pushed is somewhere, and no other is.
    fn check_pushed(&mut self, outcomes: &Outcomes) -> Result<(), Violation> {
        let mut lost = Vec::new();
        for (ticket, call) in &outcomes.calls {
            let CallKind::Push { elements } = call.kind else { continue };
            let is_refused = matches!(call.replies.first(), Some(Frame::Error(_)));
            for element in (0..elements).map(|number| value(*ticket, number)) {
                match (call.end, self.places.remove(&element)) {
                    (End::Answered, None) if !is_refused => lost.push(element),
                    (End::Failed(Outcome::Unsent), Some(places)) => {
                        return violated(format!("element {element} was not sent, and is in {places:?}"));
                    }
                    _ => {}
                }
            }
        }
        if lost.len() > self.may_be_lost {
            return violated(format!("{lost:?} are lost, and at most {} may be", self.may_be_lost));
        }
        match self.places.first_key_value() {
            Some((element, places)) => violated(format!("element {element} in {places:?} was never pushed")),
            None => Ok(()),
        }
    }

    fn place(&mut self, element: u64, place: String) {
        self.places.entry(element).or_default().push(place);
    }
}

/// The elements in the reply to a blocking command. Keys are no numbers.
fn elements(reply: &Frame) -> Vec<u64> {
    match reply {
        Frame::Array(items) => items.iter().flat_map(elements).collect(),
        Frame::Bulk(text) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn violated(what: String) -> Result<(), Violation> {
    Err(Violation::new("an element is in one place", what))
}
