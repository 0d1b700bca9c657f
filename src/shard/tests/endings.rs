//! The end of a shard: its seat, its sockets, its handlers and its tasks are given back.

use std::pin::pin;
use std::rc::Rc;

use super::*;
use crate::error::ErrorKind as Kind;
use crate::proto::error::Outcome;
use crate::proto::maint::notification::{Announcement, Notification};
use crate::shard::ShardGroup;
use crate::shard::poller::Idling;

#[test]
fn last_handle_takes_the_shard_along() {
    let rig = Rig::new();
    let (inner, other) = (rig.shard.inner.clone(), rig.shard.clone());
    drop(rig.shard);
    assert!(inner.member.is_teller(), "there is another handle");
    drop(other);
    assert!(!inner.member.is_teller(), "its seat is free");
    assert!(inner.core.borrow().pilot.is_notified());
    while !matches!(pilots::turn(&inner), Turn::Done) {}
    assert!(inner.core.borrow().pool.is_shut_down());
}

#[test]
fn shard_that_is_shut_down_keeps_neither_seat_nor_handlers() {
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1"));
    let held = Rc::new(());
    let handler = held.clone();
    shard.on_push("hello", move |_| drop(Rc::clone(&handler))).unwrap();
    assert_eq!(Rc::strong_count(&held), 2);
    pilots::begin_shutdown(&shard.inner, Duration::ZERO);
    pilots::land(&shard.inner);
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(!shard.inner.member.is_teller());
    let late = held.clone();
    assert!(shard.on_push("hello", move |_| drop(Rc::clone(&late))).is_err());
    assert_eq!(Rc::strong_count(&held), 1, "a handler that comes late would never be dropped");
}

#[test]
fn task_that_asks_about_sockets_ends_with_the_shard() {
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1"));
    let (wakes, idling) = (Arc::new(Wakes::default()), Idling { spin: Duration::ZERO, naps: false });
    let waker = Waker::from(wakes.clone());
    let mut attending = pin!(shard.inner.poller.clone().attend(idling, || false, |_| {}));
    assert!(attending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    pilots::land(&shard.inner);
    assert!(wakes.take() > 0);
    while attending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert!(wakes.take() > 0, "it waits for ever");
    }
}

#[test]
fn what_another_shard_read_wakes_the_pilot_until_this_one_has_left() {
    let group = ShardGroup::new(2);
    let (shard, _) = bare::shard_in(&group, config("redis://127.0.0.1"));
    let other = group.join().unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut listening = pin!(pilots::listen(&shard.inner));
    assert!(listening.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while shard.inner.core.borrow().pilot.is_notified() {
        pilots::turn(&shard.inner);
    }
    let notification =
        Notification::Migrating { seq: Some(1), time: Duration::from_secs(9), shards: "".into() };
    let received = shard.inner.clock.now();
    let peer = "10.0.0.1:6379".parse().unwrap();
    assert_eq!(other.announce(&Announcement { peer, notification, received }), 0);
    assert_eq!(wakes.take(), 1);
    assert!(listening.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(shard.inner.core.borrow().pilot.is_notified(), "a window has an end, which has a timer");
    assert_eq!(shard.stats().maintenance.windows_open, 1);
    pilots::land(&shard.inner);
    assert_eq!(wakes.take(), 1);
    assert!(listening.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn shutdown_without_time_tells_callers_and_says_how_many_were_given_up() {
    let mut rig = Rig::new();
    let mut written = rig.shard.incr("a");
    let caller = await_answer(&mut written);
    assert!(rig.turn().is_pending());
    let shard = rig.shard.clone();
    let mut ended = pin!(shard.shutdown(Duration::ZERO));
    assert!(ended.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(caller.take(), 1, "before anything else runs");
    let error = answer(&mut written).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::ShutDown, Outcome::Ambiguous));
    while !matches!(pilots::turn(&rig.shard.inner), Turn::Done) {}
    pilots::land(&rig.shard.inner);
    match ended.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => assert!(error.to_string().contains("1 commands"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_socket_wakes_the_task_that_asks_about_sockets() {
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1"));
    let (wakes, idling) = (Arc::new(Wakes::default()), Idling { spin: Duration::ZERO, naps: false });
    let waker = Waker::from(wakes.clone());
    let mut attending = pin!(shard.inner.poller.clone().attend(idling, || false, |_| {}));
    assert!(attending.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let (near, _far) = UnixStream::pair().unwrap();
    let _socket = shard.inner.poller.register(near.into()).unwrap();
    assert_eq!(wakes.take(), 1);
}
