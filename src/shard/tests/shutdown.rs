//! The end of a shard: its place in the group, its sockets, its handlers and its tasks are released.

use std::pin::pin;
use std::rc::Rc;

use super::*;
use crate::driver::broadcast::ShardGroup;
use crate::error::ErrorKind as Kind;
use crate::proto::error::Outcome;
use crate::proto::maint::notification::{Announcement, Notification};
use crate::shard::reactor::IdleConfig;

#[test]
fn last_handle_ends_the_shard() {
    let rig = Rig::new();
    let (shared, other) = (rig.shard.shared.clone(), rig.shard.clone());
    drop(rig.shard);
    assert!(shared.member.is_reporter(), "there is another handle");
    drop(other);
    assert!(!shared.member.is_reporter(), "its place is free");
    assert!(shared.state.lock().supervisor.is_notified());
    while !matches!(tasks::supervise(&shared), Turn::Done) {}
    assert!(shared.state.lock().pool.is_shut_down());
}

#[test]
fn shard_that_is_shut_down_keeps_neither_place_nor_handlers() {
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1"));
    let held = Rc::new(());
    let handler = held.clone();
    shard.on_push("hello", move |_| drop(Rc::clone(&handler))).unwrap();
    assert_eq!(Rc::strong_count(&held), 2);
    tasks::begin_shutdown(&shard.shared, Duration::ZERO);
    tasks::finish(&shard.shared);
    assert_eq!(Rc::strong_count(&held), 1);
    assert!(!shard.shared.member.is_reporter());
    let late = held.clone();
    assert!(shard.on_push("hello", move |_| drop(Rc::clone(&late))).is_err());
    assert_eq!(Rc::strong_count(&held), 1, "a handler that comes late would never be dropped");
}

#[test]
fn reactor_ends_with_the_shard() {
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1"));
    let (wakes, idle) =
        (Arc::new(Wakes::default()), IdleConfig { spin: Duration::ZERO, wait_before_park: false });
    let waker = wakes.waker();
    let mut running = pin!(shard.shared.runtime.reactor.clone().run(idle, || false, |_| {}));
    assert!(running.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    tasks::finish(&shard.shared);
    assert!(wakes.take() > 0);
    while running.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert!(wakes.take() > 0, "it waits forever");
    }
}

#[test]
fn broadcast_wakes_the_supervisor_until_the_shard_has_left() {
    let group = ShardGroup::new(2);
    let (shard, _) = bare::shard_in(&group, config("redis://127.0.0.1"));
    let other = group.join().unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.waker();
    let mut listening = pin!(tasks::listen(&shard.shared));
    assert!(listening.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    while shard.shared.state.lock().supervisor.is_notified() {
        tasks::supervise(&shard.shared);
    }
    let notification =
        Notification::Migrating { seq: Some(1), time: Duration::from_secs(9), shards: "".into() };
    let received = shard.shared.clock.now();
    let peer = "10.0.0.1:6379".parse().unwrap();
    assert_eq!(other.announce(&Announcement { peer, notification, received }), 0);
    assert_eq!(wakes.take(), 1);
    assert!(listening.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(shard.shared.state.lock().supervisor.is_notified(), "a window has an end, which has a timer");
    assert_eq!(shard.stats().maintenance.windows_open, 1);
    tasks::finish(&shard.shared);
    assert_eq!(wakes.take(), 1);
    assert!(listening.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn shutdown_without_grace_fails_callers_and_counts_them() {
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
    while !matches!(tasks::supervise(&rig.shard.shared), Turn::Done) {}
    tasks::finish(&rig.shard.shared);
    match ended.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => assert!(error.to_string().contains("1 commands"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn first_socket_wakes_the_reactor() {
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1"));
    let (wakes, idle) =
        (Arc::new(Wakes::default()), IdleConfig { spin: Duration::ZERO, wait_before_park: false });
    let waker = wakes.waker();
    let mut running = pin!(shard.shared.runtime.reactor.clone().run(idle, || false, |_| {}));
    assert!(running.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let (near, _far) = UnixStream::pair().unwrap();
    let _socket = Socket::register(&shard.shared.runtime.reactor, near.into()).unwrap();
    assert_eq!(wakes.take(), 1);
}
