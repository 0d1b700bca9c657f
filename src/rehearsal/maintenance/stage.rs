//! All sessions at once, also the one whose command is being executed: who is told what, and whose
//! connection ends.

use std::collections::BTreeMap;

use super::agenda::Due;
use super::fault::Fault;
use super::node::{ClosePolicy, Departure, Ending, NodeId, endpoint_for};
use super::notification::{Event, Kind, Subject};
use crate::rehearsal::server::{World, settle};
use crate::rehearsal::session::{Session, SessionId};

/// How long a connection that ends is given to read what is left, before it is cut off.
const LINGER_US: u64 = 1_000_000;

/// Most bytes of a push that a line of the log shows.
const LOGGED_BYTES_MAX: usize = 256;

/// Most bytes of all copies of one push to one connection, unless one copy is longer (64 MiB).
const COPIES_BYTES_MAX: usize = 64 << 20;

/// The world and all who are in it.
pub(crate) struct Stage<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) others: &'a mut BTreeMap<SessionId, Box<Session>>,
    /// The session whose command is being executed, if one is.
    pub(crate) current: Option<&'a mut Session>,
    pub(crate) now_us: u64,
}

/// Whom a verb concerns.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) nodes: Vec<NodeId>,
    /// Only this one of their connections.
    pub(crate) only: Option<SessionId>,
}

impl Stage<'_> {
    /// Calls `f` with each session of `scope`, in the order in which they were opened; the current
    /// one last.
    pub(crate) fn for_each(&mut self, scope: &Scope, mut f: impl FnMut(&mut World, &mut Session)) {
        let others = self.others.values_mut().map(|session| &mut **session);
        for session in others.chain(self.current.as_deref_mut()) {
            if scope.nodes.contains(&session.node) && scope.only.is_none_or(|id| id == session.id) {
                f(self.world, session);
            }
        }
    }

    /// An event of the database: it is given the next number, kept for those who opt in later, and
    /// told to all of `scope` who have opted in.
    pub(crate) fn announce(&mut self, scope: &Scope, kind: Kind, until_us: Option<i64>, subject: Subject) {
        let sequence = self.world.sequence;
        self.world.sequence = sequence.wrapping_add(1);
        let event = Event { kind, sequence, until_us, subject };
        for node in &scope.nodes {
            if let Some(node) = self.world.nodes.get_mut(node.0) {
                node.remember(&event);
            }
        }
        let now_us = self.now_us;
        self.for_each(scope, |world, session| tell(world, session, &event, now_us));
    }

    /// Plans the end of the connections of `node`, in the place of one that was planned before.
    pub(crate) fn plan_close(&mut self, node: NodeId, policy: ClosePolicy, grace_us: u64) {
        let Some(moving) = self.world.nodes.get_mut(node.0) else {
            return;
        };
        self.world.moves += 1;
        let move_id = self.world.moves;
        moving.moving = Some(Departure { move_id, policy, last: None });
        if let Some(at_us) = policy.close_us(self.now_us, grace_us)
            && !self.world.agenda.plan(at_us, Due::CloseNode { node, move_id })
        {
            tracing::warn!(%node, "too much is planned: this node will not close");
        }
    }

    /// `node` is there again before it has closed for its MOVING: connections from now on are not told of that,
    /// and outlive the close.
    pub(crate) fn come_back(&mut self, node: NodeId) {
        let last = SessionId(self.world.sessions_opened);
        let Some(node) = self.world.nodes.get_mut(node.0) else {
            return;
        };
        node.windows.retain(|window| window.kind != Kind::Moving);
        if let Some(departure) = &mut node.moving {
            departure.last.get_or_insert(last);
        }
    }

    /// The end that was planned with `move_id` is due.
    pub(crate) fn close_moved(&mut self, node: NodeId, move_id: u64) {
        let Some(moved) = self.world.nodes.get_mut(node.0) else {
            return;
        };
        let Some(Departure { policy, last, .. }) = moved.moving.take_if(|latest| latest.move_id == move_id)
        else {
            return;
        };
        if let Some(last) = last {
            return self.close_up_to(&Scope { nodes: vec![node], only: None }, last, policy.ending);
        }
        let event = moved.windows.iter().find(|window| window.kind == Kind::Moving).cloned();
        moved.windows.retain(|window| window.kind != Kind::Moving);
        if policy.refuses_after {
            moved.listens = false;
            self.world.disturbed_nodes.push(node);
        }
        let (scope, now_us) = (Scope { nodes: vec![node], only: None }, self.now_us);
        if let Some(event) = event.filter(|_| policy.leaves_unread) {
            self.for_each(&scope, |world, session| tell(world, session, &event, now_us));
        }
        self.close(&scope, policy.ending);
    }

    /// Ends the connections of `scope`. The one that asks for it gets its reply before.
    pub(crate) fn close(&mut self, scope: &Scope, ending: Ending) {
        self.close_up_to(scope, SessionId(u64::MAX), ending);
    }

    /// The same, but for those that were opened after `last`.
    fn close_up_to(&mut self, scope: &Scope, last: SessionId, ending: Ending) {
        let mut closing = Vec::new();
        self.for_each(scope, |world, session| {
            if session.id > last {
                return;
            }
            tracing::info!(node = %session.node, session = %session.id, ?ending, "close");
            let is_first = session.ending.is_none();
            if session.is_executing {
                session.close();
            } else {
                session.end_with(ending);
                world.disturbed.push(session.id);
            }
            if is_first && session.ending == Some(Ending::AfterOutput) {
                closing.push(session.id);
            }
        });
        if !closing.is_empty() {
            let at_us = self.now_us.saturating_add(LINGER_US);
            self.world.agenda.plan(at_us, Due::CutOff { sessions: closing });
        }
    }

    /// Those of `sessions` that still wait for their output to be read end now.
    pub(crate) fn cut_off(&mut self, sessions: &[SessionId]) {
        for id in sessions {
            let Some(session) = self.others.get_mut(id) else {
                continue;
            };
            if session.ending == Some(Ending::AfterOutput) {
                session.end_with(Ending::AtOnce);
                self.world.disturbed.push(*id);
            }
        }
    }

    /// The faults or the listening of the nodes of `scope` have changed.
    pub(crate) fn apply_faults(&mut self, nodes: &[NodeId]) {
        self.world.disturbed_nodes.extend_from_slice(nodes);
        let (scope, now_us) = (Scope { nodes: nodes.to_vec(), only: None }, self.now_us);
        self.for_each(&scope, |world, session| {
            let faults = world.nodes.get(session.node.0).map_or(&[][..], |node| &node.faults);
            session.set_faults(faults);
            settle(world, session, now_us);
            world.disturbed.push(session.id);
        });
    }
}

/// Gives a session its copy of an event, if it has opted in.
pub(crate) fn tell(world: &mut World, session: &mut Session, event: &Event, now_us: u64) {
    let Some(wanted) = session.opt_in.filter(|_| session.is_told()) else {
        return;
    };
    let endpoint = match &event.subject {
        Subject::Target(Some(target)) => endpoint_for(&world.nodes, target, wanted),
        Subject::Target(None) | Subject::Text(_) | Subject::Moves(_) => None,
    };
    let mut frame = Vec::new();
    event.write(now_us, endpoint.as_deref(), &mut frame);
    let kind = Kind::ALL.iter().position(|kind| *kind == event.kind).unwrap_or(Kind::ALL.len());
    push(world, session, &frame, kind, now_us);
}

/// Gives a session raw bytes, between two frames.
pub(crate) fn tell_raw(world: &mut World, session: &mut Session, bytes: &[u8], now_us: u64) {
    if session.ending.is_none() {
        push(world, session, bytes, Kind::ALL.len(), now_us);
    }
}

/// Adds a push to the output, as the node's faults have it.
fn push(world: &mut World, session: &mut Session, frame: &[u8], kind: usize, now_us: u64) {
    let Some(node) = world.nodes.get_mut(session.node.0) else {
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
    match session.overtaken.take() {
        Some(first) => {
            session.push(&frames);
            session.push(&first);
        }
        None if reorders => session.overtaken = Some(frames),
        None => session.push(&frames),
    }
    if !session.is_executing {
        settle(world, session, now_us);
        world.disturbed.push(session.id);
    }
}
