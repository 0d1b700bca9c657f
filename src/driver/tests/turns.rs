//! The order of a turn: which callers run before the driver, and what wakes it.

use super::*;
use crate::proto::connection::READ_MAX;

/// It runs when all of them have called again, and writes what they have queued with one system call.
#[test]
fn driver_that_woke_several_callers_runs_behind_them() {
    let mut rig = Rig::new(ROOMY);
    let mut callers = ["a", "b"].map(|text| Caller::new(&rig.shared, text));
    assert!(rig.driver.turn().is_pending());
    rig.driver.wakes.take();
    rig.driver.far.heard();
    rig.driver.far.say((bulk("a") + &bulk("b")).as_bytes());
    assert!(rig.driver.wakes.take() > 0 && rig.driver.turn().is_pending());
    assert_eq!(rig.driver.wakes.take(), 1, "it has asked to run again");
    assert!(callers.iter().all(Caller::is_woken));
    assert_eq!(callers.each_mut().map(Caller::text), ["a", "b"]);
    let _again = ["c", "d"].map(|text| Caller::new(&rig.shared, text));
    assert_eq!(rig.driver.wakes.take(), 0, "it runs anyway");
    let before = rig.driver.far.pipe().writes;
    assert!(rig.driver.turn().is_pending());
    assert_eq!(rig.driver.far.heard(), echo("c") + &echo("d"));
    assert_eq!(rig.driver.far.pipe().writes - before, 1);
    let _later = Caller::new(&rig.shared, "e");
    assert_eq!(rig.driver.wakes.take(), 1, "it has run, so that later commands wake it");
}

/// Nothing is gained by a turn behind one caller, which another worker may run.
#[test]
fn driver_that_woke_one_caller_goes_on() {
    let mut rig = Rig::new(ROOMY);
    let mut callers = ["a", "b"].map(|text| Caller::new(&rig.shared, text));
    assert!(rig.driver.turn().is_pending());
    rig.driver.wakes.take();
    rig.driver.far.say(bulk("a").as_bytes());
    assert!(rig.driver.wakes.take() > 0 && rig.driver.turn().is_pending());
    assert_eq!(rig.driver.wakes.take(), 0, "it waits for its socket");
    rig.driver.far.say(bulk("b").as_bytes());
    assert_eq!(rig.driver.wakes.take(), 1, "it has read to the end");
    assert!(rig.driver.turn().is_pending());
    assert_eq!(callers.each_mut().map(Caller::text), ["a", "b"]);
}

/// A driver that is expected to run, and ends instead, has not seen the commands that did not wake it.
#[test]
fn mark_of_an_expected_driver_goes_to_the_supervisor() {
    let mut rig = Rig::new(ROOMY);
    let mut callers = ["a", "b"].map(|text| Caller::new(&rig.shared, text));
    assert!(rig.driver.turn().is_pending());
    rig.driver.far.say((bulk("a") + &bulk("b")).as_bytes());
    assert!(rig.driver.turn().is_pending());
    assert_eq!(callers.each_mut().map(Caller::text), ["a", "b"]);
    rig.driver.wakes.take();
    let _unseen = Caller::new(&rig.shared, "c");
    assert_eq!(rig.driver.wakes.take(), 0);
    rig.shared.state.lock().supervisor.begin_turn();
    assert!(turn::remove(&rig.shared, rig.driver.id).is_some());
    assert!(rig.shared.state.lock().supervisor.is_notified());
}

/// What follows the beginning of a large value is received into the memory of that value.
#[test]
fn large_value_is_read_into_its_place() {
    let mut rig = Rig::new(ROOMY);
    let mut caller = Caller::new(&rig.shared, "large");
    assert!(rig.driver.turn().is_pending());
    let value = "v".repeat(4 * READ_MAX);
    let reply = bulk(&value);
    let (begin, rest) = reply.split_at(100);
    rig.driver.far.say(begin.as_bytes());
    assert!(rig.driver.turn().is_pending());
    rig.driver.far.say(rest.as_bytes());
    while !caller.is_woken() {
        assert!(rig.driver.turn().is_pending());
    }
    assert_eq!(caller.text(), value);
    assert!(rig.driver.far.pipe().largest_read > READ_MAX, "{}", rig.driver.far.pipe().largest_read);
}
