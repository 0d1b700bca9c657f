//! Writing while the state is free for others: no byte is lost or sent twice, whatever happens meanwhile.

use std::io::ErrorKind;

use super::*;
use crate::proto::error::Outcome;

/// What is given back counts as unwritten again. Whole commands go to the successor; one that is begun stays.
#[test]
fn rest_of_a_partial_write_goes_to_the_successor() {
    let mut rig = Rig::new(echo("a").len() + 3);
    let mut callers = ["a", "b", "c"].map(|text| Caller::new(&rig.shared, text));
    assert!(rig.driver.turn().is_pending());
    assert_eq!(rig.driver.far.heard(), echo("a") + &echo("b")[..3]);
    let next = rig.move_away();
    shake_hands(&rig.shared, next);
    let mut successor = Driver::new(&rig.shared, next, ROOMY);
    assert!(successor.turn().is_pending());
    assert_eq!(successor.far.heard(), echo("c"));
    rig.driver.far.make_room(ROOMY);
    assert!(rig.driver.wakes.take() > 0 && rig.driver.turn().is_pending());
    assert_eq!(rig.driver.far.heard(), &echo("b")[3..]);
    rig.driver.far.say((bulk("a") + &bulk("b")).as_bytes());
    successor.far.say(bulk("c").as_bytes());
    assert!(rig.driver.turn().is_ready(), "the pool closes it with its last reply");
    assert!(successor.turn().is_pending());
    assert_eq!(callers.each_mut().map(Caller::text), ["a", "b", "c"]);
}

/// The bytes are out of the pool, and the socket may have taken them already: no other connection may send them.
#[test]
fn cut_over_during_a_write_moves_no_taken_command() {
    let mut rig = Rig::new(0);
    let next = rig.move_away();
    let first = Caller::new(&rig.shared, "first");
    rig.driver.far.make_room(5);
    let shared = rig.shared.clone();
    rig.driver.far.pipe().meanwhile = Some(Box::new(move || {
        let _later = Caller::new(&shared, "later");
        shake_hands(&shared, next);
    }));
    assert!(rig.driver.turn().is_pending());
    let mut successor = Driver::new(&rig.shared, next, ROOMY);
    assert!(successor.turn().is_pending());
    assert_eq!(successor.far.heard(), echo("later"));
    rig.driver.far.make_room(ROOMY);
    assert!(rig.driver.turn().is_pending());
    assert_eq!(rig.driver.far.heard(), echo("first"));
    drop(first);
}

#[test]
fn full_socket_leaves_commands_unsent() {
    let mut rig = Rig::new(0);
    let mut caller = Caller::new(&rig.shared, "a");
    for _ in 0..2 {
        assert!(rig.driver.turn().is_pending());
    }
    rig.driver.far.hang_up();
    assert!(rig.driver.turn().is_ready());
    assert_eq!(rig.driver.far.heard(), "");
    assert!(caller.answer().is_none(), "it waits for the next connection");
}

/// Commands that are queued during a write follow in the same turn.
#[test]
fn command_queued_during_a_write_is_written_in_the_same_turn() {
    let mut rig = Rig::new(ROOMY);
    let _one = Caller::new(&rig.shared, "one");
    let shared = rig.shared.clone();
    rig.driver.far.pipe().meanwhile = Some(Box::new(move || drop(Caller::new(&shared, "two"))));
    assert!(rig.driver.turn().is_pending());
    assert_eq!(rig.driver.far.heard(), echo("one") + &echo("two"));
    assert_eq!(rig.driver.far.pipe().writes, 2);
}

/// A caller that leaves during the write leaves a tombstone, and the replies of the others stay with them.
#[test]
fn command_cancelled_during_a_write_takes_its_reply() {
    let mut rig = Rig::new(echo("left").len() + 2);
    let left = Caller::new(&rig.shared, "left");
    let mut stays = Caller::new(&rig.shared, "stays");
    let (shared, call) = (rig.shared.clone(), left.call);
    rig.driver.far.pipe().meanwhile = Some(Box::new(move || shared.cancel(call, None)));
    assert!(rig.driver.turn().is_pending());
    rig.driver.far.make_room(ROOMY);
    assert!(rig.driver.turn().is_pending());
    assert_eq!(rig.driver.far.heard(), echo("left") + &echo("stays"));
    rig.driver.far.say((bulk("left") + &bulk("stays")).as_bytes());
    assert!(rig.driver.turn().is_pending());
    assert_eq!(stays.text(), "stays");
}

/// The pool closes the connection while its driver writes: taken commands may have been sent, and the driver ends.
#[test]
fn close_during_a_write_loses_what_was_taken() {
    let mut rig = Rig::new(5);
    let mut caller = Caller::new(&rig.shared, "a");
    let (shared, id) = (rig.shared.clone(), rig.driver.id);
    rig.driver.far.pipe().meanwhile = Some(Box::new(move || {
        let now = shared.clock.now();
        let state = &mut *shared.state.lock();
        // What the pool does with bytes that are no RESP, a timeout, or a shutdown.
        assert!(!state.pool.handle_bytes(id, b"?", now, &mut state.calls));
    }));
    rig.driver.far.say(bulk("a").as_bytes());
    assert!(rig.driver.turn().is_ready());
    let failure = caller.answer().unwrap().unwrap_err();
    assert_eq!(failure.outcome(), Outcome::Ambiguous);
    assert!(rig.driver.turn().is_ready(), "and it stays ended");
}

/// A server answers, and closes. A write that fails must hide neither.
#[test]
fn replies_before_a_failed_write_are_read() {
    let mut rig = Rig::new(ROOMY);
    let mut answered = Caller::new(&rig.shared, "a");
    assert!(rig.driver.turn().is_pending());
    rig.driver.far.say(bulk("a").as_bytes());
    rig.driver.far.hang_up();
    rig.driver.far.pipe().write_error = Some(ErrorKind::BrokenPipe);
    let mut waits = Caller::new(&rig.shared, "b");
    assert!(rig.driver.turn().is_ready(), "the end is found in the same turn");
    assert_eq!(answered.text(), "a");
    assert!(waits.answer().is_none(), "no byte of it was written: it waits for the next connection");
}

/// A socket that gives up after its timeout has taken nothing of the last write.
#[test]
fn commands_of_a_failed_write_wait_for_the_next_connection() {
    let mut rig = Rig::new(ROOMY);
    let mut lost = Caller::new(&rig.shared, "lost");
    assert!(rig.driver.turn().is_pending());
    rig.driver.far.pipe().write_error = Some(ErrorKind::TimedOut);
    let mut waits = Caller::new(&rig.shared, "waits");
    assert!(rig.driver.turn().is_ready());
    assert_eq!(lost.answer().unwrap().unwrap_err().outcome(), Outcome::Ambiguous);
    assert!(waits.answer().is_none());
}
