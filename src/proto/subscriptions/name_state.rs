//! [`NameState`]: one name, its receivers, and the connections that carry it.

use bytes::Bytes;

use super::carriers::Carriers;
use super::command::Direction;
use super::context::{Context, OverlapDeadline};
use super::event::{GapReason, Message, PubSubEvent, Receive, SubscriptionId};
use super::link::Side;
use super::names::Name;
use super::overlap::{End, EndCause, Overlap};
use super::receivers::Receivers;
use super::registration::{Answered, Progress};
use crate::proto::time::Instant;

/// One name that is wanted, or that a server still has to give up.
///
/// One connection is the *source* of the name: its messages are delivered. Outside a handoff it is the only connection.
///
/// ```text
///  Following: the predecessor is the source
///   │  SUBSCRIBE handed out for the successor: the tail begins
///   │  confirmed there: the buffer begins, UNSUBSCRIBE for the predecessor is queued
///   │
///   ├─ the successor is lost: the predecessor goes on, until the answer to its UNSUBSCRIBE
///   │
///   ├─ unsubscribe received on the predecessor (the fence) ──┐
///   ├─ the predecessor is lost, or ends the subscription ────┤
///   │                                                        ▼
///   │              Merging: the successor is the source, its messages wait, a mark is queued there
///   │                │  the mark is read, or the tail is empty: drop the match, deliver the rest
///   ├─ a bound ──────┤  a bound is reached: deliver all
///   ▼                ▼
///  Moved: the successor is the source
///   └─ the successor is lost: a gap, until the predecessor confirms the name again
/// ```
///
/// The fence proves that nothing is missing between the predecessor's last message and the successor's first. So does a
/// match. Without either, receivers are told of a gap.
#[derive(Debug)]
pub(super) struct NameState {
    name: Name,
    receivers: Receivers,
    carriers: Carriers,
    /// Present while the name is following or merging.
    overlap: Option<Box<Overlap>>,
}

impl NameState {
    pub(super) fn new(name: Name, source: Side) -> Self {
        NameState { name, receivers: Receivers::default(), carriers: Carriers::new(source), overlap: None }
    }

    /// Whether the table can forget the name.
    pub(super) fn is_unused(&self) -> bool {
        self.receivers.is_empty() && self.carriers.is_unused()
    }

    /// Whether the name needs the predecessor.
    #[inline]
    pub(super) fn is_following(&self) -> bool {
        self.overlap.as_ref().is_some_and(|overlap| overlap.ended().is_none())
    }

    /// Whether the predecessor has ended, and messages of the successor wait.
    #[inline]
    pub(super) fn is_merging(&self) -> bool {
        self.overlap.as_ref().is_some_and(|overlap| overlap.ended().is_some())
    }

    pub(super) fn add(&mut self, id: SubscriptionId, ctx: &mut Context<'_>, receive: &mut impl Receive) {
        self.receivers.add(id);
        self.settle_if_confirmed(ctx, receive);
        self.reconcile(ctx);
    }

    /// Returns whether the subscription had wanted the name.
    pub(super) fn remove(&mut self, id: SubscriptionId, ctx: &mut Context<'_>) -> bool {
        let is_removed = self.receivers.remove(id);
        self.drop_if_unwanted(ctx);
        is_removed
    }

    #[inline]
    pub(super) fn handle_message(
        &mut self,
        side: Side,
        message: Message,
        ctx: &mut Context<'_>,
        receive: &mut impl Receive,
    ) {
        if side == self.carriers.source() && !self.is_merging() {
            if !self.receivers.any_is_live() {
                ctx.stats.strays += 1;
                return;
            }
            ctx.stats.messages += 1;
            if let Some(overlap) = &mut self.overlap {
                overlap.record(message.clone(), ctx.held);
            }
            self.receivers.deliver(message, receive);
            return;
        }
        let is_buffered = self.takes_over(side) && self.carriers.at(side).is_confirmed();
        let overlap = self.overlap.as_mut().filter(|_| is_buffered);
        match overlap.map(|overlap| overlap.buffer(message, ctx.held)) {
            Some(true) => {}
            Some(false) => self.cut_overlap(ctx, receive),
            None => ctx.stats.strays += 1,
        }
    }

    /// The receivers, if messages of the current connection go straight to them.
    #[inline]
    pub(super) fn direct_receivers(&self) -> Option<&Receivers> {
        let is_direct = self.overlap.is_none() && self.carriers.source() == Side::Current;
        Some(&self.receivers).filter(|receivers| is_direct && receivers.any_is_live())
    }

    pub(super) fn handle_subscribed(
        &mut self,
        side: Side,
        ctx: &mut Context<'_>,
        receive: &mut impl Receive,
    ) {
        let is_taking_over = self.takes_over(side);
        match (self.carriers.at_mut(side).confirm(), &mut self.overlap) {
            (Answered::Nothing, _) => return,
            (Answered::Mark, Some(overlap)) if overlap.ended().is_none() => {
                if overlap.is_fence_asked() {
                    self.end_predecessor(EndCause::Fence, ctx, receive);
                }
            }
            (Answered::Mark, _) => self.merge(false, ctx, receive),
            (Answered::Subscription, Some(overlap)) if is_taking_over => {
                let deadline = overlap.confirm(ctx.now);
                self.note_deadline(deadline, ctx);
                if self.is_merging() {
                    self.carriers.at_mut(side).want_mark();
                } else if self.name.can_end_unasked() {
                    self.carriers.at_mut(Side::Current).want_mark();
                }
            }
            (Answered::Subscription, _) if side == self.carriers.source() => {
                self.settle_if_confirmed(ctx, receive)
            }
            (Answered::Subscription, _) => {}
        }
        self.reconcile(ctx);
    }

    pub(super) fn handle_unsubscribed(
        &mut self,
        side: Side,
        ctx: &mut Context<'_>,
        receive: &mut impl Receive,
    ) {
        let Some(before) = self.carriers.end(side) else { return };
        if before == Progress::Confirmed {
            ctx.stats.unsolicited_unsubscribes += 1;
        }
        let is_asked_again = self.carriers.at(side).is_asked();
        match &mut self.overlap {
            Some(overlap) if overlap.ended().is_some() => match side == self.carriers.source() {
                true if is_asked_again => overlap.restart(ctx.held),
                true => self.drop_overlap(GapReason::ServerUnsubscribed, ctx),
                false => {}
            },
            Some(overlap) if side == Side::Successor => overlap.restart(ctx.held),
            Some(overlap) => {
                let is_fence = before == Progress::Leaving && overlap.is_fence_asked();
                let cause = if is_fence { EndCause::Fence } else { EndCause::Unsubscribed };
                self.end_predecessor(cause, ctx, receive);
            }
            None if side != self.carriers.source() => {}
            // The command was meant to end a handoff whose successor is lost.
            None if before == Progress::Leaving => self.begin_gap(ctx.now, GapReason::HandoffCut, ctx),
            None => self.begin_gap(ctx.now, GapReason::ServerUnsubscribed, ctx),
        }
        self.reconcile(ctx);
    }

    /// The server cannot serve the name now. It is asked again later.
    pub(super) fn handle_deferral(&mut self, side: Side, ctx: &mut Context<'_>, receive: &mut impl Receive) {
        match self.carriers.refuse_subscribe(side) {
            Answered::Subscription if self.carriers.at_mut(side).mark_queued() => {
                if let Some(link) = ctx.links.get_mut(side) {
                    link.queue_later(Direction::Subscribe, &self.name, ctx.now);
                }
            }
            Answered::Mark => self.cut_overlap(ctx, receive),
            Answered::Subscription | Answered::Nothing => {}
        }
    }

    /// The server has refused the name together with others. It is asked for this name alone.
    pub(super) fn handle_shared_refusal(&mut self, side: Side, ctx: &mut Context<'_>) {
        if self.carriers.refuse_subscribe(side) != Answered::Nothing
            && self.carriers.at_mut(side).mark_queued()
            && let Some(link) = ctx.links.get_mut(side)
        {
            link.queue_single(Direction::Subscribe, &self.name);
        }
    }

    /// The server has refused the name. Returns the subscriptions that have lost it.
    pub(super) fn handle_refusal(
        &mut self,
        side: Side,
        reply: &Bytes,
        ctx: &mut Context<'_>,
        receive: &mut impl Receive,
    ) -> Vec<SubscriptionId> {
        match self.carriers.refuse_subscribe(side) {
            Answered::Subscription => {}
            Answered::Mark => {
                self.cut_overlap(ctx, receive);
                return Vec::new();
            }
            Answered::Nothing => return Vec::new(),
        }
        let ids = self.receivers.take_ids();
        ctx.stats.refusals += u64::from(!ids.is_empty());
        for id in &ids {
            let (kind, name, reply) = (self.name.kind, self.name.bytes.clone(), reply.clone());
            receive.deliver(*id, PubSubEvent::Refused { kind, name, reply });
        }
        self.drop_if_unwanted(ctx);
        ids
    }

    /// The server has refused to unsubscribe the name. What it still sends is not wanted, and there will be no fence.
    pub(super) fn handle_refused_unsubscribe(
        &mut self,
        side: Side,
        ctx: &mut Context<'_>,
        receive: &mut impl Receive,
    ) {
        if !self.carriers.refuse_unsubscribe(side) {
            return;
        }
        if side == Side::Current && self.is_following() {
            self.end_predecessor(EndCause::Bound, ctx, receive);
        } else if side == self.carriers.source() {
            self.begin_gap(ctx.now, GapReason::HandoffCut, ctx);
        }
        self.reconcile(ctx);
    }

    /// A command for the name has left its queue. Returns whether it has to be written.
    pub(super) fn hand_out(&mut self, side: Side, direction: Direction, ctx: &mut Context<'_>) -> bool {
        let is_wanted = self.is_wanted(side);
        let before = self.carriers.at_mut(side).hand_out(direction, is_wanted);
        let (is_taking_over, is_ending) =
            (self.takes_over(side), self.is_following() && side == Side::Current);
        match (before, &mut self.overlap) {
            // Not for a repetition: the server may have followed the first command.
            (Some(Progress::Absent), Some(overlap)) if is_taking_over => overlap.begin_tail(ctx.held),
            (Some(Progress::Confirmed), Some(overlap)) if is_ending => overlap.ask_fence(),
            _ => {}
        }
        self.reconcile(ctx);
        before.is_some()
    }

    /// No answer to a command came in time.
    pub(super) fn handle_overdue(&mut self, side: Side, direction: Direction, ctx: &mut Context<'_>) {
        if self.carriers.at_mut(side).queue_again(direction) {
            ctx.stats.retries += 1;
            if let Some(link) = ctx.links.get_mut(side) {
                link.queue(direction, &self.name);
            }
        }
    }

    pub(super) fn handle_deadline(&mut self, ctx: &mut Context<'_>, receive: &mut impl Receive) {
        if self.overlap.as_ref().is_some_and(|overlap| overlap.is_overdue(ctx.now)) {
            self.cut_overlap(ctx, receive);
        }
    }

    /// A successor is there. No name follows the predecessor of an earlier handoff any more.
    pub(super) fn handle_successor(&mut self, ctx: &mut Context<'_>, receive: &mut impl Receive) {
        self.cut_overlap(ctx, receive);
        match self.receivers.any_is_live() {
            true => self.overlap = Some(Box::default()),
            false => self.carriers.make_successor_the_source(),
        }
        self.reconcile(ctx);
    }

    /// The only connection is lost.
    pub(super) fn handle_current_lost(&mut self, last_byte: Instant, ctx: &mut Context<'_>) {
        self.carriers.lose_current();
        self.drop_overlap(GapReason::ConnectionLost, ctx);
        self.begin_gap(last_byte, GapReason::ConnectionLost, ctx);
    }

    /// The successor is lost, and the predecessor goes on.
    pub(super) fn handle_successor_lost(
        &mut self,
        last_byte: Instant,
        ctx: &mut Context<'_>,
        receive: &mut impl Receive,
    ) {
        self.drop_overlap(GapReason::HandoffCut, ctx);
        if self.carriers.lose_successor(!self.receivers.all_are_waiting()) {
            self.begin_gap(last_byte, GapReason::HandoffCut, ctx);
            self.settle_if_confirmed(ctx, receive);
        }
        self.reconcile(ctx);
    }

    /// The predecessor is gone, and the successor is the current connection.
    pub(super) fn promote(&mut self) {
        self.carriers.promote();
    }
}

/// The transitions of the drawing above, and what follows from them.
impl NameState {
    /// The predecessor is read no further. The successor becomes the source, if it is not yet.
    pub(super) fn end_predecessor(
        &mut self,
        cause: EndCause,
        ctx: &mut Context<'_>,
        receive: &mut impl Receive,
    ) {
        let Some(overlap) = self.overlap.as_mut().filter(|overlap| overlap.ended().is_none()) else { return };
        self.carriers.make_successor_the_source();
        let at = ctx.links.get(Side::Current).map_or(ctx.now, |link| link.last_byte());
        let deadline = overlap.end(End { cause, at }, ctx.now);
        if cause == EndCause::Bound {
            self.cut_overlap(ctx, receive);
        } else if !overlap.is_tail_empty() {
            self.note_deadline(deadline, ctx);
            if self.carriers.is_source_confirmed() {
                self.carriers.source_mut().want_mark();
            }
        } else if self.carriers.is_source_confirmed() {
            self.merge(false, ctx, receive);
        } else {
            self.drop_overlap(cause.reason(), ctx);
        }
        self.reconcile(ctx);
    }

    /// Ends the overlap before it is complete, if there is one.
    fn cut_overlap(&mut self, ctx: &mut Context<'_>, receive: &mut impl Receive) {
        match self.overlap.as_ref().map(|overlap| overlap.ended()) {
            None => {}
            Some(None) => self.end_predecessor(EndCause::Bound, ctx, receive),
            Some(Some(_)) if self.carriers.is_source_confirmed() => self.merge(true, ctx, receive),
            Some(Some(end)) => {
                ctx.stats.overlaps_bounded += 1;
                self.drop_overlap(end.cause.reason(), ctx);
            }
        }
    }

    /// Delivers what the predecessor has not, or everything if the overlap `is_cut`.
    fn merge(&mut self, is_cut: bool, ctx: &mut Context<'_>, receive: &mut impl Receive) {
        self.carriers.source_mut().forget_mark();
        let Some(merged) = self.overlap.take().and_then(|overlap| overlap.into_merged(is_cut, ctx.held))
        else {
            return;
        };
        if let Some((since, reason)) = merged.missed {
            self.begin_gap(since, reason, ctx);
        }
        ctx.stats.overlaps_unfenced += u64::from(merged.is_unfenced);
        ctx.stats.overlaps_bounded += u64::from(merged.is_bounded);
        ctx.stats.duplicates_dropped += merged.duplicates as u64;
        ctx.stats.messages += merged.messages.len() as u64;
        // The gap ends where the buffer begins, not now.
        self.receivers.settle(&self.name, merged.confirmed_at, receive);
        merged.messages.into_iter().for_each(|message| self.receivers.deliver(message, receive));
        self.reconcile(ctx);
    }

    /// Forgets the messages that wait. If the predecessor has ended, they are missed.
    fn drop_overlap(&mut self, reason: GapReason, ctx: &mut Context<'_>) {
        let Some(overlap) = self.overlap.take() else { return };
        if let Some(end) = overlap.ended() {
            self.begin_gap(end.at, reason, ctx);
        }
        overlap.release(ctx.held);
        self.carriers.source_mut().forget_mark();
    }

    /// The receivers have changed; the last one may have left.
    fn drop_if_unwanted(&mut self, ctx: &mut Context<'_>) {
        if self.receivers.is_empty() && self.overlap.is_some() {
            if self.is_following() {
                // If the name is added again during this handoff, only the successor is asked for it.
                self.carriers.make_successor_the_source();
            }
            self.drop_overlap(GapReason::HandoffCut, ctx);
        }
        self.reconcile(ctx);
    }

    /// Whether the connection is the one whose messages wait during an overlap. While names are merging, the successor
    /// may be the current connection already.
    fn takes_over(&self, side: Side) -> bool {
        side == if self.is_merging() { self.carriers.source() } else { Side::Successor }
    }

    fn note_deadline(&self, deadline: Option<Instant>, ctx: &mut Context<'_>) {
        ctx.deadlines.extend(deadline.map(|at| OverlapDeadline { at, name: self.name.clone() }));
    }

    fn settle_if_confirmed(&mut self, ctx: &mut Context<'_>, receive: &mut impl Receive) {
        if self.carriers.is_source_confirmed() && !self.is_merging() {
            self.receivers.settle(&self.name, ctx.now, receive);
        }
    }

    fn begin_gap(&mut self, since: Instant, reason: GapReason, ctx: &mut Context<'_>) {
        ctx.stats.gaps += u64::from(self.receivers.begin_gap(since, reason));
    }

    /// Queues the commands that bring the connections to the state that is wanted.
    pub(super) fn reconcile(&mut self, ctx: &mut Context<'_>) {
        for side in [Side::Current, Side::Successor] {
            let is_wanted = self.is_wanted(side);
            if let Some(link) = ctx.links.get_mut(side)
                && let Some(direction) = self.carriers.at_mut(side).queue_needed(is_wanted)
            {
                link.queue(direction, &self.name);
            }
        }
    }

    fn is_wanted(&self, side: Side) -> bool {
        let is_fence_due = self.is_following() && self.carriers.at(Side::Successor).is_confirmed();
        let ends_by_fence = side == Side::Current && is_fence_due && !self.name.can_end_unasked();
        !self.receivers.is_empty() && self.carriers.is_wanted(side) && !ends_by_fence
    }

    #[cfg(test)]
    pub(super) fn assert_consistent(&self, is_handoff: bool) {
        assert!(!self.is_unused(), "{self:?}");
        assert_eq!(self.carriers.source() == Side::Successor, is_handoff && !self.is_following(), "{self:?}");
        let is_alone = !self.is_following() && self.carriers.at(Side::Successor).is_unused();
        assert!(is_handoff || is_alone, "{self:?}");
        assert!(self.overlap.is_none() || !self.receivers.is_empty(), "{self:?}");
    }
}
