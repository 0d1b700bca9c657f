//! What follows from a notification: windows, moves, look-ups, and word to the other shards.

use std::net::SocketAddr;
use std::time::Duration;

use super::entry::Role;
use super::peer::{Watch, WatchFor};
use super::{Action, ConnectionId, LookupId, Pool};
use crate::proto::connection::{Deliver, Push, PushUse};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::Event;
use crate::proto::maint::handoff::{Move, MoveId};
use crate::proto::maint::ledger::News;
use crate::proto::maint::mode::Mode;
use crate::proto::maint::notification::{
    Announcement, Notification, NotificationKind, Operation, Parsed, parse,
};
use crate::proto::maint::relax::{Opening, window_length};
use crate::proto::targets::{RedirectSource, Redirection};
use crate::proto::time::Instant;

impl Pool {
    /// Another shard has read this.
    pub(crate) fn handle_announcement(&mut self, announcement: Announcement, now: Instant) {
        let Announcement { peer, notification, received } = announcement;
        if self.config.maint.mode == Mode::Disabled || self.closing.is_some() {
            return;
        }
        match self.news_of(peer, &notification, now) {
            News::New | News::Conflict => {
                self.take_in(peer, &notification, received, None, now);
            }
            News::Duplicate => self.confirm(peer, &notification, None, now),
            News::Stale => {}
        }
    }

    /// A look-up is done: every address that the name has, or why there is none.
    pub(crate) fn handle_resolved(
        &mut self,
        lookup: LookupId,
        result: Result<Vec<SocketAddr>, String>,
        now: Instant,
    ) {
        let is_asked = |watch: &Option<Watch>| watch.is_some_and(|watch| watch.pending == Some(lookup));
        let Some((&address, peer)) = self.peers.iter_mut().find(|(_, peer)| is_asked(&peer.watch)) else {
            return;
        };
        let Some(watch) = &mut peer.watch else { return };
        watch.pending = None;
        // No answer, and an empty one, say nothing about where anybody is.
        let addresses = result.unwrap_or_default();
        let elsewhere = addresses.iter().find(|found| !is_same(**found, address)).copied();
        match (watch.reason, elsewhere) {
            (WatchFor::Target, Some(target)) => {
                watch.next = watch.until;
                if let Some(moving) = peer.moving.as_mut().filter(|moving| moving.is_live(now)) {
                    moving.to = Some(target.into());
                    moving.sent = None;
                    moving.from_then = now;
                }
                peer.watch = None;
                self.follow(now);
            }
            (WatchFor::Removal, Some(target)) if !addresses.iter().any(|found| is_same(*found, address)) => {
                let id = self.new_move();
                let deadline = now.after(self.config.maint.handoff_timeout);
                let peer = self.peers.of(address, now);
                peer.watch = None;
                peer.moving = Some(Move::to_configured(id, target, now, deadline));
                self.follow(now);
            }
            (WatchFor::Target, None) => watch.next = now.after(TARGET_POLL),
            (WatchFor::Removal, _) => watch.next = now.after(REMOVAL_POLL),
        }
    }

    /// Takes in what came on a connection and was no reply.
    ///
    /// # Errors
    /// If it was more than a connection may send.
    pub(super) fn take_in_pushes(
        &mut self,
        id: ConnectionId,
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        let Some(link) = self.link(id) else { return Ok(()) };
        if !link.connection.has_notices() {
            return Ok(());
        }
        let (skipped, pushes) = (link.connection.take_skipped(), link.connection.take_pushes());
        self.maintenance.oversized += skipped;
        for _ in 0..skipped {
            self.note_push(id, PushUse::None, now)?;
        }
        for push in pushes {
            self.counters.pushes += 1;
            let push = self.take_in_push(id, push, now, deliver);
            self.note_push(id, push, now)?;
        }
        Ok(())
    }

    /// Counts a push for its connection.
    fn note_push(&mut self, id: ConnectionId, push: PushUse, now: Instant) -> Result<(), CloseReason> {
        // What came first may end the connection; what came with it was read all the same.
        let Some(link) = self.link(id) else { return Ok(()) };
        match link.pushes.note(push, now) {
            true => Ok(()),
            false => Err(CloseReason::PushFlood(link.pushes.useless())),
        }
    }

    fn take_in_push(
        &mut self,
        id: ConnectionId,
        push: Push,
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> PushUse {
        let Push { frame, is_live } = push;
        let Some(items) = frame.push_items() else { return PushUse::None };
        let peer = self.link(id).and_then(|link| link.peer);
        let notification = match parse(items, peer.map_or(0, |peer| peer.port())) {
            Parsed::Other if deliver.push(frame) => return PushUse::Handled,
            Parsed::Other => return PushUse::None,
            _ if self.config.maint.mode == Mode::Disabled => {
                self.maintenance.ignored += 1;
                return PushUse::None;
            }
            Parsed::Malformed(_) => {
                self.maintenance.malformed += 1;
                return PushUse::None;
            }
            Parsed::Maintenance { notification, bad_items } => {
                self.maintenance.malformed += u64::from(bad_items);
                notification
            }
        };
        match peer {
            Some(peer) => self.take_in_copy(id, peer, notification, is_live, now),
            None => PushUse::None,
        }
    }

    /// One copy of a notification, of which there may be one for each connection.
    fn take_in_copy(
        &mut self,
        id: ConnectionId,
        peer: SocketAddr,
        notification: Notification,
        is_live: bool,
        now: Instant,
    ) -> PushUse {
        // The server repeats the last end of maintenance to everybody who asks, hours after it.
        if notification.kind().is_closer() && !is_live {
            return PushUse::None;
        }
        self.maintenance.notifications += 1;
        let role = self.entries.get(id.entry.0 as usize).and_then(|entry| entry.role(id.generation));
        if role == Some(Role::Predecessor) || (!is_live && leads_to(&notification, peer)) {
            self.maintenance.stale += 1;
            self.note_repetition(id, peer, &notification, is_live);
            return PushUse::None;
        }
        match self.news_of(peer, &notification, now) {
            News::Stale => {
                self.maintenance.stale += 1;
                return PushUse::None;
            }
            News::Duplicate => {
                self.maintenance.duplicates += 1;
                self.confirm(peer, &notification, Some(reporter(id)), now);
                self.note_repetition(id, peer, &notification, is_live);
                return PushUse::None;
            }
            News::Conflict => self.maintenance.conflicts += 1,
            News::New => {}
        }
        let reporter = Some(reporter(id));
        let used =
            if notification.kind() == NotificationKind::Moving { PushUse::Move } else { PushUse::None };
        if self.take_in(peer, &notification, now, reporter, now) {
            self.actions.push_back(Action::Announce(Announcement { peer, notification, received: now }));
        }
        used
    }

    /// Somebody else has read the same: a window no longer hangs on the connection that reported it first.
    fn confirm(
        &mut self,
        address: SocketAddr,
        notification: &Notification,
        reporter: Option<u64>,
        now: Instant,
    ) {
        let windows = &mut self.peers.of(address, now).windows;
        windows.confirm(notification.kind(), notification.seq(), &scope(notification), reporter);
    }

    /// A successor that is told of the very move that it follows has reached the same server again.
    fn note_repetition(
        &mut self,
        id: ConnectionId,
        peer: SocketAddr,
        notification: &Notification,
        is_live: bool,
    ) {
        let moving = self.peers.get(&peer).and_then(|peer| peer.moving.as_ref()).map(|moving| moving.id);
        let Some(link) = self.link(id) else { return };
        // It may have come with the last reply of the handshake: the connection itself is ready by then.
        if matches!(notification, Notification::Moving { .. }) && !is_live && link.follows == moving {
            link.leads_back = true;
        }
    }

    fn news_of(&mut self, address: SocketAddr, notification: &Notification, now: Instant) -> News {
        let configured = &self.config.endpoint;
        let peer = self.peers.of(address, now);
        // Without a number, a move that goes on already to the same target is the same one.
        if let (Notification::Moving { seq: None, target, .. }, Some(moving)) = (notification, &peer.moving) {
            let same = match (target, moving.refused.as_ref().or(moving.to.as_ref())) {
                (Some(target), Some(to)) => target.is_same(to),
                (None, to) => to.as_ref().is_none_or(|to| to.is_same(configured)),
                (Some(_), None) => false,
            };
            if moving.is_live(now) && same {
                return News::Duplicate;
            }
        }
        peer.ledger.record(notification, now)
    }

    /// Acts on something new; false if it was the end of nothing.
    fn take_in(
        &mut self,
        address: SocketAddr,
        notification: &Notification,
        received: Instant,
        reporter: Option<u64>,
        now: Instant,
    ) -> bool {
        let tail = self.config.maint.post_event_relaxed;
        let length = window_length(notification, &self.config.maint);
        let kind = notification.kind();
        let scope = scope(notification);
        let windows = &mut self.peers.of(address, now).windows;
        if let Some(length) = length {
            let (operation, until) = (kind.operation(), received.after(length));
            let seq = notification.seq();
            windows.open(Opening { operation, kind, seq, shards: scope, until, reporter }, now);
        } else {
            let was_open = windows.close(kind.operation(), notification.seq(), &scope, now, tail);
            // A server can be busy for longer than it said: what has just ended need not be what is known to be open.
            if kind.operation() != Operation::SlotMigration {
                self.watch_removal(address, now);
            }
            // Slots have moved, whether or not anybody had heard that they would.
            if !was_open && kind.operation() != Operation::SlotMigration {
                return false;
            }
        }
        // Where there are so many that nobody can follow, they are only counted.
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(Event::Announced { peer: address, notification: notification.clone() });
        }
        self.relax(address, now);
        if let Notification::Moving { grace, target, .. } = notification {
            self.take_in_move(address, (received, (*grace).max(GRACE_MIN)), target.as_ref(), now);
        }
        true
    }

    fn take_in_move(
        &mut self,
        address: SocketAddr,
        times: (Instant, Duration),
        target: Option<&Endpoint>,
        now: Instant,
    ) {
        let (id, spread) = (self.new_move(), self.random.f64());
        let sent = RedirectSource { by: address, how: Redirection::Moving };
        let mut moving = Move::announced(id, address, times, target, &self.config.endpoint, spread);
        if let Some(target) = target
            && let Err(refusal) = self.target_filter.admit(sent, target, now)
        {
            self.note_refused_target(sent, target, refusal, now);
            moving = moving.without_target(id, &self.config.endpoint, now);
        }
        if let Some(to) = &moving.to {
            self.breakers.of(to).half_open();
            // Whatever this address announced before, connections are to go to it now.
            if let Some(back) = to.socket_addr().filter(|back| !is_same(*back, address)) {
                self.stay_at(back, now);
            }
        }
        let peer = self.peers.of(address, now);
        peer.moving = Some(moving);
        peer.watch_for_target();
        self.follow(now);
    }

    /// This address is a target: connections to it stay, whatever it announced before.
    fn stay_at(&mut self, address: SocketAddr, now: Instant) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        peer.watch = None;
        if peer.moving.take().is_some() {
            for index in 0..self.entries.len() {
                self.call_off_handoff(index, address, now);
            }
        }
    }

    /// Servers that only shrink leave DNS, and close their sockets, without announcing it.
    fn watch_removal(&mut self, address: SocketAddr, now: Instant) {
        let is_address = self.config.endpoint.socket_addr().is_some();
        let mut links = self.entries.iter_mut().flat_map(|entry| entry.links());
        let is_reached = links.any(|link| link.peer == Some(address));
        let peer = self.peers.of(address, now);
        // One that says where to go leaves no question.
        let is_moving = peer.moving.as_ref().is_some_and(|moving| moving.is_live(now));
        if !is_address && is_reached && !is_moving && peer.watch.is_none() {
            let until = now.after(REMOVAL_WATCHED);
            peer.watch = Some(Watch { reason: WatchFor::Removal, next: now, until, pending: None });
        }
    }

    /// Ends what is over and asks for the look-ups that are due.
    pub(super) fn check_peers(&mut self, now: Instant) {
        let (mut due, mut expired) = (Vec::new(), Vec::new());
        for (address, peer) in self.peers.iter_mut() {
            if peer.windows.expire(now) {
                expired.push(*address);
            }
            let Some(watch) = &mut peer.watch else { continue };
            if now >= watch.until || self.closing.is_some() {
                peer.watch = None;
            } else if now >= watch.next && watch.pending.is_none() {
                due.push(*address);
            }
        }
        // What goes on is another operation by now.
        expired.into_iter().for_each(|address| self.relax(address, now));
        for address in due {
            let lookup = LookupId(self.next_lookup);
            self.next_lookup += 1;
            if let Some(watch) = self.peers.get_mut(&address).and_then(|peer| peer.watch.as_mut()) {
                watch.pending = Some(lookup);
            }
            let endpoint = self.config.endpoint.clone();
            self.actions.push_back(Action::Resolve { lookup, endpoint });
        }
    }

    /// A connection is gone: what it alone has reported, and whom it kept waiting.
    pub(super) fn forget_connection(&mut self, id: ConnectionId, peer: Option<SocketAddr>, now: Instant) {
        let Some(address) = peer else { return };
        self.forget_asking(id, address, now);
        if let Some(peer) = self.peers.get_mut(&address).filter(|peer| !peer.windows.is_empty()) {
            peer.windows.forget_reporter(reporter(id));
            self.relax(address, now);
        }
    }

    /// Every connection to this peer learns how far its timeouts are relaxed.
    fn relax(&mut self, address: SocketAddr, now: Instant) {
        let Some(peer) = self.peers.get(&address) else { return };
        for link in self.entries.iter_mut().flat_map(|entry| entry.links()) {
            if link.peer == Some(address) {
                link.relax(&peer.windows, now);
            }
        }
    }

    pub(super) fn new_move(&mut self) -> MoveId {
        self.next_move += 1;
        MoveId(self.next_move)
    }
}

/// What pairs an announcement with that of its end.
fn scope(notification: &Notification) -> String {
    match notification {
        Notification::Moving { .. } => String::new(),
        Notification::Migrating { shards, .. }
        | Notification::Migrated { shards, .. }
        | Notification::FailingOver { shards, .. }
        | Notification::FailedOver { shards, .. } => shards.clone(),
        Notification::SlotsMigrating { slots, .. } => format!("{slots:?}"),
        Notification::SlotsMigrated { moves, .. } => {
            let slots: Vec<_> = moves.iter().flat_map(|moved| moved.slots.iter().cloned()).collect();
            format!("{slots:?}")
        }
    }
}

/// Whether a move leads to the very peer that tells of it: one that was reached because of it, most likely.
fn leads_to(notification: &Notification, peer: SocketAddr) -> bool {
    match notification {
        Notification::Moving { target: Some(target), .. } => target.is_same(&Endpoint::from(peer)),
        _ => false,
    }
}

fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// A connection as one number.
fn reporter(id: ConnectionId) -> u64 {
    u64::from(id.entry.0) << 32 | u64::from(id.generation)
}

/// A grace that is over, or was never given, still leaves the time that servers take to close their sockets.
const GRACE_MIN: Duration = Duration::from_secs(1);
/// How often a name is asked for an address other than that of a server that leaves.
const TARGET_POLL: Duration = Duration::from_secs(1);
/// How often, and for how long, a name is asked whether a server is gone from it.
const REMOVAL_POLL: Duration = Duration::from_secs(2);
const REMOVAL_WATCHED: Duration = Duration::from_secs(30);
/// How many events may wait to be told.
const EVENTS_MAX: usize = 1024;
