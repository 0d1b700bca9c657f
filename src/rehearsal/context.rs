//! The context in which all that changes several sessions at once is executed.

mod failover;
pub(crate) mod migration;
mod topology;

use std::collections::BTreeMap;

use super::ending::Ending;
use super::ids::{NodeId, SessionId};
use super::maintenance::agenda::Action;
use super::maintenance::close_policy::{ClosePolicy, PlannedClose};
use super::maintenance::notification::{Notification, NotificationKind, Subject};
use super::session::Session;
use super::state::ServerState;

/// The server as a verb of `REHEARSE` or a planned action sees it: the shared state and all sessions.
///
/// The server builds a context for the duration of one call, from parts that it owns:
///
/// - `state` is shared by all sessions.
/// - `others` holds every session but the one whose command is being executed. The server takes that session out of the
///   map first, so that a command can change its own session and all others.
/// - `current` is that session; `None` when a timer or the owner of the server calls.
///
/// Each method leaves every session consistent. A session whose output or ending changes is listed in
/// `state.dirty_sessions`, and its output is accounted with `ServerState::account_output`. The current session is the
/// exception: pushes to it wait behind the reply, and an ending lets it write the reply first. A context must never be
/// built while a session is outside of both `others` and `current`, because that session would miss announcements and
/// closes.
pub(crate) struct ServerContext<'a> {
    pub(crate) state: &'a mut ServerState,
    pub(crate) others: &'a mut BTreeMap<SessionId, Box<Session>>,
    pub(crate) current: Option<&'a mut Session>,
    pub(crate) now_us: u64,
}

/// The nodes and connections to which a verb applies.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) nodes: Vec<NodeId>,
    /// Only this connection of the nodes.
    pub(crate) only: Option<SessionId>,
}

impl Scope {
    /// All connections of one node.
    pub(crate) fn of_node(node: NodeId) -> Self {
        Self { nodes: vec![node], only: None }
    }
}

impl ServerContext<'_> {
    /// Calls `f` with each session of `scope`, in the order in which they were opened, and with the current one last.
    pub(crate) fn for_each(&mut self, scope: &Scope, mut f: impl FnMut(&mut ServerState, &mut Session)) {
        let others = self.others.values_mut().map(|session| &mut **session);
        for session in others.chain(self.current.as_deref_mut()) {
            if scope.nodes.contains(&session.node) && scope.only.is_none_or(|id| id == session.id) {
                f(self.state, session);
            }
        }
    }

    /// Announces a maintenance notification under the next sequence number. It is kept for later opt-ins, and sent to
    /// the connections of `scope` that have opted in.
    pub(crate) fn announce(
        &mut self,
        scope: &Scope,
        kind: NotificationKind,
        until_us: Option<i64>,
        subject: Subject,
    ) {
        let sequence = self.state.sequence;
        self.state.sequence = sequence.wrapping_add(1);
        let notification = Notification { kind, sequence, until_us, subject };
        for node in &scope.nodes {
            if let Some(node) = self.state.nodes.get_mut(node.0) {
                node.remember(&notification);
            }
        }
        let now_us = self.now_us;
        self.for_each(scope, |state, session| state.notify(session, &notification, now_us));
    }

    /// Plans the close of the connections of `node`, which replaces an earlier plan.
    pub(crate) fn plan_close(&mut self, node: NodeId, policy: ClosePolicy, grace_us: u64) {
        let Some(moving) = self.state.nodes.get_mut(node.0) else {
            return;
        };
        self.state.moves += 1;
        let move_id = self.state.moves;
        moving.planned_close = Some(PlannedClose { move_id, policy, last: None });
        if let Some(at_us) = policy.close_us(self.now_us, grace_us)
            && !self.state.agenda.plan(at_us, Action::CloseNode { node, move_id })
        {
            tracing::warn!(%node, "the agenda is full: this node will not close after its MOVING");
        }
    }

    /// `node` returns before the close of its MOVING. Later connections do not get the MOVING, and outlive the close.
    pub(crate) fn return_node(&mut self, node: NodeId) {
        let last = SessionId(self.state.sessions_opened);
        let Some(node) = self.state.nodes.get_mut(node.0) else {
            return;
        };
        node.forget_moving();
        if let Some(planned) = &mut node.planned_close {
            planned.last.get_or_insert(last);
        }
    }

    /// Executes the close that MOVING `move_id` has planned, unless a later MOVING has replaced it.
    pub(crate) fn close_moved(&mut self, node: NodeId, move_id: u64) {
        let Some(moved) = self.state.nodes.get_mut(node.0) else {
            return;
        };
        let planned = moved.planned_close.take_if(|latest| latest.move_id == move_id);
        let Some(PlannedClose { policy, last, .. }) = planned else {
            return;
        };
        let scope = Scope::of_node(node);
        if let Some(last) = last {
            return self.close_up_to(&scope, last, policy.ending);
        }
        let moving = moved.windows.iter().find(|window| window.kind == NotificationKind::Moving).cloned();
        moved.forget_moving();
        if policy.refuses_after {
            moved.listens = false;
            self.state.dirty_nodes.push(node);
        }
        let now_us = self.now_us;
        if let Some(moving) = moving.filter(|_| policy.leaves_unread) {
            self.for_each(&scope, |state, session| state.notify(session, &moving, now_us));
        }
        self.close(&scope, policy.ending);
    }

    /// Ends the connections of `scope`. The current session gets its reply first.
    pub(crate) fn close(&mut self, scope: &Scope, ending: Ending) {
        self.close_up_to(scope, SessionId(u64::MAX), ending);
    }

    /// As [`ServerContext::close`], without the connections that were opened after `last`.
    fn close_up_to(&mut self, scope: &Scope, last: SessionId, ending: Ending) {
        let mut closing = Vec::new();
        self.for_each(scope, |state, session| {
            if session.id > last {
                return;
            }
            tracing::info!(node = %session.node, session = %session.id, ?ending, "close");
            let is_first = session.ending.is_none();
            if session.is_executing {
                session.close();
            } else {
                session.end_with(ending);
                state.dirty_sessions.push(session.id);
            }
            if is_first && session.ending == Some(Ending::AfterOutput) {
                closing.push(session.id);
            }
        });
        if !closing.is_empty() {
            let at_us = self.now_us.saturating_add(UNREAD_KEPT_US);
            self.state.agenda.plan(at_us, Action::CloseUnread { sessions: closing });
        }
    }

    /// Closes those of `sessions` whose clients have not read their output in time.
    pub(crate) fn close_unread(&mut self, sessions: &[SessionId]) {
        for id in sessions {
            let Some(session) = self.others.get_mut(id) else {
                continue;
            };
            if session.ending == Some(Ending::AfterOutput) {
                session.end_with(Ending::AtOnce);
                self.state.dirty_sessions.push(*id);
            }
        }
    }

    /// Applies changed faults, or changed listening, of `nodes` to their connections.
    pub(crate) fn apply_faults(&mut self, nodes: &[NodeId]) {
        self.state.dirty_nodes.extend_from_slice(nodes);
        let (scope, now_us) = (Scope { nodes: nodes.to_vec(), only: None }, self.now_us);
        self.for_each(&scope, |state, session| {
            let faults = state.nodes.get(session.node.0).map_or(&[][..], |node| &node.faults);
            session.set_faults(faults);
            state.account_output(session, now_us);
            state.dirty_sessions.push(session.id);
        });
    }
}

/// How long a closing connection keeps output that its client does not read.
const UNREAD_KEPT_US: u64 = 1_000_000;
