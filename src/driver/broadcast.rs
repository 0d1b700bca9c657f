//! [`ShardGroup`]: the broadcast. Every shard learns what one of them reads of a server's maintenance.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::inbox::Inbox;
use super::neighbors::Neighbors;
use super::reported::ReportedTargets;
use crate::config::ResolvedConfig;
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
pub struct ShardGroup {
    inboxes: Arc<[Inbox]>,
    reported: Arc<ReportedTargets>,
    /// Clients that hear of the same server, if it belongs to a client.
    neighbors: Option<Arc<Neighbors>>,
}

impl ShardGroup {
    /// A group for so many shards at a time, at most 1024. A shard joins when it starts, and leaves when it is shut down or
    /// its executor has died.
    pub fn new(members: usize) -> Self {
        ShardGroup::with_room(members.min(MEMBERS_MAX), INBOX_MAX)
    }

    /// The group of a client with this configuration. Its shards also hear what other clients of the same server read.
    pub(crate) fn of_client(config: &ResolvedConfig) -> Self {
        let group = ShardGroup::new(config.shard_cores().len());
        ShardGroup { neighbors: Some(Neighbors::join(config, &group.inboxes)), ..group }
    }

    fn with_room(members: usize, announcements: usize) -> Self {
        let inboxes = (0..members).map(|_| Inbox::new(announcements)).collect();
        ShardGroup { inboxes, reported: Arc::default(), neighbors: None }
    }

    /// How many shards can be in the group at a time.
    pub fn members(&self) -> usize {
        self.inboxes.len()
    }

    /// Whether this member reports to the application what a server announced, which all members know. The first member that
    /// is in the group does.
    pub fn is_reporter(&self, member: usize) -> bool {
        self.inboxes.iter().position(|inbox| inbox.current().is_some()) == Some(member)
    }

    /// Joins at the first free place.
    ///
    /// # Errors
    /// If no place is free.
    pub(crate) fn join(&self) -> Result<Member> {
        for (index, inbox) in self.inboxes.iter().enumerate() {
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
        let generation = self.inboxes.get(index)?.acquire()?;
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
        self.group.reported.is_first(target, now)
    }

    /// Sends an announcement to every other member, and to all members of neighboring groups. Returns how many had no room. Those
    /// hear it from their server.
    pub(crate) fn announce(&self, announcement: &Announcement) -> u64 {
        let own = self.group.inboxes.iter().enumerate().filter(|(index, _)| *index != self.index);
        let mut dropped = self.tell(own, announcement);
        if let Some(neighbors) = &self.group.neighbors {
            for group in neighbors.others(&self.group.inboxes) {
                dropped += self.tell(group.iter().enumerate(), announcement);
            }
        }
        dropped
    }

    /// Puts an announcement into these inboxes, and returns how many had no room.
    fn tell<'a>(
        &self,
        inboxes: impl Iterator<Item = (usize, &'a Inbox)>,
        announcement: &Announcement,
    ) -> u64 {
        let mut dropped = 0;
        for (member, inbox) in inboxes.filter(|(_, inbox)| inbox.current().is_some()) {
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
        if let Some(inbox) = self.group.inboxes.get(self.index) {
            inbox.release(self.generation);
        }
    }

    /// The inbox, while the place is this shard's.
    fn inbox(&self) -> Option<&Inbox> {
        self.group.inboxes.get(self.index).filter(|inbox| inbox.current() == Some(self.generation))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
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
    use crate::driver::testing::Wakes;
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
        let overrun = || [1, 2].map(|member| first.group.inboxes[member].overrun.load(Ordering::Relaxed));
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

    fn of_client(url: &str) -> (ShardGroup, Member) {
        let config = crate::config::Config::from_url(url).unwrap().shards(1).validate().unwrap();
        let group = ShardGroup::of_client(&config);
        let member = group.join().unwrap();
        (group, member)
    }

    #[test]
    fn clients_of_the_same_server_hear_each_other() {
        let url = "redis://neighbors.test:7001";
        let ((_one, one), (_two, two), (_other, other)) =
            (of_client(url), of_client(url), of_client("redis://neighbors.test:7002"));
        assert_eq!(one.announce(&announcement(1)), 0);
        assert_eq!(block_on(two.next()), Some(announcement(1)));
        let mut context = Context::from_waker(Waker::noop());
        for member in [&one, &two, &other] {
            assert!(pin!(member.next()).poll(&mut context).is_pending());
        }
        drop((_two, two));
        assert_eq!(one.announce(&announcement(2)), 0);
        let (_three, three) = of_client(url);
        assert!(pin!(three.next()).poll(&mut context).is_pending(), "it came too late for that");
        three.announce(&announcement(3));
        assert_eq!(block_on(one.next()), Some(announcement(3)));
    }

    /// Anyone on the path can write into a connection without TLS.
    #[cfg(feature = "tls")]
    #[test]
    fn clients_with_tls_do_not_hear_those_without() {
        let ((_plain, plain), (_tls, tls)) =
            (of_client("redis://neighbors.test:7003"), of_client("rediss://neighbors.test:7003"));
        plain.announce(&announcement(1));
        assert!(pin!(tls.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}
