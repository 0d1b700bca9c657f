//! [`Entry`]: one place in a pool, with its queue and its connections.

use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::config::PoolConfig;
use super::connection::{PoolConnection, Route};
use super::context::Context;
use super::effects::Effect;
use super::ids::{ConnectionId, EntryId};
use super::order_barrier::OrderBarrier;
use crate::proto::connection::{Deliver, Position, Queue, QueueBounds, Submission, TimeoutWindow};
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::maint::handoff::{Handoff, MoveId};
use crate::proto::role::ConnectionRole;
use crate::proto::time::{Backoff, Instant, earliest};

/// One place in a pool: a queue of commands, and the connections that serve it.
///
/// ```text
///             dial            cut over                  last reply, or close_by
/// (none) ─────────▶ successor ────────▶ active ───────────▶ predecessor ──────▶ (gone)
///    │                  │                 ▲ │   cut over
///    │                  └─ active lost ───┘ │
///    └────────── dial, redial ──────────────┘
/// ```
///
/// - At most one connection is active. It alone takes commands out of the queue, and only as many as it can write.
/// - A successor is dialed while the active connection serves. If that one is lost first, the successor takes its place
///   although it is not ready.
/// - Predecessors take nothing new. They wait for the replies to what they have written, and close after the last one.
/// - A command stays in the queue until a connection takes it. What that connection did not write goes back to its
///   place: no command is lost, repeated or reordered by a handoff.
/// - The queue's commands expire here; those in flight expire in their connection.
///
/// The pool is the only caller. After each call that can change which commands may be written, it wakes the driver of
/// the active connection.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) role: ConnectionRole,
    /// Commands need its connection, or will: a lost one is dialed again.
    pub(super) is_used: bool,
    /// For how long the server may wait before it answers its command.
    pub(super) blocks_for: Duration,
    /// A transaction of a session is open, or queued: its connection sends nothing for itself.
    pub(super) in_transaction: bool,
    pub(super) queue: Queue,
    pub(super) active: Option<PoolConnection>,
    pub(super) successor: Option<PoolConnection>,
    pub(super) predecessors: Vec<PoolConnection>,
    pub(super) handoff: Option<Handoff>,
    /// The newest move whose handoff failed: no later dial follows it.
    pub(super) gave_up_on: Option<MoveId>,
    /// The move that the last failed dial followed: the next one goes to the configured endpoint.
    pub(super) failed_move: Option<MoveId>,
    pub(super) redial_at: Option<Instant>,
    /// Commands are rejected for `last_error`, which a person has to fix.
    pub(super) is_rejected: bool,
    /// When its connection may be replaced next because its server says that it cannot serve.
    pub(super) replaceable_at: Instant,
    /// Why there is no connection, or was none until the last one became ready.
    pub(super) last_error: Option<Arc<CloseReason>>,
    pub(super) barrier: OrderBarrier,
    generation: u32,
    backoff: Backoff,
    /// How far timeouts were relaxed on the connection that was lost, until there is another.
    relaxed: (Option<Instant>, Option<&'static str>),
}

/// What a connection is to its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Active,
    Successor,
    Predecessor,
}

impl Entry {
    pub(super) fn new(
        id: EntryId,
        queue: QueueBounds,
        backoff: (Duration, Duration),
        generation: u32,
    ) -> Self {
        Entry {
            id,
            role: ConnectionRole::default(),
            is_used: false,
            blocks_for: Duration::ZERO,
            in_transaction: false,
            queue: Queue::new(queue),
            active: None,
            successor: None,
            predecessors: Vec::new(),
            handoff: None,
            gave_up_on: None,
            failed_move: None,
            redial_at: None,
            is_rejected: false,
            replaceable_at: Instant::default(),
            last_error: None,
            barrier: OrderBarrier::default(),
            generation,
            backoff: Backoff::new(backoff.0, backoff.1),
            relaxed: (None, None),
        }
    }

    #[inline]
    pub(super) fn submit(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Position, Failure> {
        if self.is_rejected
            && let Some(reason) = &self.last_error
        {
            return Err(Failure::Refused(reason.clone()));
        }
        Ok(self.queue.submit(submission, encode))
    }

    /// Drops a command whose caller is gone, or its reply. Returns how far it had come, if it was still here.
    pub(super) fn abandon(&mut self, position: Position) -> Option<Outcome> {
        if self.queue.abandon(position) {
            return Some(Outcome::Unsent);
        }
        let mut connections = self.connections_mut();
        connections.any(|known| known.connection.abandon(position)).then_some(Outcome::Ambiguous)
    }

    /// All connections, the active one first.
    pub(super) fn connections(&self) -> impl Iterator<Item = &PoolConnection> {
        self.active.iter().chain(&self.successor).chain(&self.predecessors)
    }

    pub(super) fn connections_mut(&mut self) -> impl Iterator<Item = &mut PoolConnection> {
        self.active.iter_mut().chain(&mut self.successor).chain(&mut self.predecessors)
    }

    #[inline]
    pub(super) fn connection(&mut self, generation: u32) -> Option<&mut PoolConnection> {
        match &mut self.active {
            Some(active) if active.id.generation == generation => Some(active),
            _ => {
                let mut others = self.successor.iter_mut().chain(&mut self.predecessors);
                others.find(|other| other.id.generation == generation)
            }
        }
    }

    #[inline]
    pub(super) fn role(&self, generation: u32) -> Option<Role> {
        let is = |known: &Option<PoolConnection>| {
            known.as_ref().is_some_and(|known| known.id.generation == generation)
        };
        if is(&self.active) {
            Some(Role::Active)
        } else if is(&self.successor) {
            Some(Role::Successor)
        } else {
            let mut predecessors = self.predecessors.iter();
            predecessors.any(|known| known.id.generation == generation).then_some(Role::Predecessor)
        }
    }

    /// Removes a connection.
    pub(super) fn take(&mut self, generation: u32) -> Option<(Role, PoolConnection)> {
        let role = self.role(generation)?;
        let taken = match role {
            Role::Active => self.active.take(),
            Role::Successor => self.successor.take(),
            Role::Predecessor => {
                self.barrier.note_progress();
                let index = self.predecessors.iter().position(|known| known.id.generation == generation)?;
                Some(self.predecessors.remove(index))
            }
        };
        taken.map(|taken| (role, taken))
    }

    #[inline]
    pub(super) fn active_generation(&self) -> Option<u32> {
        self.active.as_ref().map(|active| active.id.generation)
    }

    /// A new connection, which the driver has to dial within `budget`.
    pub(super) fn dial(
        &mut self,
        route: Route,
        budget: Duration,
        login_version: u64,
        ctx: &mut Context,
    ) -> PoolConnection {
        self.generation = self.generation.wrapping_add(1);
        let id = ConnectionId { entry: self.id, generation: self.generation };
        ctx.effects.act(Action::Dial { id, endpoint: route.endpoint.clone(), timeout: budget });
        let mut dialing = PoolConnection::dialing(id, route, budget, login_version, ctx.now, &ctx.config);
        dialing.blocks_for = self.blocks_for;
        if self.in_transaction {
            dialing.connection.hold_internal(true);
        }
        dialing
    }

    /// How long connecting may take now. Maintenance that was announced to other entries until `announced` counts as
    /// well.
    pub(super) fn connect_budget(&self, announced: Option<Instant>, ctx: &Context) -> Duration {
        let until = self.relaxation().0.max(announced);
        let (normal, relaxed) = (ctx.config.connection.connect_timeout, ctx.config.maint.relaxed_timeout);
        TimeoutWindow::relaxed(normal, relaxed, until).at(ctx.now)
    }

    /// The successor takes over everything unsent and everything to come. Its predecessor only waits for replies, and
    /// not longer than until `close_by`, if that is set.
    pub(super) fn cut_over(&mut self, close_by: Option<Instant>) {
        let Some(successor) = self.successor.take() else { return };
        if let Some(mut predecessor) = self.active.replace(successor) {
            predecessor.connection.retire(&mut self.queue);
            predecessor.close_by = close_by;
            self.predecessors.push(predecessor);
            self.barrier.note_progress();
        }
        self.clear_last_error();
    }

    /// The entry has a ready connection.
    pub(super) fn clear_last_error(&mut self) {
        self.last_error = None;
        self.is_rejected = false;
    }

    /// The active connection is gone: fails what it had written, and plans the next one. Returns how many commands were
    /// lost.
    pub(super) fn handle_loss(
        &mut self,
        lost: PoolConnection,
        reason: &Arc<CloseReason>,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) -> u64 {
        // A server that floods its clients is dialed later each time, however long the connection was ready.
        let is_flood = matches!(**reason, CloseReason::PushFlood(_));
        let ready_since = lost.connection.ready_since();
        if !is_flood && ready_since.is_some_and(|since| ctx.now.since(since) >= STABLE) {
            self.backoff.reset();
        }
        let maintenance = lost.lost_to(ctx.now);
        // A dial that failed heard of no maintenance. It must not end the relaxation of the connection before it.
        if lost.relaxed_until() >= self.relaxed.0 {
            self.relaxed = (lost.relaxed_until(), maintenance);
        }
        // A target that a server named can reject this client; that says nothing about the configured endpoint, which
        // is dialed next.
        let is_elsewhere = lost.route.follows.is_some() && !lost.is_ready();
        let count = lost.connection.end(reason, maintenance, &mut self.queue, deliver);
        self.last_error = Some(reason.clone());
        self.is_rejected = ctx.config.is_permanent(reason) && !is_elsewhere;
        if let Some(successor) = self.successor.take() {
            // Its dial is in progress already.
            self.active = Some(successor);
            return count;
        }
        let delay = if self.is_rejected {
            self.queue.clear(|ticket| deliver.fail(ticket, Failure::Refused(reason.clone())));
            ctx.config.backoff_max
        } else {
            self.backoff.next_delay(&mut ctx.random)
        };
        self.redial_at = (self.is_used || self.is_rejected).then(|| ctx.now.after(delay));
        count
    }

    /// What this connection writes next. Only the active one takes commands out of the queue.
    #[inline]
    pub(super) fn poll_transmit(
        &mut self,
        generation: u32,
        now: Instant,
        config: &PoolConfig,
    ) -> Option<&[u8]> {
        if self.active_generation() != Some(generation) {
            self.queue.stamp(now);
            return self.connection(generation).map(|known| known.connection.poll_internal(now));
        }
        if self.barrier.is_raised() {
            self.barrier.update(&self.predecessors, &self.queue, now);
        }
        let active = self.active.as_mut()?;
        Some(active.connection.poll_transmit(now, &mut self.queue, self.barrier.held(), &config.connection))
    }

    /// Wakes the driver of the active connection if commands that the order barrier held may be written now.
    pub(super) fn wake_held(&self, ctx: &mut Context) {
        if self.barrier.is_stale()
            && !self.queue.is_empty()
            && let Some(active) = &self.active
        {
            ctx.effects.act(Action::Wake { id: active.id });
        }
    }

    /// Fails the queued commands that are overdue. Returns whether there were any.
    pub(super) fn expire_queued(&mut self, ctx: &Context, deliver: &mut impl Deliver) -> bool {
        let now = ctx.now;
        self.queue.stamp(now);
        let allowance = self.queue_allowance(&ctx.config);
        if let Some(until) = allowance.expired_until(now)
            && self.queue.oldest().is_some_and(|oldest| oldest <= until)
        {
            let (outcome, after) = (Outcome::Unsent, allowance.at(now));
            let maintenance = self.relaxation().1.filter(|_| allowance.was_relaxed(now));
            let last_error = self.last_error.clone();
            self.queue.expire(until, |ticket| {
                let last_error = last_error.clone();
                deliver.fail(ticket, Failure::timed_out(outcome, after, last_error, maintenance));
            });
            return true;
        }
        false
    }

    /// Ends the connections that are overdue or have drained, and wakes those that have a command of their own to send.
    pub(super) fn check_connections(&mut self, give_up: bool, ctx: &mut Context, deliver: &mut impl Deliver) {
        for known in self.connections_mut() {
            let checked = match known.close_by {
                _ if give_up => Err(CloseReason::Local),
                Some(close_by) if ctx.now >= close_by => Err(match known.connection.is_idle() {
                    // It was kept to end the wait of another connection.
                    true => CloseReason::Replaced,
                    false => CloseReason::Undrained,
                }),
                _ => {
                    let deadline = known.reply_deadline(ctx.now, &ctx.config);
                    known.connection.handle_timeout(ctx.now, &deadline, deliver)
                }
            };
            match checked {
                Err(reason) => ctx.effects.push(Effect::End { id: known.id, reason }),
                Ok(()) if known.connection.has_internal() => ctx.effects.act(Action::Wake { id: known.id }),
                Ok(()) => {}
            }
        }
    }

    /// During a shutdown: closes the connections that have nothing left to do.
    pub(super) fn close_drained(&mut self, ctx: &mut Context) {
        if ctx.closing.is_none() || !self.queue.is_empty() {
            return;
        }
        for known in self.connections_mut() {
            known.connection.drain();
            if known.connection.is_idle() || !known.is_ready() {
                ctx.effects.push(Effect::End { id: known.id, reason: CloseReason::Local });
            }
        }
    }

    /// Fails everything that is left, and returns how much that was.
    pub(super) fn give_up(&mut self, deliver: &mut impl Deliver) -> u64 {
        let mut count = 0;
        let mut fail = |ticket, outcome| {
            count += 1;
            deliver.fail(ticket, Failure::ShutDown(outcome));
        };
        self.queue.clear(|ticket| fail(ticket, Outcome::Unsent));
        for known in self.connections_mut() {
            known.connection.give_up(&mut fail);
        }
        self.redial_at = None;
        count
    }

    pub(super) fn is_redial_due(&self, now: Instant) -> bool {
        self.active.is_none() && self.redial_at.is_some_and(|at| now >= at)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.active.as_ref().is_some_and(PoolConnection::is_ready)
    }

    /// Nothing is queued, awaited, or connected.
    pub(super) fn is_done(&self) -> bool {
        self.connections().next().is_none() && self.queue.is_empty()
    }

    #[inline(always)]
    pub(super) fn next_timeout(&self, config: &PoolConfig) -> Option<Instant> {
        let queued = self.queue.oldest().map(|at| self.queue_allowance(config).deadline(at));
        let active = self.active.as_ref().and_then(|active| active.next_timeout(config));
        let mut next = earliest(queued, earliest(active, self.redial_at));
        if let Some(successor) = &self.successor {
            next = earliest(next, successor.next_timeout(config));
        }
        for predecessor in &self.predecessors {
            next = earliest(next, earliest(predecessor.close_by, predecessor.next_timeout(config)));
        }
        // A wait without a limit needs no timer.
        let next = next.filter(|at| *at < Instant::END);
        earliest(next, self.handoff.as_ref().and_then(Handoff::next_timeout))
    }

    /// The maintenance that relaxes the timeouts of its commands now.
    pub(super) fn maintenance(&self, now: Instant) -> Option<&'static str> {
        let (until, name) = self.relaxation();
        name.filter(|_| until.is_some_and(|until| now < until))
    }

    fn queue_allowance(&self, config: &PoolConfig) -> TimeoutWindow {
        match &self.active {
            Some(active) if active.relaxed_until() >= self.relaxed.0 => active.allowance(config),
            _ => {
                let (normal, relaxed) = (config.connection.command_timeout, config.maint.relaxed_timeout);
                TimeoutWindow::relaxed(normal, relaxed, self.relaxation().0).longer_by(self.blocks_for)
            }
        }
    }

    /// Until when timeouts are relaxed, and by which maintenance. What was announced to a connection that is lost holds
    /// until its end: the next connection need not hear of it.
    fn relaxation(&self) -> (Option<Instant>, Option<&'static str>) {
        let active = self.active.as_ref().map(|active| (active.relaxed_until(), active.announced()));
        active.filter(|active| active.0 >= self.relaxed.0).unwrap_or(self.relaxed)
    }
}

/// A connection that was ready for this long worked: its loss starts the backoff anew.
const STABLE: Duration = Duration::from_secs(1);
