//! [`Root`]: what a driver holds, a pool or a cluster of pools.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::cluster::{Cluster, ClusterConfig};
use super::connection::{Credentials, Deliver, EntryId, Position, Submission, Ticket};
use super::error::{CloseReason, Failure};
use super::maint::event::{Event, MaintenanceStats};
use super::maint::notification::Announcement;
use super::pool::{
    Action, CallDeadline, ConnectionId, ConnectionMut, DeadlineId, ExclusiveCounts, LookupId, Pool,
    PoolConfig, PoolCounters, Renewal,
};
use super::role::ConnectionRole;
use super::subscriptions::{SubscriptionId, SubscriptionKind, SubscriptionStats};
use super::time::Instant;

/// What a driver holds: the pool of one server, or a cluster of pools. Both have the same verbs, which [`Pool`] describes.
#[derive(Debug)]
pub(crate) enum Root {
    Pool(Box<Pool>),
    Cluster(Box<Cluster>),
}

/// The settings of a [`Root`].
#[derive(Clone, Debug)]
pub(crate) enum RootConfig {
    Pool(Box<PoolConfig>),
    Cluster(Box<ClusterConfig>),
}

/// Calls the method of the same name on either.
macro_rules! both {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Root::Pool(pool) => pool.$method($($argument),*),
            Root::Cluster(cluster) => cluster.$method($($argument),*),
        }
    };
}

impl Root {
    /// It dials its connections at once.
    pub(crate) fn new(config: RootConfig, now: Instant) -> Self {
        match config {
            RootConfig::Pool(config) => Root::Pool(Box::new(Pool::new(*config, now))),
            RootConfig::Cluster(config) => Root::Cluster(Box::new(Cluster::new(*config, now))),
        }
    }

    /// The entry that the next handle is bound to: each in turn.
    pub(crate) fn assign(&mut self) -> EntryId {
        both!(self.assign())
    }

    /// Queues a command, or a batch. It returns its name, and the entry whose driver has to write it: an exclusive one if the supervisor
    /// has to act.
    ///
    /// # Errors
    /// As [`Pool::submit`] and [`Cluster::submit`].
    #[inline]
    pub(crate) fn submit(
        &mut self,
        submission: Submission,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Position, EntryId), Failure> {
        match self {
            Root::Pool(pool) => Ok((pool.submit(submission, encode)?, submission.entry)),
            Root::Cluster(cluster) => cluster.submit(submission, encode),
        }
    }

    /// The caller of this command is gone. [`Root::handle_timeout`] has to follow for a blocking command.
    pub(crate) fn abandon(&mut self, entry: EntryId, position: Position) {
        match self {
            Root::Pool(pool) => pool.abandon(entry, position),
            Root::Cluster(cluster) => cluster.abandon(position),
        }
    }

    /// The caller of this command wants no more than what it has taken already.
    pub(crate) fn cancel(
        &mut self,
        entry: EntryId,
        place: (Position, Ticket),
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        match self {
            Root::Pool(pool) => pool.cancel(entry, place, now, deliver),
            Root::Cluster(cluster) => cluster.cancel(place, now, deliver),
        }
    }

    /// A connection, for one call of its driver that delivers nothing. For the others, this type has methods.
    #[inline]
    pub(crate) fn connection(&mut self, id: ConnectionId) -> ConnectionMut<'_> {
        both!(self.connection(id))
    }

    /// Handles what a socket received; false once the connection is over.
    #[inline]
    pub(crate) fn handle_bytes(
        &mut self,
        id: ConnectionId,
        input: &[u8],
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> bool {
        match self {
            Root::Pool(pool) => pool.connection(id).handle_bytes(input, now, deliver),
            Root::Cluster(cluster) => cluster.handle_bytes(id, input, now, deliver),
        }
    }

    /// Handles `count` bytes that were read into [`ConnectionMut::read_buffer`]; false once the connection is over.
    pub(crate) fn handle_filled(
        &mut self,
        id: ConnectionId,
        count: usize,
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> bool {
        match self {
            Root::Pool(pool) => pool.connection(id).handle_filled(count, now, deliver),
            Root::Cluster(cluster) => cluster.handle_filled(id, count, now, deliver),
        }
    }

    /// A dial failed, or a socket ended or broke.
    pub(crate) fn handle_closed(
        &mut self,
        id: ConnectionId,
        reason: CloseReason,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        match self {
            Root::Pool(pool) => pool.connection(id).handle_closed(reason, now, deliver),
            Root::Cluster(cluster) => cluster.handle_closed(id, reason, now, deliver),
        }
    }

    /// The generation of the connection that an entry's commands are written to.
    #[inline]
    pub(crate) fn active_generation(&self, entry: EntryId) -> Option<u32> {
        match self {
            Root::Pool(pool) => pool.entries().active_generation(entry),
            Root::Cluster(cluster) => cluster.active_generation(entry),
        }
    }

    /// Whether a command submitted now would be queued at once, rather than wait for room.
    pub(crate) fn has_room(&self, entry: EntryId) -> bool {
        match self {
            Root::Pool(pool) => pool.entries().has_room(entry),
            Root::Cluster(cluster) => cluster.has_room(),
        }
    }

    /// How many shared connections are ready, of how many.
    pub(crate) fn ready(&self) -> (usize, usize) {
        match self {
            Root::Pool(pool) => pool.entries().ready(),
            Root::Cluster(cluster) => cluster.ready(),
        }
    }

    /// How many connections are ready, by their roles.
    pub(crate) fn ready_by_role(&self) -> BTreeMap<ConnectionRole, usize> {
        match self {
            Root::Pool(pool) => pool.entries().ready_by_role(),
            Root::Cluster(cluster) => cluster.ready_by_role(),
        }
    }

    /// Why a shared connection is not ready.
    pub(crate) fn last_error(&self) -> Option<Arc<CloseReason>> {
        match self {
            Root::Pool(pool) => pool.entries().last_error(),
            Root::Cluster(cluster) => cluster.last_error(),
        }
    }

    /// Whether a person has to act, because the server refuses this client.
    pub(crate) fn is_rejected(&self) -> bool {
        match self {
            Root::Pool(pool) => pool.entries().is_any_rejected(),
            Root::Cluster(cluster) => cluster.is_rejected(),
        }
    }

    /// Commands queued, and commands in flight.
    pub(crate) fn depth(&self) -> (usize, usize) {
        match self {
            Root::Pool(pool) => pool.entries().depth(),
            Root::Cluster(cluster) => cluster.depth(),
        }
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
        match self {
            Root::Pool(pool) => pool.set_deadline(entry, position, ticket, after, now),
            Root::Cluster(cluster) => {
                cluster.set_deadline(CallDeadline { entry, position, ticket, after }, now)
            }
        }
    }

    /// The command is answered, or abandoned.
    pub(crate) fn clear_deadline(&mut self, deadline: DeadlineId) {
        both!(self.clear_deadline(deadline));
    }

    /// Fails a command whose own timeout is over, unless it is answered.
    pub(crate) fn expire(&mut self, call: CallDeadline, now: Instant, deliver: &mut impl Deliver) {
        both!(self.expire(call, now, deliver));
    }

    /// Time has passed: expires what is overdue, closes what hangs, dials what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, deliver: &mut impl Deliver) {
        both!(self.handle_timeout(now, deliver));
    }

    /// Another shard has read this.
    pub(crate) fn handle_announcement(
        &mut self,
        announcement: Announcement,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        match self {
            Root::Pool(pool) => pool.handle_announcement(announcement, now, deliver),
            Root::Cluster(cluster) => cluster.handle_announcement(&announcement, now, deliver),
        }
    }

    /// A look-up is done: every address of the name, or why there is none.
    pub(crate) fn handle_resolved(
        &mut self,
        lookup: LookupId,
        result: Result<Vec<SocketAddr>, String>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        both!(self.handle_resolved(lookup, result, now, deliver));
    }

    /// What the driver has to do next.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        both!(self.poll_action())
    }

    /// What happened since the last call, for the application's hooks.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        both!(self.poll_event())
    }

    /// Whether [`Root::poll_action`] or [`Root::poll_event`] has something.
    #[inline]
    pub(crate) fn has_actions(&mut self) -> bool {
        both!(self.has_actions())
    }

    /// When [`Root::handle_timeout`] has something to do, as far as is known now.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        both!(self.next_timeout())
    }
}

/// Subscriptions, the login, the end, and what is counted.
impl Root {
    /// A subscription wants these names.
    pub(crate) fn subscribe(
        &mut self,
        id: SubscriptionId,
        names: Vec<(SubscriptionKind, Bytes)>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        both!(self.subscribe(id, names, now, deliver));
    }

    /// A subscription gives these names up.
    pub(crate) fn unsubscribe(
        &mut self,
        id: SubscriptionId,
        names: Vec<(SubscriptionKind, Bytes)>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        both!(self.unsubscribe(id, names, now, deliver));
    }

    /// A subscription has ended. No event of it follows.
    pub(crate) fn close_subscription(
        &mut self,
        id: SubscriptionId,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        both!(self.close_subscription(id, now, deliver));
    }

    /// What happened to subscriptions so far.
    pub(crate) fn subscriptions(&self) -> SubscriptionStats {
        both!(self.subscriptions())
    }

    /// Replaces the credentials.
    pub(crate) fn renew(&mut self, credentials: Credentials, now: Instant) {
        match self {
            Root::Pool(pool) => pool.renew(credentials, now),
            Root::Cluster(cluster) => cluster.renew(&credentials, now),
        }
    }

    /// The state of the last renewal.
    pub(crate) fn renewal(&self) -> &Renewal {
        both!(self.renewal())
    }

    /// Accepts no new command, and finishes those that were accepted, until `until` at the latest.
    pub(crate) fn shut_down(&mut self, now: Instant, until: Instant, deliver: &mut impl Deliver) {
        both!(self.shut_down(now, until, deliver));
    }

    /// After [`Root::shut_down`]: every command is resolved and every connection closed.
    pub(crate) fn is_shut_down(&self) -> bool {
        both!(self.is_shut_down())
    }

    pub(crate) fn counters(&self) -> PoolCounters {
        both!(self.counters())
    }

    /// What happened on the exclusive connections so far.
    pub(crate) fn exclusive(&self) -> ExclusiveCounts {
        both!(self.exclusive())
    }

    /// What maintenance did so far.
    pub(crate) fn maintenance(&self) -> MaintenanceStats {
        both!(self.maintenance())
    }
}
