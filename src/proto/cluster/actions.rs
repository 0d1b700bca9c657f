//! What a cluster asks of its driver: the actions and events of the pools of all nodes, under the names that the driver knows.

use std::net::SocketAddr;

use super::Cluster;
use super::ids::NodeId;
use crate::proto::connection::{Deliver, EntryId};
use crate::proto::maint::event::Event;
use crate::proto::maint::notification::{Announcement, Notification};
use crate::proto::pool::{Action, ConnectionId, LookupId};
use crate::proto::time::Instant;

impl Cluster {
    /// What the driver has to do next.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        let numbering = self.nodes.numbering();
        for index in 0..self.touched.len() {
            let id = *self.touched.get(index)?;
            let Some(node) = self.nodes.get_mut(id) else { continue };
            let Some(action) = node.pool.poll_action() else { continue };
            return Some(match action {
                Action::Dial { id: of, endpoint, timeout } => {
                    Action::Dial { id: numbering.connection_outside(id, of), endpoint, timeout }
                }
                Action::Ready { id: of } => {
                    node.has_failed = false;
                    // A refresh may have waited for a node that can be asked.
                    self.needs_turn = true;
                    Action::Ready { id: numbering.connection_outside(id, of) }
                }
                Action::Close { id: of, reason, unused } => {
                    node.note_end(&reason);
                    Action::Close { id: numbering.connection_outside(id, of), reason, unused }
                }
                Action::Wake { id: of } => Action::Wake { id: numbering.connection_outside(id, of) },
                Action::Announce(announcement) => {
                    self.note_announcement(&announcement);
                    Action::Announce(announcement)
                }
                Action::AskCredentials => Action::AskCredentials,
                Action::Resolve { lookup, endpoint } => Action::Resolve {
                    lookup: LookupId((u64::from(id.0) << LOOKUP_BITS) | lookup.0),
                    endpoint,
                },
            });
        }
        None
    }

    /// What happened since the last call, for the application's hooks.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let Cluster { touched, nodes, .. } = self;
        touched.iter().find_map(|id| nodes.get_mut(*id)?.pool.poll_event())
    }

    /// Whether [`Cluster::poll_action`] or [`Cluster::poll_event`] has something, or [`Cluster::handle_timeout`] has to follow.
    #[inline]
    pub(crate) fn has_actions(&mut self) -> bool {
        let Cluster { touched, nodes, .. } = self;
        touched.retain(|id| nodes.get(*id).is_some_and(|node| node.pool.has_actions()));
        self.needs_turn
            || !touched.is_empty()
            || !self.actions.is_empty()
            || !self.events.is_empty()
            || !self.failed.is_empty()
            || self.outstanding.has_news()
    }

    /// A look-up is done.
    pub(crate) fn handle_resolved(
        &mut self,
        lookup: LookupId,
        result: Result<Vec<SocketAddr>, String>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.outstanding.now = now;
        let id = NodeId(u16::try_from(lookup.0 >> LOOKUP_BITS).unwrap_or(u16::MAX));
        let lookup = LookupId(lookup.0 & ((1 << LOOKUP_BITS) - 1));
        self.with_pool(id, deliver, |pool, intake| pool.handle_resolved(lookup, result, now, intake));
        self.settle(deliver);
    }

    /// A node has announced that slots have moved: the map may be wrong.
    pub(super) fn note_announcement(&mut self, announcement: &Announcement) {
        if matches!(announcement.notification, Notification::SlotsMigrated { .. }) {
            self.note_evidence(true);
            self.needs_turn = true;
        }
    }

    /// The pool of this node may have an action or an event.
    #[inline]
    pub(super) fn touch(&mut self, id: NodeId) {
        if self.touched.last() != Some(&id) && !self.touched.contains(&id) {
            self.touched.push(id);
        }
    }

    /// Commands were queued for this entry that its driver has not been told of.
    pub(super) fn wake(&mut self, entry: EntryId) {
        match self.active_generation(entry) {
            Some(generation) if !entry.is_exclusive() => {
                let id = ConnectionId { entry, generation };
                // Parts of one command go to few nodes.
                let is_woken = |action: &Action| matches!(action, Action::Wake { id: woken } if *woken == id);
                if !self.actions.iter().rev().take(WAKES_COMPARED).any(is_woken) {
                    self.actions.push_back(Action::Wake { id });
                }
            }
            // The pool finds a connection, or dials one.
            _ => self.needs_turn = true,
        }
    }
}

/// Where the number of the node begins in that of a look-up.
const LOOKUP_BITS: u32 = 48;
/// With how many of the last wake-ups a new one is compared.
const WAKES_COMPARED: usize = 8;
