//! [`Parts`]: the parts of a pool, and the one loop that applies their effects.

use super::action::Action;
use super::auth::Auth;
use super::config::PoolConfig;
use super::connection::PoolConnection;
use super::context::Context;
use super::effects::Effect;
use super::entries::Entries;
use super::entry::Role;
use super::handoffs::Handoffs;
use super::ids::{ConnectionId, EntryId};
use super::maintenance::Maintenance;
use crate::proto::connection::{Deliver, Push, PushUse, StateChange};
use crate::proto::error::CloseReason;
use crate::proto::maint::event::{Event, HandoffResult};
use crate::proto::time::Instant;

/// The parts of a pool. Each owns its state and its methods, and asks the others for something by an [`Effect`] only.
///
/// Every call from outside works in three steps: it sets the time, lets one part do its work, and applies the effects
/// until none is left. No part calls another, and no effect is applied within another: ending a connection, cutting
/// over and draining bring each other about without recursion, whatever a server sends.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) entries: Entries,
    pub(super) handoffs: Handoffs,
    pub(super) maintenance: Maintenance,
    pub(super) auth: Auth,
    pub(super) ctx: Context,
}

impl Parts {
    pub(super) fn new(config: PoolConfig, now: Instant) -> Self {
        let mut parts = Parts {
            entries: Entries::new(&config),
            handoffs: Handoffs::new(&config),
            maintenance: Maintenance::new(&config),
            auth: Auth::default(),
            ctx: Context::new(config, now),
        };
        parts.entries.ids().for_each(|id| parts.dial(id));
        parts
    }

    /// Applies effects until none is left.
    pub(super) fn apply(&mut self, deliver: &mut impl Deliver) {
        while let Some(effect) = self.ctx.effects.next() {
            let ctx = &mut self.ctx;
            match effect {
                Effect::Act(action) => ctx.effects.act(action),
                Effect::End { id, reason } => self.end(id, reason, deliver),
                Effect::Forget { id, peer } => self.maintenance.forget(id, peer, ctx),
                Effect::Drained(id) => self.handle_progress(id),
                Effect::ActiveChanged(id) => {
                    self.consider(id);
                    self.start_handoffs();
                }
                Effect::QueueChanged => self.start_handoffs(),
                Effect::MoveChanged => {
                    self.entries.ids().for_each(|id| self.consider(id));
                    self.start_handoffs();
                }
                Effect::MoveWithdrawn(from) => self.handoffs.withdraw(&mut self.entries, from, ctx),
                Effect::TargetRefused(refused) => self.maintenance.drop_target(refused, ctx),
                Effect::TargetDropped(refused) => self.handoffs.drop_target(&mut self.entries, refused, ctx),
                Effect::TargetNamed(target) => self.handoffs.breakers.of(&target).half_open(),
                Effect::WindowsChanged(peer) => {
                    if let Some(known) = self.maintenance.peers.get(peer) {
                        self.entries.relax(peer, &known.windows, ctx.now);
                    }
                }
                Effect::OfferChanged(peer) => {
                    let waiting = self.entries.connected_to(peer);
                    for known in waiting.filter(|known| known.connection.awaits_opt_in()) {
                        self.maintenance.peers.offer(known, ctx);
                    }
                }
                Effect::LoginSettled => self.auth.settle(&self.entries, ctx),
            }
        }
    }

    /// Handles what bytes brought other than replies. `received` says whether the connection can go on.
    #[inline(never)]
    pub(super) fn handle_received(
        &mut self,
        id: ConnectionId,
        was_ready: bool,
        received: Result<(), CloseReason>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.ctx.now = now;
        let pushed = self.handle_pushes(id, deliver);
        self.handle_state_changes(id);
        self.apply(deliver);
        if let Err(reason) = received.and(pushed) {
            self.ctx.effects.push(Effect::End { id, reason });
            self.apply(deliver);
            return;
        }
        let Some(known) = self.entries.connection(id) else { return };
        if !was_ready && known.is_ready() {
            self.handle_ready(id, deliver);
        } else if known.connection.awaits_opt_in() {
            self.maintenance.peers.offer(known, &mut self.ctx);
        }
        self.ctx.effects.push(Effect::Drained(id));
        self.apply(deliver);
        if let Some(entry) = self.entries.get_mut(id.entry) {
            entry.close_drained(&mut self.ctx);
        }
        self.apply(deliver);
    }

    /// Handles what is due now.
    pub(super) fn handle_timeout(&mut self, deliver: &mut impl Deliver) {
        let give_up = self.ctx.closing.is_some_and(|until| self.ctx.now >= until);
        for id in self.entries.ids() {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.expire_queued(&self.ctx, deliver);
            if give_up {
                self.ctx.counters.given_up += entry.give_up(deliver);
            }
            if self.ctx.closing.is_some() && entry.queue.is_empty() {
                entry.redial_at = None;
            }
            entry.check_connections(give_up, &mut self.ctx, deliver);
            self.apply(deliver);
            if self.entries.get(id).is_some_and(|entry| entry.is_redial_due(self.ctx.now)) {
                self.dial(id);
            }
            if let Some(entry) = self.entries.get_mut(id) {
                self.handoffs.retry(entry, self.auth.version(), &mut self.ctx);
                self.apply(deliver);
            }
            if let Some(entry) = self.entries.get_mut(id) {
                entry.close_drained(&mut self.ctx);
                self.apply(deliver);
            }
        }
        self.maintenance.handle_timeout(&mut self.ctx);
        self.ctx.effects.push(Effect::QueueChanged);
        self.apply(deliver);
    }

    /// Dials where commands of this entry have to go now.
    fn dial(&mut self, id: EntryId) {
        let ctx = &mut self.ctx;
        let Some(entry) = self.entries.get_mut(id) else { return };
        let peers = &self.maintenance.peers;
        let route = self.handoffs.route(entry, peers.newest_move(ctx.now), ctx);
        let budget = entry.connect_budget(peers.relaxed_until(ctx.now), ctx);
        entry.redial_at = None;
        entry.active = Some(entry.dial(route, budget, self.auth.version(), ctx));
    }

    /// Queues an entry for a handoff if the peer of its connection moves.
    fn consider(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(id).filter(|_| self.ctx.closing.is_none()) else { return };
        let peer = entry.active.as_ref().and_then(|active| active.peer);
        if let Some(moving) = peer.and_then(|peer| self.maintenance.move_of(peer)) {
            self.handoffs.consider(entry, moving, &mut self.ctx);
        }
    }

    fn start_handoffs(&mut self) {
        self.handoffs.start(&mut self.entries, self.auth.version(), &mut self.ctx);
    }

    /// A connection is over: removes it from its entry, and tells every part that knew it.
    fn end(&mut self, id: ConnectionId, reason: CloseReason, deliver: &mut impl Deliver) {
        let ctx = &mut self.ctx;
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        let Some((role, ended)) = entry.take(id.generation) else { return };
        let (peer, route, unused) = (ended.peer, ended.route.clone(), !ended.is_ready());
        count_end(&ended, &reason, ctx);
        if role == Role::Active && unused {
            entry.failed_move = route.follows;
        }
        let reason = std::sync::Arc::new(reason);
        let maintenance = ended.lost_to(ctx.now);
        let lost = match role {
            Role::Active => entry.handle_loss(ended, &reason, ctx, deliver),
            _ => ended.connection.end(&reason, maintenance, &mut entry.queue, deliver),
        };
        if maintenance.is_some() {
            ctx.stats.orphaned += lost;
        }
        if ctx.closing.is_some() && entry.queue.is_empty() {
            entry.redial_at = None;
        }
        let refused = route.follows.filter(|_| matches!(*reason, CloseReason::TargetRefused(_)));
        if unused && route.follows.is_some() {
            self.handoffs.note_failed_dial(&route.endpoint, refused.is_some(), ctx.now);
        }
        ctx.effects.report(Event::Disconnected { peer, reason: reason.to_string() });
        ctx.effects.act(Action::Close { id, reason: reason.clone(), unused });
        ctx.effects.push(Effect::Forget { id, peer });
        match role {
            Role::Active => {
                // A successor that was being dialed has taken its place already.
                self.handoffs.finish(entry, HandoffResult::Abandoned, ctx);
                ctx.effects.push(Effect::QueueChanged);
                ctx.effects.push(Effect::LoginSettled);
            }
            Role::Successor => self.handoffs.handle_failure(entry, &reason, ctx),
            Role::Predecessor => entry.wake_held(ctx),
        }
        if let Some(refused) = refused {
            ctx.effects.push(Effect::TargetRefused(refused));
        }
    }

    /// The handshake is over.
    fn handle_ready(&mut self, id: ConnectionId, deliver: &mut impl Deliver) {
        let Some(known) = self.entries.connection(id) else { return };
        self.maintenance.peers.note_offer(known, &mut self.ctx);
        self.apply(deliver);
        let ctx = &mut self.ctx;
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        let role = entry.role(id.generation);
        let Some(known) = entry.connection(id.generation) else { return };
        if known.route.follows.is_some() {
            self.handoffs.breakers.of(&known.route.endpoint).succeeded();
        }
        if role == Some(Role::Successor) && known.leads_back {
            ctx.effects.push(Effect::End { id, reason: CloseReason::LeadsBack });
            return;
        }
        ctx.counters.connected += 1;
        ctx.effects.act(Action::Ready { id });
        ctx.effects.report(Event::Connected { peer: known.peer });
        self.auth.catch_up(known, ctx);
        if role == Some(Role::Successor) {
            self.cut_over(id);
        } else {
            entry.clear_last_error();
            ctx.effects.push(Effect::ActiveChanged(id.entry));
        }
    }

    /// The successor is ready and takes over what is submitted from now on.
    fn cut_over(&mut self, id: ConnectionId) {
        let ctx = &mut self.ctx;
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        let before = entry.active.as_ref().map(|active| active.id);
        self.handoffs.cut_over(entry, ctx);
        if let Some(active) = &mut entry.active {
            self.maintenance.relax(active, ctx.now);
        }
        ctx.effects.push(Effect::LoginSettled);
        ctx.effects.act(Action::Wake { id });
        ctx.effects.extend(before.map(Effect::Drained));
        ctx.effects.push(Effect::ActiveChanged(id.entry));
    }

    /// A predecessor may have received its last reply, or one that the order barrier waits for.
    fn handle_progress(&mut self, id: ConnectionId) {
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        if entry.role(id.generation) != Some(Role::Predecessor) {
            return;
        }
        entry.barrier.note_progress();
        if entry.connection(id.generation).is_some_and(|known| known.connection.is_idle()) {
            self.ctx.effects.push(Effect::End { id, reason: CloseReason::Replaced });
        } else {
            entry.wake_held(&mut self.ctx);
        }
    }

    /// Handles what came on a connection and answers no command.
    ///
    /// # Errors
    /// If it was more than a connection may send.
    fn handle_pushes(&mut self, id: ConnectionId, deliver: &mut impl Deliver) -> Result<(), CloseReason> {
        let Some(known) = self.entries.connection(id) else { return Ok(()) };
        if !known.connection.has_notices() {
            return Ok(());
        }
        let (skipped, pushes) = (known.connection.take_skipped(), known.connection.take_pushes());
        self.ctx.stats.oversized += skipped;
        for _ in 0..skipped {
            known.note_push(PushUse::None, self.ctx.now)?;
        }
        for push in pushes {
            self.ctx.counters.pushes += 1;
            self.handle_push(id, push, deliver)?;
        }
        Ok(())
    }

    fn handle_push(
        &mut self,
        id: ConnectionId,
        push: Push,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        let ctx = &mut self.ctx;
        let Push { frame, is_live } = push;
        let role = self.entries.role(id);
        // A push before this one may have ended the connection.
        let known = self.entries.connection(id);
        let peer = known.as_ref().and_then(|known| known.peer);
        let used = match (self.maintenance.read_push(frame, peer, ctx, deliver), known, role) {
            (Ok(notification), Some(known), Some(role)) => {
                self.maintenance.handle_copy(known, role, &notification, is_live, ctx)
            }
            (Ok(_), ..) => PushUse::None,
            (Err(used), ..) => used,
        };
        self.apply(deliver);
        match self.entries.connection(id) {
            Some(known) => known.note_push(used, self.ctx.now),
            None => Ok(()),
        }
    }

    /// Handles what the replies on a connection said that concerns more than their commands.
    fn handle_state_changes(&mut self, id: ConnectionId) {
        let ctx = &mut self.ctx;
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        let role = entry.role(id.generation);
        let Some(known) = entry.connection(id.generation) else { return };
        let moving = known.peer.and_then(|peer| self.maintenance.move_of(peer));
        let is_moving = moving.is_some_and(|moving| moving.is_live(ctx.now));
        for change in known.connection.take_state_changes() {
            match change {
                StateChange::LoggedIn(result) => self.auth.note_login(result, ctx),
                StateChange::LoggedOut => self.auth.note_logged_out(ctx),
                // During a move the connection is replaced in any case.
                StateChange::Demoted(state) if role == Some(Role::Active) && !is_moving => {
                    self.handoffs.replace(entry, state, ctx);
                }
                StateChange::Demoted(_) => {}
            }
        }
    }
}

/// Adds a connection that is over to the counters.
fn count_end(ended: &PoolConnection, reason: &CloseReason, ctx: &mut Context) {
    let (received, sent) = ended.connection.traffic();
    ctx.counters.bytes_received += received;
    ctx.counters.bytes_sent += sent;
    if !ended.is_ready() {
        ctx.counters.dial_failures += 1;
    } else if !matches!(reason, CloseReason::Local | CloseReason::Replaced | CloseReason::LeadsBack) {
        ctx.counters.lost += 1;
    }
    if let CloseReason::PushFlood(pushes) = *reason {
        ctx.counters.floods += 1;
        ctx.effects.report(Event::Flooded { peer: ended.peer, pushes });
    }
}
