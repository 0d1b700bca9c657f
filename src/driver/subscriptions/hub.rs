//! [`SubscriptionHub`]: the subscriptions of one shard, and what they ask of it.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use concurrent_queue::ConcurrentQueue;

use super::inbox::{Name, SubscriptionInbox};
use crate::config::SubscriptionBuffer;
use crate::proto::subscriptions::SubscriptionId;

/// The subscriptions of one shard, and what they ask of it.
///
/// It outlives the shard's executor: a shard that begins again finds here what is wanted. Subscriptions live on any thread.
/// They ask by a queue, which a task of the shard empties. A subscription asks for what it waits for, or for its own end, so the
/// queue holds a few requests for each of them.
pub(crate) struct SubscriptionHub {
    requests: ConcurrentQueue<Request>,
    shard: AtomicWaker,
    inboxes: Mutex<BTreeMap<SubscriptionId, Arc<SubscriptionInbox>>>,
    next: AtomicU32,
}

pub(super) enum Request {
    Want(SubscriptionId, Arc<SubscriptionInbox>, Vec<Name>),
    Leave(SubscriptionId, Vec<Name>),
    End(SubscriptionId),
}

impl SubscriptionHub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(SubscriptionHub {
            requests: ConcurrentQueue::unbounded(),
            shard: AtomicWaker::new(),
            inboxes: Mutex::default(),
            next: AtomicU32::new(0),
        })
    }

    /// A subscription without names.
    pub(super) fn open(&self, buffer: SubscriptionBuffer) -> (SubscriptionId, Arc<SubscriptionInbox>) {
        let id = SubscriptionId(self.next.fetch_add(1, Ordering::Relaxed));
        let inbox = Arc::new(SubscriptionInbox::new(buffer));
        self.inboxes().insert(id, inbox.clone());
        if self.requests.is_closed() {
            inbox.end();
        }
        (id, inbox)
    }

    pub(super) fn want(&self, id: SubscriptionId, inbox: &Arc<SubscriptionInbox>, names: Vec<Name>) {
        let new = inbox.want(names);
        self.ask(Request::Want(id, inbox.clone(), new));
    }

    pub(super) fn leave(&self, id: SubscriptionId, names: Vec<Name>) {
        self.ask(Request::Leave(id, names));
    }

    pub(super) fn end(&self, id: SubscriptionId) {
        self.inboxes().remove(&id);
        self.ask(Request::End(id));
    }

    /// The shard is shut down: all subscriptions end.
    pub(crate) fn close(&self) {
        self.requests.close();
        let inboxes = std::mem::take(&mut *self.inboxes());
        inboxes.values().for_each(|inbox| inbox.end());
        self.shard.wake();
    }

    fn ask(&self, request: Request) {
        // After the end of the shard there is nothing to ask for.
        if self.requests.push(request).is_ok() {
            self.shard.wake();
        }
    }

    /// The next request; `None` once the shard is shut down.
    pub(super) async fn next(&self) -> Option<Request> {
        poll_fn(|context| {
            // The second attempt finds what came before the waker was registered.
            for attempt in 0..2 {
                match self.requests.pop() {
                    Ok(request) => return Poll::Ready(Some(request)),
                    Err(_) if self.requests.is_closed() => return Poll::Ready(None),
                    Err(_) if attempt == 0 => self.shard.register(context.waker()),
                    Err(_) => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn inboxes(&self) -> MutexGuard<'_, BTreeMap<SubscriptionId, Arc<SubscriptionInbox>>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
