//! The blocked sessions of a server: when they stop waiting, and which of them can continue.

use std::collections::{BTreeSet, VecDeque};

use crate::rehearsal::ids::SessionId;

/// The blocked sessions.
///
/// A session is added with [`BlockedSessions::block`], and removed with [`BlockedSessions::unblock`] when it is served,
/// when its time is over, and when it ends. A session whose requests waited meanwhile is passed to
/// [`BlockedSessions::resume`]; the server handles these requests after the command that has unblocked it.
#[derive(Debug, Default)]
pub(crate) struct BlockedSessions {
    count: usize,
    /// The turn of the session that was blocked last.
    turns: u64,
    deadlines: BTreeSet<(u64, SessionId)>,
    resumed: VecDeque<SessionId>,
    interrupted: VecDeque<Interruption>,
}

/// Why a blocked session stops waiting although its list has not come.
#[derive(Debug)]
pub(crate) struct Interruption {
    pub(crate) session: SessionId,
    pub(crate) error: String,
    /// The connection closes after the error.
    pub(crate) closes: bool,
}

impl BlockedSessions {
    /// Adds a session that waits until `until_us`, and returns its turn.
    pub(crate) fn block(&mut self, session: SessionId, until_us: Option<u64>) -> u64 {
        self.count += 1;
        self.turns += 1;
        self.deadlines.extend(until_us.map(|until_us| (until_us, session)));
        self.turns
    }

    /// Removes a session that was added with `until_us`.
    pub(crate) fn unblock(&mut self, session: SessionId, until_us: Option<u64>) {
        self.count = self.count.saturating_sub(1);
        if let Some(until_us) = until_us {
            self.deadlines.remove(&(until_us, session));
        }
    }

    /// The number of blocked sessions.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// When the time of a session is over.
    pub(crate) fn next_us(&self) -> Option<u64> {
        self.deadlines.first().map(|&(until_us, _)| until_us)
    }

    /// Removes the deadline of the session whose time is over first.
    pub(crate) fn take_first(&mut self) -> Option<SessionId> {
        self.deadlines.pop_first().map(|(_, session)| session)
    }

    /// The waiting requests of `session` can be handled.
    pub(crate) fn resume(&mut self, session: SessionId) {
        self.resumed.push_back(session);
    }

    /// The server ends the wait of a session after the command or step that is being executed.
    pub(crate) fn interrupt(&mut self, interruption: Interruption) {
        self.interrupted.push_back(interruption);
    }

    pub(crate) fn take_interrupted(&mut self) -> Option<Interruption> {
        self.interrupted.pop_front()
    }

    pub(crate) fn take_resumed(&mut self) -> Option<SessionId> {
        self.resumed.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unblocked_session_has_no_deadline() {
        let mut blocked = BlockedSessions::default();
        assert_eq!(blocked.block(SessionId(1), Some(9)), 1);
        assert_eq!(blocked.block(SessionId(2), None), 2);
        assert_eq!(blocked.block(SessionId(3), Some(7)), 3);
        assert_eq!((blocked.count(), blocked.next_us()), (3, Some(7)));
        blocked.unblock(SessionId(3), Some(7));
        blocked.unblock(SessionId(2), None);
        assert_eq!((blocked.count(), blocked.next_us()), (1, Some(9)));
        assert_eq!(blocked.take_first(), Some(SessionId(1)));
        blocked.unblock(SessionId(1), Some(9));
        assert_eq!((blocked.count(), blocked.next_us()), (0, None));
    }
}
