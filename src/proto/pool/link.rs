//! [`Link`]: a connection, and what the pool knows about it that it does not know itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::PoolConfig;
use crate::proto::connection::{Connection, Credentials, PushMeter, ReplyDeadline, TimeoutWindow};
use crate::proto::endpoint::Endpoint;
use crate::proto::maint::handoff::MoveId;
use crate::proto::maint::notification::NotificationKind;
use crate::proto::maint::relax::Windows;
use crate::proto::targets::RedirectSource;
use crate::proto::time::Instant;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) generation: u32,
    pub(super) connection: Connection,
    /// What was dialed,
    pub(super) endpoint: Endpoint,
    /// and who was reached.
    pub(super) peer: Option<SocketAddr>,
    /// What it logs in with,
    pub(super) login: Option<Arc<Credentials>>,
    /// and how often that had been renewed when it was dialed.
    pub(super) renewals: u64,
    /// The newest move that was known when it was dialed to where that move leads.
    pub(super) follows: Option<MoveId>,
    /// Who sent it there, if a server did.
    pub(super) sent: Option<RedirectSource>,
    /// It was told of the move that it follows: it leads nowhere new.
    pub(super) leads_back: bool,
    /// The pushes that it was sent.
    pub(super) pushes: PushMeter,
    /// While it drains: when it is closed whatever it waits for.
    pub(super) close_by: Option<Instant>,
    /// It took over from another one, which relaxes its timeouts for some time.
    taken_over_until: Option<Instant>,
    relaxed_until: Option<Instant>,
    maintenance: Option<&'static str>,
}

impl Link {
    pub(super) fn dialing(
        generation: u32,
        endpoint: Endpoint,
        follows: Option<MoveId>,
        budget: Duration,
        now: Instant,
        config: &PoolConfig,
    ) -> Self {
        Link {
            generation,
            connection: Connection::dialing(now, budget, &config.connection),
            endpoint,
            peer: None,
            login: None,
            renewals: 0,
            follows,
            sent: None,
            leads_back: false,
            pushes: PushMeter::default(),
            close_by: None,
            taken_over_until: None,
            relaxed_until: None,
            maintenance: None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.connection.ready_since().is_some()
    }

    /// It succeeds another connection, or will: its timeouts are relaxed for so long at least.
    pub(super) fn relax_as_successor(&mut self, until: Instant) {
        self.taken_over_until = Some(until);
        self.relaxed_until = self.relaxed_until.max(Some(until));
        self.maintenance.get_or_insert(MOVING);
    }

    /// The windows of its peer have changed.
    pub(super) fn relax(&mut self, windows: &Windows, now: Instant) {
        let taken_over = self.taken_over_until.filter(|until| now < *until);
        let Some(until) = windows.until(now).max(taken_over) else {
            // It is over: what has waited through it still fails on its account.
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
        let relaxed = config.maint.relaxed_timeout;
        TimeoutWindow::relaxed(config.connection.command_timeout, relaxed, self.relaxed_until)
    }

    /// What its loss is laid to: servers that leave close their sockets later than they said.
    pub(super) fn lost_to(&self, now: Instant) -> Option<&'static str> {
        let late = if self.maintenance == Some(MOVING) { CLOSED_LATE_MAX } else { Duration::ZERO };
        self.maintenance.filter(|_| self.relaxed_until.is_some_and(|until| now < until.after(late)))
    }

    pub(super) fn patience(&self, now: Instant, config: &PoolConfig) -> ReplyDeadline {
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
/// By how much servers were seen to be late, and some.
const CLOSED_LATE_MAX: Duration = Duration::from_secs(5);
