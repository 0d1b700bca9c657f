//! A changed cluster, as its sessions notice it.

use std::sync::Arc;

use super::{Scope, ServerContext};
use crate::rehearsal::cluster::decision::Refusal;
use crate::rehearsal::cluster::slots::slot_of;
use crate::rehearsal::cluster::state::ClusterState;
use crate::rehearsal::cluster::step::ClusterStep;
use crate::rehearsal::cluster::topology::{MemberId, Topology, View};
use crate::rehearsal::data::subscribers::SubscriptionKind;
use crate::rehearsal::ids::NodeId;
use crate::rehearsal::maintenance::agenda::Action;
use crate::rehearsal::session::Session;
use crate::rehearsal::state::ServerState;
use crate::rehearsal::state::blocked::Interruption;
use crate::rehearsal::wire::reply::ReplyBuffer;

impl ServerContext<'_> {
    /// The cluster, or why there is none.
    pub(crate) fn cluster(&mut self) -> Result<&mut ClusterState, String> {
        self.state.cluster.as_deref_mut().ok_or_else(|| NO_CLUSTER.to_owned())
    }

    /// Changes the cluster. Nodes that lag learn it later. Sessions leave the slots that their node has lost: a blocked one
    /// gets MOVED, and a shard channel is unsubscribed.
    pub(crate) fn change_topology(&mut self, change: impl FnOnce(&mut Topology)) {
        let Some(cluster) = &mut self.state.cluster else { return };
        let before = Arc::clone(&cluster.topology);
        change(Arc::make_mut(&mut cluster.topology));
        let known = Arc::clone(&cluster.topology);
        for (member, node) in cluster.nodes_mut() {
            let View::Lagging { lag_us, .. } = node.view else { continue };
            let at_us = self.now_us.saturating_add(lag_us);
            let step = ClusterStep::Learn { member, known: Arc::clone(&known) };
            self.state.agenda.plan(at_us, Action::Cluster(step));
        }
        let all = self.all_nodes();
        self.for_each(&all, |state, session| settle(state, session, &before));
    }

    /// Sets what `member` knows of the cluster.
    pub(crate) fn set_view(&mut self, member: MemberId, view: View) {
        if let Some(node) = self.state.cluster.as_mut().and_then(|cluster| cluster.node_mut(member)) {
            node.view = view;
        }
    }

    /// A node that lags learns of a change.
    pub(super) fn learn(&mut self, member: MemberId, learned: Arc<Topology>) {
        let node = self.state.cluster.as_mut().and_then(|cluster| cluster.node_mut(member));
        if let Some(View::Lagging { known, .. }) = node.map(|node| &mut node.view) {
            *known = learned;
        }
    }

    /// A spare node joins as a primary without slots, or as a replica.
    pub(crate) fn join(&mut self, member: MemberId, primary: Option<MemberId>) {
        let Some(cluster) = &self.state.cluster else { return };
        let database = match primary {
            Some(primary) => cluster.database(primary),
            None => cluster.topology.free_database(),
        };
        if primary.is_none() {
            self.state.keyspace.database(database).clear();
        }
        self.change_topology(|topology| {
            topology.epoch += 1;
            let epoch = topology.epoch;
            if let Some(joined) = topology.member_mut(member) {
                (joined.is_joined, joined.primary, joined.database) = (true, primary, database);
                joined.epoch = epoch;
            }
        });
    }

    /// The cluster forgets a node, which becomes a spare one.
    pub(crate) fn forget(&mut self, member: MemberId) {
        self.change_topology(|topology| {
            if let Some(forgotten) = topology.member_mut(member) {
                (forgotten.is_joined, forgotten.primary) = (false, None);
            }
        });
    }

    /// The node at `from` serves at the listener `to` as well, and the cluster names it by that address.
    pub(crate) fn move_endpoint(&mut self, from: NodeId, to: NodeId) {
        let address = self.state.nodes.get(to.0).map(|node| node.address);
        let (Some(cluster), Some(address)) = (&mut self.state.cluster, address) else { return };
        let member = cluster.at(from);
        cluster.serve_at(to, member);
        self.change_topology(|topology| {
            if let Some(moved) = topology.member_mut(member) {
                moved.address = address;
            }
        });
    }

    pub(crate) fn all_nodes(&self) -> Scope {
        Scope { nodes: (0..self.state.nodes.len()).map(NodeId).collect(), only: None }
    }
}

/// Takes `session` off what its node has lost since `before`.
fn settle(state: &mut ServerState, session: &mut Session, before: &Topology) {
    let Some(cluster) = &state.cluster else { return };
    let (me, topology) = (cluster.at(session.node), Arc::clone(&cluster.topology));
    let is_replica = cluster.is_replica(me);
    if session.database != cluster.database(me) {
        session.unwatch_all(&mut state.keyspace);
        session.database = state.first_database(session.node);
    }
    let shard = topology.primary_of(me);
    let is_lost = |name: &[u8]| topology.owner(slot_of(name)) != Some(shard);
    if let Some(request) = &session.blocked {
        let was_primary = before.member(me).is_some_and(|member| member.primary.is_none());
        let lost = request.keys.iter().find(|key| is_lost(key)).map(|key| slot_of(key));
        let error = match (lost, &state.cluster) {
            _ if is_replica && was_primary => Some(UNBLOCKED.to_owned()),
            (Some(slot), Some(cluster)) => Some(match topology.owner(slot) {
                Some(to) => Refusal::Moved { slot, to }.text(cluster, me),
                None => Refusal::Unserved.text(cluster, me),
            }),
            _ => None,
        };
        if let Some(error) = error {
            let closes = is_replica && was_primary;
            state.blocked.interrupt(Interruption { session: session.id, error, closes });
        }
    }
    let channels = session.subscriptions.names(SubscriptionKind::ShardChannel);
    let lost: Vec<Box<[u8]>> = channels.iter().filter(|name| is_lost(name)).cloned().collect();
    for name in lost {
        unsubscribe(state, session, &name);
    }
}

/// Ends a subscription without being asked, as a node does that has lost the slot of a shard channel.
fn unsubscribe(state: &mut ServerState, session: &mut Session, name: &[u8]) {
    let kind = SubscriptionKind::ShardChannel;
    session.subscriptions.remove(kind, name);
    state.subscribers.remove(kind, name, session.id);
    let mut body = ReplyBuffer::default();
    body.bulk(b"sunsubscribe");
    body.bulk(name);
    body.count(session.subscriptions.confirmed(kind));
    let now_us = state.now_us;
    state.send_message(session, 3, body.pending(), now_us);
}

const NO_CLUSTER: &str = "there is no cluster; start one with --cluster";
const UNBLOCKED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
