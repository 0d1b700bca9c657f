//! What bytes bring beside replies: pushes, and replies that concern more than their commands.

use super::effects::Effect;
use super::entry::Role;
use super::ids::ConnectionId;
use super::parts::Parts;
use crate::proto::connection::{Deliver, Push, PushUse, StateChange};
use crate::proto::error::CloseReason;
use crate::proto::resp::Frame;
use crate::proto::time::Instant;

impl Parts {
    /// Handles what bytes brought other than replies. `received` says whether the connection can go on.
    #[inline(never)]
    pub(super) fn handle_received(
        &mut self,
        id: ConnectionId,
        was_ready: bool,
        received: Result<(), CloseReason>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.ctx.now = now;
        let pushed = self.handle_pushes(id, deliver);
        self.handle_state_changes(id, deliver);
        self.apply(deliver);
        if let Err(reason) = received.and(pushed) {
            self.ctx.effects.push(Effect::End { id, reason });
            self.apply(deliver);
            return;
        }
        let Some(known) = self.entries.connection(id) else { return };
        if !was_ready && known.is_ready() {
            self.handle_ready(id, deliver);
        } else if known.connection.awaits_opt_in() {
            self.maintenance.peers.offer(known, &mut self.ctx);
        }
        self.ctx.effects.push(Effect::Drained(id));
        if self.exclusive.has(id.entry) {
            self.ctx.effects.push(Effect::SuccessorMayServe(id.entry));
        }
        if self.subscriber.is_on(id.entry) {
            self.subscriber.note_bytes(id, self.ctx.now);
            self.serve_subscriptions(deliver);
        }
        self.apply(deliver);
        if self.ctx.closing.is_some() {
            self.entries.ids().for_each(|id| self.close_drained(id));
            self.apply(deliver);
        }
    }

    /// Handles what came on a connection and answers no command.
    ///
    /// # Errors
    /// If it was more than a connection may send.
    fn handle_pushes(&mut self, id: ConnectionId, deliver: &mut impl Deliver) -> Result<(), CloseReason> {
        let Some(known) = self.entries.connection(id) else { return Ok(()) };
        if !known.connection.has_notices() {
            return Ok(());
        }
        let (skipped, pushes) = (known.connection.take_skipped(), known.connection.take_pushes());
        self.ctx.stats.oversized += skipped;
        for _ in 0..skipped {
            known.note_push(PushUse::None, self.ctx.now)?;
        }
        let carries_subscriptions = self.subscriber.is_on(id.entry);
        for push in pushes {
            if let Frame::Error(reply) = push.frame {
                if carries_subscriptions {
                    self.subscriber.handle_refusal(id, reply, self.ctx.now, deliver);
                }
                continue;
            }
            self.ctx.counters.pushes += 1;
            if carries_subscriptions {
                match self.subscriber.handle_push(id, &push.frame, self.ctx.now, deliver) {
                    Some(PushUse::Handled) => continue,
                    Some(used) => {
                        if let Some(known) = self.entries.connection(id) {
                            known.note_push(used, self.ctx.now)?;
                        }
                        continue;
                    }
                    None => {}
                }
            }
            self.handle_push(id, push, deliver)?;
        }
        Ok(())
    }

    fn handle_push(
        &mut self,
        id: ConnectionId,
        push: Push,
        deliver: &mut impl Deliver,
    ) -> Result<(), CloseReason> {
        let ctx = &mut self.ctx;
        let Push { frame, is_live } = push;
        let role = self.entries.role(id);
        // A push before this one may have ended the connection.
        let known = self.entries.connection(id);
        let peer = known.as_ref().and_then(|known| known.peer);
        let used = match (self.maintenance.read_push(frame, peer, ctx, deliver), known, role) {
            (Ok(notification), Some(known), Some(role)) => {
                self.maintenance.handle_copy(known, role, &notification, is_live, ctx)
            }
            (Ok(_), ..) => PushUse::None,
            (Err(used), ..) => used,
        };
        self.apply(deliver);
        match self.entries.connection(id) {
            Some(known) => known.note_push(used, self.ctx.now),
            None => Ok(()),
        }
    }

    /// Handles what the replies on a connection said that concerns more than their commands.
    fn handle_state_changes(&mut self, id: ConnectionId, deliver: &mut impl Deliver) {
        let ctx = &mut self.ctx;
        let Some(entry) = self.entries.get_mut(id.entry) else { return };
        let role = entry.role(id.generation);
        let Some(known) = entry.connection(id.generation) else { return };
        let moving = known.peer.and_then(|peer| self.maintenance.move_of(peer));
        let is_moving = moving.is_some_and(|moving| moving.is_live(ctx.now));
        let mut of_exclusive = Vec::new();
        for change in known.connection.take_state_changes() {
            match change {
                change @ (StateChange::Answered(..) | StateChange::Unblocked(..)) => {
                    of_exclusive.push(change);
                }
                StateChange::LoggedIn(result) => self.auth.note_login(result, ctx),
                StateChange::LoggedOut => self.auth.note_logged_out(ctx),
                // During a move the connection is replaced in any case.
                StateChange::Demoted(state) if role == Some(Role::Active) && !is_moving => {
                    self.handoffs.replace(entry, state, ctx);
                }
                StateChange::Demoted(_) => {}
            }
        }
        for change in of_exclusive {
            match change {
                StateChange::Answered(_, reply) => {
                    self.exclusive.handle_reply(id.entry, reply, &mut self.entries, ctx, deliver);
                }
                StateChange::Unblocked(of, result) => self.exclusive.handle_unblocked(of, result, ctx),
                _ => {}
            }
        }
    }
}
