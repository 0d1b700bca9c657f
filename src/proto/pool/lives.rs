//! The life of a connection, as its pool sees it: dialed, ready, drained, ended; and what each of these brings about.

use std::sync::Arc;

use super::deadlines::Limited;
use super::entry::{Entry, Role};
use super::link::Link;
use super::{Action, ConnectionId, EntryId, Pool};
use crate::proto::connection::{Connection, Deliver};
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::maint::event::Event;
use crate::proto::time::Instant;

impl Pool {
    #[inline]
    pub(super) fn link(&mut self, id: ConnectionId) -> Option<&mut Link> {
        link_of(&mut self.entries, id)
    }

    #[inline]
    pub(super) fn receive<D: Deliver>(
        &mut self,
        id: ConnectionId,
        now: Instant,
        deliver: &mut D,
        receive: impl FnOnce(&mut Connection, &mut D) -> Result<(), CloseReason>,
    ) -> bool {
        let Some(entry) = self.entries.get_mut(id.entry.0 as usize) else { return false };
        let is_alone = entry.predecessors.is_empty();
        let Some(link) = entry.link(id.generation) else { return false };
        let was_ready = link.is_ready();
        let received = receive(&mut link.connection, deliver);
        if received.is_ok()
            && was_ready
            && is_alone
            && !link.connection.has_notices()
            && self.closing.is_none()
        {
            return true;
        }
        self.settle(id, was_ready, received, now, deliver);
        self.is_alive(id)
    }

    /// What follows from bytes other than replies.
    #[inline(never)]
    pub(super) fn settle(
        &mut self,
        id: ConnectionId,
        was_ready: bool,
        received: Result<(), CloseReason>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        let pushed = self.take_in_pushes(id, now, deliver);
        self.take_in_remarks(id, now);
        if let Err(reason) = received.and(pushed) {
            self.end(id, reason, now, deliver);
            return;
        }
        let Some(link) = link_of(&mut self.entries, id) else { return };
        if !was_ready && link.is_ready() {
            self.handle_ready(id, now, deliver);
        } else if link.connection.awaits_opt_in() {
            self.seek_clearance(id, now);
        }
        self.handle_drained(id, now, deliver);
        self.close_drained(id.entry.0 as usize, now, deliver);
    }

    /// The handshake is over.
    pub(super) fn handle_ready(&mut self, id: ConnectionId, now: Instant, deliver: &mut impl Deliver) {
        self.note_offer(id, now);
        let Some(entry) = self.entries.get_mut(id.entry.0 as usize) else { return };
        let role = entry.role(id.generation);
        let Some(link) = entry.link(id.generation) else { return };
        let (peer, leads_back) = (link.peer, link.leads_back);
        if link.follows.is_some() {
            self.breakers.of(&link.endpoint).succeeded();
        }
        if role == Some(Role::Successor) && leads_back {
            self.end(id, CloseReason::LeadsBack, now, deliver);
            return;
        }
        self.counters.connected += 1;
        self.actions.push_back(Action::Ready { id });
        self.events.push_back(Event::Connected { peer });
        self.catch_up(id);
        let Some(entry) = self.entries.get_mut(id.entry.0 as usize) else { return };
        match role {
            Some(Role::Successor) => self.cut_over(id, now, deliver),
            _ => {
                entry.clear_last_error();
                self.consider_handoff(id.entry.0 as usize, now);
                self.start_handoffs(now);
            }
        }
    }

    pub(super) fn check_links(
        &mut self,
        index: usize,
        give_up: bool,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let (mut ends, mut awake) = (Vec::new(), Vec::new());
        for link in entry.links() {
            let checked = match link.close_by {
                _ if give_up => Err(CloseReason::Local),
                Some(close_by) if now >= close_by => Err(CloseReason::Undrained),
                _ => {
                    let patience = link.patience(now, &self.config);
                    link.connection.handle_timeout(now, &patience, deliver)
                }
            };
            match checked {
                Err(reason) => ends.push((link.generation, reason)),
                Ok(()) if link.connection.has_internal() => awake.push(link.generation),
                Ok(()) => {}
            }
        }
        let wake = |generation| Action::Wake { id: entry.id(index, generation) };
        self.actions.extend(awake.into_iter().map(wake));
        for (generation, reason) in ends {
            let entry = EntryId(u32::try_from(index).unwrap_or(u32::MAX));
            self.end(ConnectionId { entry, generation }, reason, now, deliver);
        }
    }

    /// Fails the commands whose callers wait no longer.
    pub(super) fn expire_limited(&mut self, now: Instant, deliver: &mut impl Deliver) {
        while let Some(limited) = self.deadlines.pop(now) {
            self.expire(limited, now, deliver);
        }
    }

    /// Fails a command whose caller waits no longer, unless it is answered.
    pub(crate) fn expire(&mut self, limited: Limited, now: Instant, deliver: &mut impl Deliver) {
        let Limited { entry, position, ticket, after } = limited;
        let Some(entry) = self.entries.get_mut(entry.0 as usize) else { return };
        let maintenance = entry.maintenance(now);
        if let Some(outcome) = entry.abandon(position) {
            let last_error = entry.last_error.clone().filter(|_| outcome == Outcome::Unsent);
            deliver.fail(
                ticket,
                Failure::TimedOut { outcome, after, last_error, maintenance, blocked_ms: None },
            );
        }
    }

    /// Dials where commands of this entry are to go now.
    pub(super) fn dial(&mut self, index: usize, now: Instant) {
        let (endpoint, follows, sent) = self.route(index, now);
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.redial_at = None;
        let timeout = entry.connect_budget(self.peers.relaxed_until(now), now, &self.config);
        let mut link = entry.new_link(endpoint.clone(), follows, timeout, now, &self.config);
        link.renewals = self.logins.renewals();
        link.sent = sent;
        let id = entry.id(index, link.generation);
        entry.active = Some(link);
        self.actions.push_back(Action::Dial { id, endpoint, timeout });
    }

    /// A connection is no more.
    pub(super) fn end(
        &mut self,
        id: ConnectionId,
        reason: CloseReason,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        let index = id.entry.0 as usize;
        let Some(entry) = self.entries.get_mut(index) else { return };
        let Some((role, link)) = entry.take(id.generation) else { return };
        let (received, sent) = link.connection.traffic();
        self.counters.bytes_received += received;
        self.counters.bytes_sent += sent;
        let unused = !link.is_ready();
        let reason = Arc::new(reason);
        if unused {
            self.counters.dial_failures += 1;
        } else if !matches!(*reason, CloseReason::Local | CloseReason::Replaced | CloseReason::LeadsBack) {
            self.counters.lost += 1;
        }
        if let CloseReason::PushFlood(pushes) = *reason {
            self.counters.floods += 1;
            self.events.push_back(Event::Flooded { peer: link.peer, pushes });
        }
        if role == Role::Active && unused {
            entry.detour = link.follows;
        }
        let (peer, followed) = (link.peer, link.follows.is_some().then(|| link.endpoint.clone()));
        let refused = link.follows.filter(|_| matches!(*reason, CloseReason::TargetRefused(_)));
        let maintenance = link.lost_to(now);
        let lost = match role {
            Role::Active => entry.handle_end(link, &reason, now, &self.config, &mut self.random, deliver),
            _ => link.connection.end(&reason, maintenance, &mut entry.queue, deliver),
        };
        if maintenance.is_some() {
            self.maintenance.orphaned += lost;
        }
        if self.closing.is_some() && entry.queue.is_empty() {
            entry.redial_at = None;
        }
        if let Some(target) = followed.filter(|_| unused) {
            match refused {
                // Nothing was learned about it.
                Some(_) => self.breakers.of(&target).abandoned(),
                None => self.breakers.of(&target).failed(now),
            }
        }
        self.events.push_back(Event::Disconnected { peer, reason: reason.to_string() });
        self.actions.push_back(Action::Close { id, reason: reason.clone(), unused });
        self.forget_connection(id, peer, now);
        match role {
            Role::Active => {
                self.handle_loss(index, now);
                self.settle_renewal();
            }
            Role::Successor => self.handle_failed_handoff(index, &reason, now),
            Role::Predecessor => self.wake_held(index),
        }
        if let Some(refused) = refused {
            self.drop_target(refused, now);
        }
    }

    /// While shutting down: closes what has nothing left to do.
    pub(super) fn close_drained(&mut self, index: usize, now: Instant, deliver: &mut impl Deliver) {
        if self.closing.is_none() {
            return;
        }
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.queue.is_empty()) else { return };
        let mut done = Vec::new();
        for link in entry.links() {
            link.connection.drain();
            if link.connection.is_idle() || !link.is_ready() {
                done.push(link.generation);
            }
        }
        for generation in done {
            let entry = EntryId(u32::try_from(index).unwrap_or(u32::MAX));
            self.end(ConnectionId { entry, generation }, CloseReason::Local, now, deliver);
        }
    }
}

#[inline]
pub(super) fn link_of(entries: &mut [Entry], id: ConnectionId) -> Option<&mut Link> {
    entries.get_mut(id.entry.0 as usize)?.link(id.generation)
}
