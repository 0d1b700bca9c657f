//! [`Peers`]: what is known about each address that a connection of the pool has reached.
//!
//! What a server announces holds for all connections to the peer that announced it, on every shard, whichever of them
//! read it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::action::Action;
use super::connection::PoolConnection;
use super::context::Context;
use super::effects::Effect;
use super::ids::{ConnectionId, LookupId};
use crate::proto::connection::Notifications;
use crate::proto::maint::dedup::Dedup;
use crate::proto::maint::event::Event;
use crate::proto::maint::handoff::Move;
use crate::proto::maint::mode::Mode;
use crate::proto::maint::relax::Windows;
use crate::proto::time::{Instant, earliest};

/// The peers of a pool. Their number is bounded, since a server can name as many as it likes.
#[derive(Debug, Default)]
pub(super) struct Peers {
    table: BTreeMap<SocketAddr, Peer>,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) windows: Windows,
    pub(super) dedup: Dedup,
    /// The newest move that it announced.
    pub(super) moving: Option<Move>,
    pub(super) offer: Offer,
    /// What was reported about its refusal of notifications. A missing permission outranks a missing feature.
    pub(super) reported: Option<OptInRefusal>,
    pub(super) watch: Option<NameWatch>,
    /// When it was last used.
    seen: Instant,
}

/// Whether a peer offers notifications.
///
/// ```text
///            ask                  granted
/// Unknown ─────────▶ Asked(id) ─────────────▶ Offered
///    ▲                 │    │     refused
///    └── id is gone ───┘    └───────────────▶ Refused { until } ──a connection asks after that time──▶ Asked(id)
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Offer {
    #[default]
    Unknown,
    /// This connection has asked. The others wait for its answer: each refused request is an error in the server's
    /// statistics.
    Asked(ConnectionId),
    Offered,
    /// It is not asked again before then.
    Refused {
        until: Instant,
    },
}

/// How a peer refused to send notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OptInRefusal {
    NotOffered,
    Denied,
}

/// A name that is resolved again and again: why, and until when.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameWatch {
    pub(super) reason: WatchFor,
    pub(super) next: Instant,
    pub(super) until: Instant,
    pub(super) pending: Option<LookupId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchFor {
    /// The peer announced a move and named no target.
    Target,
    /// The peer announced the end of a migration or failover, and may leave without announcing that.
    Removal,
}

impl Peer {
    /// Starts to resolve the configured name if the target of its move is not known.
    pub(super) fn watch_for_target(&mut self) {
        let unknown = self.moving.as_ref().filter(|moving| moving.to.is_none());
        let (reason, pending) = (WatchFor::Target, None);
        self.watch = unknown.map(|moving| NameWatch {
            reason,
            next: moving.from_then,
            until: moving.deadline,
            pending,
        });
    }

    /// Whether this connection asks for notifications; `None` if it waits for the answer to another one. `must_ask`
    /// says that it asks in any case.
    pub(super) fn should_ask(&mut self, id: ConnectionId, must_ask: bool, now: Instant) -> Option<bool> {
        match self.offer {
            Offer::Asked(other) if other != id && !must_ask => None,
            Offer::Refused { until } if now < until && !must_ask => Some(false),
            Offer::Offered => Some(true),
            Offer::Asked(_) | Offer::Refused { .. } | Offer::Unknown => {
                self.offer = Offer::Asked(id);
                Some(true)
            }
        }
    }

    /// The connection is gone: true if others waited for its answer.
    pub(super) fn forget_asking(&mut self, id: ConnectionId) -> bool {
        let has_asked = self.offer == Offer::Asked(id);
        if has_asked {
            self.offer = Offer::Unknown;
        }
        has_asked
    }
}

impl Peers {
    pub(super) fn get(&self, address: SocketAddr) -> Option<&Peer> {
        self.table.get(&address)
    }

    pub(super) fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Peer> {
        self.table.get_mut(&address)
    }

    /// The peer at this address, known or new. A new one replaces the peer that was unused for the longest time, if
    /// there are too many.
    pub(super) fn of(&mut self, address: SocketAddr, now: Instant) -> &mut Peer {
        if !self.table.contains_key(&address) && self.table.len() >= PEERS_MAX {
            let oldest = self.table.iter().min_by_key(|(_, peer)| peer.seen).map(|(address, _)| *address);
            if let Some(oldest) = oldest {
                self.table.remove(&oldest);
            }
        }
        let peer = self.table.entry(address).or_default();
        peer.seen = now;
        peer
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, &Peer)> {
        self.table.iter().map(|(address, peer)| (*address, peer))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SocketAddr, &mut Peer)> {
        self.table.iter_mut().map(|(address, peer)| (*address, peer))
    }

    /// Lets a handshake go on, unless it has to wait for the answer that another connection gets.
    ///
    /// A server that does not know the request counts an error for each. All connections of a pool are dialed at the
    /// same time: one asks, and the others learn from its answer.
    pub(super) fn offer(&mut self, known: &mut PoolConnection, ctx: &mut Context) {
        let Some(address) = known.peer else { return };
        let must_ask = ctx.config.maint.mode == Mode::Enabled;
        let peer = self.of(address, ctx.now);
        if let Some(ask) = peer.should_ask(known.id, must_ask, ctx.now) {
            known.connection.handle_opt_in(ask);
            ctx.effects.act(Action::Wake { id: known.id });
        }
    }

    /// A handshake is over: what the peer offers holds for the other connections to it as well.
    pub(super) fn note_offer(&mut self, known: &PoolConnection, ctx: &mut Context) {
        let (Some(address), Some(agreed)) = (known.peer, known.connection.negotiated()) else { return };
        let peer = self.of(address, ctx.now);
        let (refusal, reason) = match &agreed.notifications {
            Notifications::Off => return,
            Notifications::On => {
                ctx.stats.opted_in += 1;
                peer.offer = Offer::Offered;
                ctx.effects.push(Effect::OfferChanged(address));
                return;
            }
            Notifications::Refused(reason) => (OptInRefusal::NotOffered, reason.clone()),
            Notifications::Denied(reason) => (OptInRefusal::Denied, reason.clone()),
        };
        ctx.stats.refused += 1;
        peer.offer = Offer::Refused { until: ctx.now.after(REFUSAL_KEPT) };
        if peer.reported < Some(refusal) {
            peer.reported = Some(refusal);
            let denied = refusal == OptInRefusal::Denied;
            ctx.effects.report(Event::NotOffered { peer: address, denied, reason });
        }
        ctx.effects.push(Effect::OfferChanged(address));
    }

    /// The newest move that is not over and whose target is known.
    pub(super) fn newest_move(&self, now: Instant) -> Option<&Move> {
        let moves = self.table.values().filter_map(|peer| peer.moving.as_ref());
        moves.filter(|known| known.is_live(now) && known.to.is_some()).max_by_key(|known| known.id)
    }

    /// Until when the timeouts of any peer are relaxed.
    pub(super) fn relaxed_until(&self, now: Instant) -> Option<Instant> {
        self.table.values().filter_map(|peer| peer.windows.until(now)).max()
    }

    /// How many windows are open.
    pub(super) fn open_windows(&self, now: Instant) -> usize {
        self.table.values().map(|peer| peer.windows.open_count(now)).sum()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.table.values().fold(None, |next, peer| {
            let look_up = peer.watch.filter(|watch| watch.pending.is_none()).map(|watch| watch.next);
            earliest(next, earliest(peer.windows.next_expiry(), look_up))
        })
    }
}

/// How many peers are remembered: more than any set of endpoints behind one name has.
const PEERS_MAX: usize = 64;
/// For how long a peer that refused is not asked again.
const REFUSAL_KEPT: Duration = Duration::from_secs(60);
