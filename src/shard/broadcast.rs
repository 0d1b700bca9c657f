//! [`ShardGroup`]: the broadcast. Every shard learns what one of them reads of a server's maintenance.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use concurrent_queue::ConcurrentQueue;

use super::reported::ReportedTargets;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Outcome;
use crate::proto::maint::notification::Announcement;
use crate::proto::time::Instant;

/// Shards that tell each other what their servers announce.
///
/// A [`Client`](crate::Client) makes a group of its shards. If you run the executors yourself, make a group, and start each
/// shard in it:
///
/// ```no_run
/// use hitless::{Config, Shard, ShardGroup};
///
/// # fn example(config: Config) {
/// let group = ShardGroup::new(2);
/// for _ in 0..2 {
///     let (group, config) = (group.clone(), config.clone());
///     glommio::LocalExecutorBuilder::default().spawn(|| async move {
///         let shard = Shard::connect_in(&group, config).await?;
///         // …
///         # shard.ping().await
///     });
/// }
/// # }
/// ```
///
/// Shards without a group, or in different groups, each rely on what their own connections hear.
#[derive(Clone)]
pub struct ShardGroup(Arc<[Inbox]>, Arc<ReportedTargets>);

/// The place of one member, and what the others have sent to it.
///
/// The server closes every connection to an endpoint that it leaves, and an idle connection may read its own copy of the
/// announcement too late. So the shard that reads one puts it into the inbox of every other member. Putting is lock-free and
/// never waits: a full inbox drops the announcement and counts it, because its shard hears from the server as well. All
/// announcements that arrive while a shard is busy cost one wake-up.
///
/// Places are used again: an executor that dies leaves its place, and its successor takes it. The generation tells the two
/// apart, so that a late [`release`](Inbox::release) of the old member does not take the place away from the new one.
struct Inbox {
    /// How often a member has taken or left this place. The place is taken while the number is odd.
    generation: AtomicUsize,
    announcements: ConcurrentQueue<Announcement>,
    /// The task of the member that waits for announcements.
    listener: AtomicWaker,
    /// An announcement was dropped because the inbox was full, and the log says so already.
    overrun: AtomicBool,
}

impl ShardGroup {
    /// A group for so many shards at a time, at most 1024. A shard joins when it starts, and leaves when it is shut down or
    /// its executor has died.
    pub fn new(members: usize) -> Self {
        ShardGroup::with_room(members.min(MEMBERS_MAX), INBOX_MAX)
    }

    fn with_room(members: usize, announcements: usize) -> Self {
        ShardGroup((0..members).map(|_| Inbox::new(announcements)).collect(), Arc::default())
    }

    /// How many shards can be in the group at a time.
    pub fn members(&self) -> usize {
        self.0.len()
    }

    /// Whether this member reports to the application what a server announced, which all members know. The first member that
    /// is in the group does.
    pub fn is_reporter(&self, member: usize) -> bool {
        self.0.iter().position(|inbox| inbox.current().is_some()) == Some(member)
    }

    /// Joins at the first free place.
    ///
    /// # Errors
    /// If no place is free.
    pub(crate) fn join(&self) -> Result<Member> {
        for (index, inbox) in self.0.iter().enumerate() {
            if let Some(generation) = inbox.acquire() {
                return Ok(Member { group: self.clone(), index, generation });
            }
        }
        let problem = format!(
            "all {} places of this ShardGroup are taken: make it for as many shards as there will be (1 to {MEMBERS_MAX})",
            self.members()
        );
        Err(Error::new(ErrorKind::Config, Outcome::Unsent, problem))
    }

    /// Joins at this place again, whose last member has left.
    pub(crate) fn join_at(&self, index: usize) -> Option<Member> {
        let generation = self.0.get(index)?.acquire()?;
        Some(Member { group: self.clone(), index, generation })
    }
}

impl std::fmt::Debug for ShardGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardGroup").field("members", &self.members()).finish_non_exhaustive()
    }
}

/// The membership of one shard, which listens and leaves on the shard's thread. Dropping it leaves the group.
pub(crate) struct Member {
    group: ShardGroup,
    index: usize,
    /// What [`Inbox::generation`] is while this shard is the member.
    generation: usize,
}

impl Member {
    /// The number of its place, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn is_reporter(&self) -> bool {
        self.inbox().is_some() && self.group.is_reporter(self.index)
    }

    /// Whether no member has reported this refused target to the application within the last minute.
    pub(crate) fn is_first_to_report(&self, target: &Endpoint, now: Instant) -> bool {
        self.group.1.is_first(target, now)
    }

    /// Sends an announcement to every other member, and returns how many had no room. Those hear it from their server.
    pub(crate) fn announce(&self, announcement: &Announcement) -> u64 {
        let mut dropped = 0;
        let inboxes = self.group.0.iter().enumerate();
        for (member, inbox) in
            inboxes.filter(|(index, inbox)| *index != self.index && inbox.current().is_some())
        {
            if !inbox.put(announcement.clone()) {
                dropped += 1;
                // Once for each time that the inbox fills up: a server that announces this much would fill the log as well.
                if !inbox.overrun.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        target: "hitless::shard",
                        shard = self.index, member,
                        "another shard does not keep up with announcements; it hears them from its own server only"
                    );
                }
            }
        }
        dropped
    }

    /// What another member has read; `None` once this one has left.
    pub(crate) async fn next(&self) -> Option<Announcement> {
        poll_fn(|context| {
            // The second attempt finds what came before the waker was registered.
            for attempt in 0..2 {
                let Some(inbox) = self.inbox() else { return Poll::Ready(None) };
                match inbox.announcements.pop() {
                    Ok(announcement) => return Poll::Ready(Some(announcement)),
                    Err(_) if attempt == 0 => {
                        inbox.overrun.store(false, Ordering::Relaxed);
                        inbox.listener.register(context.waker());
                    }
                    Err(_) => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Leaves the group: neither hears nor reports any more. A second call has no effect, even if another shard has the place
    /// by then.
    pub(crate) fn leave(&self) {
        if let Some(inbox) = self.group.0.get(self.index) {
            inbox.release(self.generation);
        }
    }

    /// The inbox, while the place is this shard's.
    fn inbox(&self) -> Option<&Inbox> {
        self.group.0.get(self.index).filter(|inbox| inbox.current() == Some(self.generation))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Inbox {
    fn new(announcements: usize) -> Self {
        Inbox {
            generation: AtomicUsize::new(0),
            announcements: ConcurrentQueue::bounded(announcements),
            listener: AtomicWaker::new(),
            overrun: AtomicBool::new(false),
        }
    }

    /// The generation of the member that has this place.
    fn current(&self) -> Option<usize> {
        Some(self.generation.load(Ordering::Acquire)).filter(|generation| !generation.is_multiple_of(2))
    }

    /// Takes the place if it is free.
    fn acquire(&self) -> Option<usize> {
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

    fn release(&self, generation: usize) {
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
    fn put(&self, announcement: Announcement) -> bool {
        let fits = self.announcements.push(announcement).is_ok();
        if fits {
            // Announcements that follow before the shard runs find no waker any more.
            self.listener.wake();
        }
        fits
    }
}

/// How many announcements may wait for their shard. A shard sends one for each event, not for each copy of it.
const INBOX_MAX: usize = 128;
/// A client has no more shards.
const MEMBERS_MAX: usize = 1024;

#[cfg(test)]
mod across_threads;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use futures_lite::future::block_on;

    use super::*;
    use crate::proto::maint::notification::Notification;
    use crate::proto::time::Instant;
    use crate::shard::testing::Wakes;

    fn announcement(seq: i64) -> Announcement {
        Announcement {
            peer: "10.0.0.1:7001".parse().unwrap(),
            notification: Notification::Moving {
                seq: Some(seq),
                grace: Duration::from_secs(15),
                target: None,
            },
            received: Instant::from_nanos(7),
        }
    }

    fn group<const N: usize>() -> (ShardGroup, [Member; N]) {
        let group = ShardGroup::new(N);
        let members = std::array::from_fn(|_| group.join().unwrap());
        (group, members)
    }

    #[test]
    fn every_other_member_hears_it_once_and_in_order() {
        let (_, [first, second, third]) = group();
        for seq in [1, 2] {
            assert_eq!(second.announce(&announcement(seq)), 0);
        }
        for member in [&first, &third] {
            for seq in [1, 2] {
                assert_eq!(block_on(member.next()), Some(announcement(seq)));
            }
        }
        let mut context = Context::from_waker(Waker::noop());
        for member in [&first, &second, &third] {
            assert!(pin!(member.next()).poll(&mut context).is_pending());
        }
    }

    #[test]
    fn a_burst_wakes_a_member_once() {
        let (_, [first, second]) = group();
        let wakes = Arc::<Wakes>::default();
        assert!(pin!(second.next()).poll(&mut Context::from_waker(&wakes.waker())).is_pending());
        for seq in 0..10 {
            first.announce(&announcement(seq));
        }
        assert_eq!(wakes.take(), 1);
    }

    #[test]
    fn a_full_inbox_drops_and_counts_and_the_rest_is_heard() {
        let (_, [first, second, third]) = group();
        for seq in 0..INBOX_MAX as i64 {
            assert_eq!(first.announce(&announcement(seq)), 0);
        }
        assert_eq!(block_on(third.next()), Some(announcement(0)));
        assert_eq!(first.announce(&announcement(1000)), 1, "only the second member's is full");
        let overrun = || [1, 2].map(|member| first.group.0[member].overrun.load(Ordering::Relaxed));
        assert_eq!(overrun(), [true, false]);
        for seq in 0..INBOX_MAX as i64 {
            assert_eq!(block_on(second.next()), Some(announcement(seq)));
        }
        assert!(pin!(second.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(overrun(), [false; 2], "the next time is logged again");
    }

    #[test]
    fn member_that_has_left_hears_nothing_and_drops_nothing() {
        let (_, [first, second, third]) = group();
        let (wakes, announced) = (Arc::<Wakes>::default(), announcement(1));
        assert!(pin!(second.next()).poll(&mut Context::from_waker(&wakes.waker())).is_pending());
        second.leave();
        assert_eq!(wakes.take(), 1, "it is woken to see that it has left");
        for _ in 0..=INBOX_MAX {
            assert_eq!(first.announce(&announced), 0);
            assert_eq!(block_on(third.next()).as_ref(), Some(&announced));
        }
        assert_eq!(block_on(second.next()), None);
    }

    #[test]
    fn first_member_that_is_still_there_reports() {
        let (group, [first, second, third]) = group();
        let reporters = || (0..4).filter(|member| group.is_reporter(*member)).collect::<Vec<_>>();
        assert_eq!(reporters(), [0]);
        second.leave();
        assert_eq!(reporters(), [0]);
        drop(first);
        assert_eq!(reporters(), [2]);
        assert!(third.is_reporter() && !second.is_reporter());
        third.leave();
        assert_eq!(reporters(), [0; 0]);
    }

    #[test]
    fn more_members_than_declared_is_an_error_that_says_so() {
        let (group, _members) = group::<2>();
        let error = group.join().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("all 2 places"), "{error}");
        assert!(ShardGroup::new(0).join().is_err());
        assert_eq!(ShardGroup::new(usize::MAX).members(), MEMBERS_MAX);
    }

    /// A shard whose server is not there yet fails to start, and is started again.
    #[test]
    fn next_member_of_a_place_hears_only_what_comes_after_it_joined() {
        let (group, [first, second]) = group();
        assert!(!ShardGroup::new(1).is_reporter(0), "the group is empty");
        second.announce(&announcement(1));
        first.leave();
        let next = group.join().unwrap();
        assert_eq!((next.index(), next.is_reporter(), first.is_reporter()), (0, true, false));
        drop(first);
        assert!(next.is_reporter(), "only the member that has the place can leave it");
        second.announce(&announcement(2));
        assert_eq!(block_on(next.next()), Some(announcement(2)));
    }
}
