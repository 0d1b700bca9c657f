//! The nodes of a cluster with their roles, and the owner of each slot.

use std::net::SocketAddr;
use std::sync::Arc;

use super::slots::{SLOTS, SlotRanges};

/// A node of the cluster: its place among all nodes, which never changes. A listener is where it can be reached; a MOVING
/// gives a node another listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) usize);

/// Whether the other nodes can reach a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Online,
    /// Its links are broken, and the others have not agreed on that yet.
    Lost,
    /// The others have agreed that it has failed.
    Failed,
}

/// One node, as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// 40 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    /// The node that it replicates; `None` for a primary.
    pub(crate) primary: Option<MemberId>,
    pub(crate) epoch: u64,
    pub(crate) health: Health,
    /// Whether it belongs to the cluster. A spare node does not.
    pub(crate) is_joined: bool,
    /// The database that holds its keys. A primary and its replicas share one.
    pub(crate) database: usize,
}

/// The whole cluster at one moment. A node that lags keeps an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    members: Vec<Member>,
    /// The index of the owner of each slot.
    owners: Vec<u16>,
    /// The number of slots without an owner.
    unowned: usize,
    pub(crate) epoch: u64,
}

impl Topology {
    /// The first `primaries` nodes share all slots, each has `replicas` of the nodes behind them, and the rest are spares.
    pub(crate) fn new(addresses: &[SocketAddr], primaries: usize, replicas: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut digits = || (0..40).map(|_| char::from_digit(random.u32(0..16), 16).unwrap_or('0')).collect();
        let member = |(index, &address): (usize, &SocketAddr)| {
            let primary = (index >= primaries).then(|| MemberId((index - primaries) % primaries.max(1)));
            let is_joined = index < primaries * (1 + replicas);
            let primary = primary.filter(|_| is_joined);
            let database = primary.map_or(index, |primary| primary.0);
            let epoch = if is_joined { database as u64 + 1 } else { 0 };
            Member { id: digits(), address, primary, epoch, health: Health::Online, is_joined, database }
        };
        let members: Vec<Member> = addresses.iter().enumerate().map(member).collect();
        let mut owners = vec![UNOWNED; usize::from(SLOTS)];
        // As `redis-cli --cluster create` does: 0-5460, 5461-10922, 10923-16383.
        let share = f64::from(SLOTS) / primaries.max(1) as f64;
        let mut first = 0;
        for primary in 0..primaries {
            let end = match primary + 1 == primaries {
                true => owners.len(),
                false => (share * (primary + 1) as f64).round() as usize,
            };
            owners.iter_mut().take(end).skip(first).for_each(|owner| *owner = primary as u16);
            first = end;
        }
        Self { epoch: members.len() as u64, members, owners, unowned: 0 }
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(id.0)
    }

    pub(crate) fn member_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.members.get_mut(id.0)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = MemberId> + use<> {
        (0..self.members.len()).map(MemberId)
    }

    /// The nodes that belong to the cluster.
    pub(crate) fn joined(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        let all = self.members.iter().enumerate().map(|(index, member)| (MemberId(index), member));
        all.filter(|(_, member)| member.is_joined)
    }

    /// The replicas of `primary`.
    pub(crate) fn replicas(&self, primary: MemberId) -> impl Iterator<Item = (MemberId, &Member)> {
        self.joined().filter(move |(_, member)| member.primary == Some(primary))
    }

    /// The primary of the shard to which `id` belongs; itself, if it is one.
    pub(crate) fn primary_of(&self, id: MemberId) -> MemberId {
        self.member(id).and_then(|member| member.primary).unwrap_or(id)
    }

    #[inline]
    pub(crate) fn owner(&self, slot: u16) -> Option<MemberId> {
        let owner = self.owners.get(usize::from(slot)).copied().filter(|&owner| owner != UNOWNED);
        owner.map(|owner| MemberId(usize::from(owner)))
    }

    pub(crate) fn is_fully_owned(&self) -> bool {
        self.unowned == 0
    }

    /// Whether `id` owns a slot.
    pub(crate) fn owns_any(&self, id: MemberId) -> bool {
        self.owners.iter().any(|&owner| usize::from(owner) == id.0)
    }

    pub(crate) fn slots_of(&self, id: MemberId) -> SlotRanges {
        SlotRanges::filtered(|slot| self.owner(slot) == Some(id))
    }

    /// All ranges of slots with one owner, in their order.
    pub(crate) fn owned_ranges(&self) -> Vec<(u16, u16, MemberId)> {
        let mut ranges: Vec<(u16, u16, MemberId)> = Vec::new();
        for slot in 0..SLOTS {
            let Some(owner) = self.owner(slot) else { continue };
            match ranges.last_mut() {
                Some((_, last, former)) if *last + 1 == slot && *former == owner => *last = slot,
                _ => ranges.push((slot, slot, owner)),
            }
        }
        ranges
    }

    /// Gives `slots` to `owner`, or to no node.
    pub(crate) fn assign(&mut self, slots: &SlotRanges, owner: Option<MemberId>) {
        let owner = owner.map_or(UNOWNED, |owner| owner.0 as u16);
        for slot in slots.slots() {
            if let Some(place) = self.owners.get_mut(usize::from(slot)) {
                *place = owner;
            }
        }
        self.unowned = self.owners.iter().filter(|&&owner| owner == UNOWNED).count();
        if let Some(owner) = self.members.get_mut(usize::from(owner)) {
            self.epoch += 1;
            owner.epoch = self.epoch;
        }
    }

    /// `replica` takes the slots of its primary, which becomes its replica if it lives. So do the other replicas.
    pub(crate) fn promote(&mut self, replica: MemberId) {
        let old = self.primary_of(replica);
        self.assign(&self.slots_of(old), Some(replica));
        for (index, member) in self.members.iter_mut().enumerate() {
            let follows = member.primary == Some(old) || (index == old.0 && member.health == Health::Online);
            if index == replica.0 {
                member.primary = None;
            } else if follows {
                member.primary = Some(replica);
            }
        }
    }

    /// A database that no node uses.
    pub(crate) fn free_database(&self) -> usize {
        let is_used = |database: &usize| self.joined().any(|(_, member)| member.database == *database);
        (0..self.members.len()).find(|database| !is_used(database)).unwrap_or_default()
    }
}

/// What a node believes the cluster to be.
#[derive(Clone, Debug, Default)]
pub(crate) enum View {
    /// It knows each change at once.
    #[default]
    Live,
    /// It knows an earlier cluster.
    Stale(Arc<Topology>),
    /// It knows each change this many microseconds late. `known` is what it knows now.
    Lagging { lag_us: u64, known: Arc<Topology> },
    /// It knows of no slots.
    Empty,
}

impl View {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale(_) => "stale",
            Self::Lagging { .. } => "lagging",
            Self::Empty => "empty",
        }
    }
}

/// How a node names the nodes of the cluster, as `cluster-preferred-endpoint-type` sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    #[default]
    Ip,
    /// By name; `?` if the node has none.
    Hostname,
    /// By no host: the client takes the one that it has asked.
    Unknown,
}

/// The owner of a slot that no node owns.
const UNOWNED: u16 = u16::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(primaries: usize, replicas: usize, spares: usize) -> Topology {
        let nodes = primaries * (1 + replicas) + spares;
        let addresses: Vec<SocketAddr> =
            (0..nodes).map(|n| ([127, 0, 0, 1], 7001 + n as u16).into()).collect();
        Topology::new(&addresses, primaries, replicas, 1)
    }

    #[test]
    fn slots_are_shared_as_redis_cli_shares_them() {
        let of = |primaries: usize| {
            let topology = topology(primaries, 1, 1);
            (0..primaries).map(|n| topology.slots_of(MemberId(n)).to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(1), "0-16383");
        assert_eq!(of(3), "0-5460 5461-10922 10923-16383");
        assert_eq!(of(5), "0-3276 3277-6553 6554-9829 9830-13106 13107-16383");
    }

    #[test]
    fn replicas_follow_and_spares_do_not_belong() {
        let topology = topology(2, 2, 1);
        let primaries: Vec<_> = topology.ids().map(|id| topology.primary_of(id).0).collect();
        assert_eq!(primaries, [0, 1, 0, 1, 0, 1, 6]);
        assert_eq!(topology.joined().count(), 6);
        assert_eq!(topology.free_database(), 2);
        let ids: std::collections::BTreeSet<_> = topology.joined().map(|(_, member)| &member.id).collect();
        assert!(ids.len() == 6 && ids.iter().all(|id| id.len() == 40));
    }

    #[test]
    fn a_promoted_replica_has_all_that_its_primary_had() {
        let mut topology = topology(2, 2, 0);
        topology.promote(MemberId(2));
        assert_eq!(topology.slots_of(MemberId(2)).to_string(), "0-8191");
        let followers: Vec<_> = topology.replicas(MemberId(2)).map(|(id, _)| id.0).collect();
        assert_eq!(followers, [0, 4]);
        topology.member_mut(MemberId(1)).unwrap().health = Health::Failed;
        topology.promote(MemberId(3));
        assert_eq!(topology.member(MemberId(1)).unwrap().primary, None, "a failed primary learns nothing");
        assert_eq!(topology.owner(16_383), Some(MemberId(3)));
        topology.assign(&SlotRanges::all(), None);
        assert!(topology.owned_ranges().is_empty());
    }
}
