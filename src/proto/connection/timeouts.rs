//! How long a connection waits: for replies, for their ends, and for a peer that has fallen silent.

use std::time::Duration;

use super::{Connection, Deliver, Phase, TimeoutWindow};
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::time::{Instant, earliest};

/// How long replies may take, and what goes on while they do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyDeadline {
    pub(crate) allowance: TimeoutWindow,
    /// The maintenance that was announced while what is overdue has waited.
    pub(crate) maintenance: Option<&'static str>,
}

impl Connection {
    /// The clock reached [`Connection::next_timeout`], or something else happened.
    ///
    /// # Errors
    /// The reason why the connection has to end.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        patience: &ReplyDeadline,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        match self.phase {
            Phase::Dialing { until, budget } if now >= until => {
                return Err(CloseReason::ConnectTimeout(budget));
            }
            Phase::Handshaking { until, budget, ref handshake } if now >= until => {
                return Err(CloseReason::HandshakeTimeout { after: budget, awaited: handshake.awaits() });
            }
            _ if self.reply_until().is_some_and(|until| now >= until) => {
                return Err(CloseReason::EndlessReply(self.reply_time_max));
            }
            Phase::Dialing { .. } | Phase::Handshaking { .. } => return Ok(()),
            Phase::Ready { .. } => {}
        }
        if self.ping_at().is_some_and(|at| now >= at) {
            self.internal.ping();
        }
        let Some(until) = patience.allowance.expired_until(now) else { return Ok(()) };
        let overdue = match self.in_flight.oldest() {
            Some(submitted) => submitted <= until,
            None => !self.in_flight.is_empty(),
        };
        if overdue {
            let (after, maintenance) = (patience.allowance.at(now), patience.maintenance);
            self.in_flight.expire(until, |ticket| {
                let outcome = Outcome::Ambiguous;
                deliver.fail(
                    ticket,
                    Failure::TimedOut { outcome, after, last_error: None, maintenance, blocked: None },
                );
            });
            // Silence for as long as a reply may take, while replies are due, is the sign of a dead peer.
            let silence = now.since(self.silent_since());
            if silence >= after {
                return Err(CloseReason::Unresponsive(silence));
            }
        }
        Ok(())
    }

    /// When [`Connection::handle_timeout`] has something to do, as far as is known now.
    #[inline]
    pub(crate) fn next_timeout(&self, allowance: &TimeoutWindow) -> Option<Instant> {
        match self.phase {
            Phase::Dialing { until, .. } | Phase::Handshaking { until, .. } => {
                earliest(Some(until), self.reply_until())
            }
            Phase::Ready { .. } if self.in_flight.is_empty() => earliest(self.ping_at(), self.reply_until()),
            Phase::Ready { .. } => {
                // Where all replies are overdue, only silence is left to wait for.
                let from = self.in_flight.oldest().unwrap_or_else(|| self.silent_since());
                earliest(Some(allowance.deadline(from)), self.reply_until())
            }
        }
    }

    /// When it asks whether anybody is there: after some silence, if no reply is awaited.
    #[inline]
    fn ping_at(&self) -> Option<Instant> {
        let is_idle = self.in_flight.is_empty() && !self.draining && !self.internal.is_due();
        (is_idle && self.idle_ping < Duration::MAX).then(|| self.last_received.after(self.idle_ping))
    }

    /// When a frame that has begun to arrive must have ended.
    #[inline]
    fn reply_until(&self) -> Option<Instant> {
        self.arriving_since.map(|since| since.after(self.reply_time_max))
    }

    /// Since when nothing has come although a reply is awaited.
    #[inline]
    fn silent_since(&self) -> Instant {
        self.in_flight.first().map_or(self.last_received, |first| first.max(self.last_received))
    }
}
