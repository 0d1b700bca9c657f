//! Slots that move between the primaries of a cluster.

use super::ServerContext;
use crate::rehearsal::cluster::changing::{AfterPause, Migration, Pace};
use crate::rehearsal::cluster::slots::{SlotRanges, slot_of};
use crate::rehearsal::cluster::step::ClusterStep;
use crate::rehearsal::cluster::topology::MemberId;
use crate::rehearsal::maintenance::agenda::Action;
use crate::rehearsal::maintenance::notification::{NotificationKind, Subject};

/// How slots are to move.
#[derive(Clone, Debug)]
pub(crate) struct MigrationPlan {
    pub(crate) slots: SlotRanges,
    pub(crate) from: MemberId,
    pub(crate) to: MemberId,
    pub(crate) is_announced: bool,
    pub(crate) kind: MigrationKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MigrationKind {
    /// Key by key, over this time; `None` moves keys only when a verb says so.
    Classic { over_us: Option<u64> },
    /// All at once, after writes were held for this time.
    Atomic { pause_us: u64 },
}

impl ServerContext<'_> {
    /// Begins to move slots.
    pub(crate) fn migrate(&mut self, plan: MigrationPlan) {
        let MigrationPlan { slots, from, to, is_announced, kind } = plan;
        if is_announced {
            let text = slots.to_string().into_bytes();
            self.announce(&self.all_nodes(), NotificationKind::Smigrating, None, Subject::Text(text));
        }
        let left = match kind {
            MigrationKind::Classic { .. } => self.keys_in(from, &slots),
            MigrationKind::Atomic { .. } => Vec::new(),
        };
        let pace = match kind {
            MigrationKind::Classic { over_us: None } => Pace::Held,
            MigrationKind::Classic { over_us: Some(over_us) } => {
                let steps = left.len().clamp(1, STEPS_MAX);
                Pace::Classic { keys: left.len().div_ceil(steps), every_us: over_us / steps as u64 }
            }
            MigrationKind::Atomic { .. } => Pace::Atomic,
        };
        let Some(cluster) = &mut self.state.cluster else { return };
        let id = cluster.next_serial();
        let migration = Migration { id, slots: slots.clone(), from, to, left, pace, is_announced };
        cluster.migrations.push(migration);
        match kind {
            MigrationKind::Classic { .. } => self.plan_keys(id),
            MigrationKind::Atomic { pause_us: 0 } => self.finish_migration(id),
            MigrationKind::Atomic { pause_us } => {
                self.pause_writes(from, slots, pause_us, AfterPause::Migrate(id));
            }
        }
    }

    /// The keys of `member` in `slots`.
    pub(crate) fn keys_in(&self, member: MemberId, slots: &SlotRanges) -> Vec<Box<[u8]>> {
        let database = self.state.cluster.as_ref().map(|cluster| cluster.database(member));
        let database = database.and_then(|index| self.state.keyspace.databases().get(index));
        let keys = database.into_iter().flat_map(|database| database.keys());
        keys.filter(|(key, _)| slots.contains(slot_of(key))).map(|(key, _)| key.into()).collect()
    }

    fn plan_keys(&mut self, id: u64) {
        let migration = self.state.cluster.as_mut().and_then(|cluster| cluster.migration_mut(id));
        let Some(Pace::Classic { every_us, .. }) = migration.map(|migration| migration.pace) else { return };
        let step = Action::Cluster(ClusterStep::MoveKeys { migration: id });
        if !self.state.agenda.plan(self.now_us.saturating_add(every_us), step) {
            self.finish_migration(id);
        }
    }

    /// Moves the next keys of a classic migration, and ends it with the last one.
    fn move_next_keys(&mut self, id: u64) {
        let migration = self.state.cluster.as_mut().and_then(|cluster| cluster.migration_mut(id));
        let Some(migration) = migration else { return };
        let Pace::Classic { keys, .. } = migration.pace else { return };
        let (from, to) = (migration.from, migration.to);
        let next = migration.left.split_off(migration.left.len().saturating_sub(keys));
        let is_last = migration.left.is_empty();
        self.move_keys(from, to, &next);
        match is_last {
            true => self.finish_migration(id),
            false => self.plan_keys(id),
        }
    }

    /// Moves `key` to the target of the classic migration that its slot is in. Returns whether the source had it, or none
    /// if the slot does not move.
    pub(crate) fn move_key(&mut self, key: &[u8]) -> Option<bool> {
        let migration = self.state.cluster.as_ref()?.open_migration(slot_of(key))?;
        let (from, to) = (migration.from, migration.to);
        Some(self.move_keys(from, to, &[key.into()]) == 1)
    }

    /// Moves keys between two nodes, and returns how many there were.
    pub(crate) fn move_keys(&mut self, from: MemberId, to: MemberId, keys: &[Box<[u8]>]) -> usize {
        let Some(cluster) = &self.state.cluster else { return 0 };
        let (from, to) = (cluster.database(from), cluster.database(to));
        let mut moved = 0;
        for key in keys {
            if let Some((value, lifetime)) = self.state.keyspace.database(from).remove(key) {
                self.state.keyspace.database(to).put(key, value, lifetime);
                moved += 1;
            }
        }
        moved
    }

    /// Moves what is left, and gives the slots to the target.
    pub(crate) fn finish_migration(&mut self, id: u64) {
        let Some(cluster) = &mut self.state.cluster else { return };
        let Some(index) = cluster.migrations.iter().position(|migration| migration.id == id) else { return };
        let Migration { slots, from, to, is_announced, .. } = cluster.migrations.swap_remove(index);
        let endpoints = [from, to].map(|member| cluster.endpoint(to, member).into_bytes());
        let left = self.keys_in(from, &slots);
        self.move_keys(from, to, &left);
        self.change_topology(|topology| topology.assign(&slots, Some(to)));
        if is_announced {
            let [from, to] = endpoints;
            let moves = Subject::Moves(vec![[from, to, slots.to_string().into_bytes()]]);
            self.announce(&self.all_nodes(), NotificationKind::Smigrated, None, moves);
        }
    }

    /// Gives `slots` with their keys to `owner` at once, or to no node.
    pub(crate) fn assign(&mut self, slots: &SlotRanges, owner: Option<MemberId>) {
        let Some(cluster) = &self.state.cluster else { return };
        let owners: Vec<MemberId> = cluster.topology.joined().map(|(id, _)| id).collect();
        for (former, to) in owners.into_iter().filter_map(|former| Some((former, owner?))) {
            if self.state.cluster.as_ref().is_some_and(|cluster| !cluster.is_replica(former)) && former != to
            {
                let keys = self.keys_in(former, slots);
                self.move_keys(former, to, &keys);
            }
        }
        self.change_topology(|topology| topology.assign(slots, owner));
    }

    /// Takes a planned step.
    pub(crate) fn take_cluster_step(&mut self, step: ClusterStep) {
        match step {
            ClusterStep::Learn { member, known } => self.learn(member, known),
            ClusterStep::MoveKeys { migration } => self.move_next_keys(migration),
            ClusterStep::Fail { .. } | ClusterStep::Elect { .. } | ClusterStep::EndPause { .. } => {
                self.take_failover_step(step);
            }
        }
    }
}

/// Most steps in which the keys of a classic migration move.
const STEPS_MAX: usize = 100;
