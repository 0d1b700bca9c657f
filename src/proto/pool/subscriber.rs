//! [`Subscriber`]: the subscriptions of a shard, and the exclusive entry that carries them.

use bytes::Bytes;

use super::action::Action;
use super::context::Context;
use super::entry::Entry;
use super::ids::{ConnectionId, EntryId};
use crate::proto::connection::{Deliver, PushUse, Ticket};
use crate::proto::error::Failure;
use crate::proto::resp::{Frame, Published};
use crate::proto::subscriptions::{
    Link, PubSubEvent, Receive, SubscriptionId, SubscriptionKind, SubscriptionStats, Subscriptions,
};
use crate::proto::time::{Instant, earliest};

/// The subscriptions of a shard, and the exclusive entry that carries them.
///
/// One connection carries all of them, whatever their number. It is an ordinary one: at a handoff its successor connects and
/// takes over as all do. [`Subscriptions`] then reads both until neither a message is missing nor one comes twice, and the
/// predecessor stays for that long. The next handoff waits until this one is through.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    registry: Subscriptions,
    entry: Option<EntryId>,
    /// Since when no subscription needs the entry.
    unused_since: Option<Instant>,
}

impl Subscriber {
    /// A subscription wants these names.
    pub(super) fn add(
        &mut self,
        id: SubscriptionId,
        names: Vec<(SubscriptionKind, Bytes)>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        for (kind, name) in names {
            self.registry.add(id, kind, name, now, &mut ToCallers(deliver));
        }
    }

    /// A subscription gives these names up.
    pub(super) fn remove(
        &mut self,
        id: SubscriptionId,
        names: Vec<(SubscriptionKind, Bytes)>,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        for (kind, name) in names {
            self.registry.remove(id, kind, name, now, &mut ToCallers(deliver));
        }
    }

    /// A subscription has ended.
    pub(super) fn close(&mut self, id: SubscriptionId, now: Instant) {
        self.registry.close(id, now);
    }

    pub(super) fn entry(&self) -> Option<EntryId> {
        self.entry
    }

    #[inline]
    pub(super) fn is_on(&self, id: EntryId) -> bool {
        self.entry == Some(id)
    }

    pub(super) fn needs_entry(&self) -> bool {
        self.entry.is_none() && self.registry.len() > 0
    }

    /// The entry that carries the subscriptions from now on.
    pub(super) fn lease(&mut self, id: EntryId) {
        self.entry = Some(id);
    }

    /// Whether the handoff of this entry has to wait for the one before it.
    pub(super) fn holds(&self, id: EntryId) -> bool {
        self.is_on(id) && !self.registry.is_settled()
    }

    /// The active connection of the entry is ready, if there is one.
    pub(super) fn handle_active(&mut self, entry: &Entry, now: Instant, deliver: &mut impl Deliver) {
        if let Some(active) = entry.active.as_ref().filter(|active| self.is_on(entry.id) && active.is_ready())
        {
            // A predecessor whose successor was lost still delivers. It has one more successor then, and no message is missed.
            self.registry.handle_successor(link(active.id), now, &mut ToCallers(deliver));
        }
    }

    /// This connection has taken over from another one.
    pub(super) fn handle_cut_over(&mut self, id: ConnectionId, now: Instant, deliver: &mut impl Deliver) {
        if self.is_on(id.entry) {
            self.registry.handle_successor(link(id), now, &mut ToCallers(deliver));
        }
    }

    /// A connection is over.
    pub(super) fn handle_lost(&mut self, id: ConnectionId, now: Instant, deliver: &mut impl Deliver) {
        if self.is_on(id.entry) {
            self.registry.handle_lost(link(id), now, &mut ToCallers(deliver));
        }
    }

    pub(super) fn note_bytes(&mut self, id: ConnectionId, now: Instant) {
        self.registry.note_bytes(link(id), now);
    }

    /// Takes messages of this connection as they are read, and leaves everything else to `deliver`.
    pub(super) fn taking_messages<'a, D: Deliver>(
        &'a mut self,
        id: ConnectionId,
        now: Instant,
        deliver: &'a mut D,
    ) -> TakingMessages<'a, D> {
        TakingMessages { registry: &mut self.registry, link: link(id), now, deliver, taken: 0 }
    }

    /// What a push counts for; `None` if it is none of pub/sub.
    pub(super) fn handle_push(
        &mut self,
        id: ConnectionId,
        push: &Frame,
        now: Instant,
        deliver: &mut impl Deliver,
    ) -> Option<PushUse> {
        let strays = self.registry.stats().strays;
        let items = push.push_items()?;
        if !self.registry.handle_push(link(id), items, now, &mut ToCallers(deliver)) {
            return None;
        }
        // A server must not flood a connection with messages that no subscription wants.
        Some(if self.registry.stats().strays > strays { PushUse::None } else { PushUse::Handled })
    }

    /// The server has refused the oldest command.
    pub(super) fn handle_refusal(
        &mut self,
        id: ConnectionId,
        reply: Bytes,
        now: Instant,
        deliver: &mut impl Deliver,
    ) {
        self.registry.handle_refusal(link(id), reply, now, &mut ToCallers(deliver));
    }

    /// Whether nothing more is expected from this connection.
    pub(super) fn is_released(&self, id: ConnectionId) -> bool {
        !self.is_on(id.entry) || self.registry.is_released(link(id))
    }

    /// Writes the commands that are due on each connection of the entry.
    pub(super) fn write(&mut self, entry: &mut Entry, ctx: &mut Context, deliver: &mut impl Deliver) {
        self.handle_active(entry, ctx.now, deliver);
        for known in entry.connections_mut().filter(|known| known.is_ready()) {
            let mut is_due = false;
            while let Some(command) = self.registry.poll_command(link(known.id), ctx.now) {
                known.connection.subscribe(command.verb.as_str(), command.names);
                is_due = true;
            }
            if is_due {
                ctx.effects.act(Action::Wake { id: known.id });
            }
        }
        self.unused_since = match self.registry.len() {
            0 => self.unused_since.or(Some(ctx.now)),
            _ => None,
        };
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, deliver: &mut impl Deliver) {
        self.registry.handle_timeout(now, &mut ToCallers(deliver));
    }

    /// The entry, if no subscription has needed it for a while. It carries them no more.
    pub(super) fn give_up_unused(&mut self, ctx: &Context) -> Option<EntryId> {
        let since = self.unused_since.filter(|since| ctx.now >= since.after(ctx.config.exclusive_idle))?;
        let _ = since;
        self.unused_since = None;
        self.entry.take()
    }

    pub(super) fn next_timeout(&self, ctx: &Context) -> Option<Instant> {
        let unused = self.unused_since.filter(|_| self.entry.is_some());
        let unused = unused.map(|since| since.after(ctx.config.exclusive_idle));
        earliest(self.registry.next_timeout(), unused)
    }

    pub(super) fn stats(&self) -> SubscriptionStats {
        self.registry.stats()
    }
}

/// Passes events on to their subscriptions.
struct ToCallers<'a, D>(&'a mut D);

impl<D: Deliver> Receive for ToCallers<'_, D> {
    #[inline]
    fn deliver(&mut self, to: SubscriptionId, event: PubSubEvent) {
        self.0.event(to, event);
    }
}

/// Takes messages of one connection, and passes everything else on.
pub(super) struct TakingMessages<'a, D> {
    registry: &'a mut Subscriptions,
    link: Link,
    now: Instant,
    deliver: &'a mut D,
    /// How many messages it has taken.
    pub(super) taken: u64,
}

impl<D: Deliver> Deliver for TakingMessages<'_, D> {
    const TAKES_MESSAGES: bool = true;

    #[inline]
    fn message(&mut self, message: Published<'_>) -> bool {
        let receive = &mut ToCallers(self.deliver);
        let is_taken = self.registry.handle_published(self.link, message, self.now, receive);
        self.taken += u64::from(is_taken);
        is_taken
    }

    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        self.deliver.reply(ticket, frame, last);
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.deliver.fail(ticket, failure);
    }

    fn push(&mut self, frame: Frame) -> bool {
        self.deliver.push(frame)
    }

    fn event(&mut self, to: SubscriptionId, event: PubSubEvent) {
        self.deliver.event(to, event);
    }

    fn took(&mut self, nanos: u64) {
        self.deliver.took(nanos);
    }
}

fn link(id: ConnectionId) -> Link {
    Link(id.generation)
}
