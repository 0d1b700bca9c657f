//! [`Entry`]: one place in a pool: its queue, its connections, and what is done when there is none.
//!
//! One connection at a time, the active one, takes commands out of the queue. Beside it there may be a successor that
//! is being dialed, and predecessors that wait for the replies to what they have written.

use std::sync::Arc;
use std::time::Duration;

use super::link::Link;
use super::{ConnectionId, EntryId, PoolConfig};
use crate::proto::connection::{Deliver, HandleId, Position, Queue, Ticket, TimeoutWindow};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::maint::handoff::{Handoff, MoveId};
use crate::proto::time::{Backoff, Instant, earliest};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) queue: Queue,
    pub(super) active: Option<Link>,
    pub(super) successor: Option<Link>,
    pub(super) predecessors: Vec<Link>,
    pub(super) handoff: Option<Handoff>,
    /// A move that was not followed to its end: whoever dials next does not try it again.
    pub(super) gave_up_on: Option<MoveId>,
    /// The last dial to where this move leads came to nothing: the next one goes to the configured address.
    pub(super) detour: Option<MoveId>,
    pub(super) redial_at: Option<Instant>,
    /// Commands are refused for what stands in the way, which only a person can mend.
    pub(super) is_turned_away: bool,
    /// When its connection may be made anew next because of what the server said of itself.
    pub(super) replaceable_at: Instant,
    /// Why there is no connection, or was none until the last one became ready.
    pub(super) last_error: Option<Arc<CloseReason>>,
    pub(super) hold: Hold,
    generation: u32,
    backoff: Backoff,
    /// How far timeouts were relaxed on the connection that was lost, until there is another.
    relaxed: (Option<Instant>, Option<&'static str>),
}

/// What a connection was to its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Active,
    Successor,
    Predecessor,
}

/// The handles whose commands wait in the queue because replies are awaited on a predecessor.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Sorted.
    handles: Vec<HandleId>,
    /// Something was answered, or written, since the handles were listed.
    is_stale: bool,
    since: Option<Instant>,
    /// The longest that there ever was.
    pub(super) longest: Duration,
}

impl Entry {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Entry {
            queue: Queue::new(config.queue),
            active: None,
            successor: None,
            predecessors: Vec::new(),
            handoff: None,
            gave_up_on: None,
            detour: None,
            redial_at: None,
            is_turned_away: false,
            replaceable_at: Instant::default(),
            last_error: None,
            hold: Hold::default(),
            generation: 0,
            backoff: Backoff::new(config.backoff_first, config.backoff_max),
            relaxed: (None, None),
        }
    }

    #[inline]
    pub(super) fn submit(
        &mut self,
        handle: HandleId,
        ticket: Ticket,
        replies: u32,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Position, Failure> {
        if self.is_turned_away
            && let Some(reason) = &self.last_error
        {
            return Err(Failure::Refused(reason.clone()));
        }
        Ok(self.queue.submit(handle, ticket, replies, encode))
    }

    /// Forgets that anybody waits for a command; how far it had come, if it was still here.
    pub(super) fn abandon(&mut self, position: Position) -> Option<Outcome> {
        if self.queue.abandon(position) {
            return Some(Outcome::Unsent);
        }
        let mut links = self.links();
        links.any(|link| link.connection.abandon(position)).then_some(Outcome::Ambiguous)
    }

    /// All connections, the active one first.
    pub(super) fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        self.active.iter_mut().chain(self.successor.as_mut()).chain(&mut self.predecessors)
    }

    #[inline]
    pub(super) fn link(&mut self, generation: u32) -> Option<&mut Link> {
        match &mut self.active {
            Some(link) if link.generation == generation => Some(link),
            _ => {
                let mut others = self.successor.iter_mut().chain(&mut self.predecessors);
                others.find(|link| link.generation == generation)
            }
        }
    }

    pub(super) fn role(&self, generation: u32) -> Option<Role> {
        let is = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.generation == generation);
        if is(&self.active) {
            Some(Role::Active)
        } else if is(&self.successor) {
            Some(Role::Successor)
        } else {
            self.predecessors.iter().any(|link| link.generation == generation).then_some(Role::Predecessor)
        }
    }

    /// Removes a connection.
    pub(super) fn take(&mut self, generation: u32) -> Option<(Role, Link)> {
        let role = self.role(generation)?;
        let link = match role {
            Role::Active => self.active.take(),
            Role::Successor => self.successor.take(),
            Role::Predecessor => {
                self.hold.is_stale = true;
                let index = self.predecessors.iter().position(|link| link.generation == generation)?;
                Some(self.predecessors.remove(index))
            }
        };
        link.map(|link| (role, link))
    }

    pub(super) fn id(&self, index: usize, generation: u32) -> ConnectionId {
        ConnectionId { entry: EntryId(u32::try_from(index).unwrap_or(u32::MAX)), generation }
    }

    pub(super) fn current(&self) -> Option<u32> {
        self.active.as_ref().map(|link| link.generation)
    }

    /// A connection that somebody begins to dial now.
    pub(super) fn new_link(
        &mut self,
        endpoint: Endpoint,
        follows: Option<MoveId>,
        budget: Duration,
        now: Instant,
        config: &PoolConfig,
    ) -> Link {
        self.generation = self.generation.wrapping_add(1);
        Link::dialing(self.generation, endpoint, follows, budget, now, config)
    }

    /// How long connecting may take now. Something is `announced` until then, to others if not to this entry.
    pub(super) fn connect_budget(
        &self,
        announced: Option<Instant>,
        now: Instant,
        config: &PoolConfig,
    ) -> Duration {
        let until = self.relaxation().0.max(announced);
        TimeoutWindow::relaxed(config.connection.connect_timeout, config.maint.relaxed_timeout, until).at(now)
    }

    /// The successor takes over: everything unsent, and everything to come, is its own; its predecessor only waits for
    /// replies, until `close_by` at the latest if there is such a time.
    pub(super) fn cut_over(&mut self, close_by: Option<Instant>) {
        let Some(successor) = self.successor.take() else { return };
        if let Some(mut predecessor) = self.active.replace(successor) {
            predecessor.connection.retire(&mut self.queue);
            predecessor.close_by = close_by;
            self.predecessors.push(predecessor);
            self.hold.is_stale = true;
        }
        self.clear_last_error();
    }

    /// Nothing stands in the way any more.
    pub(super) fn clear_last_error(&mut self) {
        self.last_error = None;
        self.is_turned_away = false;
    }

    /// The active connection is gone: say so to those who wait for it, and plan the next one. Says how many commands
    /// were lost.
    pub(super) fn handle_end(
        &mut self,
        link: Link,
        reason: &Arc<CloseReason>,
        now: Instant,
        config: &PoolConfig,
        random: &mut fastrand::Rng,
        deliver: &mut impl Deliver,
    ) -> u64 {
        // One that floods its client comes back later each time.
        let is_flood = matches!(**reason, CloseReason::PushFlood(_));
        if !is_flood && link.connection.ready_since().is_some_and(|since| now.since(since) >= STABLE) {
            self.backoff.reset();
        }
        let maintenance = link.lost_to(now);
        // One that was never connected knows of nothing, and ends nothing.
        if link.relaxed_until() >= self.relaxed.0 {
            self.relaxed = (link.relaxed_until(), maintenance);
        }
        // What a server's word led to is no refusal of what was asked for: that is dialed next.
        let is_elsewhere = link.follows.is_some() && !link.is_ready();
        let lost = link.connection.end(reason, maintenance, &mut self.queue, deliver);
        self.last_error = Some(reason.clone());
        self.is_turned_away = config.is_final(reason) && !is_elsewhere;
        if let Some(successor) = self.successor.take() {
            // It is on its way already.
            self.active = Some(successor);
            return lost;
        }
        let delay = if self.is_turned_away {
            self.queue.clear(|ticket| deliver.fail(ticket, Failure::Refused(reason.clone())));
            config.backoff_max
        } else {
            self.backoff.next_delay(random)
        };
        self.redial_at = Some(now.after(delay));
        lost
    }

    /// What this connection writes next; only the active one takes from the queue.
    #[inline]
    pub(super) fn poll_transmit(
        &mut self,
        generation: u32,
        now: Instant,
        config: &PoolConfig,
    ) -> Option<&[u8]> {
        if self.current() != Some(generation) {
            self.queue.stamp(now);
            return self.link(generation).map(|link| link.connection.unwritten());
        }
        if self.hold.is_stale || !self.hold.handles.is_empty() {
            self.hold.update(&self.predecessors, &self.queue, now);
        }
        let link = self.active.as_mut()?;
        Some(link.connection.poll_transmit(now, &mut self.queue, &self.hold.handles, &config.connection))
    }

    /// Something was answered on a predecessor.
    pub(super) fn handle_drained(&mut self) {
        self.hold.is_stale = true;
    }

    /// Whether the active connection has to look again what it may take.
    pub(super) fn is_hold_due(&self) -> bool {
        self.hold.is_stale && !self.queue.is_empty()
    }

    pub(super) fn expire_queued(&mut self, now: Instant, config: &PoolConfig, deliver: &mut impl Deliver) {
        self.queue.stamp(now);
        let allowance = self.queue_allowance(config);
        if let Some(until) = allowance.expired_until(now)
            && self.queue.oldest().is_some_and(|oldest| oldest <= until)
        {
            let (outcome, after) = (Outcome::Unsent, allowance.at(now));
            let maintenance = self.relaxation().1.filter(|_| allowance.was_relaxed(now));
            let last_error = self.last_error.clone();
            self.queue.expire(until, |ticket| {
                let last_error = last_error.clone();
                deliver.fail(
                    ticket,
                    Failure::TimedOut { outcome, after, last_error, maintenance, blocked_ms: None },
                );
            });
        }
    }

    /// Fails everything that is left, and says how much that was.
    pub(super) fn give_up(&mut self, deliver: &mut impl Deliver) -> u64 {
        let mut count = 0;
        let mut fail = |ticket, outcome| {
            count += 1;
            deliver.fail(ticket, Failure::ShutDown(outcome));
        };
        self.queue.clear(|ticket| fail(ticket, Outcome::Unsent));
        for link in self.links() {
            link.connection.give_up(&mut fail);
        }
        self.redial_at = None;
        count
    }

    pub(super) fn is_redial_due(&self, now: Instant) -> bool {
        self.active.is_none() && self.redial_at.is_some_and(|at| now >= at)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.active.as_ref().is_some_and(Link::is_ready)
    }

    /// Nothing is queued, awaited, or connected.
    pub(super) fn is_done(&self) -> bool {
        let links = self.active.is_some() || self.successor.is_some() || !self.predecessors.is_empty();
        !links && self.queue.is_empty()
    }

    #[inline]
    pub(super) fn next_timeout(&self, config: &PoolConfig) -> Option<Instant> {
        let queued = self.queue.oldest().map(|at| self.queue_allowance(config).deadline(at));
        let active = self.active.as_ref().and_then(|active| active.next_timeout(config));
        let mut next = earliest(queued, earliest(active, self.redial_at));
        if let Some(successor) = &self.successor {
            next = earliest(next, successor.next_timeout(config));
        }
        for predecessor in &self.predecessors {
            next = earliest(next, earliest(predecessor.close_by, predecessor.next_timeout(config)));
        }
        // What may take for ever needs no timer.
        let next = next.filter(|at| *at < Instant::END);
        earliest(next, self.handoff.as_ref().and_then(Handoff::next_timeout))
    }

    pub(super) fn maintenance(&self, now: Instant) -> Option<&'static str> {
        let (until, name) = self.relaxation();
        name.filter(|_| until.is_some_and(|until| now < until))
    }

    fn queue_allowance(&self, config: &PoolConfig) -> TimeoutWindow {
        match &self.active {
            Some(link) if link.relaxed_until() >= self.relaxed.0 => link.allowance(config),
            _ => {
                let normal = config.connection.command_timeout;
                TimeoutWindow::relaxed(normal, config.maint.relaxed_timeout, self.relaxation().0)
            }
        }
    }

    /// Until when timeouts are relaxed, and what by. What was announced to a connection that is lost goes on until its
    /// end: the next one need not hear of it.
    fn relaxation(&self) -> (Option<Instant>, Option<&'static str>) {
        let active = self.active.as_ref().map(|link| (link.relaxed_until(), link.announced()));
        active.filter(|active| active.0 >= self.relaxed.0).unwrap_or(self.relaxed)
    }
}

impl Hold {
    /// Lists the handles for which replies are awaited on predecessors, and notes for how long any command waits.
    fn update(&mut self, predecessors: &[Link], queue: &Queue, now: Instant) {
        if std::mem::take(&mut self.is_stale) {
            self.handles.clear();
            self.handles.extend(predecessors.iter().flat_map(|link| link.connection.handles()));
            self.handles.sort_unstable();
            self.handles.dedup();
        }
        if self.handles.is_empty() {
            if let Some(since) = self.since.take() {
                self.longest = self.longest.max(now.since(since));
            }
        } else if self.since.is_none() && queue.holds_any(&self.handles) {
            self.since = Some(now);
        }
    }
}

/// A connection that was ready for this long was a good one: the next failure is a first one.
const STABLE: Duration = Duration::from_secs(1);
