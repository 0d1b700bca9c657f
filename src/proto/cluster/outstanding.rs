//! [`Outstanding`]: the commands that are under way, and what becomes of the replies to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::calls::{CallPlace, Recipient, Routed, RoutedCalls};
use super::gates::{GateKey, Gates};
use super::gather::{Gathered, Gathers};
use super::ids::NodeId;
use super::not_served::NotServed;
use super::slot_map::Refresh;
use super::subscribed::Subscribed;
use crate::proto::connection::{Deliver, Ticket};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::resp::Frame;
use crate::proto::subscriptions::{PubSubEvent, SubscriptionId};
use crate::proto::time::Instant;

/// The commands that are under way in a cluster.
///
/// The pools of the nodes deliver to it by [`Intake`]. A reply goes on to its caller at once, unless a node has not served the command:
/// then it is kept in [`Outstanding::unserved`], until the cluster sends it again.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    pub(super) calls: RoutedCalls,
    pub(super) gathers: Gathers,
    pub(super) gates: Gates,
    /// The commands that a node has not served, and that are to be sent again.
    pub(super) unserved: Vec<Unserved>,
    /// The answers of nodes that were asked for their view: none if there is no answer.
    pub(super) views: Vec<(Refresh, NodeId, Option<Frame>)>,
    /// The nodes that have lost a command, or have not answered one in time.
    pub(super) suspects: Vec<NodeId>,
    /// Which node carries the names of subscriptions.
    pub(super) subscribed: Subscribed,
    pub(super) is_closing: bool,
    pub(super) now: Instant,
    /// How long the command took whose last reply is delivered next.
    pub(super) took: u64,
}

/// A command that a node has not served.
#[derive(Debug)]
pub(super) struct Unserved {
    pub(super) ticket: Ticket,
    pub(super) by: NodeId,
    /// `None` if the node leaves the cluster, and has not written the command.
    pub(super) why: Option<NotServed>,
}

/// Where the pool of one node delivers to.
pub(super) struct Intake<'a, D> {
    pub(super) node: NodeId,
    pub(super) endpoint: &'a Endpoint,
    pub(super) outstanding: &'a mut Outstanding,
    pub(super) deliver: &'a mut D,
}

impl Outstanding {
    /// Whether the cluster has to act on something.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        !self.unserved.is_empty()
            || !self.views.is_empty()
            || !self.suspects.is_empty()
            || self.gates.is_dirty()
    }

    /// Ends a call with its last reply.
    pub(super) fn answer(&mut self, ticket: Ticket, reply: Frame, deliver: &mut impl Deliver) {
        let Some(call) = self.calls.get_mut(ticket) else { return };
        let earlier = std::mem::take(&mut call.collected);
        let took = call.since.map_or(self.took, |since| self.now.nanos_since(since));
        self.leave_gate(ticket, true);
        match self.calls.close(ticket) {
            Some((Recipient::Caller(caller), _)) => {
                deliver.took(took);
                for reply in earlier {
                    deliver.reply(caller, reply, false);
                }
                deliver.reply(caller, reply, true);
            }
            Some((Recipient::Gather(id, part), _)) => {
                let gathered = self.gathers.answer(id, part, reply);
                self.gathered(gathered, took, deliver);
            }
            Some((Recipient::View(refresh, node), _)) => self.views.push((refresh, node, Some(reply))),
            Some((Recipient::Vacant, _)) | None => {}
        }
    }

    /// Ends a call without a reply.
    pub(super) fn fail(&mut self, ticket: Ticket, failure: Failure, deliver: &mut impl Deliver) {
        self.leave_gate(ticket, false);
        match self.calls.close(ticket) {
            Some((Recipient::Caller(caller), _)) => deliver.fail(caller, failure),
            Some((Recipient::Gather(id, part), _)) => {
                let gathered = self.gathers.fail(id, part, failure);
                self.gathered(gathered, 0, deliver);
            }
            Some((Recipient::View(refresh, node), _)) => self.views.push((refresh, node, None)),
            Some((Recipient::Vacant, _)) | None => {}
        }
    }

    /// Ends a call whose caller has left.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.leave_gate(ticket, false);
        self.calls.close(ticket);
    }

    /// Makes gates for the commands in flight that match, and notes all commands of those.
    pub(super) fn make_gates(&mut self, matches: impl Fn(&Routed) -> bool) {
        let in_flight = || self.calls.iter().filter(|(_, call)| call.place != CallPlace::Waits);
        let new: BTreeSet<GateKey> = in_flight()
            .filter(|(_, call)| matches(call))
            .map(|(_, call)| call.gate())
            .filter(|key| matches!(key, GateKey::Ordered(..)) && !self.gates.contains(*key))
            .collect();
        for (ticket, call) in in_flight() {
            let key = call.gate();
            if new.contains(&key) {
                self.gates.note(key, call.serial, ticket);
            }
        }
    }

    /// A command is not in flight any more: its gate learns of it.
    fn leave_gate(&mut self, ticket: Ticket, is_served: bool) {
        if self.gates.is_empty() {
            return;
        }
        let Some(call) = self.calls.get(ticket) else { return };
        match call.place {
            CallPlace::Waits => self.gates.remove(call.gate(), call.serial),
            CallPlace::Node(..) => self.gates.landed(call.gate(), call.serial, is_served),
        }
    }

    /// Passes on what was gathered: to its caller, or to the whole that it is a part of.
    fn gathered(&mut self, mut gathered: Gathered, took: u64, deliver: &mut impl Deliver) {
        loop {
            gathered = match gathered {
                Gathered::Open => return,
                Gathered::Done(Recipient::Gather(id, part), mut replies) => {
                    self.gathers.answer(id, part, replies.pop().unwrap_or(Frame::Null))
                }
                Gathered::Failed(Recipient::Gather(id, part), failure) => {
                    self.gathers.fail(id, part, failure)
                }
                Gathered::Done(Recipient::Caller(caller), replies) => {
                    deliver.took(took);
                    let last = replies.len().saturating_sub(1);
                    for (index, reply) in replies.into_iter().enumerate() {
                        deliver.reply(caller, reply, index == last);
                    }
                    return;
                }
                Gathered::Failed(Recipient::Caller(caller), failure) => return deliver.fail(caller, failure),
                Gathered::Done(..) | Gathered::Failed(..) => return,
            }
        }
    }

    /// A node has answered: what it says of the command, if it has not served it.
    #[inline]
    fn handle_reply(
        &mut self,
        by: NodeId,
        ticket: Ticket,
        reply: Frame,
        last: bool,
        deliver: &mut impl Deliver,
    ) {
        let Some(call) = self.calls.get_mut(ticket) else { return };
        if call.is_asking {
            call.is_asking = false;
            return;
        }
        if !last {
            call.collected.push(reply);
            return;
        }
        let refusal = match call.replies {
            1 => NotServed::of(&reply),
            _ => refusal_of_transaction(&call.collected, &reply),
        };
        let Some(why) = refusal.filter(|_| !matches!(call.recipient, Recipient::View(..))) else {
            return self.answer(ticket, reply, deliver);
        };
        if call.since.is_none() {
            call.since = Some(Instant::from_nanos(self.now.as_nanos().saturating_sub(self.took)));
        }
        call.refusal = Some(reply);
        self.unserved.push(Unserved { ticket, by, why: Some(why) });
    }

    fn handle_failure(
        &mut self,
        (by, node): (NodeId, &Endpoint),
        ticket: Ticket,
        mut failure: Failure,
        deliver: &mut impl Deliver,
    ) {
        let of_node = |reason| Arc::new(CloseReason::OfNode { node: node.clone(), reason });
        match &mut failure {
            Failure::ShutDown(Outcome::Unsent) if !self.is_closing => {
                return self.unserved.push(Unserved { ticket, by, why: None });
            }
            Failure::ShutDown(_) if !self.is_closing => {
                let reason = of_node(Arc::new(CloseReason::NodeLeft));
                failure = Failure::Lost { reason, maintenance: None };
            }
            Failure::Lost { reason, .. } => {
                *reason = of_node(reason.clone());
                self.suspects.push(by);
            }
            Failure::TimedOut(timed_out) => {
                timed_out.node = Some(node.clone());
                self.suspects.push(by);
            }
            Failure::Refused(reason) => *reason = of_node(reason.clone()),
            _ => {}
        }
        self.fail(ticket, failure, deliver);
    }
}

impl Routed {
    /// The gate at which the command waits, if its like wait.
    pub(super) fn gate(&self) -> GateKey {
        match self.entry.is_exclusive() {
            true => GateKey::Alone(self.serial),
            false => GateKey::Ordered(self.slot, self.handle),
        }
    }
}

impl<D: Deliver> Deliver for Intake<'_, D> {
    #[inline]
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        self.outstanding.handle_reply(self.node, ticket, frame, last, self.deliver);
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.outstanding.handle_failure((self.node, self.endpoint), ticket, failure, self.deliver);
    }

    fn push(&mut self, frame: Frame) -> bool {
        self.deliver.push(frame)
    }

    fn event(&mut self, to: SubscriptionId, event: PubSubEvent) {
        let Outstanding { subscribed, now, .. } = self.outstanding;
        if let Some(event) = subscribed.translate(to, event, *now) {
            self.deliver.event(to, event);
        }
    }

    #[inline]
    fn took(&mut self, nanos: u64) {
        self.outstanding.took = nanos;
    }
}

/// Why a node has executed no command of a transaction. The redirect is the reply to a command that was to be queued, or to `EXEC`.
fn refusal_of_transaction(earlier: &[Frame], exec: &Frame) -> Option<NotServed> {
    if let Some(why) = NotServed::of(exec) {
        return Some(why);
    }
    let Frame::Error(text) = exec else { return None };
    let is_aborted = text.starts_with(b"EXECABORT");
    earlier.iter().find_map(NotServed::of).filter(|_| is_aborted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::error::ServerState;

    #[test]
    fn aborted_transaction_is_redirected() {
        let error = |text: &'static str| Frame::Error(text.into());
        let aborted = error("EXECABORT Transaction discarded because of previous errors.");
        let ok = || Frame::Simple("OK".into());
        let again = NotServed::Later(ServerState::TryAgain);
        assert_eq!(refusal_of_transaction(&[ok(), error("TRYAGAIN x")], &aborted), Some(again.clone()));
        assert_eq!(refusal_of_transaction(&[ok(), error("ERR syntax")], &aborted), None);
        assert_eq!(refusal_of_transaction(&[ok()], &error("TRYAGAIN x")), Some(again));
        let inner = Frame::Array(vec![error("TRYAGAIN from a script")]);
        assert_eq!(refusal_of_transaction(&[ok()], &inner), None, "it was executed");
    }
}
