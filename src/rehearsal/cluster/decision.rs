//! Whether a node executes a command, or where it sends the client: the rules of Redis's `getNodeByQuery`, in its order.

use super::changing::Pause;
use super::keys::KeyUse;
use super::slots::slot_of;
use super::state::ClusterState;
use super::topology::MemberId;
use crate::rehearsal::data::keyspace::Database;

/// Who asks: the node, and the flags of the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) member: MemberId,
    /// `ASKING` came before this command.
    pub(crate) is_asking: bool,
    /// `READONLY` is on.
    pub(crate) reads_replica: bool,
}

/// Why a command is not executed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    CrossSlot,
    TryAgain,
    /// The cluster is down.
    Down,
    /// No node owns the slot.
    Unserved,
    Moved {
        slot: u16,
        to: MemberId,
    },
    Ask {
        slot: u16,
        to: MemberId,
    },
    /// The node is a replica, or was demoted a moment ago.
    ReadOnly,
}

impl ClusterState {
    /// Decides about a command, or a whole transaction, with these `keys`.
    pub(crate) fn decide<'k>(
        &self,
        asker: Asker,
        mut keys: impl Iterator<Item = &'k [u8]>,
        usage: KeyUse,
        database: &Database,
        now_us: u64,
    ) -> Result<(), Refusal> {
        let me = asker.member;
        let Some(first) = keys.next() else {
            return if usage.is_write && self.is_replica(me) { Err(Refusal::ReadOnly) } else { Ok(()) };
        };
        let slot = slot_of(first);
        let known = self.is_joined(me).then(|| self.known(me)).and_then(|known| known.owner(slot));
        let owner = known.ok_or(Refusal::Unserved)?;
        let open = self.open_migration(slot).filter(|_| !usage.is_shard_channel);
        let (mut existing, mut missing, mut has_several) = (0, 0, false);
        let mut count = |key: &[u8]| match open.is_some() && database.contains(key) {
            true => existing += 1,
            false => missing += 1,
        };
        count(first);
        for key in keys {
            if slot_of(key) != slot {
                return Err(Refusal::CrossSlot);
            }
            has_several |= key != first;
            count(key);
        }
        if self.is_down(me, now_us) {
            return Err(Refusal::Down);
        }
        if let Some(migration) = open.filter(|migration| migration.from == me && missing > 0) {
            return Err(match existing {
                0 => Refusal::Ask { slot, to: migration.to },
                _ => Refusal::TryAgain,
            });
        }
        if asker.is_asking && open.is_some_and(|migration| migration.to == me) {
            return if has_several && missing > 0 { Err(Refusal::TryAgain) } else { Ok(()) };
        }
        if usage.is_write && self.node(me).is_some_and(|node| now_us < node.readonly_until_us) {
            return Err(Refusal::ReadOnly);
        }
        let truth = self.topology.owner(slot).ok_or(Refusal::Unserved)?;
        let is_replica_read = (asker.reads_replica || usage.is_shard_channel) && !usage.is_write;
        if is_replica_read && self.is_replica(me) && self.topology.primary_of(me) == truth {
            return Ok(());
        }
        // A node that does not know of its gain sends the client away, as one does that knows of its loss.
        match (owner == me, truth == me) {
            (true, true) => Ok(()),
            (true, false) => Err(Refusal::Moved { slot, to: truth }),
            (false, _) => Err(Refusal::Moved { slot, to: owner }),
        }
    }

    /// The pause that holds back a write of `keys` at `member`.
    pub(crate) fn pause_of<'k>(
        &mut self,
        member: MemberId,
        mut keys: impl Iterator<Item = &'k [u8]>,
    ) -> Option<&mut Pause> {
        let slot = keys.next().map(slot_of);
        let holds =
            |pause: &&mut Pause| pause.member == member && slot.is_none_or(|slot| pause.slots.contains(slot));
        self.pauses.iter_mut().find(holds)
    }
}

impl Refusal {
    /// The error, as `by` words it.
    pub(crate) fn text(self, cluster: &ClusterState, by: MemberId) -> String {
        match self {
            Self::CrossSlot => "CROSSSLOT Keys in request don't hash to the same slot".to_owned(),
            Self::TryAgain => "TRYAGAIN Multiple keys request during rehashing of slot".to_owned(),
            Self::Down => "CLUSTERDOWN The cluster is down".to_owned(),
            Self::Unserved => "CLUSTERDOWN Hash slot not served".to_owned(),
            Self::Moved { slot, to } => format!("MOVED {slot} {}", cluster.endpoint(by, to)),
            Self::Ask { slot, to } => format!("ASK {slot} {}", cluster.endpoint(by, to)),
            Self::ReadOnly => "READONLY You can't write against a read only replica.".to_owned(),
        }
    }

    /// Counts this answer.
    pub(crate) fn count(self, cluster: &mut ClusterState) {
        let answers = &mut cluster.answers;
        *match self {
            Self::CrossSlot => &mut answers.crossslot,
            Self::TryAgain => &mut answers.tryagain,
            Self::Down | Self::Unserved => &mut answers.clusterdown,
            Self::Moved { .. } => &mut answers.moved,
            Self::Ask { .. } => &mut answers.ask,
            Self::ReadOnly => &mut answers.readonly,
        } += 1;
    }
}
