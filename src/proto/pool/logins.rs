//! Who connections log in as: what new ones say, and how live ones learn of new credentials.

use std::sync::Arc;
use std::time::Duration;

use super::{Action, ConnectionId, Pool, PoolConfig};
use crate::proto::connection::Credentials;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::Event;
use crate::proto::time::Instant;

/// What is known of credentials beyond what was configured.
#[derive(Debug, Default)]
pub(super) struct Logins {
    renewed: Option<Arc<Credentials>>,
    renewals: u64,
    renewal: Renewal,
    /// When others may be asked for next because a server knows us no more.
    ask_at: Instant,
}

/// How far the last renewal has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Some connections were not answered yet; what the server said to one that was refused.
    UnderWay { refusal: Option<String> },
    #[default]
    Done,
    /// In the server's words.
    Refused(String),
}

impl Logins {
    /// What a new connection logs in with.
    pub(super) fn newest(&self, config: &PoolConfig) -> Option<Arc<Credentials>> {
        self.renewed.clone().or_else(|| config.connection.handshake.credentials())
    }

    pub(super) fn renewals(&self) -> u64 {
        self.renewals
    }
}

impl PoolConfig {
    /// Whether what ended a connection will end the next one, too, until a person mends it.
    pub(super) fn is_final(&self, reason: &CloseReason) -> bool {
        reason.is_refusal() && !(self.renewable && matches!(reason, CloseReason::Auth(_)))
    }
}

impl Pool {
    /// These are the credentials from now on: live connections log in again, between two commands, and those that
    /// were turned away are dialed at once.
    pub(crate) fn renew(&mut self, credentials: Credentials, now: Instant) {
        if self.closing.is_some() {
            return;
        }
        self.logins.renewed = Some(Arc::new(credentials));
        self.logins.renewals += 1;
        self.logins.renewal = Renewal::UnderWay { refusal: None };
        for index in 0..self.entries.len() {
            let Some(entry) = self.entries.get_mut(index) else { continue };
            let is_refused = entry.last_error.as_deref().is_some_and(is_about_login);
            if entry.active.is_none() && is_refused {
                entry.redial_at = Some(now);
            }
            if let Some(generation) = entry.current().filter(|_| entry.is_ready()) {
                let id = entry.id(index, generation);
                self.log_in(id);
            }
        }
        self.settle_renewal();
    }

    /// How far the last renewal has come.
    pub(crate) fn renewal(&self) -> &Renewal {
        &self.logins.renewal
    }

    /// Commands are refused for what stands in the way of some connection.
    pub(crate) fn is_turned_away(&self) -> bool {
        self.entries.iter().any(|entry| entry.is_turned_away)
    }

    /// A connection is ready that may have been dialed before the last renewal.
    pub(super) fn catch_up(&mut self, id: ConnectionId) {
        let (renewals, newest) = (self.logins.renewals, self.logins.renewed.clone());
        let is_behind = |link: &&mut super::link::Link| link.renewals < renewals && link.login != newest;
        if self.link(id).filter(is_behind).is_some() {
            self.log_in(id);
        }
    }

    fn log_in(&mut self, id: ConnectionId) {
        let (renewals, newest) = (self.logins.renewals, self.logins.renewed.clone());
        let (Some(credentials), Some(link)) = (newest, self.link(id)) else { return };
        link.renewals = renewals;
        link.login = Some(credentials.clone());
        link.connection.log_in(credentials);
        self.actions.push_back(Action::Wake { id });
    }

    /// A connection has heard what became of its new login.
    pub(super) fn note_login(&mut self, result: Result<(), String>) {
        if let Err(reason) = result {
            match &mut self.logins.renewal {
                Renewal::UnderWay { refusal } => *refusal = Some(reason),
                // It is one of those that came late, and nobody has been told.
                Renewal::Done => {
                    self.logins.renewal = Renewal::Refused(reason.clone());
                    self.events.push_back(Event::CredentialsRefused { reason });
                }
                Renewal::Refused(_) => {}
            }
        }
        self.settle_renewal();
    }

    /// Tells the watchers once everybody who was told to log in again has done so, or is gone.
    pub(super) fn settle_renewal(&mut self) {
        let Renewal::UnderWay { refusal } = &self.logins.renewal else { return };
        let active = || self.entries.iter().filter_map(|entry| entry.active.as_ref());
        if active().any(|link| link.connection.is_logging_in()) {
            return;
        }
        let (renewal, event) = match refusal.clone() {
            None => (Renewal::Done, Event::CredentialsRenewed),
            Some(reason) => (Renewal::Refused(reason.clone()), Event::CredentialsRefused { reason }),
        };
        self.logins.renewal = renewal;
        self.events.push_back(event);
    }

    /// A server does not know a connection any more: others are asked for, if there is anybody to ask.
    pub(super) fn note_logged_out(&mut self, now: Instant) {
        if self.config.renewable && self.closing.is_none() && now >= self.logins.ask_at {
            self.logins.ask_at = now.after(ASKED_EVERY);
            self.actions.push_back(Action::AskCredentials);
        }
    }
}

fn is_about_login(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::Auth(_) | CloseReason::Credentials(_))
}

/// How often a provider is asked because of what servers say to commands, at the most.
const ASKED_EVERY: Duration = Duration::from_secs(10);
