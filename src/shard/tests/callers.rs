//! Callers: each is answered once, on whichever thread it waits, and leaves nothing behind.

use super::*;
use crate::driver::calls::{Answer, CALLS_MAX, Calls};
use crate::driver::foreign::{ForeignCall, foreign_call};
use crate::driver::testing::NoRuntime;
use crate::error::ErrorKind as Kind;
use crate::proto::connection::{Deliver, HandleId};
use crate::proto::error::{Failure, Outcome};
use crate::proto::resp::Frame;

const HOUR: Duration = Duration::from_secs(3600);

/// Calls as a caller on another thread does, which has encoded the command.
fn call_from_afar(rig: &Rig) -> ForeignCall<Answer> {
    let (caller, call) = foreign_call();
    let bytes = b"*1\r\n$4\r\nPING\r\n".to_vec();
    rig.shard.shared.submit_foreign(rig.id.entry, HandleId(1 << 31), bytes, None, caller);
    call
}

/// The answer, which must have come.
fn answer_of(call: &ForeignCall<Answer>) -> Answer {
    match call.poll(&Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(answer)) => answer,
        Poll::Ready(None) => panic!("the call was dropped"),
        Poll::Pending => panic!("there is no answer"),
    }
}

#[test]
fn call_from_another_thread_wakes_the_driver_and_is_answered() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    let call = call_from_afar(&rig);
    assert_eq!(rig.wakes.take(), 1);
    assert!(rig.turn().is_pending());
    rig.say("+PONG\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert_eq!(answer_of(&call).unwrap(), Frame::Simple("PONG".into()));
    assert_eq!(rig.shard.stats().calls, 0);
}

#[test]
fn call_from_another_thread_is_refused_at_once() {
    let rig = Rig::new();
    rig.shard.shared.state.lock().calls = Calls::with_waiting(0);
    let _calls: Vec<_> = (0..CALLS_MAX).map(|_| call_from_afar(&rig)).collect();
    let overloaded = answer_of(&call_from_afar(&rig));
    assert!(matches!(overloaded, Err(Failure::Overloaded)), "{overloaded:?}");
    let rig = Rig::new();
    tasks::begin_shutdown(&rig.shard.shared, HOUR);
    let late = answer_of(&call_from_afar(&rig));
    assert!(matches!(late, Err(Failure::ShutDown(Outcome::Unsent))), "{late:?}");
    assert_eq!(rig.shard.stats().calls, 0);
}

#[test]
fn call_that_would_wait_for_room_can_be_refused_instead() {
    let rig = Rig::with(config("redis://127.0.0.1").queue_max(1));
    let ping = crate::cmd("PING");
    let _first = rig.shard.try_run::<String>(&ping).unwrap();
    let error = rig.shard.try_run::<String>(&ping).map(drop).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Overloaded, Outcome::Unsent));
    assert_eq!(rig.shard.stats().calls, 1);
}

#[test]
fn call_that_is_refused_leaves_no_slot_behind() {
    let rig = Rig::new();
    tasks::begin_shutdown(&rig.shard.shared, HOUR);
    for _ in 0..10 {
        let mut refused = rig.shard.incr("n");
        assert_eq!(answer(&mut refused).unwrap().unwrap_err().kind(), Kind::ShutDown);
    }
    assert_eq!(rig.shard.stats().calls, 0);
}

#[test]
fn callers_are_woken_when_their_connection_is_lost() {
    let mut rig = Rig::new();
    let mut lost = rig.shard.incr("n");
    let caller = await_answer(&mut lost);
    let afar = call_from_afar(&rig);
    assert!(rig.turn().is_pending());
    run_supervisor(&rig);
    rig.heard();
    rig.hang_up();
    assert!(rig.is_woken() && rig.turn().is_ready());
    assert_eq!(caller.take(), 1);
    assert_eq!(answer(&mut lost).unwrap().unwrap_err().kind(), Kind::ConnectionLost);
    assert!(matches!(answer_of(&afar), Err(Failure::Lost { .. })));
    assert!(rig.is_supervisor_notified(), "it has to dial again");
}

#[test]
fn callers_are_woken_when_their_deadline_passes() {
    let mut rig = Rig::new();
    let mut reply = rig.shard.incr("n").timeout(Duration::from_nanos(1));
    let caller = await_answer(&mut reply);
    assert!(rig.turn().is_pending());
    assert!(rig.is_supervisor_notified());
    run_supervisor(&rig);
    assert_eq!(caller.take(), 1);
    let error = answer(&mut reply).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Timeout, Outcome::Ambiguous));
}

#[test]
fn earlier_deadline_wakes_the_supervisor_until_it_is_replaced() {
    let mut rig = Rig::with(config("redis://127.0.0.1").command_timeout(None));
    assert!(rig.turn().is_pending());
    let reply = rig.shard.incr("n").timeout(HOUR * 2);
    assert!(run_supervisor(&rig).is_some());
    let reply = reply.timeout(HOUR);
    assert!(rig.is_supervisor_notified(), "it would sleep too long");
    assert!(run_supervisor(&rig).is_some_and(|time| time <= HOUR));
    let _reply = reply.timeout(HOUR * 2);
    assert!(run_supervisor(&rig).is_some_and(|time| time > HOUR), "the earlier one is cleared");
}

#[test]
fn answered_call_leaves_no_deadline_behind() {
    let mut rig = Rig::new();
    let mut before = rig.shard.incr("n").timeout(HOUR);
    let after = rig.shard.incr("n");
    assert!(rig.turn().is_pending());
    rig.say(":1\r\n:2\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert_eq!(answer(&mut before).unwrap().unwrap(), 1);
    let mut after = after.timeout(HOUR);
    assert_eq!(rig.shard.shared.state.lock().pool.next_timeout(), None);
    assert_eq!(answer(&mut after).unwrap().unwrap(), 2);
}

/// A task may be polled with another waker than before.
#[test]
fn driver_is_reached_at_its_newest_waker() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    let before = std::mem::take(&mut rig.wakes);
    assert!(rig.turn().is_pending());
    let _reply = rig.shard.incr("n");
    assert_eq!((before.take(), rig.wakes.take()), (0, 1));
    assert!(rig.turn().is_pending());
    rig.say(":1\r\n");
    rig.shard.shared.runtime.reactor.poll_now();
    assert_eq!((before.take(), rig.wakes.take()), (0, 1));
}

/// Without any timeout of commands no other timer runs.
#[test]
fn kept_wakers_are_dropped_although_no_timer_runs() {
    let mut rig = Rig::with(config("redis://127.0.0.1").command_timeout(None));
    assert!(rig.turn().is_pending());
    run_supervisor(&rig);
    let mut reply = rig.shard.incr("n");
    let caller = await_answer(&mut reply);
    assert!(rig.turn().is_pending());
    rig.say(":1\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert!(answer(&mut reply).is_some() && caller.take() == 1);
    assert!(!rig.is_supervisor_notified());
    let _next = rig.shard.incr("n");
    assert!(rig.turn().is_pending());
    assert!(rig.is_supervisor_notified());
}

/// A caller that is woken may call again at once, and get the same slot, before the wakers are taken back.
#[test]
fn waker_that_comes_back_late_replaces_no_other() {
    let mut calls = Calls::<NoRuntime>::default();
    let (one, other) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    let [first, second] = [&one, &other].map(|wakes| wakes.waker());
    let ticket = calls.open(None).unwrap();
    assert!(calls.poll(ticket, &mut Context::from_waker(&first)).0.is_pending());
    calls.reply(ticket, Frame::Integer(1), true);
    let mut due = calls.take_due().unwrap();
    due.settle();
    assert!(calls.poll(ticket, &mut Context::from_waker(&first)).0.is_ready());
    assert_eq!(calls.open(None).unwrap(), ticket);
    assert!(calls.poll(ticket, &mut Context::from_waker(&second)).0.is_pending());
    assert_eq!(calls.reuse(due).len(), 1, "it is returned to be dropped");
    one.take();
    calls.reply(ticket, Frame::Integer(2), true);
    calls.take_due().unwrap().settle();
    assert_eq!((one.take(), other.take()), (0, 1));
}
