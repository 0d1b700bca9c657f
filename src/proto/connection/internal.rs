//! [`InternalCommands`]: the commands that a connection sends for itself, and what their replies say.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::Credentials;
use super::command::{EntryId, InternalCommand, PendingCommand, Recipient, Ticket};
use super::inflight::InFlight;
use super::queue::Queue;
use super::subscribing::Subscribing;
use crate::proto::error::{ServerState, log_text};
use crate::proto::resp::{Encoder, Frame};
use crate::proto::time::Instant;

/// A reply that concerns more than the command that it answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StateChange {
    /// The server accepted new credentials, or refused them with this text.
    LoggedIn(Result<(), String>),
    /// The server no longer knows the user of this connection.
    LoggedOut,
    /// The server is no longer the primary: another server may be.
    Demoted(ServerState),
    /// The reply to a command whose replies the pool awaits.
    Answered(Ticket, Frame),
    /// The server was asked to end the wait of a blocking command of this entry: whether a command waited there, or the
    /// text with which the server refused.
    Unblocked(EntryId, Result<bool, String>),
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
    /// The entries whose blocking commands are to be ended, with the server's id of their connections.
    unblocks: VecDeque<(EntryId, u64)>,
    /// The entries of the `CLIENT UNBLOCK` commands that are written and not answered.
    unblocks_awaited: VecDeque<EntryId>,
    pub(super) subscribing: Subscribing,
    /// Whether commands are held back, because the server would queue them in a transaction.
    hold: Hold,
    /// Whether any of `login`, `ping`, `unblocks` and `subscribing` has something to write. Each turn looks several times:
    /// a check of each took 32 instructions of a GET that is alone.
    has_unwritten: bool,
    /// Each change once, so that the list stays short.
    changes: Vec<StateChange>,
}

/// Whether the commands that a connection sends for itself are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    None,
    /// Until every queued command is taken: the end of the transaction is among them.
    UntilTaken,
    /// A transaction is open.
    All,
}

impl InternalCommands {
    /// A transaction begins, or its end is queued: the server would queue these commands in it, and answer them with its `EXEC`.
    pub(super) fn hold(&mut self, is_held: bool) {
        self.hold = match (is_held, self.hold) {
            (true, _) => Hold::All,
            (false, Hold::None) => Hold::None,
            (false, _) => Hold::UntilTaken,
        };
    }

    /// The connection has taken what it could out of the queue.
    #[inline]
    pub(super) fn note_taken(&mut self, queue: &Queue) {
        if self.hold == Hold::UntilTaken && queue.is_empty() {
            self.hold = Hold::None;
        }
    }

    /// Logs in with these credentials. They replace earlier ones that are not written yet.
    pub(super) fn log_in(&mut self, credentials: Arc<Credentials>) {
        self.login = Some(credentials);
        self.has_unwritten = true;
    }

    pub(super) fn ping(&mut self) {
        self.ping = self.hold == Hold::None;
        self.has_unwritten |= self.ping;
    }

    /// Ends the wait of a blocking command on the connection that the server knows by this id.
    pub(super) fn unblock(&mut self, entry: EntryId, client: u64) {
        self.unblocks.push_back((entry, client));
        self.has_unwritten = true;
    }

    /// Subscribes or unsubscribes.
    pub(super) fn subscribe(&mut self, verb: &'static str, names: Vec<Bytes>) {
        self.subscribing.queue(verb, names);
        self.has_unwritten = true;
    }

    /// The entries whose waits this connection was to end, and of which it has no answer.
    pub(super) fn unanswered_unblocks(&self) -> impl Iterator<Item = EntryId> {
        self.unblocks.iter().map(|(entry, _)| *entry).chain(self.unblocks_awaited.iter().copied())
    }

    #[cfg(feature = "cli")]
    pub(super) fn without_places(&self) -> usize {
        self.unblocks_awaited.len() + self.subscribing.awaited()
    }

    /// Whether nothing is due, and nothing is held back.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        !self.has_unwritten && self.hold == Hold::None
    }

    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.has_unwritten && self.hold == Hold::None
    }

    /// How many places in flight the due commands take. A ping takes none: it is written only if nothing is in flight. The
    /// unblocks take none: their number is that of the exclusive connections at most, and a command that waits for one
    /// holds a place of its own elsewhere.
    #[inline]
    pub(super) fn places(&self) -> usize {
        usize::from(self.login.is_some() && self.hold == Hold::None)
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
        while let Some((entry, client)) = self.unblocks.pop_front() {
            let before = out.len();
            let mut command = Encoder::command(out, 4);
            command.bytes(b"CLIENT");
            command.bytes(b"UNBLOCK");
            command.integer(i64::try_from(client).unwrap_or(i64::MAX));
            command.bytes(b"TIMEOUT");
            in_flight.push_internal(InternalCommand::Unblock, out.len() - before, now);
            self.unblocks_awaited.push_back(entry);
        }
        self.subscribing.write(now, out, in_flight);
        if std::mem::take(&mut self.ping) && in_flight.is_empty() {
            let before = out.len();
            Encoder::command(out, 1).bytes(b"PING");
            in_flight.push_internal(InternalCommand::Ping, out.len() - before, now);
        }
        self.has_unwritten = false;
    }

    /// Forgets the due commands, except those that concern other connections.
    pub(super) fn stop(&mut self) {
        self.login = None;
        self.ping = false;
        self.has_unwritten = !self.unblocks.is_empty() || self.subscribing.is_due();
    }

    /// Returns unwritten commands to the queue, and drops the internal ones among them.
    pub(super) fn return_others(
        &mut self,
        items: VecDeque<PendingCommand>,
        mut bytes: &[u8],
        queue: &mut Queue,
    ) {
        if items.iter().all(|item| !item.recipient.is_internal()) {
            return queue.put_back(items, bytes);
        }
        let (mut others, mut kept) = (VecDeque::new(), Vec::new());
        for item in items {
            let (command, rest) = bytes.split_at_checked(item.length).unwrap_or((bytes, &[]));
            bytes = rest;
            match item.recipient {
                Recipient::Connection(InternalCommand::Auth) => {
                    self.logins_awaited = self.logins_awaited.saturating_sub(1)
                }
                // The pool is told that it has no answer: `unanswered_unblocks` still names it.
                Recipient::Connection(_) => {}
                Recipient::Caller | Recipient::Pool => {
                    kept.extend_from_slice(command);
                    others.push_back(item);
                }
            }
        }
        queue.put_back(others, &kept);
    }

    /// Takes the reply to a command whose replies the pool awaits.
    pub(super) fn answered(&mut self, ticket: Ticket, reply: Frame) {
        if let Frame::Error(text) = &reply {
            self.handle_error(text);
        }
        self.changes.push(StateChange::Answered(ticket, reply));
    }

    /// Takes the reply to an internal command.
    pub(super) fn handle_reply(&mut self, command: InternalCommand, reply: Frame) {
        let reply = reply.without_attributes();
        match command {
            InternalCommand::Unblock => return self.handle_unblocked(&reply),
            InternalCommand::Ping
            | InternalCommand::Auth
            | InternalCommand::Reset
            | InternalCommand::Subscribe => {}
        }
        let refusal = match reply {
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
            _ => {
                if let Some(reply) = refusal {
                    self.handle_error(&reply);
                }
            }
        }
    }

    fn handle_unblocked(&mut self, reply: &Frame) {
        let Some(entry) = self.unblocks_awaited.pop_front() else { return };
        let result = match reply {
            Frame::Error(text) => Err(log_text(text)),
            reply => Ok(*reply == Frame::Integer(1)),
        };
        self.changes.push(StateChange::Unblocked(entry, result));
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
