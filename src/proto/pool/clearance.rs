//! Whether a connection may ask for notifications: one asks, the others wait for the answer.
//!
//! A server that does not know the request counts an error for each one of it. All connections of a pool are dialed at
//! the same time; were each of them to ask, each would be refused.

use std::net::SocketAddr;
use std::time::Duration;

use super::peer::{Offer, Refusal};
use super::{Action, ConnectionId, Pool};
use crate::proto::connection::Notifications;
use crate::proto::maint::event::Event;
use crate::proto::maint::mode::Mode;
use crate::proto::time::Instant;

impl Pool {
    /// Lets a connection go on with its handshake, unless it has to wait for what another is told.
    pub(super) fn seek_clearance(&mut self, id: ConnectionId, now: Instant) {
        let Some(address) = self.link(id).and_then(|link| link.peer) else { return };
        let must_ask = self.config.maint.mode == Mode::Enabled;
        let peer = self.peers.of(address, now);
        let ask = match peer.offer {
            Offer::Asked(other) if other != id && !must_ask => return,
            Offer::Refused { until } if now < until && !must_ask => false,
            Offer::Offered => true,
            Offer::Asked(_) | Offer::Refused { .. } | Offer::Unknown => {
                peer.offer = Offer::Asked(id);
                true
            }
        };
        if let Some(link) = self.link(id) {
            link.connection.handle_opt_in(ask);
            self.actions.push_back(Action::Wake { id });
        }
    }

    /// A handshake is over: what it says of its peer holds for the others, too.
    pub(super) fn note_offer(&mut self, id: ConnectionId, now: Instant) {
        let Some(link) = self.link(id) else { return };
        let (Some(address), Some(agreed)) = (link.peer, link.connection.negotiated()) else { return };
        let notifications = agreed.notifications.clone();
        let peer = self.peers.of(address, now);
        let refusal = match notifications {
            Notifications::Off => return,
            Notifications::On => {
                self.maintenance.opted_in += 1;
                peer.offer = Offer::Offered;
                None
            }
            Notifications::Refused(reason) => Some((Refusal::NotOffered, reason)),
            Notifications::Denied(reason) => Some((Refusal::Denied, reason)),
        };
        if let Some((refusal, reason)) = refusal {
            self.maintenance.refused += 1;
            peer.offer = Offer::Refused { until: now.after(REFUSAL_KEPT) };
            // A user that lacks a permission is news even of a server that was too old before.
            if peer.refusal_told < Some(refusal) {
                peer.refusal_told = Some(refusal);
                let denied = refusal == Refusal::Denied;
                self.events.push_back(Event::NotOffered { peer: address, denied, reason });
            }
        }
        self.clear_waiting(address, now);
    }

    /// A connection is gone that others may wait for.
    pub(super) fn forget_asking(&mut self, id: ConnectionId, address: SocketAddr, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&address)
            && peer.offer == Offer::Asked(id)
        {
            peer.offer = Offer::Unknown;
            self.clear_waiting(address, now);
        }
    }

    fn clear_waiting(&mut self, address: SocketAddr, now: Instant) {
        let mut waiting = Vec::new();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let links = entry.links().filter(|link| link.peer == Some(address));
            let generations: Vec<_> =
                links.filter(|link| link.connection.awaits_opt_in()).map(|link| link.generation).collect();
            waiting.extend(generations.into_iter().map(|generation| entry.id(index, generation)));
        }
        for id in waiting {
            self.seek_clearance(id, now);
        }
    }
}

/// For so long a peer that refused is not asked again.
const REFUSAL_KEPT: Duration = Duration::from_secs(60);
