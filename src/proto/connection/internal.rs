//! Commands of a connection's own: what it says when no caller asks it to.
//!
//! They are written behind what was taken out of the queue, and their replies are matched in the same order as all
//! others. Nobody waits for them: they are never delivered and never go back to the queue; what was not written when
//! the connection retires or ends is dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Credentials;
use super::handshake::text;
use super::inflight::InFlight;
use super::queue::{Item, Queue};
use crate::proto::error::ServerState;
use crate::proto::resp::{Encoder, Frame};
use crate::proto::time::Instant;

/// What a command of the connection's own is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InternalCommand {
    /// Is anybody there?
    Ping,
    /// Logs in again, as whoever it is from now on.
    Auth,
}

/// What a reply says that concerns more than the command which it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateChange {
    /// New credentials were taken, or, in the server's words, were not.
    LoggedIn(Result<(), String>),
    /// The server does not know who we are any more.
    LoggedOut,
    /// The server is not what it was: another one may be.
    Demoted(ServerState),
}

/// What is to be written, what is awaited, and what was heard.
#[derive(Debug, Default)]
pub(super) struct InternalCommands {
    login: Option<Arc<Credentials>>,
    ping: bool,
    /// How many times it has written `AUTH` and got no answer.
    logins_awaited: usize,
    /// None twice, so that there are only a few.
    changes: Vec<StateChange>,
}

impl InternalCommands {
    /// Log in with these, and forget those that were not written yet.
    pub(super) fn log_in(&mut self, credentials: Arc<Credentials>) {
        self.login = Some(credentials);
    }

    pub(super) fn ping(&mut self) {
        self.ping = true;
    }

    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.login.is_some() || self.ping
    }

    /// How many places in flight they are about to take.
    #[inline]
    pub(super) fn places(&self) -> usize {
        usize::from(self.login.is_some())
    }

    /// New credentials are on their way, or their answer is.
    pub(super) fn is_logging_in(&self) -> bool {
        self.login.is_some() || self.logins_awaited > 0
    }

    /// Writes what is due behind what is being written. Where a reply is awaited anyway, nobody needs be asked whether
    /// anybody is there.
    pub(super) fn write(&mut self, now: Instant, out: &mut Vec<u8>, in_flight: &mut InFlight) {
        let before = out.len();
        if let Some(credentials) = self.login.take() {
            credentials.write_auth(out);
            in_flight.push_internal(InternalCommand::Auth, out.len() - before, now);
            self.logins_awaited += 1;
        }
        if std::mem::take(&mut self.ping) && in_flight.is_empty() {
            Encoder::command(out, 1).bytes(b"PING");
            in_flight.push_internal(InternalCommand::Ping, out.len() - before, now);
        }
    }

    /// Nothing more is written.
    pub(super) fn stop(&mut self) {
        self.login = None;
        self.ping = false;
    }

    /// Gives what was never written back to the queue, but for what is the connection's own.
    pub(super) fn return_others(&mut self, items: VecDeque<Item>, mut bytes: &[u8], queue: &mut Queue) {
        if items.iter().all(|item| item.internal.is_none()) {
            return queue.put_back(items, bytes);
        }
        let (mut others, mut kept) = (VecDeque::new(), Vec::new());
        for item in items {
            let (command, rest) = bytes.split_at_checked(item.length).unwrap_or((bytes, &[]));
            bytes = rest;
            match item.internal {
                Some(InternalCommand::Auth) => self.logins_awaited = self.logins_awaited.saturating_sub(1),
                Some(InternalCommand::Ping) => {}
                None => {
                    kept.extend_from_slice(command);
                    others.push_back(item);
                }
            }
        }
        queue.put_back(others, &kept);
    }

    /// The reply to one of them.
    pub(super) fn handle_reply(&mut self, internal: InternalCommand, reply: Frame) {
        let refusal = match reply.without_attributes() {
            Frame::Error(reply) => Some(reply),
            _ => None,
        };
        match command {
            InternalCommand::Auth => {
                self.logins_awaited = self.logins_awaited.saturating_sub(1);
                // What became of earlier ones does not matter.
                if !self.is_logging_in() {
                    self.note(StateChange::LoggedIn(refusal.map_or(Ok(()), |reply| Err(text(&reply)))));
                }
            }
            InternalCommand::Ping => {
                if let Some(reply) = refusal {
                    self.handle_error(&reply);
                }
            }
        }
    }

    /// A command was answered like this.
    #[cold]
    pub(super) fn handle_error(&mut self, reply: &[u8]) {
        match ServerState::of(reply) {
            Some(ServerState::NoAuth) => self.note(StateChange::LoggedOut),
            Some(state @ (ServerState::ReadOnly | ServerState::MasterDown)) => {
                self.note(StateChange::Demoted(state))
            }
            _ => {}
        }
    }

    fn note(&mut self, change: StateChange) {
        if !self.changes.contains(&change) {
            self.changes.retain(|earlier| {
                !matches!((earlier, &change), (StateChange::LoggedIn(_), StateChange::LoggedIn(_)))
            });
            self.changes.push(change);
        }
    }

    #[inline]
    pub(super) fn has_state_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(super) fn take_state_changes(&mut self) -> Vec<StateChange> {
        std::mem::take(&mut self.changes)
    }
}
