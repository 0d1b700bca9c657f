//! The sessions that wait for lists of one database, and the lists that have appeared for them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::rehearsal::ids::SessionId;

/// The sessions that wait for keys of one database.
///
/// A session has a turn, which is its place among all blocked sessions: lower turns are served first. The database
/// calls [`WaitingSessions::note_list`] when a key is changed and holds a list. After each command, the server takes
/// the noted keys with [`WaitingSessions::take_ready`] and serves the sessions that wait for them. Each
/// [`WaitingSessions::add`] needs one [`WaitingSessions::remove`], or the key stays in memory.
#[derive(Debug, Default)]
pub(crate) struct WaitingSessions {
    keys: BTreeMap<Box<[u8]>, AwaitedKey>,
    /// Awaited keys that hold a list since the last command, in the order in which they were noted.
    ready: VecDeque<Box<[u8]>>,
}

#[derive(Debug, Default)]
struct AwaitedKey {
    /// By turn.
    sessions: BTreeMap<u64, SessionId>,
    is_ready: bool,
}

impl WaitingSessions {
    /// Whether no session waits for a key of this database.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn add(&mut self, key: &[u8], turn: u64, session: SessionId) {
        self.keys.entry(key.into()).or_default().sessions.insert(turn, session);
    }

    pub(crate) fn remove(&mut self, key: &[u8], turn: u64) {
        let Some(awaited) = self.keys.get_mut(key) else {
            return;
        };
        awaited.sessions.remove(&turn);
        if awaited.sessions.is_empty() {
            self.keys.remove(key);
        }
        if self.keys.is_empty() {
            self.ready.clear();
        }
    }

    /// `key` was changed and holds a list.
    pub(crate) fn note_list(&mut self, key: &[u8]) {
        if let Some(awaited) = self.keys.get_mut(key)
            && !std::mem::replace(&mut awaited.is_ready, true)
        {
            self.ready.push_back(key.into());
        }
    }

    /// Removes the next key that was noted. A later change can note it again.
    pub(crate) fn take_ready(&mut self) -> Option<Box<[u8]>> {
        let key = self.ready.pop_front()?;
        if let Some(awaited) = self.keys.get_mut(&key) {
            awaited.is_ready = false;
        }
        Some(key)
    }

    /// The first session that waits for `key` with a turn after `turn`, and its turn.
    pub(crate) fn next_after(&self, key: &[u8], turn: Option<u64>) -> Option<(u64, SessionId)> {
        let after = turn.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.keys.get(key)?.sessions.range((after, Bound::Unbounded));
        later.next().map(|(&turn, &session)| (turn, session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_wait_in_the_order_of_their_turns() {
        let mut waiting = WaitingSessions::default();
        for (turn, session) in [(2, 7), (1, 9), (3, 8)] {
            waiting.add(b"k", turn, SessionId(session));
        }
        let mut turn = None;
        let mut order = Vec::new();
        while let Some((next, session)) = waiting.next_after(b"k", turn) {
            order.push(session.0);
            turn = Some(next);
        }
        assert_eq!(order, [9, 7, 8]);
        (1..4).for_each(|turn| waiting.remove(b"k", turn));
        assert!(waiting.is_empty());
    }

    #[test]
    fn an_awaited_key_is_ready_once_until_it_is_taken() {
        let mut waiting = WaitingSessions::default();
        waiting.add(b"a", 1, SessionId(1));
        waiting.add(b"b", 1, SessionId(1));
        [b"b", b"a", b"b", b"c"].iter().for_each(|key| waiting.note_list(*key));
        assert_eq!(waiting.take_ready().as_deref(), Some(&b"b"[..]));
        waiting.note_list(b"b");
        assert_eq!(waiting.take_ready().as_deref(), Some(&b"a"[..]));
        assert_eq!(waiting.take_ready().as_deref(), Some(&b"b"[..]));
        waiting.note_list(b"a");
        [b"a", b"b"].iter().for_each(|key| waiting.remove(*key, 1));
        assert_eq!(waiting.take_ready(), None);
    }
}
