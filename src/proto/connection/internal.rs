//! [`InternalCommands`]: the commands that a connection sends for itself, and what their replies say.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Credentials;
use super::command::{InternalCommand, PendingCommand};
use super::inflight::InFlight;
use super::queue::Queue;
use crate::proto::error::{ServerState, log_text};
use crate::proto::resp::{Encoder, Frame};
use crate::proto::time::Instant;

/// A reply that concerns more than the command that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateChange {
    /// The server accepted new credentials, or refused them with this text.
    LoggedIn(Result<(), String>),
    /// The server no longer knows the user of this connection.
    LoggedOut,
    /// The server is no longer the primary: another server may be.
    Demoted(ServerState),
}

/// The internal commands of one connection: those to be written, those in flight, and what replies have said.
///
/// Internal commands are written behind the commands that were taken out of the queue, and their replies are matched in
/// the same order as all others. They have no caller: they are never delivered and never return to the queue. An
/// unwritten one is dropped when the connection ends or is replaced.
#[derive(Debug, Default)]
pub(super) struct InternalCommands {
    login: Option<Arc<Credentials>>,
    ping: bool,
    /// How many `AUTH` commands are written and not answered.
    logins_awaited: usize,
    /// Each change once, so that the list stays short.
    changes: Vec<StateChange>,
}

impl InternalCommands {
    /// Logs in with these credentials. They replace earlier ones that are not written yet.
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

    /// How many places in flight the due commands take. A ping takes none: it is written only if nothing is in flight.
    #[inline]
    pub(super) fn places(&self) -> usize {
        usize::from(self.login.is_some())
    }

    /// Whether credentials are due to be written, or written and not answered.
    pub(super) fn is_logging_in(&self) -> bool {
        self.login.is_some() || self.logins_awaited > 0
    }

    /// Appends the due commands to the write buffer. A ping is dropped if a reply is awaited anyway: that reply proves as
    /// well that the server answers.
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

    /// Forgets the due commands.
    pub(super) fn stop(&mut self) {
        self.login = None;
        self.ping = false;
    }

    /// Returns unwritten commands to the queue, and drops the internal ones among them.
    pub(super) fn return_others(
        &mut self,
        items: VecDeque<PendingCommand>,
        mut bytes: &[u8],
        queue: &mut Queue,
    ) {
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

    /// Takes the reply to an internal command.
    pub(super) fn handle_reply(&mut self, command: InternalCommand, reply: Frame) {
        let refusal = match reply.without_attributes() {
            Frame::Error(reply) => Some(reply),
            _ => None,
        };
        match command {
            InternalCommand::Auth => {
                self.logins_awaited = self.logins_awaited.saturating_sub(1);
                // Only the latest login counts: an earlier one may have been refused for credentials that were just replaced.
                if !self.is_logging_in() {
                    self.note(StateChange::LoggedIn(refusal.map_or(Ok(()), |reply| Err(log_text(&reply)))));
                }
            }
            InternalCommand::Ping => {
                if let Some(reply) = refusal {
                    self.handle_error(&reply);
                }
            }
        }
    }

    /// Looks at the error that the server answered a command with.
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
