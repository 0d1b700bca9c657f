//! The supervisor: what wakes it, and which tasks it wakes.

use std::pin::pin;

use super::*;
use crate::proto::connection::Credentials;

#[test]
fn written_command_arms_its_deadline() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    assert_eq!(run_supervisor(&rig), None);
    let _reply = rig.shard.incr("n");
    assert!(!rig.is_supervisor_notified(), "no clock was read for it yet");
    assert!(rig.turn().is_pending());
    assert!(rig.is_supervisor_notified());
    assert!(run_supervisor(&rig).is_some());
}

#[test]
fn deadline_of_one_call_arms_the_supervisor() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    assert_eq!(run_supervisor(&rig), None);
    let hour = Duration::from_secs(3600);
    let reply = rig.shard.incr("n").timeout(hour);
    assert!(rig.is_supervisor_notified());
    assert!(run_supervisor(&rig).is_some_and(|time| time <= hour));
    drop(reply);
    assert_eq!(rig.shard.shared.state.lock().pool.next_timeout(), None, "a cancelled call leaves no timer");
}

/// Until its driver has registered, no other task would note the time of a command.
#[test]
fn command_without_a_driver_wakes_the_supervisor_once() {
    let rig = Rig::new();
    run_supervisor(&rig);
    let _one = rig.shard.incr("n");
    assert!(rig.is_supervisor_notified());
    run_supervisor(&rig);
    let _two = rig.shard.incr("n");
    assert!(rig.is_supervisor_notified(), "it has run since");
}

/// The waker that a caller leaves in its slot keeps the memory of the caller's task. It is dropped in time.
#[test]
fn waker_that_is_kept_for_the_next_call_arms_the_supervisor() {
    let mut rig = Rig::new();
    let mut reply = rig.shard.incr("n");
    let caller = Arc::new(Wakes::default());
    let waker = caller.waker();
    assert!(Pin::new(&mut reply).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(rig.turn().is_pending());
    rig.say(":1\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert_eq!(caller.take(), 1);
    assert_eq!(answer(&mut reply).unwrap().unwrap(), 1);
    drop(waker);
    assert!(Arc::strong_count(&caller) > 1, "its slot keeps it");
    // At least a second after the last time, which may have been long ago.
    assert!(run_supervisor(&rig).is_some() || Arc::strong_count(&caller) == 1, "but not for long");
}

#[test]
fn new_credentials_wake_supervisor_driver_and_caller() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    run_supervisor(&rig);
    let asked = Arc::new(Wakes::default());
    let waker = asked.waker();
    let shard = rig.shard.clone();
    let mut login = pin!(shard.log_in(Credentials::user("app", "new")));
    assert!(login.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(rig.is_supervisor_notified());
    rig.wakes.take();
    run_supervisor(&rig);
    assert!(rig.wakes.take() > 0, "the driver has something to write");
    assert!(rig.turn().is_pending());
    assert!(rig.heard().contains("AUTH"));
    assert!(login.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    asked.take();
    rig.say("+OK\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert!(rig.is_supervisor_notified(), "the caller that waits has to be woken");
    run_supervisor(&rig);
    assert!(asked.take() > 0);
    assert!(matches!(login.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(()))));
}

#[test]
fn shutdown_wakes_supervisor_driver_and_caller() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    run_supervisor(&rig);
    rig.wakes.take();
    let asked = Arc::new(Wakes::default());
    let waker = asked.waker();
    let shard = rig.shard.clone();
    let mut ended = pin!(shard.shutdown(Duration::from_secs(3600)));
    assert!(ended.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(rig.is_supervisor_notified());
    while !matches!(tasks::supervise(&rig.shard.shared), Turn::Done) {}
    assert_eq!(rig.wakes.take(), 1, "its connection is closed");
    assert!(rig.turn().is_ready());
    assert!(asked.take() > 0 && ended.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    tasks::finish(&rig.shard.shared);
    assert_eq!(asked.take(), 1);
    assert!(matches!(ended.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(()))));
}
