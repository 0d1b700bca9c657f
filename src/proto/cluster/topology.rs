//! How a cluster learns its nodes and their slots, and follows their changes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Cluster;
use super::calls::{CallPlace, Recipient, Routed};
use super::ids::NodeId;
use super::refresh::Verdict;
use super::slot::Slot;
use super::slot_map::Refresh;
use super::view::View;
use crate::proto::connection::{Deliver, EntryId, HandleId, Submission, Ticket};
use crate::proto::targets::Redirection;

impl Cluster {
    /// Something shows that the map may be wrong. `is_urgent`: commands wait until it is known who serves their slots.
    pub(super) fn note_evidence(&mut self, is_urgent: bool) {
        let nodes = self.nodes.iter().count();
        self.refreshing.note_evidence(is_urgent, nodes, self.outstanding.now, &mut self.random);
    }

    /// Nodes have lost commands, or have not answered in time.
    pub(super) fn handle_suspects(&mut self) {
        let suspects = std::mem::take(&mut self.outstanding.suspects);
        let is_owner = |id: NodeId| self.nodes.get(id).is_none_or(|node| node.is_owner);
        if suspects.into_iter().any(is_owner) {
            self.note_evidence(true);
        }
    }

    /// Begins a refresh, if one is due and a node can be asked.
    pub(super) fn begin_refresh(&mut self) {
        let now = self.outstanding.now;
        if !self.refreshing.is_due(now) || self.outstanding.is_closing {
            return;
        }
        let mut ready = self.nodes.ready();
        self.is_refresh_blocked = ready.is_empty();
        if ready.is_empty() {
            // All nodes may have moved: the seeds are asked again.
            return self.add_seeds();
        }
        self.random.shuffle(&mut ready);
        for node in self.refreshing.begin(ready, now) {
            self.ask_for_view(node);
        }
    }

    /// Takes in what nodes have answered that were asked for their view.
    pub(super) fn handle_views(&mut self, deliver: &mut impl Deliver) {
        for (refresh, node, reply) in std::mem::take(&mut self.outstanding.views) {
            let endpoint = self.nodes.get(node).map(|node| node.endpoint.clone());
            let view = reply.zip(endpoint).and_then(|(reply, endpoint)| View::read(&reply, node, &endpoint));
            let verdict = self.refreshing.handle_answer(refresh, node, view);
            self.handle_verdict(verdict, deliver);
        }
        let verdict = self.refreshing.handle_timeout(self.outstanding.now);
        self.handle_verdict(verdict, deliver);
    }

    fn handle_verdict(&mut self, verdict: Verdict, deliver: &mut impl Deliver) {
        match verdict {
            Verdict::Open => {}
            Verdict::Ask(nodes) => nodes.into_iter().for_each(|node| self.ask_for_view(node)),
            Verdict::Failed => self.note_evidence(false),
            Verdict::Believed(refresh, view) => self.apply(refresh, &view, deliver),
        }
    }

    /// Asks a node how it sees the cluster.
    fn ask_for_view(&mut self, id: NodeId) {
        let refresh = self.refreshing.number();
        let calls = &mut self.outstanding.calls;
        let (handle, entry) = (HandleId(u32::MAX), EntryId(0));
        let ticket = calls.open(Recipient::View(refresh, id), handle, entry, 1);
        let submission = Submission { entry, handle, ticket, replies: 1 };
        let position = self.nodes.get_mut(id).map(|node| {
            let asked = node.pool.submit(submission, |out| out.extend_from_slice(CLUSTER_SLOTS));
            asked.ok()
        });
        match (position.flatten(), calls.get_mut(ticket)) {
            (Some(position), Some(call)) => {
                call.place = CallPlace::Node(id, position);
                self.wake(self.nodes.numbering().outside(id, entry));
            }
            _ => {
                calls.close(ticket);
                self.outstanding.views.push((refresh, id, None));
            }
        }
    }

    /// Takes over a view that is believed.
    fn apply(&mut self, refresh: Refresh, view: &View, deliver: &mut impl Deliver) {
        let Some(by) = view.by else { return };
        let primaries: BTreeSet<usize> = view.ranges.iter().map(|range| range.primary).collect();
        let mut ids = vec![None; view.nodes.len()];
        for index in primaries {
            if let (Some(id), Some(listed)) = (ids.get_mut(index), view.nodes.get(index)) {
                *id = self.node_at(&listed.endpoint, by, Redirection::ClusterSlots);
                if let Some(node) = id.and_then(|id| self.nodes.get_mut(id)) {
                    node.id.clone_from(&listed.id);
                }
            }
        }
        let mut changed = BTreeSet::new();
        let owner_of = |slot| *ids.get(view.primary_of(slot)?)?;
        self.map.apply(refresh, owner_of, |slot| {
            changed.insert(slot);
        });
        self.is_known = true;
        self.refreshing.note_outcome(!changed.is_empty());
        self.note_owners();
        self.send_unrouted();
        self.withdraw_moved(&changed);
        if !changed.is_empty() {
            self.outstanding.gates.hurry();
        }
        self.settle_subscriptions(deliver);
        self.watch_failed_owners();
        self.let_unused_leave(deliver);
    }

    /// The owners of slots are those that the map names.
    fn note_owners(&mut self) {
        let owners: BTreeSet<NodeId> =
            (0..Slot::COUNT).filter_map(Slot::new).filter_map(|slot| self.map.owner(slot)).collect();
        for (id, node) in self.nodes.iter_mut() {
            node.is_owner = owners.contains(&id);
        }
    }

    /// These slots have other owners. The commands that their nodes have not been sent yet go to the new owners. Later ones of the same
    /// handles wait until the others are answered.
    pub(super) fn withdraw_moved(&mut self, changed: &BTreeSet<Slot>) {
        if changed.is_empty() {
            return;
        }
        let Cluster { outstanding, map, .. } = self;
        let has_moved = |call: &Routed| match (call.place, call.slot) {
            (CallPlace::Node(node, _), Some(slot)) => {
                changed.contains(&slot) && map.owner(slot) != Some(node)
            }
            _ => false,
        };
        outstanding.make_gates(has_moved);
        let moved = outstanding.calls.iter().filter(|(_, call)| has_moved(call));
        for ticket in moved.map(|(ticket, _)| ticket).collect::<Vec<_>>() {
            if self.withdraw(ticket) {
                self.hold(ticket, None);
            }
        }
    }

    /// Takes a command back from its node, unless it may be written; false if it may.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> bool {
        let Some(call) = self.outstanding.calls.get(ticket) else { return false };
        let CallPlace::Node(id, position) = call.place else { return false };
        self.nodes.get_mut(id).is_some_and(|node| node.pool.withdraw(call.entry, position))
    }

    /// While an owner of slots cannot be reached, the others are asked who takes its place.
    fn watch_failed_owners(&mut self) {
        let is_lost = |(_, node): (NodeId, &super::nodes::Node)| node.is_owner && node.has_failed;
        if self.nodes.iter().any(is_lost) {
            self.note_evidence(true);
        }
    }

    /// Nodes that own no slots end, unless they were of use a moment ago: commands may be redirected to one that is to own some.
    pub(super) fn let_unused_leave(&mut self, deliver: &mut impl Deliver) {
        let now = self.outstanding.now;
        if !self.is_known {
            return;
        }
        for id in self.nodes.ids() {
            let Some(node) = self.nodes.get(id) else { continue };
            let is_unused = !node.is_owner && !node.is_leaving && now.since(node.used) >= LINGER;
            if is_unused && self.nodes.owners().next().is_some() {
                self.leave(id, deliver);
            }
        }
    }

    /// A node answers the commands that it has, and ends.
    fn leave(&mut self, id: NodeId, deliver: &mut impl Deliver) {
        let now = self.outstanding.now;
        // One that says nothing would keep the callers of what is stuck there waiting.
        let is_silent = self.nodes.get(id).is_some_and(|node| node.is_silent);
        let until = now.after(if is_silent { SILENT_LEAVING } else { self.command_timeout.min(LEAVING_MAX) });
        self.with_pool(id, deliver, |pool, intake| pool.shut_down(now, until, intake));
        if let Some(node) = self.nodes.get_mut(id) {
            node.is_leaving = true;
        }
    }

    /// Adds the configured seeds that are no nodes now.
    pub(super) fn add_seeds(&mut self) {
        for seed in self.config.seeds.clone() {
            if self.nodes.at(&seed).is_none() {
                let added = self.nodes.add_seed(&seed, self.outstanding.now);
                self.touched.extend(added);
            }
        }
    }
}

const CLUSTER_SLOTS: &[u8] = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n";
/// How long a node without slots is kept after it was of use.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// How long a node that leaves may take to answer what it has, if it is silent.
const SILENT_LEAVING: Duration = Duration::from_secs(1);
/// How long a node that leaves may take to answer what it has, if commands have no timeout.
const LEAVING_MAX: Duration = Duration::from_secs(60);
