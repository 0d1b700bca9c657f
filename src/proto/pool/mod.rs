//! [`Pool`]: all connections of one shard, and every decision about them.
//!
//! ```text
//!                       Pool ── ConnectionMut          the interface: what happened, what to do
//!                            │
//!                          Parts                       applies the effects of its parts, in one loop
//!          ┌────────────┬────┴────────┬───────────┐
//!       Entries      Handoffs    Maintenance     Auth  own their state; ask each other by effects only
//!          │            │             │
//!        Entry      HandoffQueue    Peers
//!          │         Breakers     Redirects
//!   PoolConnection
//!    OrderBarrier
//! ```

mod action;
mod auth;
mod config;
mod connection;
mod connection_mut;
mod context;
mod deadlines;
mod effects;
mod entries;
mod entry;
mod entry_lease;
mod exclusive;
mod handoffs;
mod ids;
mod in_cluster;
mod maintenance;
mod order_barrier;
mod parts;
mod parts_exclusive;
mod parts_received;
mod peers;
mod redirects;
#[cfg(feature = "cli")]
mod snapshot;
mod subscriber;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use self::action::{Action, PoolCounters};
pub(crate) use self::auth::Renewal;
pub(crate) use self::config::{NamedEndpoint, PoolConfig};
pub(crate) use self::connection_mut::ConnectionMut;
pub(crate) use self::deadlines::{CallDeadline, DeadlineId, Deadlines};
#[cfg(feature = "cli")]
pub(crate) use self::entry::Role;
pub(crate) use self::exclusive::ExclusiveCounts;
pub(crate) use self::ids::{ConnectionId, EntryId, LookupId};
#[cfg(feature = "cli")]
pub(crate) use self::snapshot::ConnectionSnapshot;

use self::entries::Entries;
use self::parts::Parts;
use super::connection::{Credentials, Deliver, Position, Submission, Ticket};
use super::error::{Failure, Outcome};
use super::maint::event::{Event, MaintenanceStats};
use super::maint::mode::Mode;
use super::maint::notification::Announcement;
use super::resp::Frame;
use super::subscriptions::{SubscriptionId, SubscriptionKind, SubscriptionStats};
use super::time::{Instant, earliest};

/// All connections of one shard, and every decision about them. A driver, or the simulator, holds nothing else.
///
/// It guarantees three things. Each accepted command is resolved once, by a reply or a failure that goes to the
/// [`Deliver`] of some call. The commands of one handle reach the server in their order, through handoffs too. No command
/// is written twice.
///
/// The contract has three kinds of calls. None of them blocks, reads a clock, or touches a socket.
///
/// 1. Tell it what happened: `handle_*` of the pool, and of a connection through [`Pool::connection`]; and what the
///    application wants: [`submit`](Pool::submit), [`abandon`](Pool::abandon), [`renew`](Pool::renew),
///    [`shut_down`](Pool::shut_down).
/// 2. Ask what to do. After any call of the first kind, poll in this order:
///    [`poll_transmit`](ConnectionMut::poll_transmit) of the connection that the call was about, until it returns
///    nothing or the socket is full; [`poll_action`](Pool::poll_action) until it returns `None`;
///    [`poll_event`](Pool::poll_event) likewise; and last [`next_timeout`](Pool::next_timeout).
/// 3. Call [`handle_timeout`](Pool::handle_timeout) at that time, or later. A new answer replaces the earlier one.
///
/// After a submission, transmit on the [active connection](Entries::active_generation) of its entry; if there is none,
/// an action follows once there is. Time is an argument and must never go backwards. An action that is not carried out
/// stalls its entry, and a timeout that is not called delays everything that waits for it.
#[derive(Debug)]
pub(crate) struct Pool {
    parts: Parts,
    deadlines: Deadlines,
}

impl Pool {
    /// A pool that dials all of its connections at once.
    pub(crate) fn new(config: PoolConfig, now: Instant) -> Self {
        Pool { parts: Parts::new(config, now), deadlines: Deadlines::default() }
    }

    /// The entry that the next handle is bound to: each in turn.
    pub(crate) fn assign(&mut self) -> EntryId {
        self.parts.entries.assign()
    }

    /// Queues what `encode` writes: one command, or a batch that is written together.
    ///
    /// # Errors
    /// If the pool is shutting down, or the server refuses this client. Nothing was encoded then.
    #[inline]
    pub(crate) fn submit(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Position, Failure> {
        if self.parts.ctx.closing.is_some() {
            return Err(Failure::ShutDown(Outcome::Unsent));
        }
        match self.parts.entries.get_mut(submission.entry) {
            Some(entry) => entry.submit(submission, encode),
            None => self.submit_exclusive(submission, encode),
        }
    }

    /// Queues what needs a connection for itself. [`Pool::handle_timeout`] has to follow, which finds one.
    #[cold]
    fn submit_exclusive(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Position, Failure> {
        let Parts { entries, exclusive, ctx, .. } = &mut self.parts;
        exclusive.submit(submission, encode, entries, ctx)
    }

    /// The caller of this command is gone: an unsent command is dropped, and the reply to a sent one. For a blocking command,
    /// [`Pool::handle_timeout`] has to follow, which ends its wait.
    pub(crate) fn abandon(&mut self, entry: EntryId, position: Position) {
        let Parts { entries, exclusive, ctx, .. } = &mut self.parts;
        // A command that is resolved already needs nothing.
        if let Some(entry) = entries.get_mut(entry) {
            let _ = entry.abandon(position);
        } else {
            let _ = exclusive.abandon((entry, position), entries, ctx);
        }
    }

    /// The caller of this command wants no more than what it has taken already. An unsent command is dropped, and answered with
    /// null. The reply to a sent one is delivered when it comes; a blocking command stops waiting for it.
    pub(crate) fn cancel(
        &mut self,
        entry: EntryId,
        (position, ticket): (Position, Ticket),
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        let Parts { entries, exclusive, ctx, .. } = &mut self.parts;
        ctx.now = now;
        match entries.get_mut(entry) {
            Some(entry) => {
                if entry.queue.abandon(position) {
                    deliver.reply(ticket, Frame::Null, true);
                }
            }
            None => exclusive.cancel(position, entries, ctx, deliver),
        }
        self.parts.apply(deliver);
    }

    /// A connection, for one call of its driver.
    #[inline]
    pub(crate) fn connection(&mut self, id: ConnectionId) -> ConnectionMut<'_> {
        ConnectionMut::new(&mut self.parts, id)
    }

    /// The state of the entries.
    #[inline]
    pub(crate) fn entries(&self) -> &Entries {
        &self.parts.entries
    }

    /// Sets a timeout for one command. Maintenance does not relax it.
    pub(crate) fn set_deadline(
        &mut self,
        entry: EntryId,
        position: Position,
        ticket: Ticket,
        after: Duration,
        now: Instant,
    ) -> DeadlineId {
        self.deadlines.set(now.after(after), CallDeadline { entry, position, ticket, after })
    }

    /// The command is answered, or abandoned.
    pub(crate) fn clear_deadline(&mut self, deadline: DeadlineId) {
        self.deadlines.clear(deadline);
    }

    /// Fails a command whose own timeout is over, unless it is answered.
    pub(crate) fn expire(&mut self, call: CallDeadline, now: Instant, deliver: &mut impl Deliver) {
        let CallDeadline { entry: id, position, ticket, after } = call;
        let Parts { entries, exclusive, ctx, .. } = &mut self.parts;
        ctx.now = now;
        let Some(entry) = entries.get_mut(id) else {
            if let Some((outcome, last_error)) = exclusive.abandon((id, position), entries, ctx) {
                deliver.fail(ticket, Failure::timed_out(outcome, after, last_error, None));
            }
            return;
        };
        let maintenance = entry.maintenance(now);
        if let Some(outcome) = entry.abandon(position) {
            let last_error = entry.last_error.clone().filter(|_| outcome == Outcome::Unsent);
            deliver.fail(ticket, Failure::timed_out(outcome, after, last_error, maintenance));
        }
    }

    /// Time has passed: expires what is overdue, closes what hangs, dials what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, deliver: &mut impl Deliver) {
        self.parts.ctx.now = now;
        while let Some(call) = self.deadlines.pop(now) {
            self.expire(call, now, deliver);
        }
        self.parts.handle_timeout(deliver);
    }

    /// Another shard has read this.
    pub(crate) fn handle_announcement(
        &mut self,
        announcement: Announcement,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        let Parts { entries, maintenance, ctx, .. } = &mut self.parts;
        ctx.now = now;
        if ctx.config.maint.mode == Mode::Disabled || ctx.closing.is_some() {
            return;
        }
        let is_reached = entries.connected_to(announcement.peer).next().is_some();
        maintenance.handle_announcement(announcement, is_reached, ctx);
        self.parts.apply(deliver);
    }

    /// A look-up is done: every address of the name, or why there is none.
    pub(crate) fn handle_resolved(
        &mut self,
        lookup: LookupId,
        result: Result<Vec<SocketAddr>, String>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.parts.ctx.now = now;
        self.parts.maintenance.handle_resolved(lookup, result, &mut self.parts.ctx);
        self.parts.apply(deliver);
    }

    /// What the driver has to do next.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.parts.ctx.effects.next_action()
    }

    /// What happened since the last call, for the application's hooks.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.parts.ctx.effects.next_event()
    }

    /// A subscription wants these names. Events follow in [`Deliver::event`], a confirmation or a refusal of each name first.
    pub(crate) fn subscribe(
        &mut self,
        id: SubscriptionId,
        names: Vec<(SubscriptionKind, Bytes)>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.parts.ctx.now = now;
        self.parts.subscriber.add(id, names, now, deliver);
        self.parts.serve_subscriptions(deliver);
        self.parts.apply(deliver);
    }

    /// A subscription gives these names up.
    pub(crate) fn unsubscribe(
        &mut self,
        id: SubscriptionId,
        names: Vec<(SubscriptionKind, Bytes)>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.parts.ctx.now = now;
        self.parts.subscriber.remove(id, names, now, deliver);
        self.parts.serve_subscriptions(deliver);
        self.parts.apply(deliver);
    }

    /// A subscription has ended. No event of it follows.
    pub(crate) fn close_subscription(
        &mut self,
        id: SubscriptionId,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.parts.ctx.now = now;
        self.parts.subscriber.close(id, now);
        self.parts.serve_subscriptions(deliver);
        self.parts.apply(deliver);
    }

    /// What happened to subscriptions so far.
    pub(crate) fn subscriptions(&self) -> SubscriptionStats {
        self.parts.subscriber.stats()
    }

    /// Whether [`Pool::poll_action`] or [`Pool::poll_event`] has something.
    #[inline]
    pub(crate) fn has_actions(&self) -> bool {
        self.parts.ctx.effects.has_output()
    }

    /// When [`Pool::handle_timeout`] has something to do, as far as is known now.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.is_shut_down() {
            return None;
        }
        let Parts { entries, handoffs, maintenance, exclusive, subscriber, ctx, .. } = &self.parts;
        let next = earliest(ctx.closing, entries.next_timeout(&ctx.config));
        let next = earliest(next, earliest(exclusive.next_timeout(), subscriber.next_timeout(ctx)));
        let next = earliest(next, earliest(handoffs.next_timeout(), maintenance.peers.next_timeout()));
        earliest(next, self.deadlines.next_timeout())
    }

    /// Replaces the credentials: live connections log in again between two commands, and entries that were rejected
    /// for the old ones are dialed at once.
    pub(crate) fn renew(&mut self, credentials: Credentials, now: Instant) {
        let Parts { entries, auth, ctx, .. } = &mut self.parts;
        ctx.now = now;
        auth.renew(credentials, entries, ctx);
    }

    /// The state of the last renewal.
    pub(crate) fn renewal(&self) -> &Renewal {
        self.parts.auth.renewal()
    }

    /// Accepts no new command, and finishes those that were accepted, until `until` at the latest.
    pub(crate) fn shut_down(&mut self, now: Instant, until: Instant, deliver: &mut impl Deliver) {
        let Parts { entries, handoffs, exclusive, ctx, .. } = &mut self.parts;
        ctx.now = now;
        ctx.closing = Some(ctx.closing.map_or(until, |earlier| earlier.min(until)));
        handoffs.abandon_all(entries, ctx);
        exclusive.shut_down(entries, ctx, deliver);
        self.parts.apply(deliver);
        self.handle_timeout(now, deliver);
    }

    /// After [`Pool::shut_down`]: every command is resolved and every connection closed.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.parts.ctx.closing.is_some() && self.parts.entries.are_done() && self.parts.exclusive.is_idle()
    }

    pub(crate) fn counters(&self) -> PoolCounters {
        let (received, sent) = self.parts.entries.traffic();
        let mut counters = self.parts.ctx.counters;
        counters.bytes_received += received;
        counters.bytes_sent += sent;
        counters
    }

    /// What happened on the exclusive connections so far.
    pub(crate) fn exclusive(&self) -> ExclusiveCounts {
        self.parts.exclusive.counts()
    }

    /// What maintenance did so far.
    pub(crate) fn maintenance(&self) -> MaintenanceStats {
        let Parts { entries, handoffs, maintenance, ctx, .. } = &self.parts;
        let mut stats = ctx.stats.clone();
        handoffs.report(&mut stats);
        stats.windows_open = maintenance.peers.open_windows(ctx.now);
        stats.draining = entries.draining();
        stats.hold_max = entries.longest_hold();
        stats
    }
}

#[cfg(test)]
mod tests;
