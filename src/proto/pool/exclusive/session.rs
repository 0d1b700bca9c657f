//! [`Session`]: a caller that has a connection for itself, and what the connection holds for it.

use super::step::Step;
use crate::proto::connection::Ticket;
use crate::proto::error::Stale;
use crate::proto::pool::ids::EntryId;

/// A caller that waits for the connection of a new session.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) ticket: Ticket,
    pub(super) session: u32,
}

/// A session, and what its connection holds for it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) entry: EntryId,
    pub(super) state: SessionState,
    /// Commands of a watch or of a transaction may be queued or unanswered.
    pub(super) is_bound: bool,
    /// The connection has a state that no other can take over.
    pub(super) has_state: bool,
}

/// ```text
///  Free ──WATCH──▶ watches ──MULTI──▶ in_transaction ──EXEC, DISCARD──▶ Free
///                     │                    │
///                     └── connection lost, or handed off ──▶ stale ──EXEC (fails), DISCARD, UNWATCH──▶ Free
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SessionState {
    pub(super) watches: bool,
    pub(super) in_transaction: bool,
    pub(super) stale: Option<Stale>,
}

impl SessionState {
    /// A command is submitted.
    ///
    /// # Errors
    /// If what it depends on is gone. The state is then that of a session without a watch and without a transaction, unless
    /// the command is one of a lost transaction that goes on.
    pub(super) fn take(&mut self, step: Step) -> Result<(), Stale> {
        match (self.stale, step) {
            (Some(Stale::Connection), _) => Err(Stale::Connection),
            (Some(stale), Step::Exec) => {
                *self = SessionState::default();
                Err(stale)
            }
            (Some(Stale::Transaction), Step::Discard) => {
                *self = SessionState::default();
                Err(Stale::Transaction)
            }
            (Some(Stale::Transaction), _) => Err(Stale::Transaction),
            (_, Step::Exec | Step::Discard) => {
                *self = SessionState::default();
                Ok(())
            }
            (_, Step::Unwatch) if !self.in_transaction => {
                (self.watches, self.stale) = (false, None);
                Ok(())
            }
            (_, Step::Watch) => {
                self.watches = true;
                Ok(())
            }
            (_, Step::Multi) => {
                self.in_transaction = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The connection is gone, with its watch and its transaction. Returns whether there were any.
    pub(super) fn lose(&mut self) -> bool {
        let stale = match (self.in_transaction, self.watches) {
            (true, _) => Stale::Transaction,
            (false, true) => Stale::Watch,
            (false, false) => return false,
        };
        *self = SessionState { stale: Some(stale), ..SessionState::default() };
        true
    }
}
