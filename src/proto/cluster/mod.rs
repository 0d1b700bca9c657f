//! [`Cluster`]: all nodes of a Redis or Valkey cluster, each with a [`Pool`] of its own, and every decision about them.
//!
//! ```text
//!                  Cluster                      the interface: the verbs of a pool
//!      ┌──────────────┼───────────────┐
//!    Nodes        Outstanding     Refreshing
//!      │              │               │
//!    Pool       RoutedCalls Gates    View       of each node; commands under way; how nodes see the cluster
//!                  Gathers          SlotMap
//! ```
//!
//! | file | what it is for |
//! |---|---|
//! | [`commands`], [`slot`], [`encoded`] | which arguments of a command are keys, and the slots of keys |
//! | [`route`], [`submit`] | to which nodes a command goes |
//! | [`calls`], [`gates`], [`gather`], [`outstanding`] | the commands that are under way |
//! | [`not_served`], [`resend`] | the commands that a node has not served, and where they go next |
//! | [`subscribe`], [`subscribed`] | which node carries the names of subscriptions |
//! | [`view`], [`refresh`], [`slot_map`], [`topology`] | which nodes there are, and which slots they own |

mod actions;
mod callers;
mod calls;
pub(crate) mod commands;
mod config;
pub(crate) mod encoded;
mod gates;
mod gather;
mod ids;
mod left;
mod nodes;
mod not_served;
mod outstanding;
mod refresh;
mod resend;
mod route;
pub(crate) mod slot;
mod slot_map;
mod stats;
mod submit;
mod subscribe;
mod subscribed;
mod topology;
mod view;

use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use self::config::{AddressMap, ClusterConfig};

use self::calls::CallPlace;
use self::ids::NodeId;
use self::left::Left;
use self::nodes::{Node, Nodes};
use self::outstanding::{Intake, Outstanding};
use self::refresh::Refreshing;
use self::slot_map::SlotMap;
use super::connection::{Credentials, Deliver, EntryId, QueueBounds, Ticket};
use super::error::{CloseReason, Failure, Outcome};
use super::maint::event::Event;
use super::maint::notification::Announcement;
use super::pool::{Action, ConnectionId, ConnectionMut, Deadlines, Pool};
use super::time::{Instant, earliest};

/// All nodes of a cluster, and every decision about them. A driver holds it in place of a [`Pool`], by the same verbs.
///
/// It guarantees what a pool does: each accepted command is resolved once, and no command is written twice unless the server has said
/// that it did not execute it. The commands of one handle **to one slot** reach the cluster in their order, through redirects too.
///
/// Each node has a pool of its own, and the nodes do not depend on each other: one that is stopped holds up nothing but what was sent
/// to it. The commands of a slot whose owner changes, and that are not written yet, go to the new owner.
///
/// Entries and connections have names that say which node they belong to. Handles are bound to an entry of every pool at once: the
/// first handle to the first entry of each node, and so on.
#[derive(Debug)]
pub(crate) struct Cluster {
    config: ClusterConfig,
    nodes: Nodes,
    map: SlotMap,
    outstanding: Outstanding,
    refreshing: Refreshing,
    deadlines: Deadlines,
    /// Calls to every owner of slots that came before any was known.
    unrouted: Vec<Ticket>,
    /// Calls that could not be handed to a pool.
    failed: Vec<(Ticket, Failure)>,
    /// The nodes whose pools may have an action or an event.
    touched: Vec<NodeId>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    /// [`Cluster::handle_timeout`] has to follow soon.
    needs_turn: bool,
    /// A refresh is due, and no node can be asked.
    is_refresh_blocked: bool,
    /// A view was taken over.
    is_known: bool,
    check_at: Option<Instant>,
    command_timeout: Duration,
    queue: QueueBounds,
    next_entry: usize,
    next_owner: usize,
    left: Left,
    random: fastrand::Rng,
}

impl Cluster {
    /// A cluster that dials its seeds at once.
    pub(crate) fn new(config: ClusterConfig, now: Instant) -> Self {
        let mut cluster = Cluster {
            nodes: Nodes::new(&config, now),
            map: SlotMap::new(),
            outstanding: Outstanding { now, ..Outstanding::default() },
            refreshing: Refreshing::new(now),
            deadlines: Deadlines::default(),
            unrouted: Vec::new(),
            failed: Vec::new(),
            touched: Vec::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            needs_turn: true,
            is_refresh_blocked: true,
            is_known: false,
            check_at: None,
            command_timeout: config.pool.connection.command_timeout,
            queue: config.pool.queue,
            next_entry: 0,
            next_owner: 0,
            left: Left::default(),
            random: fastrand::Rng::with_seed(config.pool.seed),
            config,
        };
        cluster.add_seeds();
        cluster
    }

    /// The entry that the next handle is bound to: each in turn.
    pub(crate) fn assign(&mut self) -> EntryId {
        let id = EntryId(u32::try_from(self.next_entry).unwrap_or_default());
        self.next_entry = (self.next_entry + 1) % self.config.pool.connections.max(1);
        id
    }

    /// A connection, for one call of its driver that delivers nothing.
    #[inline]
    pub(crate) fn connection(&mut self, id: ConnectionId) -> ConnectionMut<'_> {
        let (node, within) = self.nodes.numbering().connection_within(id);
        self.touch(node);
        self.nodes.pool(node).connection(within)
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
        self.receive(id, now, deliver, |connection, intake| connection.handle_bytes(input, now, intake))
    }

    /// Handles what was read into the buffer of a large value; false once the connection is over.
    pub(crate) fn handle_filled(
        &mut self,
        id: ConnectionId,
        count: usize,
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> bool {
        self.receive(id, now, deliver, |connection, intake| connection.handle_filled(count, now, intake))
    }

    /// A dial failed, or a socket ended or broke.
    pub(crate) fn handle_closed(
        &mut self,
        id: ConnectionId,
        reason: CloseReason,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.outstanding.now = now;
        let Some((node, known, _)) = self.nodes.of(id) else { return };
        if known.note_end(&reason) {
            self.outstanding.suspects.push(node);
        }
        self.receive(id, now, deliver, |connection, intake| {
            connection.handle_closed(reason, now, intake);
            false
        });
    }

    /// The generation of the connection that an entry's commands are written to.
    #[inline]
    pub(crate) fn active_generation(&self, entry: EntryId) -> Option<u32> {
        let (node, entry) = self.nodes.numbering().within(entry);
        self.nodes.get(node)?.pool.entries().active_generation(entry)
    }

    /// Whether a command submitted now finds room within the bounds of the queues of all owners of slots.
    pub(crate) fn has_room(&self) -> bool {
        let owners = self.nodes.owners().count().max(1);
        let calls = &self.outstanding.calls;
        calls.len() < self.queue.commands.saturating_mul(owners)
            && calls.bytes() < self.queue.bytes.saturating_mul(owners)
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, deliver: &mut impl Deliver) {
        self.outstanding.now = now;
        self.needs_turn = false;
        while let Some(call) = self.deadlines.pop(now) {
            self.expire(call, now, deliver);
        }
        for id in self.nodes.ids() {
            self.with_pool(id, deliver, |pool, intake| pool.handle_timeout(now, intake));
            let is_over =
                |node: &Node| node.is_leaving && node.pool.is_shut_down() && !node.pool.has_actions();
            if self.nodes.get(id).is_some_and(is_over)
                && let Some(node) = self.nodes.remove(id)
            {
                self.left.add(&node.pool);
            }
        }
        if self.check_at.is_none_or(|at| at <= now) {
            self.check(deliver);
        }
        self.settle(deliver);
    }

    /// Another shard has read this.
    pub(crate) fn handle_announcement(
        &mut self,
        announcement: &Announcement,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.outstanding.now = now;
        self.note_announcement(announcement);
        for id in self.nodes.ids() {
            let announcement = announcement.clone();
            self.with_pool(id, deliver, |pool, intake| pool.handle_announcement(announcement, now, intake));
        }
        self.settle(deliver);
    }

    /// When [`Cluster::handle_timeout`] has something to do, as far as is known now.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.is_shut_down() {
            return None;
        }
        let pools = self.nodes.iter().fold(None, |next, (_, node)| earliest(next, node.pool.next_timeout()));
        let refresh = self.refreshing.next_timeout().filter(|_| !self.is_refresh_blocked);
        let own = earliest(refresh, earliest(self.outstanding.gates.next_timeout(), self.check_at));
        earliest(earliest(pools, own), self.deadlines.next_timeout())
    }

    /// Replaces the credentials of all nodes.
    pub(crate) fn renew(&mut self, credentials: &Credentials, now: Instant) {
        self.outstanding.now = now;
        for (_, node) in self.nodes.iter_mut() {
            node.pool.renew(credentials.clone(), now);
        }
        self.touched = self.nodes.ids();
    }

    /// Accepts no new command, and finishes those that were accepted, until `until` at the latest.
    pub(crate) fn shut_down(&mut self, now: Instant, until: Instant, deliver: &mut impl Deliver) {
        self.outstanding.now = now;
        self.outstanding.is_closing = true;
        for ticket in self.outstanding.gates.clear() {
            self.outstanding.fail(ticket, Failure::ShutDown(Outcome::Unsent), deliver);
        }
        for id in self.nodes.ids() {
            self.with_pool(id, deliver, |pool, intake| pool.shut_down(now, until, intake));
        }
        self.settle(deliver);
    }

    /// After [`Cluster::shut_down`]: every command is resolved and every connection closed.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.outstanding.is_closing && self.nodes.iter().all(|(_, node)| node.pool.is_shut_down())
    }

    /// Calls the pool of a node, which delivers to the calls of the cluster.
    fn with_pool<D: Deliver, T>(
        &mut self,
        id: NodeId,
        deliver: &mut D,
        call: impl FnOnce(&mut Pool, &mut Intake<'_, D>) -> T,
    ) -> Option<T> {
        let node = self.nodes.get_mut(id)?;
        let mut intake =
            Intake { node: id, endpoint: &node.endpoint, outstanding: &mut self.outstanding, deliver };
        let result = call(&mut node.pool, &mut intake);
        self.touch(id);
        Some(result)
    }

    #[inline]
    fn receive<D: Deliver>(
        &mut self,
        id: ConnectionId,
        now: Instant,
        deliver: &mut D,
        receive: impl FnOnce(ConnectionMut<'_>, &mut Intake<'_, D>) -> bool,
    ) -> bool {
        self.outstanding.now = now;
        let Some((node, known, within)) = self.nodes.of(id) else { return false };
        known.heard = now;
        if std::mem::take(&mut known.is_silent) {
            self.outstanding.gates.hurry();
        }
        let mut intake =
            Intake { node, endpoint: &known.endpoint, outstanding: &mut self.outstanding, deliver };
        let is_alive = receive(known.pool.connection(within), &mut intake);
        self.touch(node);
        if self.outstanding.has_news() {
            self.settle(deliver);
        }
        is_alive
    }

    /// Looks for nodes that say nothing, for commands that wait too long, and for nodes that are of no use.
    fn check(&mut self, deliver: &mut impl Deliver) {
        let now = self.outstanding.now;
        let mut is_any_silent = false;
        for (_, node) in self.nodes.iter_mut() {
            if node.pool.entries().shared_in_flight() == 0 {
                node.heard = now;
            }
            node.is_silent = now.since(node.heard) >= SILENT;
            is_any_silent |= node.is_owner && node.is_silent;
        }
        if is_any_silent {
            self.note_evidence(true);
        }
        self.expire_waiting(deliver);
        self.let_unused_leave(deliver);
        let is_idle = self.outstanding.calls.len() == 0 && self.nodes.iter().all(|(_, node)| node.is_owner);
        self.check_at = Some(now.after(if is_idle { CHECK_IDLE } else { CHECK }));
    }
}

/// How often the cluster is checked while commands are under way.
const CHECK: Duration = Duration::from_millis(250);
const CHECK_IDLE: Duration = Duration::from_secs(1);
/// A node that has answered nothing for so long, although commands are in flight there, may be gone.
const SILENT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
