//! [`Gates`]: commands that wait, so that the commands of one handle to one slot keep their order through a redirect.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::NodeId;
use super::slot::Slot;
use crate::proto::connection::{HandleId, Ticket};
use crate::proto::time::Instant;

/// What one gate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GateKey {
    /// The commands of one handle to one slot, or of one handle without keys.
    Ordered(Option<Slot>, HandleId),
    /// One blocking command. It has no order.
    Alone(u64),
}

/// Commands that wait behind one that a node has not served.
///
/// Such a command is sent again, to another node or after a while. Later commands of its handle and slot must not overtake it. So
/// they wait at a gate until the earlier ones are answered. Then the first of them is sent alone, because it may be redirected again.
/// Once it is answered, the node is known to serve the slot, and the others follow together, as far as they go to the same node: two
/// nodes execute what they get in any order.
///
/// A gate knows the commands of its key that are in flight. It is made when a node does not serve one of them, and knows the others from
/// then on. Where there is no gate, nothing is noted.
#[derive(Debug, Default)]
pub(super) struct Gates {
    open: BTreeMap<GateKey, Gate>,
    /// The gates that may have something to send.
    dirty: BTreeSet<GateKey>,
    timers: BTreeSet<(Instant, GateKey)>,
}

#[derive(Debug, Default)]
struct Gate {
    /// By the order of submission.
    in_flight: BTreeMap<u64, Ticket>,
    /// A command of this key has been answered since a node has refused to serve one.
    is_proved: bool,
    /// The node that those in flight were sent to, if it is one.
    target: Option<NodeId>,
    /// By the order of submission.
    waiting: BTreeMap<u64, Ticket>,
    not_before: Option<Instant>,
}

impl Gates {
    /// Whether no command waits, and none is noted, as most of the time.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn contains(&self, key: GateKey) -> bool {
        self.open.contains_key(&key)
    }

    /// Notes a command that is in flight, and makes its gate.
    pub(super) fn note(&mut self, key: GateKey, serial: u64, ticket: Ticket) {
        self.open.entry(key).or_default().in_flight.insert(serial, ticket);
    }

    /// The commands in flight that were submitted after this one.
    pub(super) fn in_flight_behind(&self, key: GateKey, serial: u64) -> Vec<Ticket> {
        let gate = self.open.get(&key);
        gate.map(|gate| gate.in_flight.range(serial + 1..).map(|(_, ticket)| *ticket).collect())
            .unwrap_or_default()
    }

    /// A command that is submitted now, for this node: whether it may be sent at once. Otherwise it waits.
    pub(super) fn admit(
        &mut self,
        key: GateKey,
        serial: u64,
        ticket: Ticket,
        target: Option<NodeId>,
    ) -> bool {
        let Some(gate) = self.open.get_mut(&key) else { return true };
        if gate.is_proved && gate.waiting.is_empty() && target.is_some() && gate.target == target {
            gate.in_flight.insert(serial, ticket);
            return true;
        }
        gate.waiting.insert(serial, ticket);
        self.dirty.insert(key);
        false
    }

    /// A command waits until this time, and until all earlier ones of its key are answered.
    pub(super) fn hold(&mut self, key: GateKey, serial: u64, ticket: Ticket, not_before: Option<Instant>) {
        let gate = self.open.entry(key).or_default();
        gate.is_proved = false;
        gate.in_flight.remove(&serial);
        gate.waiting.insert(serial, ticket);
        gate.not_before = gate.not_before.max(not_before);
        self.dirty.insert(key);
    }

    /// A command is in flight no more. `is_served`: a node has executed it.
    pub(super) fn landed(&mut self, key: GateKey, serial: u64, is_served: bool) {
        if let Some(gate) = self.open.get_mut(&key) {
            gate.in_flight.remove(&serial);
            gate.is_proved |= is_served;
            self.dirty.insert(key);
        }
    }

    /// A command that waits is wanted no more.
    pub(super) fn remove(&mut self, key: GateKey, serial: u64) {
        if let Some(gate) = self.open.get_mut(&key) {
            gate.waiting.remove(&serial);
            self.dirty.insert(key);
        }
    }

    /// The commands that may be sent now, in their order. They count as in flight. `target` says which node a command goes to.
    pub(super) fn release(&mut self, now: Instant, target: impl Fn(Ticket) -> Option<NodeId>) -> Vec<Ticket> {
        while let Some(&(at, key)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, key));
            self.dirty.insert(key);
        }
        let mut released = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            self.release_of(key, now, &target, &mut released);
        }
        released
    }

    /// The nodes of slots have changed: no command waits for its time any more.
    pub(super) fn hurry(&mut self) {
        for (key, gate) in &mut self.open {
            gate.not_before = None;
            self.dirty.insert(*key);
        }
    }

    /// Whether [`Gates::release`] has to look at a gate.
    #[inline]
    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes out every command that waits.
    pub(super) fn clear(&mut self) -> Vec<Ticket> {
        let gates = std::mem::take(self);
        gates.open.into_values().flat_map(|gate| gate.waiting.into_values()).collect()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn release_of(
        &mut self,
        key: GateKey,
        now: Instant,
        target: impl Fn(Ticket) -> Option<NodeId>,
        released: &mut Vec<Ticket>,
    ) {
        let Some(gate) = self.open.get_mut(&key) else { return };
        if !gate.in_flight.is_empty() {
            return;
        }
        if gate.waiting.is_empty() {
            self.open.remove(&key);
            return;
        }
        if let Some(at) = gate.not_before.filter(|at| *at > now) {
            self.timers.insert((at, key));
            return;
        }
        gate.not_before = None;
        gate.target = gate.waiting.first_key_value().and_then(|(_, ticket)| target(*ticket));
        while let Some(first) = gate.waiting.first_entry() {
            let goes_with =
                gate.in_flight.is_empty() || (gate.is_proved && target(*first.get()) == gate.target);
            if !goes_with {
                break;
            }
            let (serial, ticket) = first.remove_entry();
            released.push(ticket);
            gate.in_flight.insert(serial, ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: GateKey = GateKey::Ordered(None, HandleId(1));

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn released(gates: &mut Gates, ms: u64) -> Vec<u32> {
        gates.release(at(ms), |_| Some(NodeId(0))).into_iter().map(|ticket| ticket.0).collect()
    }

    /// Two commands were in flight, and both are redirected.
    fn redirected() -> Gates {
        let mut gates = Gates::default();
        gates.note(KEY, 1, Ticket(1));
        gates.note(KEY, 2, Ticket(2));
        gates.hold(KEY, 1, Ticket(1), None);
        assert_eq!(gates.in_flight_behind(KEY, 1), [Ticket(2)]);
        assert!(released(&mut gates, 0).is_empty(), "the other one may have been executed");
        gates.hold(KEY, 2, Ticket(2), None);
        gates
    }

    #[test]
    fn first_command_goes_alone_and_the_others_follow() {
        let mut gates = redirected();
        assert!(!gates.admit(KEY, 3, Ticket(3), Some(NodeId(0))));
        assert_eq!(released(&mut gates, 0), [1]);
        assert!(released(&mut gates, 0).is_empty());
        gates.landed(KEY, 1, true);
        assert_eq!(released(&mut gates, 0), [2, 3]);
        assert!(gates.admit(KEY, 4, Ticket(4), Some(NodeId(0))), "behind the others, on their connection");
        for serial in 2..5 {
            gates.landed(KEY, serial, true);
        }
        assert!(released(&mut gates, 0).is_empty() && gates.is_empty());
        assert!(gates.admit(KEY, 5, Ticket(5), Some(NodeId(0))));
    }

    #[test]
    fn command_that_is_redirected_twice_keeps_its_place() {
        let mut gates = redirected();
        assert_eq!(released(&mut gates, 0), [1]);
        gates.hold(KEY, 1, Ticket(1), Some(at(2)));
        assert!(released(&mut gates, 1).is_empty());
        assert_eq!(gates.next_timeout(), Some(at(2)));
        assert_eq!(released(&mut gates, 2), [1]);
    }

    #[test]
    fn commands_for_another_node_wait_until_the_others_are_answered() {
        let mut gates = redirected();
        assert_eq!(released(&mut gates, 0), [1]);
        gates.landed(KEY, 1, true);
        assert!(!gates.admit(KEY, 3, Ticket(3), Some(NodeId(0))));
        let target = |ticket: Ticket| Some(NodeId(u16::from(ticket.0 == 3)));
        assert_eq!(gates.release(at(0), target), [Ticket(2)]);
        assert!(!gates.admit(KEY, 4, Ticket(4), Some(NodeId(0))), "behind the third");
        gates.landed(KEY, 2, true);
        assert_eq!(gates.release(at(0), target), [Ticket(3)]);
        assert!(!gates.admit(KEY, 5, Ticket(5), Some(NodeId(1))), "behind the fourth");
    }

    #[test]
    fn other_keys_do_not_wait() {
        let mut gates = redirected();
        assert!(gates.admit(GateKey::Ordered(None, HandleId(2)), 9, Ticket(9), Some(NodeId(0))));
        assert!(gates.admit(GateKey::Ordered(Slot::new(1), HandleId(1)), 10, Ticket(10), Some(NodeId(0))));
    }

    #[test]
    fn abandoned_command_does_not_hold_the_others_up() {
        let mut gates = redirected();
        gates.remove(KEY, 1);
        assert_eq!(released(&mut gates, 0), [2]);
    }

    #[test]
    fn all_that_wait_can_be_taken_out() {
        let mut gates = redirected();
        assert_eq!(gates.clear(), [Ticket(1), Ticket(2)]);
        assert!(gates.is_empty() && gates.next_timeout().is_none());
    }
}
