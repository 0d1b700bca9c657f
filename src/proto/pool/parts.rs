//! [`Parts`]: the parts of a pool, and the one loop that applies their effects.

use super::action::Action;
use super::auth::Auth;
use super::config::PoolConfig;
use super::connection::PoolConnection;
use super::context::Context;
use super::effects::Effect;
use super::entries::Entries;
use super::entry::Role;
use super::exclusive::Exclusive;
use super::handoffs::Handoffs;
use super::ids::{ConnectionId, EntryId};
use super::maintenance::Maintenance;
use super::subscriber::Subscriber;
use crate::proto::connection::Deliver;
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
    pub(super) exclusive: Exclusive,
    pub(super) subscriber: Subscriber,
    pub(super) ctx: Context,
}

impl Parts {
    pub(super) fn new(config: PoolConfig, now: Instant) -> Self {
        let mut parts = Parts {
            entries: Entries::new(&config),
            handoffs: Handoffs::new(&config),
            maintenance: Maintenance::new(&config),
            auth: Auth::default(),
            exclusive: Exclusive::new(&config),
            subscriber: Subscriber::default(),
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
                    self.exclusive.handle_moved(id, &mut self.entries, ctx);
                    if self.subscriber.is_on(id) {
                        self.serve_subscriptions(deliver);
                    }
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
                Effect::ConnectionWanted(id) => {
                    // Its user may have left since.
                    let entry = self.entries.get(id).filter(|entry| entry.active.is_none() && entry.is_used);
                    if entry.is_some_and(|entry| entry.redial_at.is_none()) {
                        self.dial(id);
                    }
                }
                Effect::EntryUnwanted(id) => {
                    let connections = self.entries.get(id).into_iter().flat_map(|entry| entry.connections());
                    let end = |id| Effect::End { id, reason: CloseReason::Local };
                    ctx.effects.extend(connections.map(|known| end(known.id)));
                }
                Effect::LeaseChanged(id) => self.exclusive.settle(id, &mut self.entries, ctx),
                Effect::SuccessorMayServe(id) => self.cut_over_if_possible(id, deliver),
                Effect::LeaseFree => {
                    // First: callers that keep coming would leave nothing for the subscriptions.
                    if self.subscriber.needs_entry() {
                        self.serve_subscriptions(deliver);
                    }
                    self.exclusive.dispatch(&mut self.entries, &mut self.ctx, deliver);
                }
            }
        }
    }

    /// Handles what is due now.
    pub(super) fn handle_timeout(&mut self, deliver: &mut impl Deliver) {
        let give_up = self.ctx.closing.is_some_and(|until| self.ctx.now >= until);
        for id in self.entries.ids() {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            if entry.expire_queued(&self.ctx, deliver) {
                self.exclusive.handle_expired(id, &mut self.entries, &mut self.ctx, deliver);
            }
            let Some(entry) = self.entries.get_mut(id) else { continue };
            if give_up {
                self.ctx.counters.given_up += entry.give_up(deliver);
            }
            if self.ctx.closing.is_some() && entry.queue.is_empty() {
                entry.redial_at = None;
            }
            entry.check_connections(give_up, &mut self.ctx, deliver);
            self.apply(deliver);
            match self.entries.get_mut(id).filter(|entry| entry.is_redial_due(self.ctx.now)) {
                Some(entry) if entry.is_used => self.dial(id),
                Some(unused) => unused.forgive(),
                None => {}
            }
            if let Some(entry) = self.entries.get_mut(id) {
                self.handoffs.retry(entry, self.auth.version(), &mut self.ctx);
                self.apply(deliver);
            }
            if self.exclusive.has(id) {
                self.ctx.effects.push(Effect::LeaseChanged(id));
            }
            self.close_drained(id);
            self.apply(deliver);
        }
        if give_up {
            self.ctx.counters.given_up += self.exclusive.give_up(deliver);
        }
        if self.subscriber.needs_entry() {
            self.serve_subscriptions(deliver);
        }
        self.exclusive.handle_timeout(&mut self.entries, &mut self.ctx, deliver);
        self.handle_subscriptions_timeout(deliver);
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
        let may_move = self.ctx.closing.is_none() && !self.exclusive.is_pinned(id);
        let Some(entry) = self.entries.get_mut(id).filter(|_| may_move) else { return };
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
        for unblocked in ended.connection.unanswered_unblocks() {
            self.exclusive.handle_sibling_lost(unblocked, ctx);
        }
        if role == Role::Active && unused {
            entry.failed_move = route.follows;
        }
        let reason = std::sync::Arc::new(reason);
        let maintenance = ended.lost_to(ctx.now);
        let is_exclusive = self.exclusive.has(id.entry);
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
        let of_role = entry.role;
        ctx.effects.report(Event::Disconnected { peer, role: of_role, reason: reason.to_string() });
        ctx.effects.act(Action::Close { id, reason: reason.clone(), unused });
        ctx.effects.push(Effect::Forget { id, peer });
        self.subscriber.handle_lost(id, ctx.now, deliver);
        if role == Role::Active && is_exclusive {
            self.exclusive.handle_lost(id.entry, &mut self.entries, deliver);
        }
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        match role {
            Role::Active => {
                if let Some(active) = entry.active.as_ref().filter(|active| active.is_ready()) {
                    // It was ready and had to wait. Now it serves.
                    ctx.effects.act(Action::Wake { id: active.id });
                    ctx.effects.push(Effect::ActiveChanged(id.entry));
                }
                // A successor that was being dialed has taken its place already.
                self.handoffs.finish(entry, HandoffResult::Abandoned, ctx);
                ctx.effects.push(Effect::QueueChanged);
                ctx.effects.push(Effect::LoginSettled);
            }
            Role::Successor => self.handoffs.handle_failure(entry, &reason, ctx),
            Role::Predecessor => entry.wake_held(ctx),
        }
        if is_exclusive {
            ctx.effects.push(Effect::LeaseChanged(id.entry));
            // Connections that drain may have been kept to end its wait.
            ctx.effects.extend(self.entries.predecessors().map(Effect::Drained));
        }
        if let Some(refused) = refused {
            ctx.effects.push(Effect::TargetRefused(refused));
        }
    }

    /// The handshake is over.
    pub(super) fn handle_ready(&mut self, id: ConnectionId, deliver: &mut impl Deliver) {
        let Some(known) = self.entries.connection(id) else { return };
        self.maintenance.peers.note_offer(known, &mut self.ctx);
        self.apply(deliver);
        let ctx = &mut self.ctx;
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        let role = entry.role(id.generation);
        let of_role = entry.role;
        let Some(known) = entry.connection(id.generation) else { return };
        known.is_noted = true;
        if known.route.follows.is_some() {
            self.handoffs.breakers.of(&known.route.endpoint).succeeded();
        }
        if role == Some(Role::Successor) && known.leads_back {
            ctx.effects.push(Effect::End { id, reason: CloseReason::LeadsBack });
            return;
        }
        ctx.counters.connected += 1;
        ctx.effects.act(Action::Ready { id });
        ctx.effects.report(Event::Connected { peer: known.peer, role: of_role });
        self.auth.catch_up(known, ctx);
        if role == Some(Role::Successor) {
            ctx.effects.push(Effect::SuccessorMayServe(id.entry));
        } else {
            entry.clear_last_error();
            ctx.effects.push(Effect::ActiveChanged(id.entry));
        }
    }

    /// The successor is ready and takes over what is submitted from now on.
    pub(super) fn cut_over(&mut self, id: ConnectionId) {
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
        let is_shared = !self.exclusive.has(id.entry);
        let Some(entry) = self.entries.get(id.entry) else { return };
        let known = entry.predecessors.iter().find(|known| known.id == id);
        let is_done = known.is_some_and(|known| {
            known.connection.is_idle()
                && !(is_shared && self.exclusive.needs_sibling(known, &self.entries))
                && self.subscriber.is_released(id)
        });
        if is_done {
            self.ctx.effects.push(Effect::End { id, reason: CloseReason::Replaced });
        } else {
            entry.wake_held(&mut self.ctx);
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
