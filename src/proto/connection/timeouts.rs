//! The timeouts of a connection: for replies, for the end of a reply, and for a peer that is silent.

use std::time::Duration;

use super::{Connection, Deliver, Phase, TimeoutWindow};
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::time::{Instant, earliest};

/// The deadline of replies, and the maintenance that extends it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyDeadline {
    pub(crate) window: TimeoutWindow,
    /// The maintenance that was announced while the overdue commands waited. Errors name it.
    pub(crate) maintenance: Option<&'static str>,
}

impl Connection {
    /// Handles all timeouts that are due. The owner calls it when the clock has reached [`Connection::next_timeout`]; calls
    /// at other times do no harm.
    ///
    /// # Errors
    /// The reason to close the connection.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        deadline: &ReplyDeadline,
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
        let Some(until) = deadline.window.expired_until(now) else { return Ok(()) };
        let overdue = match self.in_flight.oldest() {
            Some(submitted) => submitted <= until,
            None => !self.in_flight.is_empty(),
        };
        if overdue {
            let (after, maintenance) = (deadline.window.at(now), deadline.maintenance);
            self.in_flight.expire(until, |ticket| {
                let outcome = Outcome::Ambiguous;
                deliver.fail(ticket, Failure::timed_out(outcome, after, None, maintenance));
            });
            // Bytes prove a live peer, even if they answer no overdue command. A peer that sends no byte for a whole
            // timeout while replies are due counts as dead.
            let silence = now.since(self.silent_since());
            if silence >= after {
                return Err(CloseReason::Unresponsive(silence));
            }
        }
        Ok(())
    }

    /// When [`Connection::handle_timeout`] has work to do, as far as is known now.
    #[inline]
    pub(crate) fn next_timeout(&self, window: &TimeoutWindow) -> Option<Instant> {
        match self.phase {
            Phase::Dialing { until, .. } | Phase::Handshaking { until, .. } => {
                earliest(Some(until), self.reply_until())
            }
            Phase::Ready { .. } if self.in_flight.is_empty() => earliest(self.ping_at(), self.reply_until()),
            Phase::Ready { .. } => {
                // Once all replies are overdue, only the silence of the peer can still end the connection.
                let from = self.in_flight.oldest().unwrap_or_else(|| self.silent_since());
                earliest(Some(window.deadline(from)), self.reply_until())
            }
        }
    }

    /// When an idle connection pings its peer.
    #[inline]
    fn ping_at(&self) -> Option<Instant> {
        let is_idle = self.in_flight.is_empty() && !self.draining && self.internal.is_idle();
        (is_idle && self.idle_ping < Duration::MAX).then(|| self.last_received.after(self.idle_ping))
    }

    /// When a frame that has begun to arrive must be complete.
    #[inline]
    fn reply_until(&self) -> Option<Instant> {
        self.arriving_since.map(|since| since.after(self.reply_time_max))
    }

    /// Since when no byte has come although a reply is awaited.
    #[inline]
    fn silent_since(&self) -> Instant {
        self.in_flight.first().map_or(self.last_received, |first| first.max(self.last_received))
    }
}
