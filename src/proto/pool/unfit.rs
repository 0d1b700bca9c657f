//! What servers say of themselves in replies: one that is no master any more is left, before a command is lost to it.
//!
//! The name that was configured, or the address in front of the servers, may lead to another one by now. The same
//! endpoint is dialed anew, and what it leads to takes over between two commands, as after an announced move.

use std::time::Duration;

use super::entry::Role;
use super::handoffs::key;
use super::{ConnectionId, Pool};
use crate::proto::connection::StateChange;
use crate::proto::error::ServerState;
use crate::proto::maint::event::Event;
use crate::proto::maint::handoff::Handoff;
use crate::proto::time::Instant;

impl Pool {
    /// Takes in what the replies on a connection said that concerns more than their commands.
    pub(super) fn take_in_remarks(&mut self, id: ConnectionId, now: Instant) {
        let Some(link) = self.link(id) else { return };
        for change in link.connection.take_state_changes() {
            match change {
                StateChange::LoggedIn(result) => self.note_login(result),
                StateChange::LoggedOut => self.note_logged_out(now),
                StateChange::Demoted(state) => self.replace(id, state, now),
            }
        }
    }

    /// Makes a connection anew beside the one that there is, unless that was just done, or it is leaving anyway.
    fn replace(&mut self, id: ConnectionId, state: ServerState, now: Instant) {
        let index = id.entry.0 as usize;
        let Some(entry) = self.entries.get_mut(index) else { return };
        let is_due = entry.handoff.is_none() && now >= entry.replaceable_at && self.closing.is_none();
        if entry.role(id.generation) != Some(Role::Active) || !is_due {
            return;
        }
        // On a socket without an address there is nobody else.
        let Some(peer) = entry.active.as_ref().and_then(|active| active.peer) else { return };
        let moving = self.peers.get(&peer).and_then(|peer| peer.moving.as_ref());
        if moving.is_some_and(|moving| moving.is_live(now)) {
            return;
        }
        let deadline = now.after(self.config.maint.handoff_timeout);
        entry.replaceable_at = now.after(REPLACED_EVERY);
        entry.handoff = Some(Handoff::anew(peer, self.config.endpoint.clone(), deadline));
        self.events.push_back(Event::Demoted { peer, code: state.code() });
        self.handoffs.push(key(index), now, now, deadline);
        self.start_handoffs(now);
    }
}

/// How often an entry's connection is made anew because its server says that it cannot serve, at the most.
const REPLACED_EVERY: Duration = Duration::from_secs(10);
