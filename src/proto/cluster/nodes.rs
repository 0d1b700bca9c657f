//! [`Nodes`]: the nodes of a cluster, each with a pool of its own.

use super::config::ClusterConfig;
use super::ids::{NodeId, Numbering};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::Event;
use crate::proto::pool::{ConnectionId, NamedEndpoint, Pool, PoolConfig};
use crate::proto::targets::{RedirectSource, Redirection, TargetFilter};
use crate::proto::time::Instant;

/// One node of a cluster.
#[derive(Debug)]
pub(super) struct Node {
    /// The id that it keeps for life; empty until a view names it.
    pub(super) id: String,
    pub(super) endpoint: Endpoint,
    pub(super) pool: Pool,
    /// It owns slots, as far as is known.
    pub(super) is_owner: bool,
    /// It takes no new commands, and ends when it has answered those that it has.
    pub(super) is_leaving: bool,
    /// Its last connection was lost, or could not be made.
    pub(super) has_failed: bool,
    /// It has answered nothing for a while, although commands are in flight. It may be gone, and commands written to it would be stuck
    /// there. So none is written until it says something, or another node owns its slots.
    pub(super) is_silent: bool,
    /// When it last sent something, while commands were in flight there.
    pub(super) heard: Instant,
    /// When another node has named it last.
    pub(super) used: Instant,
}

/// The nodes of a cluster, and those that leave it.
///
/// Nodes know nothing of each other: what happens to one changes no other. A number that a node had is given to another one when it
/// has left. The generations of its connections are others, so that no name of a connection means two.
#[derive(Debug)]
pub(super) struct Nodes {
    list: Vec<Option<Node>>,
    template: PoolConfig,
    numbering: Numbering,
    filter: TargetFilter,
    /// How many nodes there have been.
    sequence: u32,
    /// A pool without connections. It stands for the pools of nodes that have left.
    nowhere: Pool,
}

impl Nodes {
    pub(super) fn new(config: &ClusterConfig, now: Instant) -> Self {
        let template = config.pool.clone();
        let nowhere = PoolConfig { connections: 0, exclusive_connections_max: 0, ..template.clone() };
        Nodes {
            list: Vec::new(),
            numbering: Numbering::new(template.connections + template.exclusive_connections_max),
            filter: TargetFilter::new(template.targets.clone(), template.endpoint.clone()),
            template,
            sequence: 0,
            nowhere: Pool::new(nowhere, now),
        }
    }

    /// The pool of a node. That of a node that has left knows no connection.
    #[inline]
    pub(super) fn pool(&mut self, id: NodeId) -> &mut Pool {
        match self.list.get_mut(id.index()) {
            Some(Some(node)) => &mut node.pool,
            _ => &mut self.nowhere,
        }
    }

    pub(super) fn numbering(&self) -> Numbering {
        self.numbering
    }

    #[inline]
    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.list.get(id.index())?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.list.get_mut(id.index())?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        let all = self.list.iter().enumerate();
        all.filter_map(|(index, node)| Some((NodeId(u16::try_from(index).ok()?), node.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Node)> {
        let all = self.list.iter_mut().enumerate();
        all.filter_map(|(index, node)| Some((NodeId(u16::try_from(index).ok()?), node.as_mut()?)))
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.iter().map(|(id, _)| id).collect()
    }

    /// The nodes that own slots.
    pub(super) fn owners(&self) -> impl Iterator<Item = NodeId> {
        self.iter().filter(|(_, node)| node.is_owner && !node.is_leaving).map(|(id, _)| id)
    }

    /// The nodes that can be asked something.
    pub(super) fn ready(&self) -> Vec<NodeId> {
        let ready = self.iter().filter(|(_, node)| !node.is_leaving && node.pool.entries().ready().0 > 0);
        ready.map(|(id, _)| id).collect()
    }

    /// The node at this endpoint.
    pub(super) fn at(&self, endpoint: &Endpoint) -> Option<NodeId> {
        let mut found = self.iter().filter(|(_, node)| !node.is_leaving && node.endpoint.is_same(endpoint));
        found.next().map(|(id, _)| id)
    }

    /// A node that the user has configured.
    pub(super) fn add_seed(&mut self, endpoint: &Endpoint, now: Instant) -> Option<NodeId> {
        self.add(endpoint, None, now)
    }

    /// A node that another one has named. `Err` has the event that tells of a refusal, if it has not been told before.
    pub(super) fn add_named(
        &mut self,
        endpoint: &Endpoint,
        by: RedirectSource,
        now: Instant,
    ) -> Result<Option<NodeId>, Option<Event>> {
        if let Err(refusal) = self.filter.admit(by, endpoint, now) {
            let event = Event::TargetRefused {
                peer: by.by,
                redirection: by.how,
                target: endpoint.clone(),
                reason: refusal.to_string(),
            };
            return Err(self.filter.should_report(endpoint, now).then_some(event));
        }
        Ok(self.add(endpoint, Some(by), now))
    }

    /// Forgets a node whose pool is shut down.
    pub(super) fn remove(&mut self, id: NodeId) -> Option<Node> {
        self.list.get_mut(id.index())?.take()
    }

    /// The node of a connection, and the name of the connection within its pool.
    #[inline]
    pub(super) fn of(&mut self, id: ConnectionId) -> Option<(NodeId, &mut Node, ConnectionId)> {
        let (node, within) = self.numbering.connection_within(id);
        Some((node, self.get_mut(node)?, within))
    }

    /// Which peer answers for a node: the address of one of its connections.
    pub(super) fn source(&mut self, id: NodeId, how: Redirection) -> Option<RedirectSource> {
        let by = self.get_mut(id)?.pool.peer()?;
        Some(RedirectSource { by, how })
    }

    fn add(&mut self, endpoint: &Endpoint, by: Option<RedirectSource>, now: Instant) -> Option<NodeId> {
        let index = self.list.iter().position(Option::is_none).unwrap_or_else(|| {
            self.list.push(None);
            self.list.len() - 1
        });
        let id = NodeId(u16::try_from(index).ok().filter(|_| index < NodeId::COUNT_MAX)?);
        self.sequence = self.sequence.wrapping_add(1);
        let configured = self.template.endpoint.clone();
        let config = PoolConfig {
            endpoint: endpoint.clone(),
            named: by.map(|by| NamedEndpoint { by, configured }),
            generation: self.sequence << GENERATION_BITS,
            seed: self.template.seed.wrapping_add(u64::from(self.sequence)),
            ..self.template.clone()
        };
        let node = Node {
            id: String::new(),
            endpoint: endpoint.clone(),
            pool: Pool::new(config, now),
            is_owner: false,
            is_leaving: false,
            has_failed: false,
            is_silent: false,
            heard: now,
            used: now,
        };
        *self.list.get_mut(index)? = Some(node);
        Some(id)
    }
}

impl Node {
    /// Whether its shared connections can carry commands.
    pub(super) fn is_ready(&self) -> bool {
        let (ready, wanted) = self.pool.entries().ready();
        ready == wanted
    }

    /// Notes that a connection has ended. True if that is a sign that the node is gone.
    pub(super) fn note_end(&mut self, reason: &CloseReason) -> bool {
        let is_ours = matches!(
            reason,
            CloseReason::Local | CloseReason::Replaced | CloseReason::LeadsBack | CloseReason::Undrained
        );
        self.has_failed |= !is_ours;
        !is_ours
    }
}

/// How many connections of one node have generations of their own.
const GENERATION_BITS: u32 = 20;
