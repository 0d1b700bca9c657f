//! Where servers may send the pool's connections: every target is named to the [`TargetFilter`](crate::proto::targets::TargetFilter),
//! and every address of one is judged by it before it is dialed.

use std::net::SocketAddr;

use super::{ConnectionId, Pool};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::event::{Event, HandoffResult};
use crate::proto::maint::handoff::MoveId;
use crate::proto::targets::{RedirectSource, Refusal};
use crate::proto::time::Instant;

impl Pool {
    /// Which of these addresses, which its endpoint's name leads to, a connection may be dialed at.
    ///
    /// # Errors
    /// If a server has sent it there and may not: tell it to [`Pool::handle_closed`].
    pub(crate) fn admit(
        &mut self,
        id: ConnectionId,
        addresses: Vec<SocketAddr>,
        now: Instant,
    ) -> Result<Vec<SocketAddr>, CloseReason> {
        let Some(link) = self.link(id) else { return Err(CloseReason::Local) };
        let Some(sent) = link.sent else { return Ok(addresses) };
        let target = link.endpoint.clone();
        let mut first = None;
        let mut admitted = addresses;
        admitted.retain(|address| match self.target_filter.check_address(sent, &target, *address) {
            Ok(()) => true,
            Err(refusal) => {
                first.get_or_insert(refusal);
                false
            }
        });
        match first {
            Some(refusal) if admitted.is_empty() => {
                self.note_refused_target(sent, &target, refusal, now);
                Err(CloseReason::TargetRefused(format!("{sent} named {target}, but {refusal}")))
            }
            _ => Ok(admitted),
        }
    }

    /// Whether a server has sent this connection to where it is dialed.
    pub(crate) fn is_sent(&mut self, id: ConnectionId) -> bool {
        self.link(id).is_some_and(|link| link.sent.is_some())
    }

    pub(super) fn note_refused_target(
        &mut self,
        sent: RedirectSource,
        target: &Endpoint,
        refusal: Refusal,
        now: Instant,
    ) {
        self.maintenance.targets_refused += 1;
        if self.target_filter.should_report(target, now) {
            let (target, reason) = (target.clone(), refusal.to_string());
            self.events.push_back(Event::TargetRefused {
                peer: sent.by,
                redirection: sent.how,
                target,
                reason,
            });
        }
    }

    /// Where this move leads was refused once its name was resolved: it goes on as one that names no target.
    pub(super) fn drop_target(&mut self, refused: MoveId, now: Instant) {
        let is_it =
            |moving: &&crate::proto::maint::handoff::Move| moving.id == refused && moving.is_live(now);
        let found = self.peers.iter().find_map(|(address, peer)| {
            let moving = peer.moving.as_ref().filter(is_it)?;
            Some((*address, moving.clone()))
        });
        let Some((address, moving)) = found else { return };
        let moving = moving.without_target(self.new_move(), &self.config.endpoint, now);
        let peer = self.peers.of(address, now);
        peer.moving = Some(moving);
        peer.watch_for_target();
        for index in 0..self.entries.len() {
            let handoff = self.entries.get(index).and_then(|entry| entry.handoff.as_ref());
            if handoff.is_some_and(|handoff| handoff.move_id == Some(refused)) {
                self.finish_handoff(index, HandoffResult::Superseded, now);
            }
        }
        self.follow(now);
    }
}
