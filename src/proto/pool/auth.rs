//! [`Auth`]: the credentials of a pool: what new connections log in with, and how live ones change over.

use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::config::PoolConfig;
use super::connection::PoolConnection;
use super::context::Context;
use super::effects::Effect;
use super::entries::Entries;
use super::entry::Entry;
use crate::proto::connection::Credentials;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::Event;
use crate::proto::role::ConnectionRole;
use crate::proto::time::Instant;

/// The credentials of a pool, as far as they differ from the configured ones.
#[derive(Debug, Default)]
pub(super) struct Auth {
    renewed: Option<Arc<Credentials>>,
    /// How often they were renewed.
    version: u64,
    renewal: Renewal,
    /// The earliest time at which the driver is asked for new ones because a server no longer knows a connection.
    ask_at: Instant,
}

/// The state of the last renewal.
///
/// ```text
/// Done ──renew──▶ UnderWay ──all answered──▶ Done, or Refused
///   └──a late connection is refused──▶ Refused
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Some connections have not been answered yet. `refusal` is the server's reply to one that was refused.
    UnderWay { refusal: Option<String> },
    #[default]
    Done,
    /// With the server's reply.
    Refused(String),
}

impl Auth {
    /// What a new connection logs in with.
    pub(super) fn newest(&self, config: &PoolConfig) -> Option<Arc<Credentials>> {
        self.renewed.clone().or_else(|| config.connection.handshake.credentials())
    }

    /// How often the credentials were renewed: a connection keeps the number of the moment when it was dialed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn renewal(&self) -> &Renewal {
        &self.renewal
    }

    /// Replaces the credentials: live connections log in again between two commands, and entries that were rejected
    /// for the old ones are dialed at once.
    pub(super) fn renew(&mut self, credentials: Credentials, entries: &mut Entries, ctx: &mut Context) {
        if ctx.closing.is_some() {
            return;
        }
        self.renewed = Some(Arc::new(credentials));
        self.version += 1;
        self.renewal = Renewal::UnderWay { refusal: None };
        for entry in entries.iter_mut() {
            let is_refused = entry.last_error.as_deref().is_some_and(is_about_login);
            if entry.active.is_none() && is_refused {
                entry.redial_at = Some(ctx.now);
            }
            if let Some(active) = entry.active.as_mut().filter(|active| active.is_ready()) {
                self.log_in(active, ctx);
            }
        }
        self.settle(entries, ctx);
    }

    /// A connection is ready that may have been dialed before the last renewal.
    pub(super) fn catch_up(&self, known: &mut PoolConnection, ctx: &mut Context) {
        if known.login_version < self.version && known.login != self.renewed {
            self.log_in(known, ctx);
        }
    }

    /// A connection was answered to its new login.
    pub(super) fn note_login(&mut self, result: Result<(), String>, ctx: &mut Context) {
        if let Err(reason) = result {
            match &mut self.renewal {
                Renewal::UnderWay { refusal } => *refusal = Some(reason),
                // It was dialed before the renewal and answered after it: the refusal is not reported yet.
                Renewal::Done => {
                    self.renewal = Renewal::Refused(reason.clone());
                    ctx.effects.report(Event::CredentialsRefused { reason });
                }
                Renewal::Refused(_) => {}
            }
        }
        ctx.effects.push(Effect::LoginSettled);
    }

    /// Reports the renewal once every active connection that had to log in again has been answered or is gone. One whose blocking
    /// command waits on the server logs in behind that, however long it takes.
    pub(super) fn settle(&mut self, entries: &Entries, ctx: &mut Context) {
        let Renewal::UnderWay { refusal } = &self.renewal else { return };
        let is_blocked = |entry: &&Entry| entry.role == ConnectionRole::Blocking && !entry.awaits_nothing();
        let mut active =
            entries.iter().filter(|entry| !is_blocked(entry)).filter_map(|entry| entry.active.as_ref());
        if active.any(|active| active.connection.is_logging_in()) {
            return;
        }
        let (renewal, event) = match refusal.clone() {
            None => (Renewal::Done, Event::CredentialsRenewed),
            Some(reason) => (Renewal::Refused(reason.clone()), Event::CredentialsRefused { reason }),
        };
        self.renewal = renewal;
        ctx.effects.report(event);
    }

    /// A server no longer knows a connection: the driver is asked for new credentials, if it can obtain any.
    pub(super) fn note_logged_out(&mut self, ctx: &mut Context) {
        if ctx.config.renewable && ctx.closing.is_none() && ctx.now >= self.ask_at {
            self.ask_at = ctx.now.after(ASKED_EVERY);
            ctx.effects.act(Action::AskCredentials);
        }
    }

    fn log_in(&self, known: &mut PoolConnection, ctx: &mut Context) {
        let Some(credentials) = self.renewed.clone() else { return };
        known.login_version = self.version;
        known.login = Some(credentials.clone());
        known.connection.log_in(credentials);
        ctx.effects.act(Action::Wake { id: known.id });
    }
}

fn is_about_login(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::Auth(_) | CloseReason::Credentials(_))
}

/// At most this often the driver is asked for credentials because of an error reply: a server that rejects every
/// command must not flood the provider.
const ASKED_EVERY: Duration = Duration::from_secs(10);
