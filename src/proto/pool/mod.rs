//! [`Pool`]: all connections of one shard, and every decision about them.
//!
//! The only root that a driver, or the simulator, holds. It says what to dial and what to close
//! ([`Pool::poll_action`]), what to write ([`Pool::poll_transmit`]), and when to be asked again
//! ([`Pool::next_timeout`]). Replies go straight to the [`Deliver`] that the driver hands in: there is no queue
//! of events between a socket and a caller.

mod announcements;
#[cfg(feature = "cli")]
mod census;
mod clearance;
mod deadlines;
mod entry;
mod handoffs;
mod link;
mod lives;
mod logins;
mod peer;
mod targets;
mod unfit;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "cli")]
pub(crate) use self::census::{Census, Role};
pub(crate) use self::deadlines::{DeadlineId, Limited};
pub(crate) use self::logins::Renewal;

use self::deadlines::Deadlines;
use self::entry::Entry;
use self::lives::link_of;
use self::logins::Logins;
use self::peer::Peers;
use super::connection::{
    ConnectionConfig, Credentials, Deliver, HandleId, Negotiated, Position, QueueBounds, Ticket,
};
use super::endpoint::Endpoint;
use super::error::{CloseReason, Failure, Outcome};
use super::maint::breaker::Breakers;
use super::maint::event::{Event, MaintenanceStats};
use super::maint::notification::Announcement;
use super::maint::queue::{HandoffLimits, HandoffQueue};
use super::maint::settings::MaintConfig;
use super::targets::{TargetFilter, Targets};
use super::time::{Instant, earliest};

/// What a pool is made of.
#[derive(Clone, Debug)]
pub(crate) struct PoolConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: usize,
    pub(crate) connection: ConnectionConfig,
    pub(crate) queue: QueueBounds,
    pub(crate) maint: MaintConfig,
    pub(crate) targets: Targets,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    /// Somebody can be asked for other credentials than those that were refused.
    pub(crate) renewable: bool,
    /// Where the jitter of the backoff comes from.
    pub(crate) seed: u64,
}

/// One place in a pool, which one connection at a time fills. Commands are bound to it, not to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EntryId(pub(crate) u32);

/// One connection of an entry; the next one has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ConnectionId {
    pub(crate) entry: EntryId,
    pub(crate) generation: u32,
}

/// What a driver has to do, or to tell.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Find the addresses of this endpoint, have them [admitted](Pool::admit), and connect to one of them, all in all
    /// within `timeout`; then say [`Pool::handle_connected`] or [`Pool::handle_closed`].
    Dial { id: ConnectionId, endpoint: Endpoint, timeout: Duration },
    /// The handshake is over, and commands flow.
    Ready { id: ConnectionId },
    /// The connection is no more: close the socket, if there is one, and stop driving it. `unused` says that it
    /// had never been ready.
    Close { id: ConnectionId, reason: Arc<CloseReason>, unused: bool },
    /// This connection has something to write that no submission told of.
    Wake { id: ConnectionId },
    /// Tell the other shards, which say [`Pool::handle_announcement`].
    Announce(Announcement),
    /// Ask for new credentials, then say [`Pool::renew`].
    AskCredentials,
    /// Look this endpoint's name up, then say [`Pool::handle_resolved`].
    Resolve { lookup: LookupId, endpoint: Endpoint },
}

/// One look-up of a name that a pool asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LookupId(pub(crate) u64);

/// What happened in a pool since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolCounters {
    /// Connections that became ready.
    pub(crate) connected: u64,
    /// Connections that ended after they had been ready, other than by our own will.
    pub(crate) lost: u64,
    /// Dials and handshakes that failed.
    pub(crate) dial_failures: u64,
    /// Pushes received.
    pub(crate) pushes: u64,
    /// Connections that were ended because they were sent too many pushes of no use.
    pub(crate) floods: u64,
    /// Commands that were given up because the time to shut down was over.
    pub(crate) given_up: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

#[derive(Debug)]
pub(crate) struct Pool {
    config: PoolConfig,
    entries: Vec<Entry>,
    peers: Peers,
    handoffs: HandoffQueue,
    breakers: Breakers,
    target_filter: TargetFilter,
    deadlines: Deadlines,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    random: fastrand::Rng,
    counters: PoolCounters,
    maintenance: MaintenanceStats,
    logins: Logins,
    /// Set once no new command is accepted: when what is left is given up.
    closing: Option<Instant>,
    next_entry: u32,
    next_move: u64,
    next_lookup: u64,
    /// The last time at which time passed.
    checked_at: Instant,
}

impl Pool {
    /// A pool that begins to dial all of its connections at once.
    pub(crate) fn new(config: PoolConfig, now: Instant) -> Self {
        let (workers, queue) = (config.maint.handoff_workers, config.maint.handoff_queue);
        let limits = HandoffLimits::derive(config.connections, workers, queue);
        let mut pool = Pool {
            entries: (0..config.connections).map(|_| Entry::new(&config)).collect(),
            peers: Peers::default(),
            handoffs: HandoffQueue::new(limits),
            breakers: Breakers::new(config.maint.breaker),
            target_filter: TargetFilter::new(config.targets.clone(), config.endpoint.clone()),
            deadlines: Deadlines::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            random: fastrand::Rng::with_seed(config.seed),
            counters: PoolCounters::default(),
            maintenance: MaintenanceStats::default(),
            logins: Logins::default(),
            closing: None,
            next_entry: 0,
            next_move: 0,
            next_lookup: 0,
            checked_at: now,
            config,
        };
        for index in 0..pool.entries.len() {
            pool.dial(index, now);
        }
        pool
    }

    /// The entry that the next handle is bound to: each in turn.
    pub(crate) fn assign(&mut self) -> EntryId {
        let id = EntryId(self.next_entry);
        self.next_entry =
            (self.next_entry + 1) % u32::try_from(self.entries.len().max(1)).unwrap_or(u32::MAX);
        id
    }

    /// Queues what `encode` writes: one command, or a batch that goes out together and is answered `replies` times.
    ///
    /// # Errors
    /// If the pool is shutting down, or the server has turned this client away. Nothing was encoded then.
    #[inline]
    pub(crate) fn submit(
        &mut self,
        entry: EntryId,
        handle: HandleId,
        ticket: Ticket,
        replies: u32,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Position, Failure> {
        if self.closing.is_some() {
            return Err(Failure::ShutDown(Outcome::Unsent));
        }
        match self.entries.get_mut(entry.0 as usize) {
            Some(entry) => entry.submit(handle, ticket, replies, encode),
            None => Err(Failure::ShutDown(Outcome::Unsent)),
        }
    }

    /// Whether a command submitted now would be queued at once, rather than wait for room.
    pub(crate) fn has_room(&self, entry: EntryId) -> bool {
        self.entries.get(entry.0 as usize).is_some_and(|entry| entry.queue.has_room())
    }

    /// Nobody waits for this command any more: unsent, it never will be; sent, its reply will be dropped.
    pub(crate) fn abandon(&mut self, entry: EntryId, position: Position) {
        if let Some(entry) = self.entries.get_mut(entry.0 as usize) {
            // Whether it was still here makes no difference.
            let _ = entry.abandon(position);
        }
    }

    /// A dial succeeded, and reached this address if it has one; false if nobody wants the socket any more. Without
    /// `credentials` of its own it logs in with the newest that are known.
    pub(crate) fn handle_connected(
        &mut self,
        id: ConnectionId,
        peer: Option<SocketAddr>,
        credentials: Option<Credentials>,
        now: Instant,
    ) -> bool {
        let Some(link) = link_of(&mut self.entries, id) else { return false };
        link.peer = peer;
        link.login = credentials.map(Arc::new).or_else(|| self.logins.newest(&self.config));
        let (ip, config) = (peer.map(|peer| peer.ip()), &self.config.connection);
        link.connection.handle_connected(ip, link.login.clone(), now, config);
        if let Some(known) = peer.and_then(|peer| self.peers.get(&peer)) {
            link.relax(&known.windows, now);
        }
        true
    }

    /// A dial failed, or a socket ended or broke.
    pub(crate) fn handle_closed(
        &mut self,
        id: ConnectionId,
        reason: CloseReason,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.end(id, reason, now, deliver);
    }

    /// Takes in what a socket received; false once the connection is no more.
    #[inline]
    pub(crate) fn handle_bytes(
        &mut self,
        id: ConnectionId,
        input: &[u8],
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> bool {
        self.receive(id, now, deliver, |connection, deliver| {
            let is_opening = connection.traffic().0 == 0;
            let received = connection.handle_bytes(now, input, deliver);
            received.map_err(|reason| if is_opening { reason.given_opening(input) } else { reason })
        })
    }

    /// Where the next bytes of this connection are to be read to, if anywhere in particular; then call
    /// [`Pool::handle_filled`].
    pub(crate) fn read_buffer(&mut self, id: ConnectionId) -> Option<&mut [u8]> {
        link_of(&mut self.entries, id)?.connection.read_buffer()
    }

    /// Takes in `count` bytes that were read into [`Pool::read_buffer`]; false once the connection is no more.
    pub(crate) fn handle_filled(
        &mut self,
        id: ConnectionId,
        count: usize,
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> bool {
        self.receive(id, now, deliver, |connection, deliver| connection.handle_filled(now, count, deliver))
    }

    /// What this connection writes next, possibly nothing; then call [`Pool::handle_written`]. `None` once the
    /// connection is no more.
    #[inline]
    pub(crate) fn poll_transmit(&mut self, id: ConnectionId, now: Instant) -> Option<&[u8]> {
        self.entries.get_mut(id.entry.0 as usize)?.poll_transmit(id.generation, now, &self.config)
    }

    /// The socket took `count` bytes of what was to be transmitted.
    pub(crate) fn handle_written(&mut self, id: ConnectionId, count: usize) {
        if let Some(link) = link_of(&mut self.entries, id) {
            link.connection.handle_written(count);
        }
    }

    /// Gives a command a deadline of its own, which nothing relaxes.
    pub(crate) fn set_deadline(
        &mut self,
        entry: EntryId,
        position: Position,
        ticket: Ticket,
        after: Duration,
        now: Instant,
    ) -> DeadlineId {
        self.deadlines.set(now.after(after), Limited { entry, position, ticket, after })
    }

    /// The command is answered, or abandoned.
    pub(crate) fn clear_deadline(&mut self, deadline: DeadlineId) {
        self.deadlines.clear(deadline);
    }

    /// Time has passed: expire what is overdue, give up what hangs, dial what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, deliver: &mut impl Deliver) {
        self.checked_at = now;
        self.expire_limited(now, deliver);
        let give_up = self.closing.is_some_and(|until| now >= until);
        for index in 0..self.entries.len() {
            let Some(entry) = self.entries.get_mut(index) else { continue };
            entry.expire_queued(now, &self.config, deliver);
            if give_up {
                self.counters.given_up += entry.give_up(deliver);
            }
            if self.closing.is_some() && entry.queue.is_empty() {
                entry.redial_at = None;
            }
            self.check_links(index, give_up, now, deliver);
            if self.entries.get(index).is_some_and(|entry| entry.is_redial_due(now)) {
                self.dial(index, now);
            }
            self.retry_handoff(index, now);
            self.close_drained(index, now, deliver);
        }
        self.check_peers(now);
        self.start_handoffs(now);
    }

    /// When [`Pool::handle_timeout`] has something to do, as far as is known now.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.is_shut_down() {
            return None;
        }
        let entries = self.entries.iter().map(|entry| entry.next_timeout(&self.config));
        let next = entries.fold(self.closing, earliest);
        let maintenance = earliest(self.handoffs.next_timeout(), self.peers.next_timeout());
        earliest(next, earliest(maintenance, self.deadlines.next()))
    }

    /// The same for one entry: what the driver of a connection asks after each turn.
    #[inline]
    pub(crate) fn next_timeout_of(&self, entry: EntryId) -> Option<Instant> {
        self.entries.get(entry.0 as usize)?.next_timeout(&self.config)
    }

    /// Whether [`Pool::poll_action`] or [`Pool::poll_event`] has something.
    #[inline]
    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty() || !self.events.is_empty()
    }

    /// Whether this connection is dialed, in use, or draining.
    #[inline]
    pub(crate) fn is_alive(&self, id: ConnectionId) -> bool {
        self.entries.get(id.entry.0 as usize).is_some_and(|entry| entry.role(id.generation).is_some())
    }

    /// The generation of the connection that an entry's commands are written to.
    #[inline]
    pub(crate) fn generation_in_use(&self, entry: EntryId) -> Option<u32> {
        self.entries.get(entry.0 as usize)?.current()
    }

    /// What the handshake of a ready connection agreed on.
    pub(crate) fn negotiated(&self, id: ConnectionId) -> Option<&Negotiated> {
        let active = self.entries.get(id.entry.0 as usize)?.active.as_ref()?;
        active.connection.negotiated().filter(|_| active.generation == id.generation)
    }

    /// What the driver has to do next.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What happened since the last call, for those who watch.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Accept no new command; finish what was accepted, until `until` at the latest.
    pub(crate) fn shut_down(&mut self, now: Instant, until: Instant, deliver: &mut impl Deliver) {
        self.closing = Some(self.closing.map_or(until, |earlier| earlier.min(until)));
        self.abandon_handoffs(now);
        self.handle_timeout(now, deliver);
    }

    /// After [`Pool::shut_down`]: every command is resolved and every connection closed.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.closing.is_some() && self.entries.iter().all(Entry::is_done)
    }

    /// How many connections commands can be sent on, of how many.
    pub(crate) fn ready(&self) -> (usize, usize) {
        (self.entries.iter().filter(|entry| entry.is_ready()).count(), self.entries.len())
    }

    /// What keeps an entry from being ready, the first one of those that are not.
    pub(crate) fn last_error(&self) -> Option<Arc<CloseReason>> {
        self.entries.iter().filter(|entry| !entry.is_ready()).find_map(|entry| entry.last_error.clone())
    }

    /// Commands queued, and commands in flight.
    pub(crate) fn depth(&mut self) -> (usize, usize) {
        self.entries.iter_mut().fold((0, 0), |(queued, in_flight), entry| {
            let written: usize = entry.links().map(|link| link.connection.in_flight()).sum();
            (queued + entry.queue.len(), in_flight + written)
        })
    }

    pub(crate) fn counters(&mut self) -> PoolCounters {
        let mut counters = self.counters;
        for link in self.entries.iter_mut().flat_map(Entry::links) {
            let (received, sent) = link.connection.traffic();
            counters.bytes_received += received;
            counters.bytes_sent += sent;
        }
        counters
    }

    /// What maintenance did so far.
    pub(crate) fn maintenance(&self) -> MaintenanceStats {
        MaintenanceStats {
            handoffs_queued: self.handoffs.depth(),
            permits_in_use: self.handoffs.in_use(),
            permits_in_use_max: self.handoffs.in_use_max(),
            windows_open: self.peers.iter().map(|(_, peer)| peer.windows.open_count(self.checked_at)).sum(),
            draining: self.entries.iter().map(|entry| entry.predecessors.len()).sum(),
            hold_max: self.entries.iter().map(|entry| entry.hold.longest).max().unwrap_or_default(),
            ..self.maintenance.clone()
        }
    }
}

#[cfg(test)]
mod tests;
