//! What the exclusive entries of a pool need of its other parts.

use super::effects::Effect;
use super::ids::EntryId;
use super::parts::Parts;
use crate::proto::connection::Deliver;

impl Parts {
    /// The successor takes over if it is ready, and if nothing depends on the connection that it replaces.
    pub(super) fn cut_over_if_possible(&mut self, id: EntryId, deliver: &mut impl Deliver) {
        let successor = self.entries.get(id).and_then(|entry| entry.successor.as_ref());
        if let Some(successor) =
            successor.filter(|successor| successor.is_noted).map(|successor| successor.id)
            && !self.exclusive.holds(id, &self.entries)
            && !self.subscriber.holds(id)
        {
            self.cut_over(successor);
            self.exclusive.handle_cut_over(id, &mut self.entries);
            self.subscriber.handle_cut_over(successor, self.ctx.now, deliver);
            self.serve_subscriptions(deliver);
        }
    }

    /// During a shutdown: closes the connections of this entry that have nothing left to do.
    pub(super) fn close_drained(&mut self, id: EntryId) {
        // A shared connection may be needed to end the wait of a blocking command.
        let is_kept = !self.exclusive.has(id) && !self.exclusive.is_idle();
        if let Some(entry) = self.entries.get_mut(id).filter(|_| !is_kept) {
            entry.close_drained(&mut self.ctx);
        }
    }

    /// Gives the subscriptions of the shard a connection if they need one, writes their commands, and lets connections close that
    /// they no longer need.
    pub(super) fn serve_subscriptions(&mut self, deliver: &mut impl Deliver) {
        if self.subscriber.needs_entry()
            && self.ctx.closing.is_none()
            && let Some(id) = self.exclusive.lease_to_subscriber(&mut self.entries)
        {
            self.subscriber.lease(id);
            self.ctx.effects.push(Effect::ConnectionWanted(id));
            self.ctx.effects.push(Effect::ActiveChanged(id));
        }
        let Some(id) = self.subscriber.entry() else { return };
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.subscriber.write(entry, &mut self.ctx, deliver);
        let predecessors = entry.predecessors.iter().map(|known| Effect::Drained(known.id));
        self.ctx.effects.extend(predecessors);
    }

    /// Ends what the subscriptions have waited for too long, and gives back a connection that they do not need.
    pub(super) fn handle_subscriptions_timeout(&mut self, deliver: &mut impl Deliver) {
        self.subscriber.handle_timeout(self.ctx.now, deliver);
        if let Some(id) = self.subscriber.entry() {
            self.ctx.effects.push(Effect::SuccessorMayServe(id));
        }
        if let Some(id) = self.subscriber.give_up_unused(&self.ctx) {
            self.ctx.effects.push(Effect::EntryUnwanted(id));
            self.exclusive.release_subscriber(id, &mut self.entries, &mut self.ctx);
        }
        self.serve_subscriptions(deliver);
    }
}
