//! Make before break: who moves, when, and what becomes of the old connection.

use std::net::SocketAddr;
use std::time::Duration;

use super::entry::Role;
use super::{Action, ConnectionId, EntryId, Pool};
use crate::proto::connection::Deliver;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::{Event, HandoffResult};
use crate::proto::maint::handoff::{Failed, Handoff, MoveId};
use crate::proto::maint::queue::Admission;
use crate::proto::targets::RedirectSource;
use crate::proto::time::Instant;

impl Pool {
    /// Whether this connection is to take the place of another that still serves.
    pub(crate) fn is_successor(&self, id: ConnectionId) -> bool {
        let role = self.entries.get(id.entry.0 as usize).and_then(|entry| entry.role(id.generation));
        role == Some(Role::Successor)
    }

    /// Where a connection of this entry is dialed to: while a move goes on, where it leads, unless that has proved to
    /// be of no use; then that and the configured address in turn.
    pub(super) fn route(
        &mut self,
        index: usize,
        now: Instant,
    ) -> (Endpoint, Option<MoveId>, Option<RedirectSource>) {
        let configured = || self.config.endpoint.clone();
        let Some(newest) = self.peers.newest_move(now) else { return (configured(), None, None) };
        let entry = self.entries.get(index);
        let is_no_use = entry.is_some_and(|entry| entry.gave_up_on.max(entry.detour) == Some(newest.id));
        match &newest.to {
            Some(to) if !newest.is_redial && !is_no_use && !self.breakers.is_open(to, now) => {
                (to.clone(), Some(newest.id), newest.sent)
            }
            _ => (configured(), None, None),
        }
    }

    /// A move has begun, or has got a target: every connection to its peer is to go.
    pub(super) fn follow(&mut self, now: Instant) {
        for index in 0..self.entries.len() {
            self.consider_handoff(index, now);
        }
        self.start_handoffs(now);
    }

    /// Queues an entry to be handed off if the peer of its connection moves.
    pub(super) fn consider_handoff(&mut self, index: usize, now: Instant) {
        if self.closing.is_some() {
            return;
        }
        let Some(entry) = self.entries.get(index) else { return };
        let Some(active) = entry.active.as_ref().filter(|active| active.is_ready()) else { return };
        let Some(from) = active.peer else { return };
        let moving = self.peers.get(&from).and_then(|peer| peer.moving.as_ref());
        let Some((moving, to)) = moving.and_then(|moving| Some((moving, moving.to.clone()?))) else { return };
        // A connection that was made because of a move knows of all that came before it.
        let is_known = active.follows.max(entry.gave_up_on) >= Some(moving.id);
        if is_known || !moving.is_live(now) {
            return;
        }
        if let Some(under_way) = &entry.handoff
            && under_way.move_id == Some(moving.id)
            && under_way.to == to
        {
            return;
        }
        let (handoff, from_then) = (Handoff::new(from, moving, to), moving.from_then);
        let deadline = handoff.deadline;
        self.finish_handoff(index, HandoffResult::Superseded, now);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.handoff = Some(handoff);
            self.handoffs.push(key(index), from_then, now, deadline);
        }
    }

    /// Dials for as many as there are permits.
    pub(super) fn start_handoffs(&mut self, now: Instant) {
        while let Some((entry, admission)) = self.handoffs.pop(now) {
            let index = entry as usize;
            let Some(entry) = self.entries.get_mut(index) else { continue };
            let drained = entry.predecessors.len() < PREDECESSORS_MAX;
            let Some(handoff) = &mut entry.handoff else {
                if admission == Admission::Permit {
                    self.handoffs.release();
                }
                continue;
            };
            handoff.has_permit = admission == Admission::Permit;
            match drained {
                true => self.attempt_handoff(index, now),
                // The oldest has to have some time.
                false => self.put_off(index, now.after(PUT_OFF), now),
            }
        }
    }

    /// Queues a handoff that cannot go on now to be asked again then.
    fn put_off(&mut self, index: usize, then: Instant, now: Instant) {
        let Some(handoff) = self.entries.get_mut(index).and_then(|entry| entry.handoff.as_mut()) else {
            return;
        };
        handoff.wait();
        let deadline = handoff.deadline;
        if std::mem::take(&mut handoff.has_permit) {
            self.handoffs.release();
        }
        if then < deadline {
            self.handoffs.push(key(index), then, now, deadline);
        } else {
            self.finish_handoff(index, HandoffResult::Deadline, now);
        }
    }

    /// Dials again where that is due.
    pub(super) fn retry_handoff(&mut self, index: usize, now: Instant) {
        let handoff = self.entries.get(index).and_then(|entry| entry.handoff.as_ref());
        if handoff.is_some_and(|handoff| handoff.is_retry_due(now)) {
            self.attempt_handoff(index, now);
        }
    }

    fn attempt_handoff(&mut self, index: usize, now: Instant) {
        let config = &self.config;
        let Some(entry) = self.entries.get_mut(index) else { return };
        let Some(handoff) = &mut entry.handoff else { return };
        let breaker = self.breakers.of(&handoff.to);
        // Whoever is dialed anew, rather than because of a move, is no target to give up on.
        if handoff.move_id.is_some() && !breaker.allows(now) {
            match breaker.is_half_open() {
                // Others find out whether the target is there: that is worth waiting for.
                true => self.put_off(index, now.after(PUT_OFF), now),
                false => self.finish_handoff(index, HandoffResult::BreakerOpen, now),
            }
            return;
        }
        let Some(budget) = handoff.dial(now, config.maint.handoff_timeout) else {
            if handoff.move_id.is_some() {
                breaker.abandoned();
            }
            self.finish_handoff(index, HandoffResult::Deadline, now);
            return;
        };
        if handoff.attempts() == 1 {
            self.maintenance.handoffs_started += 1;
            let (from, to) = (handoff.from, handoff.to.clone());
            self.events.push_back(Event::HandoffStarted { from, to });
        } else {
            self.maintenance.handoff_retries += 1;
        }
        let (endpoint, follows, sent) = (handoff.to.clone(), handoff.move_id, handoff.sent);
        let mut link = entry.new_link(endpoint.clone(), follows, budget, now, config);
        link.renewals = self.logins.renewals();
        link.sent = sent;
        if follows.is_some() {
            link.relax_as_successor(now.after(config.maint.post_handoff_relaxed));
        }
        let id = entry.id(index, link.generation);
        entry.successor = Some(link);
        self.actions.push_back(Action::Dial { id, endpoint, timeout: budget });
    }

    /// The successor is ready: from here on it takes what is submitted.
    pub(super) fn cut_over(&mut self, id: ConnectionId, now: Instant, deliver: &mut impl Deliver) {
        let index = id.entry.0 as usize;
        let Some(entry) = self.entries.get_mut(index) else { return };
        // One that nobody announced to close is waited for as long as its replies are.
        let announced = entry.handoff.as_ref().filter(|handoff| handoff.move_id.is_some());
        let close_by = announced.map(|handoff| handoff.deadline.max(now).after(DRAIN_MAX));
        let before = entry.current();
        entry.cut_over(close_by);
        if let Some(active) = &mut entry.active {
            if close_by.is_some() {
                active.relax_as_successor(now.after(self.config.maint.post_handoff_relaxed));
            }
            if let Some(peer) = active.peer.and_then(|peer| self.peers.get(&peer)) {
                active.relax(&peer.windows, now);
            }
        }
        self.finish_handoff(index, HandoffResult::Succeeded, now);
        self.settle_renewal();
        self.actions.push_back(Action::Wake { id });
        if let Some(generation) = before {
            self.handle_drained(ConnectionId { entry: id.entry, generation }, now, deliver);
        }
        self.consider_handoff(index, now);
        self.start_handoffs(now);
    }

    /// A predecessor may have got its last reply, or one that a command behind it waited for.
    pub(super) fn handle_drained(&mut self, id: ConnectionId, now: Instant, deliver: &mut impl Deliver) {
        let index = id.entry.0 as usize;
        let Some(entry) = self.entries.get_mut(index) else { return };
        if entry.role(id.generation) != Some(Role::Predecessor) {
            return;
        }
        entry.handle_drained();
        if entry.link(id.generation).is_some_and(|link| link.connection.is_idle()) {
            self.end(id, CloseReason::Replaced, now, deliver);
        }
        self.wake_held(index);
    }

    /// Commands that were held may be free to go.
    pub(super) fn wake_held(&mut self, index: usize) {
        let Some(entry) = self.entries.get(index).filter(|entry| entry.is_hold_due()) else { return };
        if let Some(generation) = entry.current() {
            self.actions.push_back(Action::Wake { id: entry.id(index, generation) });
        }
    }

    /// The dial of a successor, or its handshake, came to nothing.
    pub(super) fn handle_failed_handoff(&mut self, index: usize, reason: &CloseReason, now: Instant) {
        let retries_max = self.config.maint.handoff_retries_max;
        let Some(handoff) = self.entries.get_mut(index).and_then(|entry| entry.handoff.as_mut()) else {
            return;
        };
        let leads_back = matches!(reason, CloseReason::LeadsBack);
        if let Some(half) = handoff.led_back(now).filter(|_| leads_back) {
            self.put_off(index, half, now);
            self.start_handoffs(now);
            return;
        }
        let is_refused = matches!(reason, CloseReason::TargetRefused(_));
        let is_final = self.config.is_final(reason) || leads_back || is_refused;
        let failed = handoff.failed(&reason.to_string(), is_final, now, retries_max, &mut self.random);
        if let Failed::Over(result) = failed {
            self.finish_handoff(index, result, now);
            self.start_handoffs(now);
        }
    }

    /// The active connection of an entry is gone. A successor that was on its way has taken its place.
    pub(super) fn handle_loss(&mut self, index: usize, now: Instant) {
        self.finish_handoff(index, HandoffResult::Abandoned, now);
        self.start_handoffs(now);
    }

    /// A connection to this address stays where it is.
    pub(super) fn call_off_handoff(&mut self, index: usize, from: SocketAddr, now: Instant) {
        let handoff = self.entries.get(index).and_then(|entry| entry.handoff.as_ref());
        if handoff.is_some_and(|handoff| handoff.from == from) {
            self.finish_handoff(index, HandoffResult::Superseded, now);
        }
    }

    /// Nothing is handed off any more.
    pub(super) fn abandon_handoffs(&mut self, now: Instant) {
        for index in 0..self.entries.len() {
            self.finish_handoff(index, HandoffResult::Abandoned, now);
        }
    }

    /// Ends an entry's handoff, if there is one, and what belongs to it.
    pub(super) fn finish_handoff(&mut self, index: usize, result: HandoffResult, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let Some(handoff) = entry.handoff.take() else { return };
        let abandoned = entry.successor.take().map(|link| (entry.id(index, link.generation), link.peer));
        self.handoffs.remove(key(index));
        if handoff.has_permit {
            self.handoffs.release();
        }
        if matches!(result, HandoffResult::GaveUp(_) | HandoffResult::Deadline | HandoffResult::BreakerOpen) {
            entry.gave_up_on = handoff.move_id.or(entry.gave_up_on);
        }
        if let Some((id, peer)) = abandoned {
            if handoff.move_id.is_some() {
                self.breakers.of(&handoff.to).abandoned();
            }
            let reason = std::sync::Arc::new(CloseReason::Local);
            self.actions.push_back(Action::Close { id, reason, unused: true });
            self.forget_connection(id, peer, now);
        }
        let counter = match result {
            HandoffResult::Succeeded => &mut self.maintenance.handoffs_succeeded,
            HandoffResult::Superseded => &mut self.maintenance.handoffs_superseded,
            _ => &mut self.maintenance.handoffs_failed,
        };
        if handoff.is_begun() || result == HandoffResult::BreakerOpen {
            *counter += 1;
            self.events.push_back(handoff.ended(result, now));
        }
    }
}

pub(super) fn key(index: usize) -> u32 {
    EntryId(u32::try_from(index).unwrap_or(u32::MAX)).0
}

/// How many connections of one entry may drain at the same time.
const PREDECESSORS_MAX: usize = 8;
/// How soon a handoff is asked again that could not go on.
const PUT_OFF: Duration = Duration::from_millis(100);
/// For how long after the grace replies are still read: servers close their sockets late.
const DRAIN_MAX: Duration = Duration::from_secs(5);
