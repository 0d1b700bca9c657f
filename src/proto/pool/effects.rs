//! [`Effect`]: what one part of a pool asks of the others; and [`Effects`], where it is collected.
//!
//! The parts are entries, handoffs, maintenance and authentication: see [`Parts`](super::parts::Parts). They do not
//! call each other, so that no message of a server causes recursion.

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
/// Most effects name what may have changed. The part that handles one looks at the state of that moment and decides.
/// Only [`Act`](Effect::Act) and [`End`](Effect::End) carry a decision. Before an effect is applied, its connection may
/// be gone or its handoff over. It must change nothing then.
#[derive(Debug)]
pub(super) enum Effect {
    /// The driver has to do this, after the actions of the effects before it. [`Effects::act`] would overtake those.
    Act(Action),
    /// The connection has to leave its entry and close, for this reason.
    End { id: ConnectionId, reason: CloseReason },
    /// The connection to this peer is gone. Timeout windows that it alone reported end, except that of a move: their
    /// announced end may never arrive. If it had asked for notifications, a connection that waits for the answer asks.
    Forget { id: ConnectionId, peer: Option<SocketAddr> },
    /// This connection may have received replies. If it is a predecessor, it closes after the last one. Until then,
    /// each may release commands that the order barrier holds. For other connections nothing happens.
    Drained(ConnectionId),
    /// This entry has another active connection, or its connection is ready. Its peer may have announced a move
    /// already, and the entry is then queued for a handoff.
    ActiveChanged(EntryId),
    /// A permit or a place in the handoff queue may be free, or an entry has been queued: the next handoffs may start.
    QueueChanged,
    /// A peer has a new move, or the target of its move has changed: the connections to it have to follow.
    MoveChanged,
    /// The move of this address is over, because a server names it as a target. Handoffs away from it stop.
    MoveWithdrawn(SocketAddr),
    /// The target of this move may not be dialed: all its addresses were refused. The move goes on without a target,
    /// and [`TargetDropped`](Effect::TargetDropped) follows.
    TargetRefused(MoveId),
    /// This move has lost its target: handoffs to that target stop.
    TargetDropped(MoveId),
    /// A new announcement names this target. The server may know that it works again, so its open circuit breaker lets
    /// probes through.
    TargetNamed(Endpoint),
    /// The timeout windows of this peer have changed, and the timeouts of the connections to it follow.
    WindowsChanged(SocketAddr),
    /// It is known now whether this peer offers notifications, or the connection that asked is gone. Handshakes that
    /// wait for the answer can go on, or one of them asks.
    OfferChanged(SocketAddr),
    /// This exclusive entry has a command, and no connection.
    ConnectionWanted(EntryId),
    /// This exclusive entry is to lose its connections: nothing else ends the wait of its command.
    EntryUnwanted(EntryId),
    /// The connection or the command of this exclusive entry may be gone.
    LeaseChanged(EntryId),
    /// The successor of this exclusive entry may take over, if it is ready and the session there lets it.
    SuccessorMayServe(EntryId),
    /// An exclusive entry may be free for the next command that waits for one.
    LeaseFree,
    /// A connection that had to log in again has been answered, or is gone or replaced. After the last one, the renewal
    /// of the credentials is reported.
    LoginSettled,
}

/// Collects effects for the pool, actions for its driver, and events for the application.
///
/// A part pushes effects during a step: a call into the pool, or the application of one effect.
/// [`Parts::apply`](super::parts::Parts::apply) then takes them until none is left. The driver takes actions and events
/// later, with `Pool::poll_action` and `Pool::poll_event`.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The effects of the running step, in order.
    raised: Vec<Effect>,
    /// The effects of earlier steps, the next one last: a stack.
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

    /// The next effect. The effects that the last one caused come before those that were waiting already: this is the
    /// order that nested calls would have, without their recursion.
    pub(super) fn next(&mut self) -> Option<Effect> {
        self.waiting.extend(self.raised.drain(..).rev());
        self.waiting.pop()
    }

    /// Asks the driver for something, after the actions that were asked for before.
    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Reports something to the application. It is for events whose rate the client bounds itself, such as the end of a
    /// connection.
    pub(super) fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Reports something that servers can cause at will. While [`EVENTS_MAX`] events wait, it is dropped, and only the
    /// counters of the pool show it.
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

/// How many events may wait for the driver before [`Effects::report_bounded`] drops further ones.
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
            effects.report_bounded(|| Event::Connected { peer: None, role: Default::default() });
        }
        assert_eq!(std::iter::from_fn(|| effects.next_event()).count(), EVENTS_MAX);
        assert!(!effects.has_output());
    }
}
