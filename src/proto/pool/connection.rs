//! [`PoolConnection`]: a connection, and what its pool knows about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::PoolConfig;
use super::ids::ConnectionId;
use crate::proto::connection::{Connection, Credentials, PushMeter, PushUse, ReplyDeadline, TimeoutWindow};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::handoff::MoveId;
use crate::proto::maint::notification::NotificationKind;
use crate::proto::maint::relax::Windows;
use crate::proto::targets::RedirectSource;
use crate::proto::time::Instant;

/// Where a connection is dialed, and why.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) endpoint: Endpoint,
    /// The move that it follows.
    pub(super) follows: Option<MoveId>,
    /// The message that names the endpoint, if a server chose it.
    pub(super) redirect: Option<RedirectSource>,
}

/// A connection, and what its pool knows about it: the peer, the login, the move that it follows, and how far its
/// timeouts are relaxed.
#[derive(Debug)]
pub(super) struct PoolConnection {
    pub(super) id: ConnectionId,
    pub(super) connection: Connection,
    pub(super) route: Route,
    /// The address that was reached.
    pub(super) peer: Option<SocketAddr>,
    pub(super) login: Option<Arc<Credentials>>,
    /// How often the credentials had been renewed when it was dialed.
    pub(super) login_version: u64,
    /// Its peer has announced the move that it follows: it reached the old server again.
    pub(super) leads_back: bool,
    /// The pool has taken note that it is ready.
    pub(super) is_noted: bool,
    /// Once it drains: when it is closed, whatever replies are missing.
    pub(super) close_by: Option<Instant>,
    /// For how long the server may wait before it answers, beside the command timeout.
    pub(super) blocks_for: Duration,
    pushes: PushMeter,
    /// It took over from another connection, which relaxes its timeouts for some time.
    taken_over_until: Option<Instant>,
    relaxed_until: Option<Instant>,
    maintenance: Option<&'static str>,
}

impl PoolConnection {
    pub(super) fn dialing(
        id: ConnectionId,
        route: Route,
        budget: Duration,
        login_version: u64,
        now: Instant,
        config: &PoolConfig,
    ) -> Self {
        PoolConnection {
            id,
            connection: Connection::dialing(now, budget, &config.connection),
            route,
            peer: None,
            login: None,
            login_version,
            leads_back: false,
            is_noted: false,
            close_by: None,
            blocks_for: Duration::ZERO,
            pushes: PushMeter::default(),
            taken_over_until: None,
            relaxed_until: None,
            maintenance: None,
        }
    }

    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.connection.ready_since().is_some()
    }

    /// Counts a push.
    ///
    /// # Errors
    /// If there were more useless ones than a connection may send.
    pub(super) fn note_push(&mut self, push: PushUse, now: Instant) -> Result<(), CloseReason> {
        match self.pushes.note(push, now) {
            true => Ok(()),
            false => Err(CloseReason::PushFlood(self.pushes.useless())),
        }
    }

    /// It replaces another connection, or will: its timeouts are relaxed until then at least.
    pub(super) fn relax_as_successor(&mut self, until: Instant) {
        self.taken_over_until = Some(until);
        self.relaxed_until = self.relaxed_until.max(Some(until));
        self.maintenance.get_or_insert(MOVING);
    }

    /// The windows of its peer have changed.
    pub(super) fn relax(&mut self, windows: &Windows, now: Instant) {
        let taken_over = self.taken_over_until.filter(|until| now < *until);
        let Some(until) = windows.until(now).max(taken_over) else {
            // The end is kept: commands that waited through the maintenance still name it when they fail.
            self.relaxed_until = self.relaxed_until.map(|until| until.min(now));
            return;
        };
        self.relaxed_until = Some(until);
        let announced = windows.in_effect(now).map(|kind| kind.name());
        self.maintenance = announced.or(taken_over.map(|_| MOVING));
    }

    pub(super) fn relaxed_until(&self) -> Option<Instant> {
        self.relaxed_until
    }

    /// The last maintenance that was announced to it, over or not.
    pub(super) fn announced(&self) -> Option<&'static str> {
        self.maintenance
    }

    /// How long its replies may take.
    #[inline]
    pub(super) fn allowance(&self, config: &PoolConfig) -> TimeoutWindow {
        let (normal, relaxed) = (config.connection.command_timeout, config.maint.relaxed_timeout);
        TimeoutWindow::relaxed(normal, relaxed, self.relaxed_until).longer_by(self.blocks_for)
    }

    /// The maintenance that explains its loss. Servers that leave close their sockets later than they announced, so a
    /// move explains a loss for some seconds longer.
    pub(super) fn lost_to(&self, now: Instant) -> Option<&'static str> {
        let late = if self.maintenance == Some(MOVING) { CLOSED_LATE_MAX } else { Duration::ZERO };
        self.maintenance.filter(|_| self.relaxed_until.is_some_and(|until| now < until.after(late)))
    }

    pub(super) fn reply_deadline(&self, now: Instant, config: &PoolConfig) -> ReplyDeadline {
        let allowance = self.allowance(config);
        ReplyDeadline {
            window: allowance,
            maintenance: self.maintenance.filter(|_| allowance.was_relaxed(now)),
        }
    }

    #[inline]
    pub(super) fn next_timeout(&self, config: &PoolConfig) -> Option<Instant> {
        self.connection.next_timeout(&self.allowance(config))
    }
}

const MOVING: &str = NotificationKind::Moving.name();
/// The longest delay that servers were seen to have, and a margin.
const CLOSED_LATE_MAX: Duration = Duration::from_secs(5);
