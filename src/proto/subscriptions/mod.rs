//! [`Subscriptions`]: what one shard is subscribed to, and the connections that carry it.
//!
//! ```text
//!                     Subscriptions              what happened, what to write, when to wake
//!            ┌──────────────┼──────────────┐
//!          Names        NameState        Links   the table; one name; the commands of each connection
//!            ┌──────────────┼──────────────┐
//!        Receivers       Carriers       Overlap  who wants it; where it is confirmed; what two connections carry
//!                           │
//!                      Registration              one name on one connection
//! ```

mod carriers;
mod command;
mod context;
mod copies;
mod event;
mod link;
mod name_state;
mod names;
mod overlap;
mod push;
mod receivers;
mod registration;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

pub(crate) use self::command::SubscribeCommand;
pub use self::event::SubscriptionStats;
pub(crate) use self::event::{GapReason, Message, PubSubEvent, Receive, SubscriptionId, SubscriptionKind};
pub(crate) use self::link::Link;

use self::command::Direction;
use self::context::{Context, OverlapDeadline};
use self::copies::Copies;
use self::link::{LinkState, Links, Side};
use self::name_state::NameState;
use self::names::{Name, Names};
use self::overlap::{EndCause, HeldBytes};
use self::push::Push;
use crate::proto::resp::{Frame, Published};
use crate::proto::time::{Instant, earliest};

/// What one shard is subscribed to, and the connections that carry it.
///
/// It guarantees that a receiver of a confirmed name gets each message of it once and in the order of its publication, or
/// a [`PubSubEvent::Gap`] before the message that follows the missing ones. Messages arrive twice only after a bound was
/// reached, which [`SubscriptionStats::overlaps_bounded`] counts. If a publisher repeats a payload during a handoff, copies
/// of it may be taken for duplicates: nothing in a message tells them apart. The server is asked once for each name, however many
/// subscriptions want it, and a name counts as alive by its confirmation only.
///
/// Calls come in this order, as for all types of the core:
///
/// 1. Report what happened: `handle_*`; and what the application wants: [`add`](Subscriptions::add),
///    [`remove`](Subscriptions::remove), [`close`](Subscriptions::close).
/// 2. Call [`poll_command`](Subscriptions::poll_command) of each open link until it returns nothing, and write what it
///    returns in that order. Close the links that are [released](Subscriptions::is_released).
/// 3. Call [`handle_timeout`](Subscriptions::handle_timeout) at [`next_timeout`](Subscriptions::next_timeout).
///
/// A push must never be taken for a reply: the server sends `sunsubscribe` without being asked. A command is fully
/// answered when [`unanswered`](Subscriptions::unanswered) no longer counts it. During a handoff a SUBSCRIBE can name a
/// channel that the connection has confirmed already: this is a [mark](registration::Registration), and has to be written.
///
/// ```text
///   no link ──handle_ready──► one link ──handle_successor──► overlap: predecessor and successor
///      ▲                       │  ▲  ▲                          │  │  │
///      └──────handle_lost──────┘  │  └── handle_lost(successor)─┘  │  │
///                                 └───── no name follows the predecessor, or handle_lost(predecessor)
/// ```
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    names: Names<NameState>,
    by_id: BTreeMap<SubscriptionId, BTreeSet<Name>>,
    links: Links,
    /// How many names follow the predecessor.
    following: usize,
    /// How many names hold messages of the successor until those of the predecessor are through.
    merging: usize,
    /// The earliest first. Some may have become superfluous.
    deadlines: VecDeque<OverlapDeadline>,
    held: HeldBytes,
    copies: Copies,
    stats: SubscriptionStats,
}

impl Subscriptions {
    /// A subscription wants a name. A name that is confirmed already is reported at once.
    pub(crate) fn add(
        &mut self,
        id: SubscriptionId,
        kind: SubscriptionKind,
        name: Bytes,
        now: Instant,
        receive: &mut impl Receive,
    ) {
        let name = Name { kind, bytes: name };
        let source = if self.links.successor.is_some() { Side::Successor } else { Side::Current };
        self.names.get_or_insert_with(&name, || NameState::new(name.clone(), source));
        self.update(kind, &name.bytes, now, |state, ctx| state.add(id, ctx, receive));
        self.by_id.entry(id).or_default().insert(name);
    }

    /// A subscription gives up a name.
    pub(crate) fn remove(
        &mut self,
        id: SubscriptionId,
        kind: SubscriptionKind,
        name: Bytes,
        now: Instant,
        receive: &mut impl Receive,
    ) {
        if self.update(kind, &name, now, |state, ctx| state.remove(id, ctx)) == Some(true) {
            let name = Name { kind, bytes: name };
            self.forget(id, &name);
            receive.deliver(id, PubSubEvent::Unsubscribed { kind, name: name.bytes });
        }
    }

    /// A subscription has ended. No event of it follows.
    pub(crate) fn close(&mut self, id: SubscriptionId, now: Instant) {
        for name in self.by_id.remove(&id).unwrap_or_default() {
            self.update(name.kind, &name.bytes, now, |state, ctx| state.remove(id, ctx));
        }
    }

    /// The first connection, or one after a loss, can take commands. If another one is still there, it counts as lost.
    pub(crate) fn handle_ready(&mut self, link: Link, now: Instant, receive: &mut impl Receive) {
        if self.links.side_of(link).is_some() {
            return;
        }
        while let Some(lost) = self.links.current.as_ref().map(LinkState::id) {
            self.handle_lost(lost, now, receive);
        }
        self.links.current = Some(LinkState::new(link, now));
        self.for_each(now, |state, ctx| state.reconcile(ctx));
    }

    /// A handoff's successor can take commands. An earlier handoff that is still under way ends at once.
    pub(crate) fn handle_successor(&mut self, link: Link, now: Instant, receive: &mut impl Receive) {
        if self.links.side_of(link).is_some() {
            return;
        }
        if self.links.current.is_none() {
            return self.handle_ready(link, now, receive);
        }
        if self.links.successor.is_some() {
            self.leave_predecessor(EndCause::Bound, now, receive);
        }
        self.links.successor = Some(LinkState::new(link, now));
        self.for_each(now, |state, ctx| state.handle_successor(ctx, receive));
        self.promote_if_unfollowed();
    }

    /// A connection is lost.
    pub(crate) fn handle_lost(&mut self, link: Link, now: Instant, receive: &mut impl Receive) {
        match (self.links.side_of(link), self.links.successor.is_some()) {
            (Some(Side::Current), true) => self.leave_predecessor(EndCause::Lost, now, receive),
            (Some(Side::Current), false) => {
                // The link goes first, so that no name queues commands there.
                let last_byte = self.links.current.take().map_or(now, |link| link.last_byte());
                self.for_each(now, |state, ctx| state.handle_current_lost(last_byte, ctx));
            }
            (Some(Side::Successor), _) => {
                let last_byte = self.links.successor.take().map_or(now, |link| link.last_byte());
                self.for_each(now, |state, ctx| state.handle_successor_lost(last_byte, ctx, receive));
            }
            (None, _) => {}
        }
        self.promote_if_unfollowed();
        self.names.retain(|state| !state.is_unused());
    }

    /// Bytes have arrived on a connection. [`Subscriptions::handle_push`] notes them by itself.
    pub(crate) fn note_bytes(&mut self, link: Link, now: Instant) {
        if let Some(state) = self.links.side_of(link).and_then(|side| self.links.get_mut(side)) {
            state.note_bytes(now);
        }
    }

    /// A push has arrived. Returns false if it is none of pub/sub.
    #[inline]
    pub(crate) fn handle_push(
        &mut self,
        link: Link,
        items: &[Frame],
        now: Instant,
        receive: &mut impl Receive,
    ) -> bool {
        let Some(push) = Push::read(items) else { return false };
        let Some(side) = self.links.side_of(link) else {
            // A released predecessor: its names have moved.
            self.stats.strays += u64::from(matches!(push, Push::Message { .. }));
            return true;
        };
        self.note_bytes(link, now);
        match push {
            Push::Message { kind, name, channel, payload } => {
                let pattern = (kind == SubscriptionKind::Pattern).then(|| name.clone());
                let message = Message { kind, channel: channel.clone(), pattern, payload: payload.clone() };
                let change = |state: &mut NameState, ctx: &mut Context<'_>| {
                    state.handle_message(side, message, ctx, receive);
                };
                if self.update(kind, name, now, change).is_none() {
                    self.stats.strays += 1;
                }
            }
            Push::Confirmation { verb, name } => {
                if let Some(link) = self.links.get_mut(side) {
                    link.note_confirmation(verb, name);
                }
                self.update(verb.kind(), name, now, |state, ctx| match verb.direction() {
                    Direction::Subscribe => state.handle_subscribed(side, ctx, receive),
                    Direction::Unsubscribe => state.handle_unsubscribed(side, ctx, receive),
                });
            }
            Push::Malformed => self.stats.malformed += 1,
        }
        true
    }

    /// A message has arrived, and no push was made of it. Returns false, and does nothing, unless its receivers get it as it is:
    /// no handoff concerns the name, and its only connection has sent it. Else it has to come as a push.
    #[inline]
    pub(crate) fn handle_published(
        &mut self,
        link: Link,
        published: Published<'_>,
        now: Instant,
        receive: &mut impl Receive,
    ) -> bool {
        let kind = published.kind.into();
        let current = self.links.current.as_mut().filter(|current| current.id() == link);
        let receivers = self.names.get_mut(kind, published.name).and_then(|state| state.direct_receivers());
        let Some((current, receivers)) = current.zip(receivers) else { return false };
        current.note_bytes(now);
        self.stats.messages += 1;
        receivers.deliver(self.copies.message(kind, published), receive);
        true
    }

    /// The server has answered the oldest command that is not fully answered with an error.
    ///
    /// It refuses all names of a command together, so several names are asked for again one by one.
    pub(crate) fn handle_refusal(
        &mut self,
        link: Link,
        reply: Bytes,
        now: Instant,
        receive: &mut impl Receive,
    ) {
        self.note_bytes(link, now);
        let Some(side) = self.links.side_of(link) else { return };
        let Some(refused) = self.links.get_mut(side).and_then(LinkState::take_refused) else {
            self.stats.unmatched_refusals += 1;
            return;
        };
        let (kind, direction) = (refused.verb.kind(), refused.verb.direction());
        let is_transient = is_transient(&reply);
        for bytes in refused.names {
            let ids = self.update(kind, &bytes, now, |state, ctx| {
                match (direction, is_transient, refused.is_single) {
                    (Direction::Unsubscribe, ..) => state.handle_refused_unsubscribe(side, ctx, receive),
                    (Direction::Subscribe, true, _) => state.handle_deferral(side, ctx, receive),
                    (Direction::Subscribe, false, false) => state.handle_shared_refusal(side, ctx),
                    (Direction::Subscribe, false, true) => {
                        return state.handle_refusal(side, &reply, ctx, receive);
                    }
                }
                Vec::new()
            });
            let name = Name { kind, bytes };
            ids.unwrap_or_default().into_iter().for_each(|id| self.forget(id, &name));
        }
    }

    /// The next command to write on a connection.
    pub(crate) fn poll_command(&mut self, link: Link, now: Instant) -> Option<SubscribeCommand> {
        let side = self.links.side_of(link)?;
        loop {
            let batch = self.links.get(side)?.next_batch()?;
            let (mut names, mut bytes) = (Vec::new(), 0);
            while let Some(name) = self.links.get_mut(side)?.take_queued(batch, names.len(), bytes) {
                let verb = batch.verb;
                let hand_out = |state: &mut NameState, ctx: &mut Context<'_>| {
                    state.hand_out(side, verb.direction(), ctx)
                };
                if self.update(verb.kind(), &name, now, hand_out) == Some(true) {
                    bytes += name.len();
                    names.push(name);
                }
            }
            if !names.is_empty() {
                self.links.get_mut(side)?.note_asked(batch.verb, names.clone(), now);
                return Some(SubscribeCommand { verb: batch.verb, names });
            }
        }
    }

    /// When [`Subscriptions::handle_timeout`] has to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let links = [&self.links.current, &self.links.successor].into_iter().flatten();
        let fence = self.deadlines.front().map(|fence| fence.at);
        links.map(LinkState::next_timeout).fold(fence, earliest)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, receive: &mut impl Receive) {
        for side in [Side::Current, Side::Successor] {
            let overdue = self.links.get_mut(side).map(|link| link.handle_timeout(now));
            for (verb, name) in overdue.unwrap_or_default() {
                self.update(verb.kind(), &name, now, |state, ctx| {
                    state.handle_overdue(side, verb.direction(), ctx);
                });
            }
        }
        while self.deadlines.front().is_some_and(|fence| fence.at <= now) {
            let Some(OverlapDeadline { name: Name { kind, bytes }, .. }) = self.deadlines.pop_front() else {
                return;
            };
            self.update(kind, &bytes, now, |state, ctx| state.handle_deadline(ctx, receive));
        }
    }

    /// How many commands of a connection the server has not fully answered.
    #[cfg(test)]
    pub(crate) fn unanswered(&self, link: Link) -> usize {
        let link = self.links.side_of(link).and_then(|side| self.links.get(side));
        link.map_or(0, LinkState::unanswered)
    }

    /// Whether no overlap is under way.
    pub(crate) fn is_settled(&self) -> bool {
        self.links.successor.is_none() && self.merging == 0
    }

    /// Whether nothing more is expected from a connection that was in use: it may be closed.
    pub(crate) fn is_released(&self, link: Link) -> bool {
        self.links.side_of(link).is_none()
    }

    /// How many names are wanted, or still have to be given up by a server.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn stats(&self) -> SubscriptionStats {
        self.stats
    }

    /// Changes one name. All that follows from it for the other names is done here.
    #[inline]
    fn update<T>(
        &mut self,
        kind: SubscriptionKind,
        bytes: &[u8],
        now: Instant,
        change: impl FnOnce(&mut NameState, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let state = self.names.get_mut(kind, bytes)?;
        let before = (state.is_following(), state.is_merging());
        let (links, stats, held) = (&mut self.links, &mut self.stats, &mut self.held);
        let result = change(state, &mut Context { links, stats, held, deadlines: &mut self.deadlines, now });
        let after = (state.is_following(), state.is_merging());
        if state.is_unused() {
            self.names.remove(kind, bytes);
        }
        if before != after {
            let moved = |count: usize, was: bool, is: bool| {
                (count + usize::from(is)).saturating_sub(usize::from(was))
            };
            self.following = moved(self.following, before.0, after.0);
            self.merging = moved(self.merging, before.1, after.1);
            self.promote_if_unfollowed();
        }
        Some(result)
    }

    fn for_each(&mut self, now: Instant, mut change: impl FnMut(&mut NameState, &mut Context<'_>)) {
        let (links, stats, held) = (&mut self.links, &mut self.stats, &mut self.held);
        let mut ctx = Context { links, stats, held, deadlines: &mut self.deadlines, now };
        (self.following, self.merging) = (0, 0);
        for state in self.names.values_mut() {
            change(state, &mut ctx);
            self.following += usize::from(state.is_following());
            self.merging += usize::from(state.is_merging());
        }
    }

    /// The predecessor is read no further.
    fn leave_predecessor(&mut self, cause: EndCause, now: Instant, receive: &mut impl Receive) {
        self.for_each(now, |state, ctx| state.end_predecessor(cause, ctx, receive));
        self.promote_if_unfollowed();
    }

    /// Once no name follows the predecessor, the successor is the only connection.
    fn promote_if_unfollowed(&mut self) {
        if self.following > 0 {
            return;
        }
        if self.merging == 0 {
            self.deadlines.clear();
        }
        if let Some(successor) = self.links.successor.take() {
            self.links.current = Some(successor);
            self.names.values_mut().for_each(NameState::promote);
            self.names.retain(|state| !state.is_unused());
        }
    }

    fn forget(&mut self, id: SubscriptionId, name: &Name) {
        if let Some(names) = self.by_id.get_mut(&id) {
            names.remove(name);
            if names.is_empty() {
                self.by_id.remove(&id);
            }
        }
    }
}

/// Whether the server may accept the same names a little later, or another server does.
fn is_transient(reply: &[u8]) -> bool {
    let code = reply.split(|byte| *byte == b' ').next().unwrap_or_default();
    TRANSIENT_CODES.contains(&code)
}

/// Errors that are about the server's state, and not about the names.
const TRANSIENT_CODES: [&[u8]; 8] =
    [b"MOVED", b"ASK", b"TRYAGAIN", b"CLUSTERDOWN", b"LOADING", b"MASTERDOWN", b"BUSY", b"NOAUTH"];

#[cfg(test)]
mod tests;
