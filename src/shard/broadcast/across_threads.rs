//! The group between threads: small enough for every interleaving of it to come up under a checker that tries many
//! (`scripts/miri`), and ordinary tests otherwise.

use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_lite::future::{block_on, poll_once};

use super::*;
use crate::proto::maint::notification::Notification;
use crate::proto::time::Instant;
use crate::shard::testing::in_all_orders;

fn announcement(from: usize, count: i64) -> Announcement {
    let notification =
        Notification::Moving { seq: Some(count), grace: Duration::from_secs(15), target: None };
    let peer = ([127, 0, 0, 1], u16::try_from(from).unwrap()).into();
    Announcement { peer, notification, received: Instant::from_nanos(7) }
}

/// Who announced it, and its count.
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
fn every_other_member_hears_each_announcement_once_and_in_its_order() {
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
    const TELLERS: usize = 2;
    const COUNTED: i64 = 3;
    const LAST: i64 = 9;
    in_all_orders(|| {
        let group = ShardGroup::with_room(1, 2);
        let hearer = group.join().unwrap();
        // What a member does to the inbox of each other one; these have none of their own, and need not listen.
        let tell = |teller: usize| {
            let inbox = &group.0[0];
            let dropped = (0..COUNTED).filter(|count| !inbox.put(announcement(teller, *count))).count();
            while !inbox.put(announcement(teller, LAST)) {
                thread::yield_now();
            }
            dropped
        };
        let (heard, dropped) = thread::scope(|scope| {
            let tellers: Vec<_> = (0..TELLERS).map(|teller| scope.spawn(move || tell(teller))).collect();
            let mut heard = Vec::new();
            while heard.iter().filter(|(_, count)| *count == LAST).count() < TELLERS {
                heard.push(read(&block_on(hearer.next()).unwrap()));
            }
            let dropped: usize = tellers.into_iter().map(|teller| teller.join().unwrap()).sum();
            (heard, dropped)
        });
        assert_eq!(heard.len() + dropped, TELLERS * (COUNTED as usize + 1));
        for teller in 0..TELLERS {
            assert!(of_member(&heard, teller).is_sorted_by(|one, other| one < other), "{heard:?}");
        }
    });
}

/// A shard's listener waits while the shard leaves, and somebody else is quick to take the seat.
#[test]
fn whoever_leaves_is_woken_and_whoever_takes_the_seat_hears_what_comes_then() {
    in_all_orders(|| {
        let group = &ShardGroup::with_room(2, 4);
        let (teller, leaver) = (group.join().unwrap(), group.join().unwrap());
        let (seated, is_seated) = mpsc::channel();
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
                seated.send(()).unwrap();
                let mut heard = Vec::new();
                while heard.last() != Some(&2) {
                    heard.push(read(&block_on(member.next()).unwrap()).1);
                }
                assert!(heard == [2] || heard == [1, 2], "{heard:?}");
            });
            assert_eq!(teller.announce(&announcement(0, 1)), 0);
            is_seated.recv().unwrap();
            assert_eq!(teller.announce(&announcement(0, 2)), 0);
        });
    });
}

#[test]
fn there_is_one_teller_whoever_comes_and_goes() {
    in_all_orders(|| {
        let group = &ShardGroup::with_room(3, 2);
        let (first, second) = (group.join().unwrap(), group.join().unwrap());
        thread::scope(|scope| {
            scope.spawn(move || {
                assert!(first.is_teller(), "nobody is before it");
                drop(first);
            });
            scope.spawn(|| {
                for _ in 0..2 {
                    let member = group.join().unwrap();
                    assert_eq!(member.is_teller(), member.index() == 0);
                    member.leave();
                    assert!(!member.is_teller());
                }
            });
            scope.spawn(|| {
                // Whether it is the one depends on the first seat; that there is one does not.
                let there = |inbox: &Inbox| inbox.owner().is_some();
                assert!(group.0.iter().any(there));
                second.is_teller();
            });
        });
        assert!(second.is_teller());
        let tellers = (0..group.members()).filter(|member| group.is_teller(*member));
        assert_eq!(tellers.collect::<Vec<_>>(), [second.index()]);
    });
}

/// Each seat has one owner, however many want it.
#[test]
fn a_seat_is_taken_by_one() {
    in_all_orders(|| {
        let group = &ShardGroup::with_room(2, 2);
        let taken = thread::scope(|scope| {
            let joining: Vec<_> = (0..3).map(|_| scope.spawn(|| group.join().ok())).collect();
            joining.into_iter().filter_map(|joining| joining.join().unwrap()).collect::<Vec<_>>()
        });
        let mut seats: Vec<usize> = taken.iter().map(Member::index).collect();
        seats.sort_unstable();
        assert_eq!(seats, [0, 1]);
    });
}
