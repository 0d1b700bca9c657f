//! [`ShardGroup`]: what one shard reads of a server's maintenance, all of them know.
//!
//! A server closes every connection to an endpoint that it leaves, and an idle one may read its own copy of the
//! announcement too late. So the shard that reads one tells the others: into a bounded, lock-free inbox of each, and
//! one wake-up for all that arrive while that shard is busy.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use concurrent_queue::{ConcurrentQueue, PopError, PushError};

use crate::error::{Error, ErrorKind, Result};
use crate::proto::error::Outcome;
use crate::proto::maint::notification::Announcement;

/// Shards that tell each other what their servers announce.
///
/// A [`Client`](crate::Client) makes one of its shards. Whoever brings executors of their own makes one, and starts
/// each shard in it:
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
/// Shards without a group, or in different ones, each rely on what their own connections are told.
#[derive(Clone)]
pub struct ShardGroup(Arc<Seats>);

struct Seats {
    inboxes: Box<[Inbox]>,
    claimed: AtomicUsize,
}

struct Inbox {
    announcements: ConcurrentQueue<Announcement>,
    /// The shard that waits for them.
    shard: AtomicWaker,
    /// An announcement was dropped because it was full, and nobody was told of that yet.
    overrun: AtomicBool,
}

impl ShardGroup {
    /// A group for so many shards, at most 1024. Each that starts in it takes one of the seats, for good.
    pub fn new(members: usize) -> Self {
        let inboxes = (0..members.min(MEMBERS_MAX)).map(|_| Inbox::new()).collect();
        ShardGroup(Arc::new(Seats { inboxes, claimed: AtomicUsize::new(0) }))
    }

    /// For how many shards it is.
    pub fn members(&self) -> usize {
        self.0.inboxes.len()
    }

    /// Whether this member is the one that tells the application what a server announced, which all members know: the
    /// first of those that are still there.
    pub fn is_teller(&self, member: usize) -> bool {
        let here = |index: usize| self.0.inboxes.get(index).is_some_and(Inbox::is_open);
        member < self.0.claimed.load(Ordering::Acquire)
            && (0..=member).find(|index| here(*index)) == Some(member)
    }

    /// This member takes no more announcements, and tells of none.
    pub(crate) fn leave(&self, member: usize) {
        if let Some(inbox) = self.0.inboxes.get(member) {
            inbox.announcements.close();
            inbox.shard.wake();
        }
    }

    /// Takes the next seat.
    ///
    /// # Errors
    /// If all of them are taken.
    pub(crate) fn join(&self) -> Result<Member> {
        let members = self.members();
        let taken = self.0.claimed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |claimed| {
            (claimed < members).then_some(claimed + 1)
        });
        match taken {
            Ok(index) => Ok(Member { group: self.clone(), index }),
            Err(_) => {
                let problem = format!(
                    "all {members} seats of this ShardGroup are taken: make it for as many shards as will ever start \
                     in it (1 to {MEMBERS_MAX})"
                );
                Err(Error::new(ErrorKind::Config, Outcome::Unsent, problem))
            }
        }
    }
}

impl std::fmt::Debug for ShardGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardGroup").field("members", &self.members()).finish_non_exhaustive()
    }
}

/// One shard's seat in its group. Dropping it leaves the group.
pub(crate) struct Member {
    group: ShardGroup,
    index: usize,
}

impl Member {
    /// The seat's number, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn is_teller(&self) -> bool {
        self.group.is_teller(self.index)
    }

    /// Tells every other member, and says how many had no room for it. Each of those hears from the server, too.
    pub(crate) fn announce(&self, announcement: &Announcement) -> u64 {
        let others = self.group.0.inboxes.iter().enumerate().filter(|(index, _)| *index != self.index);
        let claimed = self.group.0.claimed.load(Ordering::Acquire);
        let mut dropped = 0;
        for (member, inbox) in others.take_while(|(index, _)| *index < claimed) {
            if !inbox.put(announcement.clone()) {
                dropped += 1;
                // Once for each time that the inbox fills up: whoever sends this many would fill the log as well.
                if !inbox.overrun.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        target: "hitless::shard",
                        shard = self.index, member,
                        "another shard does not keep up with announcements; it has to hear them from its server"
                    );
                }
            }
        }
        dropped
    }

    /// What another member has read; `None` once this one has left.
    pub(crate) async fn next(&self) -> Option<Announcement> {
        let inbox = self.group.0.inboxes.get(self.index)?;
        poll_fn(|context| {
            // The second attempt is for what came before the waker was in its place.
            for attempt in 0..2 {
                match inbox.announcements.pop() {
                    Ok(announcement) => return Poll::Ready(Some(announcement)),
                    Err(PopError::Closed) => return Poll::Ready(None),
                    Err(PopError::Empty) if attempt == 0 => {
                        inbox.overrun.store(false, Ordering::Relaxed);
                        inbox.shard.register(context.waker());
                    }
                    Err(PopError::Empty) => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Takes no more announcements, and tells of none.
    pub(crate) fn leave(&self) {
        self.group.leave(self.index);
    }

    pub(crate) fn group(&self) -> &ShardGroup {
        &self.group
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Inbox {
    fn new() -> Self {
        Inbox {
            announcements: ConcurrentQueue::bounded(INBOX_MAX),
            shard: AtomicWaker::new(),
            overrun: AtomicBool::new(false),
        }
    }

    fn is_open(&self) -> bool {
        !self.announcements.is_closed()
    }

    /// False if there was no room. Those who have left need none.
    fn put(&self, announcement: Announcement) -> bool {
        match self.announcements.push(announcement) {
            Ok(()) => {
                // Those that follow before the shard runs find nobody left to wake.
                self.shard.wake();
                true
            }
            Err(PushError::Closed(_)) => true,
            Err(PushError::Full(_)) => false,
        }
    }
}

/// How many announcements may wait for their shard. One is sent for each event, not for each copy of it.
const INBOX_MAX: usize = 128;
/// As many as a client can have shards.
const MEMBERS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Wake, Waker};
    use std::time::Duration;

    use futures_lite::future::block_on;

    use super::*;
    use crate::proto::maint::notification::Notification;
    use crate::proto::time::Instant;

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

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
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
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        assert!(pin!(second.next()).poll(&mut Context::from_waker(&waker)).is_pending());
        for seq in 0..10 {
            first.announce(&announcement(seq));
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_full_inbox_drops_and_counts_and_the_rest_is_heard() {
        let (_, [first, second, third]) = group();
        for seq in 0..INBOX_MAX as i64 {
            assert_eq!(first.announce(&announcement(seq)), 0);
        }
        assert_eq!(block_on(third.next()), Some(announcement(0)));
        assert_eq!(first.announce(&announcement(1000)), 1, "only the second member's is full");
        for seq in 0..INBOX_MAX as i64 {
            assert_eq!(block_on(second.next()), Some(announcement(seq)));
        }
        assert!(pin!(second.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[test]
    fn whoever_has_left_hears_nothing_and_costs_nobody_anything() {
        let (_, [first, second, third]) = group();
        first.announce(&announcement(1));
        second.leave();
        assert_eq!(block_on(second.next()), Some(announcement(1)), "it came before");
        assert_eq!(block_on(second.next()), None);
        for seq in 0..INBOX_MAX as i64 {
            assert_eq!(first.announce(&announcement(seq)), 0);
            assert!(block_on(third.next()).is_some());
        }
        assert_eq!(block_on(second.next()), None);
    }

    #[test]
    fn the_teller_is_the_first_that_is_still_there() {
        let (group, [first, second, third]) = group();
        let tellers = || (0..4).filter(|member| group.is_teller(*member)).collect::<Vec<_>>();
        assert_eq!(tellers(), [0]);
        second.leave();
        assert_eq!(tellers(), [0]);
        drop(first);
        assert_eq!(tellers(), [2]);
        assert!(third.is_teller() && !second.is_teller());
        third.leave();
        assert_eq!(tellers(), [0; 0]);
    }

    #[test]
    fn seats_are_claimed_once_and_more_than_declared_is_an_error_that_says_so() {
        let group = ShardGroup::new(2);
        assert!(!group.is_teller(0), "nobody is there");
        let members = [group.join().unwrap(), group.join().unwrap()];
        assert_eq!(members.each_ref().map(Member::index), [0, 1]);
        let error = group.join().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("all 2 seats"), "{error}");
        drop(members);
        assert!(group.join().is_err(), "a seat is taken for good");
        assert!(ShardGroup::new(0).join().is_err());
        assert_eq!(ShardGroup::new(usize::MAX).members(), MEMBERS_MAX);
    }
}
