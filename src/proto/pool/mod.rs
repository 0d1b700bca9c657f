//! [`Pool`]: all connections of one shard, and every decision about them.
//!
//! The only root that a driver, or the simulator, holds. It says what to dial and what to close
//! ([`Pool::poll_action`]), what to write ([`Pool::poll_transmit`]), and when to be asked again
//! ([`Pool::next_timeout`]). Replies go straight to the [`Deliver`] that the driver hands in: there is no queue
//! of events between a socket and a caller.

mod entry;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::entry::Entry;
use super::connection::{
    Connection, ConnectionConfig, Deliver, Lane, Position, Protocol, QueueBounds, Ticket,
};
use super::endpoint::Endpoint;
use super::error::{CloseReason, Failure, Outcome};
use super::maint::event::{Event, MaintenanceStats};
use super::maint::notification::Announcement;
use super::maint::settings::MaintConfig;
use super::resp::Frame;
use super::time::{Instant, earliest};

/// What a pool is made of.
#[derive(Clone, Debug)]
pub(crate) struct PoolConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) connections: usize,
    pub(crate) connection: ConnectionConfig,
    pub(crate) queue: QueueBounds,
    pub(crate) maint: MaintConfig,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
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
    /// Connect to this endpoint, all in all within `timeout`, then say [`Pool::handle_connected`] or
    /// [`Pool::handle_closed`].
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
    /// Commands that were given up because the time to shut down was over.
    pub(crate) given_up: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

/// A deadline that a caller set for one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadlineId(pub(crate) u64);

#[derive(Debug)]
pub(crate) struct Pool {
    config: PoolConfig,
    entries: Vec<Entry>,
    actions: VecDeque<Action>,
    random: fastrand::Rng,
    counters: PoolCounters,
    /// Set once no new command is accepted: when what is left is given up.
    closing: Option<Instant>,
    next_entry: u32,
}

impl Pool {
    /// A pool that begins to dial all of its connections at once.
    pub(crate) fn new(config: PoolConfig, now: Instant) -> Self {
        let random = fastrand::Rng::with_seed(config.seed);
        let entries = (0..config.connections).map(|_| Entry::new(&config)).collect();
        let mut pool = Pool {
            config,
            entries,
            actions: VecDeque::new(),
            random,
            counters: PoolCounters::default(),
            closing: None,
            next_entry: 0,
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
        lane: Lane,
        ticket: Ticket,
        replies: u32,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Position, Failure> {
        if self.closing.is_some() {
            return Err(Failure::ShutDown(Outcome::Unsent));
        }
        match self.entries.get_mut(entry.0 as usize) {
            Some(entry) => entry.submit(lane, ticket, replies, encode),
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
            entry.abandon(position);
        }
    }

    /// A dial succeeded; false if nobody wants the socket any more.
    pub(crate) fn handle_connected(
        &mut self,
        id: ConnectionId,
        _peer: Option<SocketAddr>,
        now: Instant,
    ) -> bool {
        let Some(entry) = entry_of(&mut self.entries, id) else { return false };
        entry.handle_connected(now, &self.config);
        true
    }

    /// Another shard has read this.
    pub(crate) fn handle_announcement(&mut self, _announcement: Announcement, _now: Instant) {}

    /// A look-up is done: every address that the name has, or why there is none.
    pub(crate) fn handle_resolved(
        &mut self,
        _lookup: LookupId,
        _result: Result<Vec<SocketAddr>, String>,
        _now: Instant,
    ) {
    }

    /// Gives a command a deadline of its own, which nothing relaxes.
    pub(crate) fn set_deadline(
        &mut self,
        _entry: EntryId,
        _position: Position,
        _ticket: Ticket,
        _at: Instant,
    ) -> DeadlineId {
        DeadlineId(0)
    }

    /// The command is answered, or abandoned.
    pub(crate) fn clear_deadline(&mut self, _deadline: DeadlineId) {}

    /// What happened since the last call, for those who watch.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// The generation of the connection that an entry's commands are written to.
    #[inline]
    pub(crate) fn generation_in_use(&self, entry: EntryId) -> u32 {
        self.entries.get(entry.0 as usize).map_or(0, |entry| entry.generation)
    }

    /// What maintenance did so far.
    pub(crate) fn maintenance(&self) -> MaintenanceStats {
        MaintenanceStats::default()
    }

    /// A dial failed, or a socket ended or broke.
    pub(crate) fn handle_closed(
        &mut self,
        id: ConnectionId,
        reason: CloseReason,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        if entry_of(&mut self.entries, id).is_some() {
            self.end(id, reason, now, deliver);
        }
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
        self.receive(id, now, deliver, |connection, deliver| connection.handle_bytes(now, input, deliver))
    }

    /// Where the next bytes of this connection are to be read to, if anywhere in particular; then call
    /// [`Pool::handle_space`].
    pub(crate) fn space(&mut self, id: ConnectionId) -> Option<&mut [u8]> {
        entry_of(&mut self.entries, id)?.active.as_mut()?.space()
    }

    /// Takes in `count` bytes that were read into [`Pool::space`]; false once the connection is no more.
    pub(crate) fn handle_space(
        &mut self,
        id: ConnectionId,
        count: usize,
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> bool {
        self.receive(id, now, deliver, |connection, deliver| connection.handle_space(now, count, deliver))
    }

    /// What this connection writes next, possibly nothing; then call [`Pool::handle_written`]. `None` once the
    /// connection is no more.
    #[inline]
    pub(crate) fn poll_transmit(&mut self, id: ConnectionId, now: Instant) -> Option<&[u8]> {
        let entry = entry_of(&mut self.entries, id)?;
        let connection = entry.active.as_mut()?;
        Some(connection.poll_transmit(now, &mut entry.queue, &self.config.connection))
    }

    /// The socket took `count` bytes of what was to be transmitted.
    pub(crate) fn handle_written(&mut self, id: ConnectionId, count: usize) {
        if let Some(connection) = entry_of(&mut self.entries, id).and_then(|entry| entry.active.as_mut()) {
            connection.handle_written(count);
        }
    }

    /// Time has passed: expire what is overdue, give up what hangs, dial what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, deliver: &mut impl Deliver) {
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
            let id = entry.current(index);
            let redial = entry.is_redial_due(now);
            let checked = match give_up {
                true => Err(CloseReason::Local),
                false => entry.check_connection(now, &self.config, deliver),
            };
            if let Err(reason) = checked {
                self.end(id, reason, now, deliver);
            } else if redial {
                self.dial(index, now);
            } else {
                self.close_if_drained(id, now, deliver);
            }
        }
    }

    /// When [`Pool::handle_timeout`] has something to do, as far as is known now.
    pub(crate) fn next_timeout(&mut self) -> Option<Instant> {
        let config = &self.config;
        let entries = self.entries.iter_mut().map(|entry| entry.next_timeout(config));
        entries.fold(self.closing, earliest)
    }

    /// The same for one entry: what the driver of a connection asks after each turn.
    pub(crate) fn next_timeout_of(&mut self, entry: EntryId) -> Option<Instant> {
        self.entries.get_mut(entry.0 as usize)?.next_timeout(&self.config)
    }

    /// Whether [`Pool::poll_action`] has something.
    pub(crate) fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Whether this connection is dialed, in use, or draining.
    pub(crate) fn is_alive(&self, id: ConnectionId) -> bool {
        let entry = self.entries.get(id.entry.0 as usize);
        entry.is_some_and(|entry| entry.generation == id.generation && entry.active.is_some())
    }

    /// The protocol that a ready connection speaks.
    pub(crate) fn protocol(&self, id: ConnectionId) -> Option<Protocol> {
        let entry =
            self.entries.get(id.entry.0 as usize).filter(|entry| entry.generation == id.generation)?;
        entry.active.as_ref()?.protocol()
    }

    /// What the driver has to do next.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Accept no new command; finish what was accepted, until `until` at the latest.
    pub(crate) fn shut_down(&mut self, now: Instant, until: Instant, deliver: &mut impl Deliver) {
        self.closing = Some(self.closing.map_or(until, |earlier| earlier.min(until)));
        self.handle_timeout(now, deliver);
    }

    /// After [`Pool::shut_down`]: every command is resolved and every connection closed.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.closing.is_some()
            && self.entries.iter().all(|entry| entry.active.is_none() && entry.queue.is_empty())
    }

    /// How many connections commands can be sent on, of how many.
    pub(crate) fn ready(&self) -> (usize, usize) {
        (self.entries.iter().filter(|entry| entry.is_ready()).count(), self.entries.len())
    }

    /// What keeps an entry from being ready, the first one of those that are not.
    pub(crate) fn obstacle(&self) -> Option<Arc<CloseReason>> {
        self.entries.iter().filter(|entry| !entry.is_ready()).find_map(|entry| entry.obstacle.clone())
    }

    /// Commands queued, and commands in flight.
    pub(crate) fn depth(&self) -> (usize, usize) {
        self.entries.iter().fold((0, 0), |(queued, in_flight), entry| {
            let written = entry.active.as_ref().map_or(0, |connection| connection.in_flight());
            (queued + entry.queue.len(), in_flight + written)
        })
    }

    pub(crate) fn counters(&self) -> PoolCounters {
        let mut counters = self.counters;
        for connection in self.entries.iter().filter_map(|entry| entry.active.as_ref()) {
            let (received, sent) = connection.traffic();
            counters.bytes_received += received;
            counters.bytes_sent += sent;
        }
        counters
    }

    #[inline]
    fn receive<D: Deliver>(
        &mut self,
        id: ConnectionId,
        now: Instant,
        deliver: &mut D,
        receive: impl FnOnce(&mut Connection, &mut Counted<'_, D>) -> Result<(), CloseReason>,
    ) -> bool {
        let Some(entry) = entry_of(&mut self.entries, id) else { return false };
        let Some(connection) = entry.active.as_mut() else { return false };
        let was_ready = connection.ready_since().is_some();
        let mut counted = Counted { deliver, pushes: 0 };
        let received = receive(connection, &mut counted);
        self.counters.pushes += counted.pushes;
        if !was_ready && connection.ready_since().is_some() {
            entry.handle_ready();
            self.counters.connected += 1;
            self.actions.push_back(Action::Ready { id });
        }
        if let Err(reason) = received {
            self.end(id, reason, now, deliver);
            return false;
        }
        if self.closing.is_some() {
            return !self.close_if_drained(id, now, deliver);
        }
        true
    }

    fn dial(&mut self, index: usize, now: Instant) {
        if let Some(entry) = self.entries.get_mut(index) {
            let id = entry.dial(index, now, &self.config);
            let (endpoint, timeout) = (self.config.endpoint.clone(), self.config.connection.connect_timeout);
            self.actions.push_back(Action::Dial { id, endpoint, timeout });
        }
    }

    fn end(&mut self, id: ConnectionId, reason: CloseReason, now: Instant, deliver: &mut impl Deliver) {
        let Some(entry) = entry_of(&mut self.entries, id) else { return };
        let Some(connection) = entry.active.take() else { return };
        let (received, sent) = connection.traffic();
        self.counters.bytes_received += received;
        self.counters.bytes_sent += sent;
        let unused = connection.ready_since().is_none();
        let reason = Arc::new(reason);
        if unused {
            self.counters.dial_failures += 1;
        } else if !matches!(*reason, CloseReason::Local) {
            self.counters.lost += 1;
        }
        entry.handle_end(connection, &reason, now, &self.config, &mut self.random, deliver);
        if self.closing.is_some() && entry.queue.is_empty() {
            entry.redial_at = None;
        }
        self.actions.push_back(Action::Close { id, reason, unused });
    }

    /// While shutting down: closes a connection that has nothing left to do. True if it did.
    fn close_if_drained(&mut self, id: ConnectionId, now: Instant, deliver: &mut impl Deliver) -> bool {
        let Some(entry) = entry_of(&mut self.entries, id) else { return false };
        if self.closing.is_none() || !entry.queue.is_empty() {
            return false;
        }
        let ready = entry.is_ready();
        let Some(connection) = entry.active.as_mut() else { return false };
        connection.drain();
        let done = connection.is_idle() || !ready;
        if done {
            self.end(id, CloseReason::Local, now, deliver);
        }
        done
    }
}

#[inline]
fn entry_of(entries: &mut [Entry], id: ConnectionId) -> Option<&mut Entry> {
    let entry = entries.get_mut(id.entry.0 as usize)?;
    (entry.generation == id.generation && entry.active.is_some()).then_some(entry)
}

/// Counts pushes on their way.
struct Counted<'a, D> {
    deliver: &'a mut D,
    pushes: u64,
}

impl<D: Deliver> Deliver for Counted<'_, D> {
    #[inline]
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        self.deliver.reply(ticket, frame, last);
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.deliver.fail(ticket, failure);
    }

    fn push(&mut self, frame: Frame) {
        self.pushes += 1;
        self.deliver.push(frame);
    }
}

#[cfg(test)]
mod tests;
