//! [`Effect`]: what one part of a pool asks of the others; and [`Effects`], where it is collected.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::action::Action;
use super::ids::{ConnectionId, EntryId};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::Event;
use crate::proto::maint::handoff::MoveId;

/// What one part of a pool asks of the others. [`Parts::apply`](super::parts::Parts::apply) is the one place that
/// acts on it.
///
/// An effect names something to look at and never carries a decision. The connection may be gone, or the handoff over,
/// by the time it is applied: then it changes nothing.
#[derive(Debug)]
pub(super) enum Effect {
    /// The driver has to do this, after what the effects before it ask for.
    Act(Action),
    /// The connection has to end, for this reason.
    End { id: ConnectionId, reason: CloseReason },
    /// The connection to this peer is gone: nothing may wait for what it would have learned.
    Forget { id: ConnectionId, peer: Option<SocketAddr> },
    /// A predecessor may have received its last reply, or one that a command behind it waits for.
    Drained(ConnectionId),
    /// This entry has another active connection, or its connection is ready: it may have to move on.
    ActiveChanged(EntryId),
    /// A permit or a place in the handoff queue may be free, or an entry has been queued.
    QueueChanged,
    /// A peer has a move, or a target of one, that the connections to it have to follow.
    MoveChanged,
    /// Nothing moves away from this address any more.
    MoveWithdrawn(SocketAddr),
    /// The target of this move may not be dialed.
    TargetRefused(MoveId),
    /// This move has no target any more: handoffs to it stop.
    TargetDropped(MoveId),
    /// A new announcement names this target: the server may know that it works again.
    TargetNamed(Endpoint),
    /// The windows of this peer have changed, and the timeouts of the connections to it with them.
    WindowsChanged(SocketAddr),
    /// Connections to this peer that wait for its offer of notifications can go on.
    OfferChanged(SocketAddr),
    /// A connection that had to log in again has been answered, or is gone.
    LoginSettled,
}

/// Collects effects for the pool, actions for its driver, and events for the application.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// What the running step brought about, in order.
    raised: Vec<Effect>,
    /// What waits behind it; the next one is last.
    waiting: Vec<Effect>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

impl Effects {
    pub(super) fn push(&mut self, effect: Effect) {
        self.raised.push(effect);
    }

    pub(super) fn extend(&mut self, effects: impl IntoIterator<Item = Effect>) {
        self.raised.extend(effects);
    }

    /// The next effect. What the last one brought about comes before what was waiting already: this is the order that
    /// nested calls would have, without their recursion.
    pub(super) fn next(&mut self) -> Option<Effect> {
        self.waiting.extend(self.raised.drain(..).rev());
        self.waiting.pop()
    }

    /// Asks the driver for something.
    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Reports something to the application.
    pub(super) fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Reports something that servers can cause at will: beyond a bound it is only counted.
    pub(super) fn report_bounded(&mut self, event: impl FnOnce() -> Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event());
        }
    }

    pub(super) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether the driver has to poll for actions or events.
    #[inline]
    pub(super) fn has_output(&self) -> bool {
        !self.actions.is_empty() || !self.events.is_empty()
    }
}

/// How many events may wait for the driver.
const EVENTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn next(effects: &mut Effects) -> Option<u32> {
        match effects.next()? {
            Effect::ActiveChanged(EntryId(number)) => Some(number),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn consequences_come_before_what_waits_already() {
        let mut effects = Effects::default();
        effects.extend([1, 2].map(|number| Effect::ActiveChanged(EntryId(number))));
        assert_eq!(next(&mut effects), Some(1));
        effects.extend([11, 12].map(|number| Effect::ActiveChanged(EntryId(number))));
        assert_eq!(next(&mut effects), Some(11));
        effects.push(Effect::ActiveChanged(EntryId(111)));
        let rest: Vec<_> = std::iter::from_fn(|| next(&mut effects)).collect();
        assert_eq!(rest, [111, 12, 2]);
    }

    #[test]
    fn events_that_servers_cause_are_bounded() {
        let mut effects = Effects::default();
        for _ in 0..2 * EVENTS_MAX {
            effects.report_bounded(|| Event::Connected { peer: None });
        }
        assert_eq!(std::iter::from_fn(|| effects.next_event()).count(), EVENTS_MAX);
        assert!(!effects.has_output());
    }
}
