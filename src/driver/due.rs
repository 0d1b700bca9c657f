//! [`Due`]: what follows the end of a borrow of a shard's state.

use std::sync::Arc;
use std::task::Waker;

use super::foreign::ForeignCaller;
use super::pushes::Collected;
use super::runtime::Runtime;
use super::subscriptions::SubscriptionInbox;
use crate::proto::connection::Ticket;
use crate::proto::error::Failure;
use crate::proto::resp::Frame;
use crate::proto::subscriptions::SubscriptionId;

/// What a call ends with.
pub(crate) type Answer = Result<Frame, Failure>;
/// The end of a call on another thread that its shard keeps.
pub(crate) type Caller = ForeignCaller<Answer>;

/// The callers to wake, and the pushes to hand out after that, once the borrow has ended.
pub(crate) struct Due<R: Runtime> {
    pub(super) wakers: Vec<(Ticket, Waker)>,
    pub(super) foreign: Vec<(Caller, Answer)>,
    pub(super) pushes: Vec<Collected<R>>,
    /// The subscriptions with something new, which they are handed when this is taken.
    pub(super) subscriptions: Vec<SubscriptionId>,
    /// Those whose subscribers wait for it.
    pub(super) inboxes: Vec<Arc<SubscriptionInbox>>,
    /// What callers have left with calls that are answered now.
    pub(super) guards: Vec<Box<dyn Send + Sync>>,
}

impl<R: Runtime> Due<R> {
    /// How many callers on this shard it wakes.
    #[inline]
    pub(crate) fn callers(&self) -> usize {
        self.wakers.len()
    }

    /// Wakes every caller, then hands the pushes out.
    #[inline]
    pub(crate) fn settle(&mut self) {
        for (_, waker) in &self.wakers {
            waker.wake_by_ref();
        }
        for (caller, answer) in self.foreign.drain(..) {
            caller.answer(answer);
        }
        self.pushes.drain(..).for_each(Collected::hand_out);
        self.inboxes.drain(..).for_each(|inbox| inbox.wake());
        self.guards.clear();
    }
}

impl<R: Runtime> Default for Due<R> {
    fn default() -> Self {
        Due {
            wakers: Vec::new(),
            foreign: Vec::new(),
            pushes: Vec::new(),
            subscriptions: Vec::new(),
            inboxes: Vec::new(),
            guards: Vec::new(),
        }
    }
}
