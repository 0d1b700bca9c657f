//! [`Inbox`]: what other shards have told one shard of a group.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use atomic_waker::AtomicWaker;
use concurrent_queue::ConcurrentQueue;

use crate::proto::maint::notification::Announcement;

/// The place of one member, and what the others have sent to it.
///
/// The server closes every connection to an endpoint that it leaves, and an idle connection may read its own copy of the
/// announcement too late. So the shard that reads one puts it into the inbox of every other member. Putting is lock-free and
/// never waits: a full inbox drops the announcement and counts it, because its shard hears from the server as well. All
/// announcements that arrive while a shard is busy cost one wake-up.
///
/// Places are used again: an executor that dies leaves its place, and its successor takes it. The generation tells the two
/// apart, so that a late [`release`](Inbox::release) of the old member does not take the place away from the new one.
pub(super) struct Inbox {
    /// How often a member has taken or left this place. The place is taken while the number is odd.
    generation: AtomicUsize,
    pub(super) announcements: ConcurrentQueue<Announcement>,
    /// The task of the member that waits for announcements.
    pub(super) listener: AtomicWaker,
    /// An announcement was dropped because the inbox was full, and the log says so already.
    pub(super) overrun: AtomicBool,
}

impl Inbox {
    pub(super) fn new(announcements: usize) -> Self {
        Inbox {
            generation: AtomicUsize::new(0),
            announcements: ConcurrentQueue::bounded(announcements),
            listener: AtomicWaker::new(),
            overrun: AtomicBool::new(false),
        }
    }

    /// The generation of the member that has this place.
    pub(super) fn current(&self) -> Option<usize> {
        Some(self.generation.load(Ordering::Acquire)).filter(|generation| !generation.is_multiple_of(2))
    }

    /// Takes the place if it is free.
    pub(super) fn acquire(&self) -> Option<usize> {
        let free = self.generation.load(Ordering::Acquire);
        let taken = free.wrapping_add(1);
        let is_free = free.is_multiple_of(2);
        let exchange = || self.generation.compare_exchange(free, taken, Ordering::AcqRel, Ordering::Relaxed);
        if !is_free || exchange().is_err() {
            return None;
        }
        // What the last member did not take is not for this one.
        while self.announcements.pop().is_ok() {}
        Some(taken)
    }

    pub(super) fn release(&self, generation: usize) {
        if self.current() != Some(generation) {
            return;
        }
        // Take the waker out before the place becomes free. The next member replaces it at once, and then the listener of this
        // one would wait forever to learn that it has left.
        let listener = self.listener.take();
        let free = generation.wrapping_add(1);
        // Only the member itself leaves the place, and it is here: the exchange does not fail.
        let _ = self.generation.compare_exchange(generation, free, Ordering::AcqRel, Ordering::Relaxed);
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// False if there was no room.
    pub(super) fn put(&self, announcement: Announcement) -> bool {
        let fits = self.announcements.push(announcement).is_ok();
        if fits {
            // Announcements that follow before the shard runs find no waker any more.
            self.listener.wake();
        }
        fits
    }
}
