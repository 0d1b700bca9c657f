//! The group between threads. The tests are small, so that a checker that tries many interleavings (`scripts/miri`) meets every
//! one of them. They are ordinary tests as well.

use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};

use super::*;
use crate::driver::testing::in_all_orders;
use crate::proto::maint::notification::Notification;
use crate::proto::time::Instant;

fn announcement(from: usize, count: i64) -> Announcement {
    let notification =
        Notification::Moving { seq: Some(count), grace: Duration::from_secs(15), target: None };
    let peer = ([127, 0, 0, 1], u16::try_from(from).unwrap()).into();
    Announcement { peer, notification, received: Instant::from_nanos(7) }
}

/// The announcing member, and its count.
fn read(announcement: &Announcement) -> (usize, i64) {
    let Notification::Moving { seq: Some(count), .. } = announcement.notification else {
        panic!("{announcement:?}")
    };
    (usize::from(announcement.peer.port()), count)
}

fn of_member(heard: &[(usize, i64)], member: usize) -> Vec<i64> {
    heard.iter().filter(|(from, _)| *from == member).map(|(_, count)| *count).collect()
}

#[test]
fn every_other_member_hears_each_announcement_once_in_order() {
    const MEMBERS: usize = 3;
    in_all_orders(|| {
        let group = ShardGroup::with_room(MEMBERS, 4);
        let members: [Member; MEMBERS] = std::array::from_fn(|_| group.join().unwrap());
        thread::scope(|scope| {
            for member in members {
                scope.spawn(move || {
                    for count in 0..2 {
                        assert_eq!(member.announce(&announcement(member.index(), count)), 0, "there is room");
                    }
                    let next = || read(&block_on(member.next()).unwrap());
                    let heard: Vec<_> = (0..2 * (MEMBERS - 1)).map(|_| next()).collect();
                    for other in (0..MEMBERS).filter(|other| *other != member.index()) {
                        assert_eq!(of_member(&heard, other), [0, 1]);
                    }
                    assert!(block_on(poll_once(member.next())).is_none(), "and no more");
                });
            }
        });
    });
}

#[test]
fn an_announcement_is_heard_once_or_counted_as_dropped() {
    const REPORTERS: usize = 2;
    const COUNTED: i64 = 3;
    const LAST: i64 = 9;
    in_all_orders(|| {
        let group = ShardGroup::with_room(1, 2);
        let hearer = group.join().unwrap();
        // What a member does to the inboxes of others. These reporters have no inbox of their own.
        let tell = |reporter: usize| {
            let inbox = &group.inboxes[0];
            let dropped = (0..COUNTED).filter(|count| !inbox.put(announcement(reporter, *count))).count();
            while !inbox.put(announcement(reporter, LAST)) {
                thread::yield_now();
            }
            dropped
        };
        let (heard, dropped) = thread::scope(|scope| {
            let reporters: Vec<_> =
                (0..REPORTERS).map(|reporter| scope.spawn(move || tell(reporter))).collect();
            let mut heard = Vec::new();
            while heard.iter().filter(|(_, count)| *count == LAST).count() < REPORTERS {
                heard.push(read(&block_on(hearer.next()).unwrap()));
            }
            let dropped: usize = reporters.into_iter().map(|reporter| reporter.join().unwrap()).sum();
            (heard, dropped)
        });
        assert_eq!(heard.len() + dropped, REPORTERS * (COUNTED as usize + 1));
        for reporter in 0..REPORTERS {
            assert!(of_member(&heard, reporter).is_sorted_by(|one, other| one < other), "{heard:?}");
        }
    });
}

/// The listener of a shard waits while the shard leaves and another shard takes the place at once.
#[test]
fn leaving_wakes_the_listener_and_frees_the_place() {
    in_all_orders(|| {
        let group = &ShardGroup::with_room(2, 4);
        let (reporter, leaver) = (group.join().unwrap(), group.join().unwrap());
        let (joined, has_joined) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                block_on(async {
                    let mut next = pin!(leaver.next());
                    let heard = poll_once(&mut next).await;
                    leaver.leave();
                    if heard.is_none() {
                        assert_eq!(next.await, None, "it has left");
                    }
                    assert_eq!(leaver.next().await, None);
                });
            });
            scope.spawn(move || {
                let member = loop {
                    match group.join() {
                        Ok(member) => break member,
                        Err(_) => thread::yield_now(),
                    }
                };
                joined.send(()).unwrap();
                let mut heard = Vec::new();
                while heard.last() != Some(&2) {
                    heard.push(read(&block_on(member.next()).unwrap()).1);
                }
                assert!(heard == [2] || heard == [1, 2], "{heard:?}");
            });
            assert_eq!(reporter.announce(&announcement(0, 1)), 0);
            has_joined.recv().unwrap();
            assert_eq!(reporter.announce(&announcement(0, 2)), 0);
        });
    });
}

#[test]
fn one_member_reports_while_others_come_and_go() {
    in_all_orders(|| {
        let group = &ShardGroup::with_room(3, 2);
        let (first, second) = (group.join().unwrap(), group.join().unwrap());
        thread::scope(|scope| {
            scope.spawn(move || {
                assert!(first.is_reporter(), "no member is before it");
                drop(first);
            });
            scope.spawn(|| {
                for _ in 0..2 {
                    let member = group.join().unwrap();
                    assert_eq!(member.is_reporter(), member.index() == 0);
                    member.leave();
                    assert!(!member.is_reporter());
                }
            });
            scope.spawn(|| {
                // Which member reports depends on the first place; that one does, does not.
                let there = |inbox: &Inbox| inbox.current().is_some();
                assert!(group.inboxes.iter().any(there));
                second.is_reporter();
            });
        });
        assert!(second.is_reporter());
        let reporters = (0..group.members()).filter(|member| group.is_reporter(*member));
        assert_eq!(reporters.collect::<Vec<_>>(), [second.index()]);
    });
}

#[test]
fn place_is_taken_by_one_of_many() {
    in_all_orders(|| {
        let group = &ShardGroup::with_room(2, 2);
        let taken = thread::scope(|scope| {
            let joining: Vec<_> = (0..3).map(|_| scope.spawn(|| group.join().ok())).collect();
            joining.into_iter().filter_map(|joining| joining.join().unwrap()).collect::<Vec<_>>()
        });
        let mut places: Vec<usize> = taken.iter().map(Member::index).collect();
        places.sort_unstable();
        assert_eq!(places, [0, 1]);
    });
}
