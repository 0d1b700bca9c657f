//! [`Channel`]: a bounded queue from many threads to one task. One wake-up for all that arrive while that task is busy,
//! and room for whoever waits for it.
//!
//! It stands on a lock-free queue and an atomic waker and on nothing of this crate, so that `tests/loom` can try every
//! interleaving of it.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;
use concurrent_queue::{ConcurrentQueue, PopError, PushError};

pub(crate) struct Channel<T> {
    items: ConcurrentQueue<T>,
    /// The task that waits for items.
    receiver: AtomicWaker,
    /// Senders who wait for room. Each may be in it more than once, and is woken in vain then.
    senders: ConcurrentQueue<Waker>,
}

impl<T> Channel<T> {
    /// A channel for so many items, and for so many wakers of senders who wait.
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

    /// Puts an item in as soon as there is room; `false` if it is closed. Takes the item when it is done.
    pub(crate) fn poll_send(&self, item: &mut Option<T>, context: &Context<'_>) -> Poll<bool> {
        // The second attempt is for room that was made before the waker was in its place.
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
                    // With nowhere left to wait, it asks again at its next turn.
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
            // The second attempt is for what came before the waker was in its place.
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

    /// Wakes those who wait by now. One of them may find no room and be back before the next is woken: to go on until
    /// nobody waits could take for ever.
    pub(crate) fn wake_senders(&self) {
        for _ in 0..self.senders.len() {
            if let Ok(sender) = self.senders.pop() {
                sender.wake();
            }
        }
    }

    /// Takes nothing more, and tells those who wait for room, or for an item. What is in it stays.
    pub(crate) fn close(&self) {
        self.items.close();
        // After the items: a sender who is turned away here must not find room there. A waker that came in later would
        // stay, and keep its task for as long.
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
