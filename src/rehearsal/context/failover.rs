//! Nodes that fail over, die, and return.

use super::{Scope, ServerContext};
use crate::rehearsal::cluster::changing::{AfterPause, Pause};
use crate::rehearsal::cluster::slots::SlotRanges;
use crate::rehearsal::cluster::step::ClusterStep;
use crate::rehearsal::cluster::topology::{Health, Member, MemberId};
use crate::rehearsal::ending::Ending;
use crate::rehearsal::maintenance::agenda::Action;

impl ServerContext<'_> {
    /// A planned failover to `replica`: its primary holds writes for `pause_us` and then becomes a replica, which answers
    /// READONLY to writes for `readonly_us` before it redirects them.
    pub(crate) fn fail_over(&mut self, replica: MemberId, pause_us: u64, readonly_us: u64) {
        let Some(cluster) = &self.state.cluster else { return };
        let member = cluster.topology.primary_of(replica);
        match pause_us {
            0 => self.promote(replica, readonly_us),
            _ => {
                let then = AfterPause::Promote { replica, readonly_us };
                self.pause_writes(member, SlotRanges::all(), pause_us, then);
            }
        }
    }

    fn promote(&mut self, replica: MemberId, readonly_us: u64) {
        let until_us = self.now_us.saturating_add(readonly_us);
        let Some(cluster) = &mut self.state.cluster else { return };
        let demoted = cluster.topology.primary_of(replica);
        if demoted == replica || !cluster.is_joined(replica) {
            return;
        }
        if let Some(node) = cluster.node_mut(demoted).filter(|_| readonly_us > 0) {
            node.readonly_until_us = until_us;
        }
        for migration in &mut cluster.migrations {
            for end in [&mut migration.from, &mut migration.to] {
                if *end == demoted {
                    *end = replica;
                }
            }
        }
        self.change_topology(|topology| topology.promote(replica));
    }

    /// Holds writes to `slots` at `member` for `pause_us`.
    pub(super) fn pause_writes(
        &mut self,
        member: MemberId,
        slots: SlotRanges,
        pause_us: u64,
        then: AfterPause,
    ) {
        let Some(cluster) = &mut self.state.cluster else { return };
        let id = cluster.next_serial();
        cluster.pauses.push(Pause { id, member, slots, then, held: Default::default() });
        let at_us = self.now_us.saturating_add(pause_us);
        if !self.state.agenda.plan(at_us, Action::Cluster(ClusterStep::EndPause { pause: id })) {
            self.end_pause(id);
        }
    }

    fn end_pause(&mut self, id: u64) {
        let Some(cluster) = &mut self.state.cluster else { return };
        let Some(index) = cluster.pauses.iter().position(|pause| pause.id == id) else { return };
        let Pause { then, held, .. } = cluster.pauses.swap_remove(index);
        match then {
            AfterPause::Promote { replica, readonly_us } => self.promote(replica, readonly_us),
            AfterPause::Migrate(migration) => self.finish_migration(migration),
        }
        held.into_iter().for_each(|session| self.state.blocked.resume(session));
    }

    /// `member` dies: its connections are reset, and it does not listen. After `detect_us` the others agree that it has
    /// failed. After `election_us` they elect a replica of it.
    pub(crate) fn kill(&mut self, member: MemberId, detect_us: u64, election_us: Option<u64>) {
        let Some(cluster) = &mut self.state.cluster else { return };
        let death = cluster.next_serial();
        if let Some(node) = cluster.node_mut(member) {
            node.death = Some(death);
        }
        let listeners = cluster.listeners(member);
        self.set_health(member, Health::Lost);
        let mut steps = vec![(Some(detect_us), ClusterStep::Fail { member, death })];
        steps.push((election_us, ClusterStep::Elect { member, death }));
        for (after_us, step) in steps {
            if let Some(after_us) = after_us {
                self.state.agenda.plan(self.now_us.saturating_add(after_us), Action::Cluster(step));
            }
        }
        self.set_listening(&Scope { nodes: listeners.clone(), only: None }, false);
        self.close(&Scope { nodes: listeners, only: None }, Ending::Reset);
    }

    /// A dead node returns. If its slots have another owner, it is a replica of that.
    pub(crate) fn revive(&mut self, member: MemberId) {
        let Some(cluster) = &mut self.state.cluster else { return };
        if let Some(node) = cluster.node_mut(member) {
            node.death = None;
        }
        let listeners = cluster.listeners(member);
        let database = cluster.database(member);
        let is_successor = |(id, other): &(MemberId, &Member)| {
            *id != member && other.primary.is_none() && other.database == database
        };
        let successor = cluster.topology.joined().find(is_successor).map(|(id, _)| id);
        self.change_topology(|topology| {
            if let Some(revived) = topology.member_mut(member) {
                revived.health = Health::Online;
                revived.primary = successor.or(revived.primary);
            }
        });
        self.set_listening(&Scope { nodes: listeners, only: None }, true);
    }

    pub(super) fn take_failover_step(&mut self, step: ClusterStep) {
        let is_dead = |context: &Self, member, death| {
            let node = context.state.cluster.as_ref().and_then(|cluster| cluster.node(member));
            node.is_some_and(|node| node.death == Some(death))
        };
        match step {
            ClusterStep::Fail { member, death } if is_dead(self, member, death) => {
                self.set_health(member, Health::Failed);
            }
            ClusterStep::Elect { member, death } if is_dead(self, member, death) => {
                self.set_health(member, Health::Failed);
                let elected = self.state.cluster.as_ref().and_then(|cluster| cluster.electable(member));
                match elected {
                    Some(replica) => self.promote(replica, 0),
                    None => tracing::info!(member = member.0, "no replica is there to be elected"),
                }
            }
            ClusterStep::EndPause { pause } => self.end_pause(pause),
            _ => {}
        }
    }

    fn set_health(&mut self, member: MemberId, health: Health) {
        self.change_topology(|topology| {
            if let Some(changed) = topology.member_mut(member) {
                changed.health = health;
            }
        });
    }

    fn set_listening(&mut self, scope: &Scope, listens: bool) {
        for id in &scope.nodes {
            if let Some(node) = self.state.nodes.get_mut(id.0) {
                node.listens = listens;
            }
        }
        self.state.dirty_nodes.extend_from_slice(&scope.nodes);
    }
}
