//! [`Entry`]: one place in a pool: its queue, its connection, and what is done when there is none.

use std::sync::Arc;
use std::time::Duration;

use super::{ConnectionId, EntryId, PoolConfig};
use crate::proto::connection::{Connection, Deliver, Lane, Position, Queue, Ticket, expired_until};
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::time::{Backoff, Instant, earliest};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) queue: Queue,
    pub(super) active: Option<Connection>,
    pub(super) generation: u32,
    pub(super) redial_at: Option<Instant>,
    backoff: Backoff,
    /// Why there is no connection, or was none until the last one became ready.
    pub(super) obstacle: Option<Arc<CloseReason>>,
}

impl Entry {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Entry {
            queue: Queue::new(config.queue),
            active: None,
            generation: 0,
            redial_at: None,
            backoff: Backoff::new(config.backoff_first, config.backoff_max),
            obstacle: None,
        }
    }

    #[inline]
    pub(super) fn submit(
        &mut self,
        lane: Lane,
        ticket: Ticket,
        replies: u32,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Position, Failure> {
        if let Some(reason) = &self.obstacle
            && reason.is_refusal()
        {
            return Err(Failure::Refused(reason.clone()));
        }
        Ok(self.queue.submit(lane, ticket, replies, encode))
    }

    pub(super) fn abandon(&mut self, position: Position) {
        if !self.queue.abandon(position)
            && let Some(connection) = &mut self.active
        {
            connection.abandon(position);
        }
    }

    pub(super) fn current(&self, index: usize) -> ConnectionId {
        ConnectionId { entry: EntryId(u32::try_from(index).unwrap_or(u32::MAX)), generation: self.generation }
    }

    pub(super) fn dial(&mut self, index: usize, now: Instant, config: &PoolConfig) -> ConnectionId {
        self.generation = self.generation.wrapping_add(1);
        self.redial_at = None;
        self.active = Some(Connection::dialing(now, &config.connection));
        self.current(index)
    }

    pub(super) fn handle_connected(&mut self, now: Instant, config: &PoolConfig) {
        if let Some(connection) = &mut self.active {
            connection.handle_connected(now, &config.connection);
        }
    }

    pub(super) fn handle_ready(&mut self) {
        self.obstacle = None;
    }

    /// The connection is gone: say so to those who wait for it, and plan the next one.
    pub(super) fn handle_end(
        &mut self,
        connection: Connection,
        reason: &Arc<CloseReason>,
        now: Instant,
        config: &PoolConfig,
        random: &mut fastrand::Rng,
        deliver: &mut impl Deliver,
    ) {
        if connection.ready_since().is_some_and(|since| now.since(since) >= STABLE) {
            self.backoff.reset();
        }
        connection.end(reason, &mut self.queue, deliver);
        self.obstacle = Some(reason.clone());
        let delay = if reason.is_refusal() {
            self.queue.clear(|ticket| deliver.fail(ticket, Failure::Refused(reason.clone())));
            config.backoff_max
        } else {
            self.backoff.next_delay(random)
        };
        self.redial_at = Some(now.after(delay));
    }

    pub(super) fn expire_queued(&mut self, now: Instant, config: &PoolConfig, deliver: &mut impl Deliver) {
        self.queue.stamp(now);
        let after = config.connection.command_timeout;
        if let Some(until) = expired_until(now, after) {
            let (outcome, obstacle) = (Outcome::Unsent, &self.obstacle);
            self.queue.expire(until, |ticket| {
                deliver.fail(ticket, Failure::TimedOut { outcome, after, obstacle: obstacle.clone() });
            });
        }
    }

    pub(super) fn check_connection(
        &mut self,
        now: Instant,
        config: &PoolConfig,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        match &mut self.active {
            Some(connection) => connection.handle_timeout(now, &config.connection, deliver),
            None => Ok(()),
        }
    }

    /// Fails everything that is left, and says how much that was.
    pub(super) fn give_up(&mut self, deliver: &mut impl Deliver) -> u64 {
        let mut count = 0;
        let mut fail = |ticket, outcome| {
            count += 1;
            deliver.fail(ticket, Failure::ShutDown(outcome));
        };
        self.queue.clear(|ticket| fail(ticket, Outcome::Unsent));
        if let Some(connection) = &mut self.active {
            connection.give_up(fail);
        }
        self.redial_at = None;
        count
    }

    pub(super) fn is_redial_due(&self, now: Instant) -> bool {
        self.active.is_none() && self.redial_at.is_some_and(|at| now >= at)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.active.as_ref().is_some_and(|connection| connection.ready_since().is_some())
    }

    pub(super) fn next_timeout(&mut self, config: &PoolConfig) -> Option<Instant> {
        let queued = self.queue.oldest().map(|at| at.after(config.connection.command_timeout));
        let connection = self.active.as_mut().and_then(|active| active.next_timeout(&config.connection));
        earliest(queued, earliest(connection, self.redial_at))
    }
}

/// A connection that was ready for this long was a good one: the next failure is a first one.
const STABLE: Duration = Duration::from_secs(1);
