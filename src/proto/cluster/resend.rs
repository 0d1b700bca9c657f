//! What a cluster does about commands that a node has not served, and about the views of nodes.

use std::time::Duration;

use super::Cluster;
use super::calls::{CallPlace, Routed};
use super::ids::NodeId;
use super::not_served::{NamedNode, NotServed};
use super::outstanding::Unserved;
use super::slot::Slot;
use crate::proto::connection::{Deliver, Ticket};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::{ClusterFailure, Failure, Outcome, ServerState};
use crate::proto::targets::Redirection;

impl Cluster {
    /// Acts on what the pools have delivered, until nothing is left to act on.
    pub(super) fn settle(&mut self, deliver: &mut impl Deliver) {
        for _ in 0..ROUNDS_MAX {
            for (ticket, failure) in std::mem::take(&mut self.failed) {
                self.outstanding.fail(ticket, failure, deliver);
            }
            for unserved in std::mem::take(&mut self.outstanding.unserved) {
                self.handle_unserved(unserved, deliver);
            }
            self.handle_suspects();
            self.handle_views(deliver);
            self.begin_refresh();
            self.release(deliver);
            if !self.outstanding.has_news() && self.failed.is_empty() {
                return;
            }
        }
        // The rest follows in the next turn.
        self.needs_turn = true;
    }

    /// Sends the commands that need not wait any more.
    fn release(&mut self, deliver: &mut impl Deliver) {
        let now = self.outstanding.now;
        let mut gates = std::mem::take(&mut self.outstanding.gates);
        let calls = &self.outstanding.calls;
        let released = gates.release(now, |ticket| self.target(calls.get(ticket)?));
        self.outstanding.gates = gates;
        for ticket in released {
            self.send_again(ticket, deliver);
        }
    }

    /// A node has not served a command: decides where it goes next, and when.
    fn handle_unserved(&mut self, unserved: Unserved, deliver: &mut impl Deliver) {
        let Unserved { ticket, by, why } = unserved;
        let Some(call) = self.outstanding.calls.get_mut(ticket) else { return };
        call.refusals += 1;
        let refusals = call.refusals;
        let delay = match why {
            None => None,
            Some(NotServed::Moved { slot, to }) => {
                self.handle_moved(slot, to, by, deliver);
                redirect_delay(refusals)
            }
            Some(NotServed::Ask { to }) => {
                let target = self.named_node(to, by, Redirection::Ask);
                if let Some(call) = self.outstanding.calls.get_mut(ticket) {
                    call.ask = target;
                }
                redirect_delay(refusals)
            }
            Some(NotServed::Later(state)) => {
                self.note_evidence(state == ServerState::ClusterDown);
                Some(self.retry_delay(refusals))
            }
            Some(NotServed::Demoted) => {
                self.note_evidence(true);
                Some(self.retry_delay(refusals))
            }
        };
        let is_looping = delay == Some(Duration::MAX);
        if is_looping || self.is_overdue(ticket) {
            return self.give_up(ticket, deliver);
        }
        self.hold_after(ticket, by, delay);
    }

    /// A command that a node has not served, or not written, waits for so long, and behind the commands before it. Those behind it that
    /// this node has not been sent yet wait as well, or they would overtake it.
    pub(super) fn hold_after(&mut self, ticket: Ticket, by: NodeId, delay: Option<Duration>) {
        let Some(call) = self.outstanding.calls.get_mut(ticket) else { return };
        let (gate, serial) = (call.gate(), call.serial);
        if !self.outstanding.gates.contains(gate) {
            let is_there = |call: &Routed| matches!(call.place, CallPlace::Node(node, _) if node == by);
            self.outstanding.make_gates(is_there);
        }
        self.hold(ticket, delay.map(|delay| self.outstanding.now.after(delay)));
        for behind in self.outstanding.gates.in_flight_behind(gate, serial) {
            if self.withdraw(behind) {
                self.hold(behind, None);
            }
        }
    }

    /// Sends a command that has waited.
    fn send_again(&mut self, ticket: Ticket, deliver: &mut impl Deliver) {
        let now = self.outstanding.now;
        let Some(call) = self.outstanding.calls.get_mut(ticket) else { return };
        call.since.get_or_insert(now);
        if self.is_overdue(ticket) {
            return self.give_up(ticket, deliver);
        }
        match self.send(ticket) {
            Ok(entry) => self.wake(entry),
            Err(failure) => self.outstanding.fail(ticket, failure, deliver),
        }
    }

    /// Fails the commands that have waited for too long.
    pub(super) fn expire_waiting(&mut self, deliver: &mut impl Deliver) {
        let now = self.outstanding.now;
        let waiting = self.outstanding.calls.iter().filter(|(_, call)| call.place == CallPlace::Waits);
        let waiting: Vec<Ticket> = waiting.map(|(ticket, _)| ticket).collect();
        for ticket in waiting {
            if let Some(call) = self.outstanding.calls.get_mut(ticket) {
                call.since.get_or_insert(now);
            }
            if self.is_overdue(ticket) {
                self.give_up(ticket, deliver);
            }
        }
    }

    /// Nothing is done for a command any more: its caller gets what the last node has said, or why there was none.
    fn give_up(&mut self, ticket: Ticket, deliver: &mut impl Deliver) {
        let Some(call) = self.outstanding.calls.get_mut(ticket) else { return };
        let (refusal, slot) = (call.refusal.take(), call.slot);
        match (refusal, slot.filter(|slot| self.map.owner(*slot).is_none())) {
            (Some(refusal), _) => self.outstanding.answer(ticket, refusal, deliver),
            (None, _) if !self.is_known => {
                self.outstanding.fail(ticket, ClusterFailure::Unknown.into(), deliver);
            }
            (None, Some(slot)) => {
                self.outstanding.fail(ticket, ClusterFailure::Uncovered(slot.get()).into(), deliver);
            }
            (None, None) => {
                let failure = Failure::timed_out(Outcome::Unsent, self.command_timeout, None, None);
                self.outstanding.fail(ticket, failure, deliver);
            }
        }
    }

    /// Whether the time of a command is over. It counts from its submission.
    fn is_overdue(&self, ticket: Ticket) -> bool {
        let since = self.outstanding.calls.get(ticket).and_then(|call| call.since);
        since.is_some_and(|since| self.outstanding.now.since(since) >= self.command_timeout)
    }

    /// A slot has moved to another node, or this one has been replaced by another at its address.
    fn handle_moved(&mut self, slot: Slot, to: NamedNode, by: NodeId, deliver: &mut impl Deliver) {
        self.note_evidence(false);
        let Some(target) = self.named_node(to, by, Redirection::Moved) else { return };
        if target == by {
            // The address of this node leads to another server than its connections do: they are replaced, make-before-break.
            let now = self.outstanding.now;
            self.with_pool(by, deliver, |pool, intake| pool.dial_again(now, intake));
            return;
        }
        let is_new = self.map.owner(slot) != Some(target);
        self.map.patch(slot, target, self.refreshing.number());
        if is_new {
            self.withdraw_moved(&[slot].into());
        }
        if let Some(node) = self.nodes.get_mut(target) {
            node.is_owner = true;
        }
    }

    /// The node that another one names, which is made if it is new. `None` if it cannot be reached, or may not be.
    pub(super) fn named_node(&mut self, named: NamedNode, by: NodeId, how: Redirection) -> Option<NodeId> {
        let endpoint = named.endpoint(&self.nodes.get(by)?.endpoint)?;
        self.node_at(&endpoint, by, how)
    }

    /// The node at an endpoint that another node names.
    pub(super) fn node_at(&mut self, endpoint: &Endpoint, by: NodeId, how: Redirection) -> Option<NodeId> {
        let now = self.outstanding.now;
        let endpoint = self.config.address_map.apply(endpoint.clone())?;
        if let Some(known) = self.nodes.at(&endpoint) {
            if let Some(node) = self.nodes.get_mut(known) {
                node.used = now;
            }
            return Some(known);
        }
        let source = self.nodes.source(by, how)?;
        match self.nodes.add_named(&endpoint, source, now) {
            Ok(added) => {
                self.touched.extend(added);
                added
            }
            Err(event) => {
                self.events.extend(event);
                None
            }
        }
    }

    /// How long a command waits that a node cannot serve now.
    fn retry_delay(&mut self, refusals: u32) -> Duration {
        let most = FIRST_DELAY.saturating_mul(1 << (refusals - 1).min(RETRY_DOUBLINGS));
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.u64(nanos / 2..=nanos))
    }
}

/// How long a command waits that is redirected for the so-manieth time: the first time not at all; [`Duration::MAX`] if it must not be
/// sent again. During a migration two nodes may send it to each other for a moment.
fn redirect_delay(refusals: u32) -> Option<Duration> {
    match refusals {
        0 | 1 => None,
        2..=REDIRECTS_MAX => Some(FIRST_DELAY * (1 << (refusals - 2))),
        _ => Some(Duration::MAX),
    }
}

/// How often the cluster looks for more to do within one call.
const ROUNDS_MAX: usize = 16;
/// How often one command follows a redirect.
const REDIRECTS_MAX: u32 = 8;
const FIRST_DELAY: Duration = Duration::from_millis(2);
/// A command that a node cannot serve is sent again after 128 ms at most.
const RETRY_DOUBLINGS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_followed_at_once_then_with_growing_delays() {
        let ms = Duration::from_millis;
        let delays: Vec<_> = (1..=REDIRECTS_MAX).map(redirect_delay).collect();
        let expected =
            [0, 2, 4, 8, 16, 32, 64, 128].map(|delay| Some(ms(delay)).filter(|delay| !delay.is_zero()));
        assert_eq!(delays, expected);
        assert_eq!(redirect_delay(REDIRECTS_MAX + 1), Some(Duration::MAX));
    }
}
