//! The state of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use super::changing::{Migration, Pace, Pause};
use super::slots::SlotRanges;
use super::topology::{EndpointKind, Health, Member, MemberId, Topology, View};
use crate::rehearsal::config::ClusterConfig;
use crate::rehearsal::ids::NodeId;

/// What the nodes of a cluster share.
///
/// `topology` is the truth. A node redirects by what it knows, which [`View`] can hold back, and executes a command on a
/// key only if it owns the slot in truth: so no view makes two nodes accept writes to one slot.
///
/// The topology must be changed with `ServerContext::change_topology`, which plans what nodes learn late, and takes
/// sessions off slots that their node has lost.
#[derive(Debug)]
pub(crate) struct ClusterState {
    pub(crate) topology: Arc<Topology>,
    /// By member.
    nodes: Vec<ClusterNode>,
    /// The member that serves at each listener.
    at_listener: Vec<MemberId>,
    pub(crate) migrations: Vec<Migration>,
    pub(crate) pauses: Vec<Pause>,
    /// All nodes answer CLUSTERDOWN before this time.
    pub(crate) down_until_us: u64,
    /// Whether one slot without a node takes the whole cluster down.
    pub(crate) needs_full_coverage: bool,
    /// The last number that a death, a migration or a pause has got.
    serial: u64,
    pub(crate) answers: Answers,
    /// The positions of the keys of the command that is being decided.
    pub(crate) scratch: Vec<usize>,
}

/// A node's own state.
#[derive(Debug, Default)]
pub(crate) struct ClusterNode {
    pub(crate) view: View,
    pub(crate) endpoints: EndpointKind,
    pub(crate) hostname: Option<String>,
    /// It answers CLUSTERDOWN before this time.
    pub(crate) down_until_us: u64,
    /// It answers READONLY to writes before this time.
    pub(crate) readonly_until_us: u64,
    /// The number of its death while it is dead.
    pub(crate) death: Option<u64>,
}

/// How many commands were not executed, by the error that said so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) moved: u64,
    pub(crate) ask: u64,
    pub(crate) tryagain: u64,
    pub(crate) crossslot: u64,
    pub(crate) clusterdown: u64,
    pub(crate) readonly: u64,
}

impl ClusterState {
    pub(crate) fn new(config: &ClusterConfig, addresses: &[SocketAddr], seed: u64) -> Self {
        let (primaries, replicas) = (config.primaries.get(), config.replicas);
        Self {
            topology: Arc::new(Topology::new(addresses, primaries, replicas, seed)),
            nodes: addresses.iter().map(|_| ClusterNode::default()).collect(),
            at_listener: (0..addresses.len()).map(MemberId).collect(),
            migrations: Vec::new(),
            pauses: Vec::new(),
            down_until_us: 0,
            needs_full_coverage: true,
            serial: 0,
            answers: Answers::default(),
            scratch: Vec::new(),
        }
    }

    /// A number that was not used before.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The node that serves at `listener`.
    #[inline]
    pub(crate) fn at(&self, listener: NodeId) -> MemberId {
        self.at_listener.get(listener.0).copied().unwrap_or(MemberId(listener.0))
    }

    /// `member` serves at `listener` from now on, as well as at its former listeners.
    pub(crate) fn serve_at(&mut self, listener: NodeId, member: MemberId) {
        if let Some(place) = self.at_listener.get_mut(listener.0) {
            *place = member;
        }
    }

    /// The listeners at which `member` serves.
    pub(crate) fn listeners(&self, member: MemberId) -> Vec<NodeId> {
        let all = self.at_listener.iter().enumerate();
        all.filter(|(_, served)| **served == member).map(|(index, _)| NodeId(index)).collect()
    }

    pub(crate) fn node(&self, member: MemberId) -> Option<&ClusterNode> {
        self.nodes.get(member.0)
    }

    pub(crate) fn node_mut(&mut self, member: MemberId) -> Option<&mut ClusterNode> {
        self.nodes.get_mut(member.0)
    }

    pub(crate) fn nodes_mut(&mut self) -> impl Iterator<Item = (MemberId, &mut ClusterNode)> {
        self.nodes.iter_mut().enumerate().map(|(index, node)| (MemberId(index), node))
    }

    /// What `member` knows of the cluster.
    pub(crate) fn known(&self, member: MemberId) -> &Arc<Topology> {
        match self.node(member).map(|node| &node.view) {
            Some(View::Stale(known) | View::Lagging { known, .. }) => known,
            Some(View::Live | View::Empty) | None => &self.topology,
        }
    }

    /// What `member` tells of the cluster. One that does not belong to it knows itself alone.
    pub(crate) fn seen(&self, member: MemberId) -> Arc<Topology> {
        let is_joined = self.is_joined(member);
        let is_empty = matches!(self.node(member).map(|node| &node.view), Some(View::Empty));
        if is_joined && !is_empty {
            return Arc::clone(self.known(member));
        }
        let mut seen = Topology::clone(&self.topology);
        seen.assign(&SlotRanges::all(), None);
        for id in seen.ids().filter(|_| !is_joined) {
            if let Some(other) = seen.member_mut(id) {
                other.is_joined = id == member;
            }
        }
        Arc::new(seen)
    }

    /// The database with the keys of `member`.
    pub(crate) fn database(&self, member: MemberId) -> usize {
        self.topology.member(member).map_or(member.0, |member| member.database)
    }

    pub(crate) fn is_joined(&self, member: MemberId) -> bool {
        self.topology.member(member).is_some_and(|member| member.is_joined)
    }

    pub(crate) fn is_replica(&self, member: MemberId) -> bool {
        self.topology.member(member).is_some_and(|member| member.primary.is_some())
    }

    /// The replica of `primary` that an election chooses: the first one that lives.
    pub(crate) fn electable(&self, primary: MemberId) -> Option<MemberId> {
        let mut replicas = self.topology.replicas(primary);
        replicas.find(|(_, member)| member.health == Health::Online).map(|(id, _)| id)
    }

    /// The classic migrations.
    pub(crate) fn open_migrations(&self) -> impl Iterator<Item = &Migration> {
        self.migrations.iter().filter(|migration| migration.pace != Pace::Atomic)
    }

    /// The classic migration of `slot`, if there is one.
    #[inline]
    pub(crate) fn open_migration(&self, slot: u16) -> Option<&Migration> {
        self.open_migrations().find(|migration| migration.slots.contains(slot))
    }

    pub(crate) fn migration_mut(&mut self, id: u64) -> Option<&mut Migration> {
        self.migrations.iter_mut().find(|migration| migration.id == id)
    }

    /// Whether `member` refuses all commands on keys.
    pub(crate) fn is_down(&self, member: MemberId, now_us: u64) -> bool {
        let until_us = self.node(member).map_or(0, |node| node.down_until_us).max(self.down_until_us);
        now_us < until_us || (self.needs_full_coverage && !self.is_covered())
    }

    /// Whether a node that has not failed owns each slot.
    fn is_covered(&self) -> bool {
        let mut joined = self.topology.joined();
        self.topology.is_fully_owned()
            && !joined.any(|(id, member)| member.health == Health::Failed && self.topology.owns_any(id))
    }

    /// The host by which `by` names `member`; `None` is no host.
    pub(crate) fn host(&self, by: MemberId, member: MemberId, address: SocketAddr) -> Option<String> {
        match self.node(by).map_or(EndpointKind::Ip, |node| node.endpoints) {
            EndpointKind::Ip => Some(address.ip().to_string()),
            EndpointKind::Hostname => Some(self.hostname(member).unwrap_or("?").to_owned()),
            EndpointKind::Unknown => None,
        }
    }

    pub(crate) fn hostname(&self, member: MemberId) -> Option<&str> {
        self.node(member)?.hostname.as_deref()
    }

    /// `host:port` of `member`, as `by` names it in a redirect.
    pub(crate) fn endpoint(&self, by: MemberId, member: MemberId) -> String {
        let address = self.known(by).member(member).map(|member: &Member| member.address);
        let Some(address) = address else { return String::new() };
        let host = self.host(by, member, address).unwrap_or_default();
        format!("{host}:{}", address.port())
    }
}
