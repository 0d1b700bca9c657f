//! [`Deliver`]: where the core passes replies, failures and pushes on to.

use super::command::Ticket;
use crate::proto::error::Failure;
use crate::proto::resp::{Frame, Published};
use crate::proto::subscriptions::{PubSubEvent, SubscriptionId};

/// Receives the results of commands.
pub(crate) trait Deliver {
    /// Delivers one reply for this ticket; `last` if no other follows.
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool);
    /// Reports that this ticket gets no (further) reply.
    fn fail(&mut self, ticket: Ticket, failure: Failure);
    /// Whether [`Deliver::message`] may take messages. Where it does not, the path of replies does not ask for them.
    const TAKES_MESSAGES: bool = false;
    /// Delivers a message of pub/sub; false if it has to be handled as the push that it is.
    fn message(&mut self, _message: Published<'_>) -> bool {
        false
    }
    /// Offers a push to the application; false if it has no handler for it.
    fn push(&mut self, frame: Frame) -> bool;
    /// Delivers an event to a subscription.
    fn event(&mut self, _to: SubscriptionId, _event: PubSubEvent) {}
    /// Reports how many nanoseconds the command took whose last reply is delivered next. A [`Duration`](std::time::Duration) would be divided up
    /// and put together again for each reply.
    fn took(&mut self, _nanos: u64) {}
}
