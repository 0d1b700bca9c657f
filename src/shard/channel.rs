//! [`Channel`]: a bounded queue from many threads to one task.
//!
//! It uses a lock-free queue, an atomic waker, and nothing of this crate, so that `tests/loom` can try every interleaving.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;
use concurrent_queue::{ConcurrentQueue, PopError, PushError};

/// A bounded queue from many threads to one task.
///
/// Items of one sender arrive in the order in which it sent them, and none is lost or doubled. All that arrive while the
/// receiver is busy cost one wake-up. A sender that finds no room registers its waker, and is woken when the receiver has made
/// room. One task at a time receives.
///
/// The queue and the waker of the other side are separate. So each side looks a second time after it has registered: what
/// happened in between would otherwise wake no task.
pub(crate) struct Channel<T> {
    items: ConcurrentQueue<T>,
    /// The task that waits for items.
    receiver: AtomicWaker,
    /// The senders that wait for room. A sender may be in it more than once, and is then woken in vain.
    senders: ConcurrentQueue<Waker>,
}

impl<T> Channel<T> {
    /// A channel for so many items, and for so many wakers of senders that wait.
    pub(crate) fn with_room(items: usize, senders: usize) -> Self {
        Channel {
            items: ConcurrentQueue::bounded(items),
            receiver: AtomicWaker::new(),
            senders: ConcurrentQueue::bounded(senders),
        }
    }

    /// Puts an item in, or gives it back: because there is no room, or because it is closed.
    pub(crate) fn send(&self, item: T) -> Result<(), PushError<T>> {
        self.items.push(item)?;
        self.receiver.wake();
        Ok(())
    }

    /// Puts an item in as soon as there is room, and takes it out of `item`; `false` if the channel is closed.
    pub(crate) fn poll_send(&self, item: &mut Option<T>, context: &Context<'_>) -> Poll<bool> {
        // The second attempt finds room that was made before the waker was registered.
        for attempt in 0..2 {
            let Some(content) = item.take() else { return Poll::Ready(true) };
            match self.send(content) {
                Ok(()) => return Poll::Ready(true),
                Err(PushError::Closed(back)) => {
                    *item = Some(back);
                    return Poll::Ready(false);
                }
                Err(PushError::Full(back)) => *item = Some(back),
            }
            if attempt == 0 {
                match self.senders.push(context.waker().clone()) {
                    Ok(()) => {}
                    // No place is left for its waker: the sender tries again in its next turn.
                    Err(PushError::Full(waker)) => waker.wake(),
                    Err(PushError::Closed(_)) => return Poll::Ready(false),
                }
            }
        }
        Poll::Pending
    }

    /// The next item; `None` once it is closed and empty. One task at a time waits for it.
    pub(crate) async fn next(&self) -> Option<T> {
        poll_fn(|context| {
            // The second attempt finds what came before the waker was registered.
            for attempt in 0..2 {
                match self.items.pop() {
                    Ok(item) => return Poll::Ready(Some(item)),
                    Err(PopError::Closed) => return Poll::Ready(None),
                    Err(PopError::Empty) if attempt == 0 => {
                        self.wake_senders();
                        self.receiver.register(context.waker());
                    }
                    Err(PopError::Empty) => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Wakes the senders that wait at this moment. A sender may find no room, and wait again, before the next one is woken. A
    /// loop until no sender waits might never end.
    pub(crate) fn wake_senders(&self) {
        for _ in 0..self.senders.len() {
            if let Ok(sender) = self.senders.pop() {
                sender.wake();
            }
        }
    }

    /// Accepts no more items, and wakes the senders and the receiver. The items in it stay.
    pub(crate) fn close(&self) {
        self.items.close();
        // After the items: a sender that this rejects must not find room there. A waker that came in later would stay, and keep
        // its task.
        self.senders.close();
        self.receiver.wake();
        self.wake_senders();
    }

    /// Closes it, and hands what is in it to `each`.
    pub(crate) fn abandon_with(&self, each: impl FnMut(T)) {
        self.close();
        std::iter::from_fn(|| self.items.pop().ok()).for_each(each);
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.items.is_closed()
    }
}
