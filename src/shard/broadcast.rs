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
use concurrent_queue::ConcurrentQueue;

use super::told::Told;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::Outcome;
use crate::proto::maint::notification::Announcement;
use crate::proto::time::Instant;

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
pub struct ShardGroup(Arc<[Inbox]>, Arc<Told>);

struct Inbox {
    /// How often somebody has taken or left this seat: it is taken while that is odd.
    changes: AtomicUsize,
    announcements: ConcurrentQueue<Announcement>,
    /// The shard that waits for them.
    shard: AtomicWaker,
    /// An announcement was dropped because it was full, and nobody was told of that yet.
    overrun: AtomicBool,
}

impl ShardGroup {
    /// A group for so many shards at a time, at most 1024. Each takes a seat when it starts, and leaves it when it is
    /// shut down, or gone.
    pub fn new(members: usize) -> Self {
        ShardGroup::with_room(members.min(MEMBERS_MAX), INBOX_MAX)
    }

    fn with_room(members: usize, announcements: usize) -> Self {
        ShardGroup((0..members).map(|_| Inbox::new(announcements)).collect(), Arc::default())
    }

    /// For how many shards it is.
    pub fn members(&self) -> usize {
        self.0.len()
    }

    /// Whether this member is the one that tells the application what a server announced, which all members know: the
    /// first of those that are there.
    pub fn is_teller(&self, member: usize) -> bool {
        self.0.iter().position(|inbox| inbox.owner().is_some()) == Some(member)
    }

    /// Takes the first free seat.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn join(&self) -> Result<Member> {
        for (index, inbox) in self.0.iter().enumerate() {
            if let Some(claim) = inbox.claim() {
                return Ok(Member { group: self.clone(), index, claim });
            }
        }
        let problem = format!(
            "all {} seats of this ShardGroup are taken: make it for as many shards as there will be (1 to {MEMBERS_MAX})",
            self.members()
        );
        Err(Error::new(ErrorKind::Config, Outcome::Unsent, problem))
    }
}

impl ShardGroup {
    /// Takes this seat again, whose last owner has left it.
    pub(crate) fn join_at(&self, index: usize) -> Option<Member> {
        let claim = self.0.get(index)?.claim()?;
        Some(Member { group: self.clone(), index, claim })
    }
}

impl std::fmt::Debug for ShardGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardGroup").field("members", &self.members()).finish_non_exhaustive()
    }
}

/// One shard's seat in its group, which listens and leaves on the shard's thread. Dropping it leaves the group.
pub(crate) struct Member {
    group: ShardGroup,
    index: usize,
    /// What [`Inbox::changes`] is for as long as this shard has the seat.
    claim: usize,
}

impl Member {
    /// The seat's number, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn is_teller(&self) -> bool {
        self.inbox().is_some() && self.group.is_teller(self.index)
    }

    /// Whether no member has told the application of this refused target within the last minute.
    pub(crate) fn is_first_to_tell(&self, target: &Endpoint, now: Instant) -> bool {
        self.group.1.is_first(target, now)
    }

    /// Tells every other member, and says how many had no room for it. Each of those hears from the server, too.
    pub(crate) fn announce(&self, announcement: &Announcement) -> u64 {
        let mut dropped = 0;
        let inboxes = self.group.0.iter().enumerate();
        for (member, inbox) in
            inboxes.filter(|(index, inbox)| *index != self.index && inbox.owner().is_some())
        {
            if !inbox.put(announcement.clone()) {
                dropped += 1;
                // Once for each time that the inbox fills up: whoever announces this much would fill the log as well.
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
        poll_fn(|context| {
            // The second attempt is for what came before the waker was in its place.
            for attempt in 0..2 {
                let Some(inbox) = self.inbox() else { return Poll::Ready(None) };
                match inbox.announcements.pop() {
                    Ok(announcement) => return Poll::Ready(Some(announcement)),
                    Err(_) if attempt == 0 => {
                        inbox.overrun.store(false, Ordering::Relaxed);
                        inbox.shard.register(context.waker());
                    }
                    Err(_) => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Hears no more, and tells of nothing. Once more does no harm, even if somebody else has the seat by then.
    pub(crate) fn leave(&self) {
        if let Some(inbox) = self.group.0.get(self.index) {
            inbox.give_up(self.claim);
        }
    }

    /// The seat's inbox, for as long as the seat is this shard's.
    fn inbox(&self) -> Option<&Inbox> {
        self.group.0.get(self.index).filter(|inbox| inbox.owner() == Some(self.claim))
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
            changes: AtomicUsize::new(0),
            announcements: ConcurrentQueue::bounded(announcements),
            shard: AtomicWaker::new(),
            overrun: AtomicBool::new(false),
        }
    }

    /// The claim of whoever has this seat.
    fn owner(&self) -> Option<usize> {
        Some(self.changes.load(Ordering::Acquire)).filter(|changes| !changes.is_multiple_of(2))
    }

    /// Takes the seat if it is free.
    fn claim(&self) -> Option<usize> {
        let changes = self.changes.load(Ordering::Acquire);
        let claim = changes.wrapping_add(1);
        let free = changes.is_multiple_of(2);
        let exchange = || self.changes.compare_exchange(changes, claim, Ordering::AcqRel, Ordering::Relaxed);
        if !free || exchange().is_err() {
            return None;
        }
        // What the one before had not taken is not for this one.
        while self.announcements.pop().is_ok() {}
        Some(claim)
    }

    fn give_up(&self, claim: usize) {
        if self.owner() != Some(claim) {
            return;
        }
        // Taken out first: whoever has the seat next puts a waker in its place at once, and this one would wait for
        // ever to be told that it has left.
        let listener = self.shard.take();
        let free = claim.wrapping_add(1);
        // Nobody but the owner, who is here, leaves the seat: it does not fail.
        let _ = self.changes.compare_exchange(claim, free, Ordering::AcqRel, Ordering::Relaxed);
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// False if there was no room.
    fn put(&self, announcement: Announcement) -> bool {
        let fits = self.announcements.push(announcement).is_ok();
        if fits {
            // Those that follow before the shard runs find nobody left to wake.
            self.shard.wake();
        }
        fits
    }
}

/// How many announcements may wait for their shard. One is sent for each event, not for each copy of it.
const INBOX_MAX: usize = 128;
/// As many as a client can have shards.
const MEMBERS_MAX: usize = 1024;

#[cfg(test)]
mod across_threads;

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
        let overrun = || [1, 2].map(|member| first.group.0[member].overrun.load(Ordering::Relaxed));
        assert_eq!(overrun(), [true, false]);
        for seq in 0..INBOX_MAX as i64 {
            assert_eq!(block_on(second.next()), Some(announcement(seq)));
        }
        assert!(pin!(second.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(overrun(), [false; 2], "the next time is told again");
    }

    #[test]
    fn whoever_has_left_hears_nothing_and_costs_nobody_anything() {
        let (_, [first, second, third]) = group();
        let (wakes, announced) = (Arc::new(Wakes::default()), announcement(1));
        let waker = Waker::from(wakes.clone());
        assert!(pin!(second.next()).poll(&mut Context::from_waker(&waker)).is_pending());
        second.leave();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "it is woken to see that it has left");
        for _ in 0..=INBOX_MAX {
            assert_eq!(first.announce(&announced), 0);
            assert_eq!(block_on(third.next()).as_ref(), Some(&announced));
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
    fn more_members_than_declared_is_an_error_that_says_so() {
        let (group, _members) = group::<2>();
        let error = group.join().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("all 2 seats"), "{error}");
        assert!(ShardGroup::new(0).join().is_err());
        assert_eq!(ShardGroup::new(usize::MAX).members(), MEMBERS_MAX);
    }

    /// A shard whose server is not there yet fails to start, and is started again.
    #[test]
    fn a_seat_that_was_left_is_taken_again_by_one_who_hears_only_what_comes_then() {
        let (group, [first, second]) = group();
        assert!(!ShardGroup::new(1).is_teller(0), "nobody is there");
        second.announce(&announcement(1));
        first.leave();
        let next = group.join().unwrap();
        assert_eq!((next.index(), next.is_teller(), first.is_teller()), (0, true, false));
        drop(first);
        assert!(next.is_teller(), "only who has the seat can leave it");
        second.announce(&announcement(2));
        assert_eq!(block_on(next.next()), Some(announcement(2)));
    }
}
