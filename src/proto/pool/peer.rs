//! [`Peers`]: what is known of each address that a connection of the pool has reached.
//!
//! What a server announces concerns all connections to the peer that announced it, whichever of them read it, on
//! whichever shard.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{ConnectionId, LookupId};
use crate::proto::maint::handoff::Move;
use crate::proto::maint::ledger::Ledger;
use crate::proto::maint::relax::Windows;
use crate::proto::time::{Instant, earliest};

#[derive(Debug, Default)]
pub(super) struct Peers {
    table: BTreeMap<SocketAddr, Peer>,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) windows: Windows,
    pub(super) ledger: Ledger,
    /// The newest move that it announced.
    pub(super) moving: Option<Move>,
    pub(super) offer: Offer,
    /// The watchers were told that it offers no notifications, or, which is worse, that it denies them to this user.
    pub(super) refusal_told: Option<Refusal>,
    /// Its name is looked up from time to time: to find where it moves to, or whether it is gone.
    pub(super) watch: Option<Watch>,
    /// When somebody last spoke of it.
    seen: Instant,
}

/// Whether a peer offers notifications, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Offer {
    #[default]
    Unknown,
    /// This connection has asked; others wait for the answer rather than all be refused.
    Asked(ConnectionId),
    Offered,
    /// It need not be asked before then.
    Refused {
        until: Instant,
    },
}

/// What a peer said about not offering them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    NotOffered,
    Denied,
}

/// Why, and until when, a name is looked up again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) reason: WatchFor,
    pub(super) next: Instant,
    pub(super) until: Instant,
    pub(super) pending: Option<LookupId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WatchFor {
    /// It announced a move and named no target.
    Target,
    /// It announced the end of a migration or failover, and may leave without another word.
    Removal,
}

impl Peer {
    /// Where it moves to has to be found out by the configured name, if that is not known.
    pub(super) fn watch_for_target(&mut self) {
        let unknown = self.moving.as_ref().filter(|moving| moving.to.is_none());
        let (reason, pending) = (WatchFor::Target, None);
        self.watch =
            unknown.map(|moving| Watch { reason, next: moving.from_then, until: moving.deadline, pending });
    }
}

impl Peers {
    pub(super) fn get(&self, address: &SocketAddr) -> Option<&Peer> {
        self.table.get(address)
    }

    pub(super) fn get_mut(&mut self, address: &SocketAddr) -> Option<&mut Peer> {
        self.table.get_mut(address)
    }

    /// The peer at this address, known or new. The one that was least spoken of is forgotten for a new one if there
    /// are too many.
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

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SocketAddr, &Peer)> {
        self.table.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&SocketAddr, &mut Peer)> {
        self.table.iter_mut()
    }

    /// The newest move of all that are not over yet and that say where to go.
    pub(super) fn newest_move(&self, now: Instant) -> Option<&Move> {
        let moves = self.table.values().filter_map(|peer| peer.moving.as_ref());
        moves.filter(|known| known.is_live(now) && known.to.is_some()).max_by_key(|known| known.id)
    }

    /// Until when something goes on at any of them.
    pub(super) fn relaxed_until(&self, now: Instant) -> Option<Instant> {
        self.table.values().filter_map(|peer| peer.windows.until(now)).max()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.table.values().fold(None, |next, peer| {
            let look_up = peer.watch.and_then(|watch| match watch.pending {
                Some(_) => None,
                None => Some(watch.next),
            });
            earliest(next, earliest(peer.windows.next_expiry(), look_up))
        })
    }
}

/// How many peers are remembered: more than any set of endpoints behind one name has.
const PEERS_MAX: usize = 64;
