//! The pilot: what wakes it, and whom it wakes.

use std::pin::pin;

use super::*;
use crate::proto::connection::Credentials;

#[test]
fn written_command_arms_its_deadline() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    assert_eq!(run_pilot(&rig), None);
    let _reply = rig.shard.incr("n");
    assert!(!rig.is_pilot_notified(), "no clock was read for it yet");
    assert!(rig.turn().is_pending());
    assert!(rig.is_pilot_notified());
    assert!(run_pilot(&rig).is_some());
}

#[test]
fn deadline_of_one_call_arms_the_pilot() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    assert_eq!(run_pilot(&rig), None);
    let hour = Duration::from_secs(3600);
    let reply = rig.shard.incr("n").timeout(hour);
    assert!(rig.is_pilot_notified());
    assert!(run_pilot(&rig).is_some_and(|time| time <= hour));
    drop(reply);
    assert_eq!(rig.shard.inner.core.borrow().pool.next_timeout(), None, "a cancelled call leaves no timer");
}

/// Until its driver has registered, nothing else would note when a command was submitted.
#[test]
fn command_without_a_driver_wakes_the_pilot_once() {
    let rig = Rig::new();
    run_pilot(&rig);
    let _one = rig.shard.incr("n");
    assert!(rig.is_pilot_notified());
    run_pilot(&rig);
    let _two = rig.shard.incr("n");
    assert!(rig.is_pilot_notified(), "it has run since");
}

/// The waker that a caller leaves in its slot keeps the caller's task: it is forgotten in time.
#[test]
fn waker_that_is_kept_for_the_next_call_arms_the_pilot() {
    let mut rig = Rig::new();
    let mut reply = rig.shard.incr("n");
    let caller = Arc::new(Wakes::default());
    let waker = Waker::from(caller.clone());
    assert!(Pin::new(&mut reply).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(rig.turn().is_pending());
    rig.say(":1\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert_eq!(caller.take(), 1);
    assert_eq!(answer(&mut reply).unwrap().unwrap(), 1);
    drop(waker);
    assert!(Arc::strong_count(&caller) > 1, "its slot keeps it");
    // A second after the last time, which may have been long ago.
    assert!(run_pilot(&rig).is_some() || Arc::strong_count(&caller) == 1, "but not for long");
}

#[test]
fn new_credentials_wake_pilot_driver_and_the_caller() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    run_pilot(&rig);
    let asked = Arc::new(Wakes::default());
    let waker = Waker::from(asked.clone());
    let shard = rig.shard.clone();
    let mut login = pin!(shard.log_in(Credentials::user("app", "new")));
    assert!(login.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(rig.is_pilot_notified());
    rig.wakes.take();
    run_pilot(&rig);
    assert!(rig.wakes.take() > 0, "the driver has something to write");
    assert!(rig.turn().is_pending());
    assert!(rig.heard().contains("AUTH"));
    assert!(login.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    asked.take();
    rig.say("+OK\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert!(rig.is_pilot_notified(), "whoever waits has to hear of it");
    run_pilot(&rig);
    assert!(asked.take() > 0);
    assert!(matches!(login.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(()))));
}

#[test]
fn shutdown_wakes_pilot_driver_and_the_caller() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    run_pilot(&rig);
    rig.wakes.take();
    let asked = Arc::new(Wakes::default());
    let waker = Waker::from(asked.clone());
    let shard = rig.shard.clone();
    let mut ended = pin!(shard.shutdown(Duration::from_secs(3600)));
    assert!(ended.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(rig.is_pilot_notified());
    while !matches!(pilots::turn(&rig.shard.inner), Turn::Done) {}
    assert_eq!(rig.wakes.take(), 1, "its connection is closed");
    assert!(rig.turn().is_ready());
    assert!(asked.take() > 0 && ended.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    pilots::land(&rig.shard.inner);
    assert_eq!(asked.take(), 1);
    assert!(matches!(ended.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(()))));
}
