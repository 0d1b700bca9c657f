//! [`Handoffs`]: make before break. Which connections move, when, and what becomes of the old ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::action::Action;
use super::config::PoolConfig;
use super::connection::Route;
use super::context::Context;
use super::effects::Effect;
use super::entries::Entries;
use super::entry::Entry;
use super::ids::EntryId;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::{CloseReason, ServerState};
use crate::proto::maint::breaker::Breakers;
use crate::proto::maint::event::{Event, HandoffResult, MaintenanceStats};
use crate::proto::maint::handoff::{Failed, Handoff, Move, MoveId};
use crate::proto::maint::queue::{Admission, HandoffLimits, HandoffQueue};
use crate::proto::time::Instant;

/// The handoffs of a pool: the queue for permits, and the breaker of each target.
///
/// Every handoff that was begun ends once, by [`finish`](Handoffs::finish): it gives back the permit, the probe of the
/// breaker and the place in the queue, closes a successor that is not used, counts the result and reports it. An entry
/// has at most one handoff; its own state is drawn at `Handoff`.
#[derive(Debug)]
pub(super) struct Handoffs {
    queue: HandoffQueue,
    pub(super) breakers: Breakers,
}

impl Handoffs {
    pub(super) fn new(config: &PoolConfig) -> Self {
        let maint = &config.maint;
        let limits = HandoffLimits::derive(config.connections, maint.handoff_workers, maint.handoff_queue);
        Handoffs { queue: HandoffQueue::new(limits), breakers: Breakers::new(maint.breaker) }
    }

    /// The route of the connection that replaces a lost one: to the target of the newest move, or to the configured
    /// endpoint if no move goes on. After a failed dial to the target, the next one goes to the configured endpoint.
    pub(super) fn route(&self, entry: &Entry, newest: Option<&Move>, ctx: &Context) -> Route {
        let failed = entry.gave_up_on.max(entry.failed_move);
        if let Some(newest) = newest
            && let Some(to) = &newest.to
            && !newest.is_redial
            && failed != Some(newest.id)
            && !self.breakers.is_open(to, ctx.now)
        {
            return Route { endpoint: to.clone(), follows: Some(newest.id), redirect: newest.redirect };
        }
        Route {
            endpoint: ctx.config.endpoint.clone(),
            follows: None,
            redirect: ctx.config.named.as_ref().map(|named| named.by),
        }
    }

    /// Queues an entry for a handoff if the peer of its connection moves.
    pub(super) fn consider(&mut self, entry: &mut Entry, moving: &Move, ctx: &mut Context) {
        let Some(to) = moving.to.clone() else { return };
        let Some(active) = entry.active.as_ref().filter(|active| active.is_ready()) else { return };
        let Some(from) = active.peer else { return };
        // A connection that follows a move was made after all earlier ones.
        let is_known = active.route.follows.max(entry.gave_up_on) >= Some(moving.id);
        if is_known || !moving.is_live(ctx.now) {
            return;
        }
        if let Some(under_way) = &entry.handoff
            && under_way.move_id == Some(moving.id)
            && under_way.to == to
        {
            return;
        }
        let handoff = Handoff::new(from, moving, to);
        let deadline = handoff.deadline;
        self.finish(entry, HandoffResult::Superseded, ctx);
        entry.handoff = Some(handoff);
        self.queue.push(entry.id.0, moving.from_then, ctx.now, deadline);
    }

    /// Replaces the connection of a server that says that it cannot serve as a master any more.
    ///
    /// The configured name, or the address in front of the servers, may lead to another server by now. So the same
    /// endpoint is dialed again, and the new connection takes over between two commands, as after an announced move.
    pub(super) fn replace(&mut self, entry: &mut Entry, state: ServerState, ctx: &mut Context) {
        if entry.handoff.is_some() || ctx.closing.is_some() || ctx.now < entry.replaceable_at {
            return;
        }
        // A unix socket leads to one server only.
        let Some(peer) = entry.active.as_ref().and_then(|active| active.peer) else { return };
        let deadline = ctx.now.after(ctx.config.maint.handoff_timeout);
        entry.replaceable_at = ctx.now.after(REPLACED_EVERY);
        entry.handoff = Some(Handoff::unannounced(peer, ctx.config.endpoint.clone(), deadline));
        ctx.effects.report(Event::Demoted { peer, code: state.code() });
        self.queue.push(entry.id.0, ctx.now, ctx.now, deadline);
        ctx.effects.push(Effect::QueueChanged);
    }

    /// Dials for as many entries as there are permits.
    pub(super) fn start(&mut self, entries: &mut Entries, login_version: u64, ctx: &mut Context) {
        while let Some((number, admission)) = self.queue.pop(ctx.now) {
            let Some(entry) = entries.get_mut(EntryId(number)) else { continue };
            let has_room = entry.predecessors.len() < PREDECESSORS_MAX;
            let Some(handoff) = &mut entry.handoff else {
                if admission == Admission::Permit {
                    self.queue.release();
                }
                continue;
            };
            handoff.has_permit = admission == Admission::Permit;
            match has_room {
                true => self.attempt(entry, login_version, ctx),
                // The oldest predecessor has to drain first.
                false => self.postpone(entry, ctx.now.after(POSTPONED_FOR), ctx),
            }
        }
    }

    /// Dials again if that is due.
    pub(super) fn retry(&mut self, entry: &mut Entry, login_version: u64, ctx: &mut Context) {
        if entry.handoff.as_ref().is_some_and(|handoff| handoff.is_retry_due(ctx.now)) {
            self.attempt(entry, login_version, ctx);
        }
    }

    /// The successor is ready and takes over.
    pub(super) fn cut_over(&mut self, entry: &mut Entry, ctx: &mut Context) {
        // A server that announced no move does not close the old connection: its replies have all the time they need.
        let announced = entry.handoff.as_ref().filter(|handoff| handoff.move_id.is_some());
        let close_by = announced.map(|handoff| handoff.deadline.max(ctx.now).after(DRAIN_MAX));
        entry.cut_over(close_by);
        if let Some(active) = entry.active.as_mut().filter(|_| close_by.is_some()) {
            active.relax_as_successor(ctx.now.after(ctx.config.maint.post_handoff_relaxed));
        }
        self.finish(entry, HandoffResult::Succeeded, ctx);
    }

    /// The dial of a successor, or its handshake, failed.
    pub(super) fn handle_failure(&mut self, entry: &mut Entry, reason: &CloseReason, ctx: &mut Context) {
        let retries_max = ctx.config.maint.handoff_retries_max;
        let Some(handoff) = &mut entry.handoff else { return };
        let leads_back = matches!(reason, CloseReason::LeadsBack);
        if let Some(half) = handoff.led_back(ctx.now).filter(|_| leads_back) {
            self.postpone(entry, half, ctx);
            ctx.effects.push(Effect::QueueChanged);
            return;
        }
        let is_refused = matches!(reason, CloseReason::TargetRefused(_));
        let is_final = ctx.config.is_permanent(reason) || leads_back || is_refused;
        let failed = handoff.failed(&reason.to_string(), is_final, ctx.now, retries_max, &mut ctx.random);
        if let Failed::Over(result) = failed {
            self.finish(entry, result, ctx);
            ctx.effects.push(Effect::QueueChanged);
        }
    }

    /// A connection that was dialed because of a move ended before it was ready. A refused target was not dialed: that
    /// tells nothing about it.
    pub(super) fn note_failed_dial(&mut self, target: &Endpoint, is_refused: bool, now: Instant) {
        let breaker = self.breakers.of(target);
        match is_refused {
            true => breaker.abandoned(),
            false => breaker.failed(now),
        }
    }

    /// Connections to this address stay where they are.
    pub(super) fn withdraw(&mut self, entries: &mut Entries, from: SocketAddr, ctx: &mut Context) {
        self.supersede(entries, |handoff| handoff.from == from, ctx);
    }

    /// Handoffs of this move stop: its target is refused.
    pub(super) fn drop_target(&mut self, entries: &mut Entries, refused: MoveId, ctx: &mut Context) {
        self.supersede(entries, |handoff| handoff.move_id == Some(refused), ctx);
    }

    /// During a shutdown no connection is handed off.
    pub(super) fn abandon_all(&mut self, entries: &mut Entries, ctx: &mut Context) {
        entries.iter_mut().for_each(|entry| self.finish(entry, HandoffResult::Abandoned, ctx));
    }

    /// Ends the handoff of an entry, if there is one, and returns everything that it holds.
    pub(super) fn finish(&mut self, entry: &mut Entry, result: HandoffResult, ctx: &mut Context) {
        let Some(handoff) = entry.handoff.take() else { return };
        self.queue.remove(entry.id.0);
        if handoff.has_permit {
            self.queue.release();
        }
        if matches!(result, HandoffResult::GaveUp(_) | HandoffResult::Deadline | HandoffResult::BreakerOpen) {
            entry.gave_up_on = handoff.move_id.or(entry.gave_up_on);
        }
        if let Some(unused) = entry.successor.take() {
            if handoff.move_id.is_some() {
                self.breakers.of(&handoff.to).abandoned();
            }
            let (id, reason) = (unused.id, Arc::new(CloseReason::Local));
            ctx.effects.act(Action::Close { id, reason, unused: true });
            ctx.effects.push(Effect::Forget { id, peer: unused.peer });
        }
        let counter = match result {
            HandoffResult::Succeeded => &mut ctx.stats.handoffs_succeeded,
            HandoffResult::Superseded => &mut ctx.stats.handoffs_superseded,
            _ => &mut ctx.stats.handoffs_failed,
        };
        if handoff.is_begun() || result == HandoffResult::BreakerOpen {
            *counter += 1;
            ctx.effects.report(handoff.ended(result, ctx.now));
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.queue.next_timeout()
    }

    /// Adds what is in use now.
    pub(super) fn report(&self, stats: &mut MaintenanceStats) {
        stats.handoffs_queued = self.queue.depth();
        stats.permits_in_use = self.queue.in_use();
        stats.permits_in_use_max = self.queue.in_use_max();
    }

    fn attempt(&mut self, entry: &mut Entry, login_version: u64, ctx: &mut Context) {
        let Some(handoff) = &mut entry.handoff else { return };
        let breaker = self.breakers.of(&handoff.to);
        // The configured endpoint is dialed again in any case: there is no other to go to.
        if handoff.move_id.is_some() && !breaker.allows(ctx.now) {
            match breaker.is_half_open() {
                // The probes of others find out whether the target works.
                true => self.postpone(entry, ctx.now.after(POSTPONED_FOR), ctx),
                false => self.finish(entry, HandoffResult::BreakerOpen, ctx),
            }
            return;
        }
        let Some(budget) = handoff.dial(ctx.now, ctx.config.maint.handoff_timeout) else {
            if handoff.move_id.is_some() {
                breaker.abandoned();
            }
            self.finish(entry, HandoffResult::Deadline, ctx);
            return;
        };
        if handoff.attempts() == 1 {
            ctx.stats.handoffs_started += 1;
            ctx.effects.report(Event::HandoffStarted { from: handoff.from, to: handoff.to.clone() });
        } else {
            ctx.stats.handoff_retries += 1;
        }
        let route =
            Route { endpoint: handoff.to.clone(), follows: handoff.move_id, redirect: handoff.redirect };
        let is_announced = route.follows.is_some();
        let mut successor = entry.dial(route, budget, login_version, ctx);
        if is_announced {
            successor.relax_as_successor(ctx.now.after(ctx.config.maint.post_handoff_relaxed));
        }
        entry.successor = Some(successor);
    }

    /// Returns a handoff that cannot go on now to the queue, to come out again at `then`.
    fn postpone(&mut self, entry: &mut Entry, then: Instant, ctx: &mut Context) {
        let Some(handoff) = &mut entry.handoff else { return };
        handoff.wait();
        let deadline = handoff.deadline;
        if std::mem::take(&mut handoff.has_permit) {
            self.queue.release();
        }
        if then < deadline {
            self.queue.push(entry.id.0, then, ctx.now, deadline);
        } else {
            self.finish(entry, HandoffResult::Deadline, ctx);
        }
    }

    fn supersede(&mut self, entries: &mut Entries, is_it: impl Fn(&Handoff) -> bool, ctx: &mut Context) {
        for entry in entries.iter_mut() {
            if entry.handoff.as_ref().is_some_and(&is_it) {
                self.finish(entry, HandoffResult::Superseded, ctx);
            }
        }
    }
}

/// How many connections of one entry may drain at the same time: a server that moves again and again must not make a
/// client collect sockets.
const PREDECESSORS_MAX: usize = 8;
/// When a handoff that could not go on is tried again.
const POSTPONED_FOR: Duration = Duration::from_millis(100);
/// For how long after the grace period replies are still read: servers close their sockets late.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// At most this often an entry's connection is replaced because its server says that it cannot serve.
const REPLACED_EVERY: Duration = Duration::from_secs(10);
