//! [`Maintenance`]: what follows from an announcement: windows, moves, look-ups, and messages to the other shards.

use std::net::SocketAddr;
use std::time::Duration;

use super::action::Action;
use super::config::PoolConfig;
use super::connection::PoolConnection;
use super::context::Context;
use super::effects::Effect;
use super::entry::Role;
use super::ids::{ConnectionId, LookupId};
use super::peers::{NameWatch, Peer, Peers, WatchFor};
use super::redirects::Redirects;
use crate::proto::connection::{Deliver, PushUse};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::dedup::Novelty;
use crate::proto::maint::event::Event;
use crate::proto::maint::handoff::{Move, MoveId};
use crate::proto::maint::mode::Mode;
use crate::proto::maint::notification::{
    Announcement, Notification, NotificationKind, Operation, Parsed, parse,
};
use crate::proto::maint::relax::{Window, window_length};
use crate::proto::resp::Frame;
use crate::proto::targets::{RedirectSource, Redirection};
use crate::proto::time::Instant;

/// What the peers of a pool have announced: which notifications are new, which windows are open, which peers move and
/// where to.
///
/// It decides what an announcement means and leaves the consequences as effects. Which connections move, and when, is
/// up to `Handoffs`. An announcement is acted on once, however many connections and shards read it.
#[derive(Debug)]
pub(super) struct Maintenance {
    pub(super) peers: Peers,
    redirects: Redirects,
    next_move: u64,
    next_lookup: u64,
}

impl Maintenance {
    pub(super) fn new(config: &PoolConfig) -> Self {
        let redirects = Redirects::new(config);
        Maintenance { peers: Peers::default(), redirects, next_move: 0, next_lookup: 0 }
    }

    /// Another shard has read this. `is_reached` says that a connection of this pool has the same peer.
    pub(super) fn handle_announcement(
        &mut self,
        announcement: Announcement,
        is_reached: bool,
        ctx: &mut Context,
    ) {
        let Announcement { peer, notification, received } = announcement;
        match self.novelty(peer, &notification, ctx) {
            Novelty::New | Novelty::Conflict => {
                self.accept(peer, &notification, (received, None), is_reached, ctx);
            }
            Novelty::Duplicate => self.confirm(peer, &notification, None, ctx),
            Novelty::Stale => {}
        }
    }

    /// The notification in a push, or what the push counts for if it holds none.
    pub(super) fn read_push(
        &self,
        frame: Frame,
        peer: Option<SocketAddr>,
        ctx: &mut Context,
        deliver: &mut impl Deliver,
    ) -> Result<Notification, PushUse> {
        let Some(items) = frame.push_items() else { return Err(PushUse::None) };
        match parse(items, peer.map_or(0, |peer| peer.port())) {
            Parsed::Other if deliver.push(frame) => Err(PushUse::Handled),
            Parsed::Other => Err(PushUse::None),
            _ if ctx.config.maint.mode == Mode::Disabled => {
                ctx.stats.ignored += 1;
                Err(PushUse::None)
            }
            Parsed::Malformed(_) => {
                ctx.stats.malformed += 1;
                Err(PushUse::None)
            }
            Parsed::Maintenance { notification, bad_items } => {
                ctx.stats.malformed += u64::from(bad_items);
                Ok(notification)
            }
        }
    }

    /// Handles one copy of a notification. Each connection of each shard may receive one.
    pub(super) fn handle_copy(
        &mut self,
        known: &mut PoolConnection,
        role: Role,
        notification: &Notification,
        is_live: bool,
        ctx: &mut Context,
    ) -> PushUse {
        let Some(peer) = known.peer else { return PushUse::None };
        // A server repeats the end of its last maintenance to every new connection, hours after it.
        if notification.kind().is_closer() && !is_live {
            return PushUse::None;
        }
        ctx.stats.notifications += 1;
        if role == Role::Predecessor || (!is_live && leads_to(notification, peer)) {
            ctx.stats.stale += 1;
            self.note_repetition(known, peer, notification, is_live);
            return PushUse::None;
        }
        let reporter = Some(reporter(known.id));
        match self.novelty(peer, notification, ctx) {
            Novelty::Stale => {
                ctx.stats.stale += 1;
                return PushUse::None;
            }
            Novelty::Duplicate => {
                ctx.stats.duplicates += 1;
                self.confirm(peer, notification, reporter, ctx);
                self.note_repetition(known, peer, notification, is_live);
                return PushUse::None;
            }
            Novelty::Conflict => ctx.stats.conflicts += 1,
            Novelty::New => {}
        }
        if self.accept(peer, notification, (ctx.now, reporter), true, ctx) {
            let (notification, received) = (notification.clone(), ctx.now);
            let announcement = Announcement { peer, notification, received };
            ctx.effects.push(Effect::Act(Action::Announce(announcement)));
        }
        if notification.kind() == NotificationKind::Moving { PushUse::Move } else { PushUse::None }
    }

    /// A look-up is done: every address of the name, or why there is none.
    pub(super) fn handle_resolved(
        &mut self,
        lookup: LookupId,
        result: Result<Vec<SocketAddr>, String>,
        ctx: &mut Context,
    ) {
        let is_asked = |peer: &Peer| peer.watch.is_some_and(|watch| watch.pending == Some(lookup));
        let Some((address, peer)) = self.peers.iter_mut().find(|(_, peer)| is_asked(peer)) else { return };
        let Some(watch) = &mut peer.watch else { return };
        watch.pending = None;
        // A failed look-up and an empty answer do not say where a server is.
        let addresses = result.unwrap_or_default();
        let elsewhere = addresses.iter().find(|found| !is_same(**found, address)).copied();
        match (watch.reason, elsewhere) {
            (WatchFor::Target, Some(target)) => {
                if let Some(moving) = peer.moving.as_mut().filter(|moving| moving.is_live(ctx.now)) {
                    moving.to = Some(target.into());
                    moving.redirect = None;
                    moving.from_then = ctx.now;
                }
                peer.watch = None;
                ctx.effects.push(Effect::MoveChanged);
            }
            (WatchFor::Removal, Some(target)) if !addresses.iter().any(|found| is_same(*found, address)) => {
                let id = self.new_move();
                let deadline = ctx.now.after(ctx.config.maint.handoff_timeout);
                let peer = self.peers.of(address, ctx.now);
                peer.watch = None;
                peer.moving = Some(Move::to_configured(id, target, ctx.now, deadline));
                ctx.effects.push(Effect::MoveChanged);
            }
            (WatchFor::Target, None) => watch.next = ctx.now.after(TARGET_POLL),
            (WatchFor::Removal, _) => watch.next = ctx.now.after(REMOVAL_POLL),
        }
    }

    /// Ends the windows that are over, and asks for the look-ups that are due.
    pub(super) fn handle_timeout(&mut self, ctx: &mut Context) {
        for (address, peer) in self.peers.iter_mut() {
            if peer.windows.expire(ctx.now) {
                // Another operation may still go on.
                ctx.effects.push(Effect::WindowsChanged(address));
            }
            let Some(watch) = &mut peer.watch else { continue };
            if ctx.now >= watch.until || ctx.closing.is_some() {
                peer.watch = None;
            } else if ctx.now >= watch.next && watch.pending.is_none() {
                let lookup = LookupId(self.next_lookup);
                self.next_lookup += 1;
                watch.pending = Some(lookup);
                ctx.effects.act(Action::Resolve { lookup, endpoint: ctx.config.endpoint.clone() });
            }
        }
    }

    /// A connection is gone: drops the windows that it alone has reported, and lets others ask in its place.
    pub(super) fn forget(&mut self, id: ConnectionId, peer: Option<SocketAddr>, ctx: &mut Context) {
        let Some(address) = peer else { return };
        let Some(peer) = self.peers.get_mut(address) else { return };
        if peer.forget_asking(id) {
            ctx.effects.push(Effect::OfferChanged(address));
        }
        if !peer.windows.is_empty() {
            peer.windows.forget_reporter(reporter(id));
            ctx.effects.push(Effect::WindowsChanged(address));
        }
    }

    /// The timeouts of a connection follow the windows of its peer.
    pub(super) fn relax(&self, known: &mut PoolConnection, now: Instant) {
        if let Some(peer) = known.peer.and_then(|address| self.peers.get(address)) {
            known.relax(&peer.windows, now);
        }
    }

    /// The addresses that a connection may be dialed at.
    ///
    /// # Errors
    /// If a server has sent it there, and may not.
    pub(super) fn admit(
        &mut self,
        known: &PoolConnection,
        addresses: Vec<SocketAddr>,
        ctx: &mut Context,
    ) -> Result<Vec<SocketAddr>, CloseReason> {
        self.redirects.admit(known, addresses, ctx)
    }

    /// The target of this move was refused once its name was resolved: the move goes on as one without a target.
    pub(super) fn drop_target(&mut self, refused: MoveId, ctx: &mut Context) {
        let is_it = |moving: &&Move| moving.id == refused && moving.is_live(ctx.now);
        let found = self.peers.iter().find_map(|(address, peer)| {
            let moving = peer.moving.as_ref().filter(is_it)?;
            Some((address, moving.clone()))
        });
        let Some((address, moving)) = found else { return };
        let moving = moving.without_target(self.new_move(), &ctx.config.endpoint, ctx.now);
        let peer = self.peers.of(address, ctx.now);
        peer.moving = Some(moving);
        peer.watch_for_target();
        ctx.effects.push(Effect::TargetDropped(refused));
        ctx.effects.push(Effect::MoveChanged);
    }

    /// The move that this peer announced last.
    pub(super) fn move_of(&self, peer: SocketAddr) -> Option<&Move> {
        self.peers.get(peer)?.moving.as_ref()
    }

    /// Another connection or shard has read the same: the window no longer depends on the connection that reported it
    /// first.
    fn confirm(
        &mut self,
        address: SocketAddr,
        notification: &Notification,
        reporter: Option<u64>,
        ctx: &Context,
    ) {
        let windows = &mut self.peers.of(address, ctx.now).windows;
        windows.confirm(notification.kind(), notification.seq(), &scope(notification), reporter);
    }

    /// A successor that hears the move that it follows has reached the same server again.
    fn note_repetition(
        &mut self,
        known: &mut PoolConnection,
        peer: SocketAddr,
        notification: &Notification,
        is_live: bool,
    ) {
        let moving = self.move_of(peer).map(|moving| moving.id);
        // The push may arrive together with the last reply of the handshake: the connection is ready by then, but the
        // push is not live.
        let is_repeated = matches!(notification, Notification::Moving { .. }) && !is_live;
        if is_repeated && known.route.follows == moving {
            known.leads_back = true;
        }
    }

    fn novelty(&mut self, address: SocketAddr, notification: &Notification, ctx: &Context) -> Novelty {
        let configured = &ctx.config.endpoint;
        let peer = self.peers.of(address, ctx.now);
        // Without a number, an announcement with the target of the current move is a copy of it.
        if let (Notification::Moving { seq: None, target, .. }, Some(moving)) = (notification, &peer.moving) {
            let same = match (target, moving.refused.as_ref().or(moving.to.as_ref())) {
                (Some(target), Some(to)) => target.is_same(to),
                (None, to) => to.as_ref().is_none_or(|to| to.is_same(configured)),
                (Some(_), None) => false,
            };
            if moving.is_live(ctx.now) && same {
                return Novelty::Duplicate;
            }
        }
        peer.dedup.record(notification, ctx.now)
    }

    /// Acts on a new notification; false if it is the end of nothing. `received` and `reporter` say when it was read,
    /// and by which connection of this pool.
    fn accept(
        &mut self,
        address: SocketAddr,
        notification: &Notification,
        (received, reporter): (Instant, Option<u64>),
        is_reached: bool,
        ctx: &mut Context,
    ) -> bool {
        let kind = notification.kind();
        let (operation, seq, shards) = (kind.operation(), notification.seq(), scope(notification));
        let windows = &mut self.peers.of(address, ctx.now).windows;
        if let Some(length) = window_length(notification, &ctx.config.maint) {
            let until = received.after(length);
            windows.open(Window { operation, kind, seq, shards, until, reporter }, ctx.now);
        } else {
            let tail = ctx.config.maint.post_event_relaxed;
            let was_open = windows.close(operation, seq, &shards, ctx.now, tail);
            // The window can be over before the maintenance is: servers were busy for longer than they announced.
            if operation != Operation::SlotMigration {
                self.watch_removal(address, is_reached, ctx);
            }
            // The end of a slot migration is news without its beginning: it says where slots are.
            if !was_open && operation != Operation::SlotMigration {
                return false;
            }
        }
        ctx.effects.report_bounded(|| Event::Announced { peer: address, notification: notification.clone() });
        ctx.effects.push(Effect::WindowsChanged(address));
        if let Notification::Moving { grace, target, .. } = notification {
            self.accept_move(address, (received, (*grace).max(GRACE_MIN)), target.as_ref(), ctx);
        }
        true
    }

    fn accept_move(
        &mut self,
        address: SocketAddr,
        times: (Instant, Duration),
        target: Option<&Endpoint>,
        ctx: &mut Context,
    ) {
        let (id, spread) = (self.new_move(), ctx.random.f64());
        let mut moving = Move::announced(id, address, times, target, &ctx.config.endpoint, spread);
        let redirect = RedirectSource { by: address, how: Redirection::Moving };
        if target.is_some_and(|target| !self.redirects.allows(redirect, target, ctx)) {
            moving = moving.without_target(id, &ctx.config.endpoint, ctx.now);
        }
        if let Some(to) = &moving.to {
            ctx.effects.push(Effect::TargetNamed(to.clone()));
            if let Some(target) = to.socket_addr().filter(|target| !is_same(*target, address)) {
                self.withdraw_move(target, ctx);
            }
        }
        let peer = self.peers.of(address, ctx.now);
        peer.moving = Some(moving);
        peer.watch_for_target();
        ctx.effects.push(Effect::MoveChanged);
    }

    /// This address is a target: connections to it stay, whatever it announced before.
    fn withdraw_move(&mut self, address: SocketAddr, ctx: &mut Context) {
        let Some(peer) = self.peers.get_mut(address) else { return };
        peer.watch = None;
        if peer.moving.take().is_some() {
            ctx.effects.push(Effect::MoveWithdrawn(address));
        }
    }

    /// Watches whether this peer leaves the configured name: a server that shrinks leaves DNS, and closes its sockets,
    /// without announcing it.
    fn watch_removal(&mut self, address: SocketAddr, is_reached: bool, ctx: &Context) {
        let is_address = ctx.config.endpoint.socket_addr().is_some();
        let peer = self.peers.of(address, ctx.now);
        // The announced move says where to go.
        let is_moving = peer.moving.as_ref().is_some_and(|moving| moving.is_live(ctx.now));
        if !is_address && is_reached && !is_moving && peer.watch.is_none() {
            let until = ctx.now.after(REMOVAL_WATCHED);
            peer.watch = Some(NameWatch { reason: WatchFor::Removal, next: ctx.now, until, pending: None });
        }
    }

    fn new_move(&mut self) -> MoveId {
        self.next_move += 1;
        MoveId(self.next_move)
    }
}

/// What pairs an announcement with the announcement of its end.
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

/// Whether the target of a move is the peer that announces it: most likely, the connection was dialed because of it.
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

/// A grace period that is over, or was not given, still leaves the time that servers take to close their sockets.
const GRACE_MIN: Duration = Duration::from_secs(1);
/// How often a name is resolved to find an address other than that of a server that leaves.
const TARGET_POLL: Duration = Duration::from_secs(1);
/// How often, and for how long, a name is resolved to find out whether a server is gone from it.
const REMOVAL_POLL: Duration = Duration::from_secs(2);
const REMOVAL_WATCHED: Duration = Duration::from_secs(30);
