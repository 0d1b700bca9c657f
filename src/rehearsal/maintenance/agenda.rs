//! The server's planned actions, by time.

use std::collections::BTreeMap;

use crate::rehearsal::cluster::step::ClusterStep;
use crate::rehearsal::ids::{NodeId, SessionId};

/// An action at a planned time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Executes a verb of `REHEARSE`.
    Step { node: NodeId, words: Vec<Vec<u8>> },
    /// Closes the connections of a node, if its MOVING `move_id` is still the node's last.
    CloseNode { node: NodeId, move_id: u64 },
    /// Drops the unread output of sessions that are closing, and closes them.
    CloseUnread { sessions: Vec<SessionId> },
    /// A step of the cluster.
    Cluster(ClusterStep),
    /// Releases delayed output of a session.
    Release { session: SessionId },
}

/// Planned actions in the order of their times. Actions of one time keep the order in which they were planned.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// Keyed by time and by a serial number.
    actions: BTreeMap<(u64, u64), Action>,
    planned: u64,
}

impl Agenda {
    /// Plans `action`. Returns whether there was room.
    pub(crate) fn plan(&mut self, at_us: u64, action: Action) -> bool {
        let max = match action {
            Action::Step { .. } | Action::CloseNode { .. } | Action::Cluster(_) => STEPS_MAX,
            Action::Release { .. } => ACTIONS_MAX,
            // The number of sessions bounds these, because each session ends once.
            Action::CloseUnread { .. } => usize::MAX,
        };
        if self.actions.len() >= max {
            return false;
        }
        self.planned += 1;
        self.actions.insert((at_us, self.planned), action);
        true
    }

    pub(crate) fn next_us(&self) -> Option<u64> {
        self.actions.first_key_value().map(|(&(at_us, _), _)| at_us)
    }

    /// The number of planned steps and closes.
    pub(crate) fn events(&self) -> usize {
        let is_event = |action: &&Action| !matches!(action, Action::Release { .. });
        self.actions.values().filter(is_event).count()
    }

    /// Removes the next action that is due by `now_us`. Returns it with its planned time.
    pub(crate) fn take_due(&mut self, now_us: u64) -> Option<(u64, Action)> {
        let first = self.actions.first_entry()?;
        let (at_us, _) = *first.key();
        (at_us <= now_us).then(|| (at_us, first.remove()))
    }

    /// Removes all steps and planned closes. Actions of delayed or unread output stay, because sessions wait for them.
    pub(crate) fn clear(&mut self) {
        let stays = |action: &Action| matches!(action, Action::Release { .. } | Action::CloseUnread { .. });
        self.actions.retain(|_, action| stays(action));
    }
}

/// Most planned actions at which a further step or close is accepted.
const STEPS_MAX: usize = 1 << 16;
/// Most planned actions, releases of delayed output included.
const ACTIONS_MAX: usize = 2 * STEPS_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn step(node: usize) -> Action {
        Action::Step { node: NodeId(node), words: Vec::new() }
    }

    #[test]
    fn actions_are_taken_by_time_then_by_order_of_planning() {
        let mut agenda = Agenda::default();
        for (at_us, node) in [(5, 0), (3, 1), (5, 2)] {
            assert!(agenda.plan(at_us, step(node)));
        }
        assert_eq!(agenda.next_us(), Some(3));
        assert_eq!(agenda.take_due(2), None);
        assert_eq!(agenda.take_due(9), Some((3, step(1))));
        assert_eq!(agenda.take_due(9), Some((5, step(0))));
        assert_eq!(agenda.take_due(9), Some((5, step(2))));
        assert_eq!(agenda.take_due(9), None);
    }

    #[test]
    fn steps_are_bounded_and_clear_keeps_releases() {
        let mut agenda = Agenda::default();
        let release = || Action::Release { session: SessionId(1) };
        for _ in 0..STEPS_MAX {
            assert!(agenda.plan(1, step(0)));
        }
        assert!(!agenda.plan(1, step(0)));
        for _ in 0..STEPS_MAX {
            assert!(agenda.plan(2, release()));
        }
        assert!(!agenda.plan(2, release()));
        agenda.clear();
        assert_eq!(agenda.take_due(2), Some((2, release())));
    }
}
