//! What the server is to do at a time to come.

use std::collections::BTreeMap;

use super::node::NodeId;
use crate::rehearsal::session::SessionId;

/// Most steps and closes that are planned at a time.
pub const AGENDA_MAX: usize = 1 << 16;

/// Most things that wait at a time, sessions with delayed output included.
const ENTRIES_MAX: usize = 2 * AGENDA_MAX;

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A verb of `REHEARSE`.
    Step { node: NodeId, words: Vec<Vec<u8>> },
    /// The connections of a node end, if the MOVING that said so is still the node's last.
    CloseNode { node: NodeId, move_id: u64 },
    /// Sessions that were asked to end, and have not read the rest of their output, end anyway.
    CutOff { sessions: Vec<SessionId> },
    /// Output of a session that was held back may be due.
    Release { session: SessionId },
}

/// Things to do, by time, and in the order in which they were planned.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: BTreeMap<(u64, u64), Due>,
    planned: u64,
}

impl Agenda {
    /// Plans `due`; returns whether there was room.
    pub(crate) fn plan(&mut self, at_us: u64, due: Due) -> bool {
        let max = match due {
            Due::Step { .. } | Due::CloseNode { .. } => AGENDA_MAX,
            Due::Release { .. } => ENTRIES_MAX,
            // Bounded by the sessions, each of which ends once.
            Due::CutOff { .. } => usize::MAX,
        };
        if self.entries.len() >= max {
            return false;
        }
        self.planned += 1;
        self.entries.insert((at_us, self.planned), due);
        true
    }

    pub(crate) fn next_us(&self) -> Option<u64> {
        self.entries.first_key_value().map(|(&(at_us, _), _)| at_us)
    }

    /// How many steps, and ends of a node's connections, are to come.
    pub(crate) fn events(&self) -> usize {
        let is_event = |due: &&Due| !matches!(due, Due::Release { .. });
        self.entries.values().filter(is_event).count()
    }

    /// The next thing that is due by `now_us`, and the time that it was planned for.
    pub(crate) fn take_due(&mut self, now_us: u64) -> Option<(u64, Due)> {
        let first = self.entries.first_entry()?;
        let (at_us, _) = *first.key();
        (at_us <= now_us).then(|| (at_us, first.remove()))
    }

    /// Forgets all but the output that waits.
    pub(crate) fn clear(&mut self) {
        self.entries.retain(|_, due| matches!(due, Due::Release { .. } | Due::CutOff { .. }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(node: usize) -> Due {
        Due::Step { node: NodeId(node), words: Vec::new() }
    }

    #[test]
    fn the_earliest_comes_first_and_equals_in_the_order_of_planning() {
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
    fn steps_are_bounded_and_output_that_waits_is_not_forgotten() {
        let mut agenda = Agenda::default();
        let release = || Due::Release { session: SessionId(1) };
        for _ in 0..AGENDA_MAX {
            assert!(agenda.plan(1, step(0)));
        }
        assert!(!agenda.plan(1, step(0)));
        for _ in 0..AGENDA_MAX {
            assert!(agenda.plan(2, release()));
        }
        assert!(!agenda.plan(2, release()));
        agenda.clear();
        assert_eq!(agenda.take_due(2), Some((2, release())));
    }
}
