//! The state that all sessions of a server share.

pub(crate) mod blocked;

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use self::blocked::BlockedSessions;
use super::cluster::state::ClusterState;
use super::config::ServerConfig;
use super::data::keyspace::Keyspace;
use super::data::subscribers::Subscribers;
use super::ids::{NodeId, SessionId};
use super::maintenance::agenda::{Action, Agenda};
use super::maintenance::audit::Audit;
use super::maintenance::fault::Fault;
use super::maintenance::node::{Node, endpoint_for};
use super::maintenance::notification::{Notification, NotificationKind, SmigratedShape, Subject};
use super::session::Session;

/// The state that all sessions share.
///
/// It does not own the sessions, so that a command can change this state and its own session at the same time.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) keyspace: Keyspace,
    pub(crate) subscribers: Subscribers,
    pub(crate) blocked: BlockedSessions,
    pub(crate) nodes: Vec<Node>,
    /// Present if the nodes are those of a cluster. Each shard of it has a database of its own.
    pub(crate) cluster: Option<Box<ClusterState>>,
    pub(crate) config: ServerConfig,
    pub(crate) random: fastrand::Rng,
    pub(crate) started_us: u64,
    pub(crate) commands: u64,
    pub(crate) sessions_opened: u64,
    /// Sessions whose output or ending was changed by something other than their own input.
    pub(crate) dirty_sessions: Vec<SessionId>,
    /// Nodes that started or stopped listening.
    pub(crate) dirty_nodes: Vec<NodeId>,
    /// The sequence number of the next maintenance notification of any kind.
    pub(crate) sequence: u64,
    /// How SMIGRATED is written.
    pub(crate) shape: SmigratedShape,
    /// The number of MOVINGs so far. Each planned close holds the number of its MOVING.
    pub(crate) moves: u64,
    pub(crate) agenda: Agenda,
    pub(crate) failed_steps: u64,
    pub(crate) audit: Audit,
    /// The time of the last call.
    pub(crate) now_us: u64,
}

impl ServerState {
    pub(crate) fn new(config: ServerConfig, nodes: Vec<SocketAddr>, now_us: u64) -> Self {
        let databases = NonZeroUsize::new(nodes.len()).filter(|_| config.cluster.is_some());
        let mut state = Self {
            keyspace: Keyspace::new(databases.unwrap_or(config.databases)),
            cluster: None,
            subscribers: Subscribers::default(),
            blocked: BlockedSessions::default(),
            nodes: nodes.into_iter().map(Node::new).collect(),
            random: fastrand::Rng::with_seed(config.seed),
            config,
            started_us: now_us,
            commands: 0,
            sessions_opened: 0,
            dirty_sessions: Vec::new(),
            dirty_nodes: Vec::new(),
            sequence: 0,
            shape: SmigratedShape::default(),
            moves: 0,
            failed_steps: 0,
            agenda: Agenda::default(),
            audit: Audit::default(),
            now_us,
        };
        state.build_cluster();
        state
    }

    /// Builds the cluster, if the server is one, as it was at the start.
    pub(crate) fn build_cluster(&mut self) {
        let addresses: Vec<SocketAddr> = self.nodes.iter().map(|node| node.address).collect();
        let cluster =
            self.config.cluster.map(|config| ClusterState::new(&config, &addresses, self.config.seed));
        self.cluster = cluster.map(Box::new);
    }

    /// The database that a session at `node` uses first.
    pub(crate) fn first_database(&self, node: NodeId) -> usize {
        self.cluster.as_ref().map_or(0, |cluster| cluster.database(cluster.at(node)))
    }

    /// The listener of a spare node at this address.
    pub(crate) fn spare_at(&self, address: &str) -> Option<NodeId> {
        let cluster = self.cluster.as_ref()?;
        let listener = NodeId(self.nodes.iter().position(|node| node.address.to_string() == address)?);
        Some(listener).filter(|listener| !cluster.is_joined(cluster.at(*listener)))
    }

    /// Applies the output limit and the node's faults to new output of `session`. It must follow every change of a
    /// session's output, or delayed output is never released.
    pub(crate) fn account_output(&mut self, session: &mut Session, now_us: u64) {
        session.limit_output();
        let pending = session.reply.pending().len();
        let Some(filter) = &mut session.fault_filter else {
            return;
        };
        let mut idle = now_us;
        let busy_us = self.nodes.get_mut(session.node.0).map_or(&mut idle, |node| &mut node.busy_us);
        let ready_us = filter.ready_us(session.counts.commands, now_us, busy_us);
        if let Some(at_us) = filter.note_output(pending, ready_us)
            && !self.agenda.plan(at_us, Action::Release { session: session.id })
        {
            // The agenda is full, so this session continues without the delay.
            filter.release(u64::MAX);
        }
    }

    /// Sends a notification to a session, if it has opted in.
    pub(crate) fn notify(&mut self, session: &mut Session, notification: &Notification, now_us: u64) {
        let Some(wanted) = session.opt_in.filter(|_| session.receives_notifications()) else {
            return;
        };
        let endpoint = match &notification.subject {
            Subject::Target(Some(target)) => endpoint_for(&self.nodes, target, wanted),
            Subject::Target(None) | Subject::Text(_) | Subject::Moves(_) => None,
        };
        let mut frame = Vec::new();
        notification.write(now_us, endpoint.as_deref(), self.shape, &mut frame);
        let kind = NotificationKind::ALL.iter().position(|kind| *kind == notification.kind);
        self.push(session, &frame, kind.unwrap_or(NotificationKind::ALL.len()), now_us);
    }

    /// Sends raw bytes to a session, between two frames.
    pub(crate) fn push_raw(&mut self, session: &mut Session, bytes: &[u8], now_us: u64) {
        if session.ending.is_none() {
            self.push(session, bytes, NotificationKind::ALL.len(), now_us);
        }
    }

    /// Sends a message of a channel to a session, whose `fields` are written to `body`. The faults for pushes do not
    /// apply to it: they are those of announcements.
    pub(crate) fn send_message(&mut self, session: &mut Session, fields: usize, body: &[u8], now_us: u64) {
        session.push_message(fields, body);
        if session.is_executing {
            // The server accounts the output after the reply, but one transaction can publish without end.
            session.limit_output();
            return;
        }
        self.account_output(session, now_us);
        // One mark is enough for all messages that the session gets meanwhile.
        if !std::mem::replace(&mut session.has_new_messages, true) {
            self.dirty_sessions.push(session.id);
        }
    }

    /// Adds a push to the output, and applies the node's faults for pushes.
    fn push(&mut self, session: &mut Session, frame: &[u8], kind: usize, now_us: u64) {
        let Some(node) = self.nodes.get_mut(session.node.0) else {
            return;
        };
        let copies = node.copies().min((COPIES_BYTES_MAX / frame.len().max(1)).max(1));
        if let Some(count) = node.pushes.get_mut(kind) {
            *count += copies as u64;
        }
        session.counts.pushes += copies as u64;
        let shown = frame.get(..LOGGED_BYTES_MAX).unwrap_or(frame).escape_ascii();
        tracing::info!(node = %session.node, session = %session.id, copies, frame = %shown, "push");
        let frames = frame.repeat(copies);
        let reorders = node.faults.contains(&Fault::Reorder);
        match session.reordered_push.take() {
            Some(first) => {
                session.push(&frames);
                session.push(&first);
            }
            None if reorders => session.reordered_push = Some(frames),
            None => session.push(&frames),
        }
        // During a command, the server accounts the output after the reply.
        if !session.is_executing {
            self.account_output(session, now_us);
            self.dirty_sessions.push(session.id);
        }
    }
}

/// Most bytes of a push that a log line shows.
const LOGGED_BYTES_MAX: usize = 256;
/// Most bytes of all copies of one push to one connection, unless a single copy is longer (64 MiB).
const COPIES_BYTES_MAX: usize = 64 << 20;
