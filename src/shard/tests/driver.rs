//! The driver: what it does in a turn, and what wakes it for the next one.

use super::*;
use crate::error::ErrorKind as Kind;
use crate::proto::error::Outcome;

/// After its reads it lets other tasks run, and the reactor poll. Only the reactor wakes it for the rest, because epoll tells of
/// it once. A driver that wakes itself keeps the runtime from its timers.
#[test]
fn driver_with_more_to_read_waits_for_the_next_poll() {
    let mut rig = Rig::new();
    rig.read_at_once(16);
    let replies: Vec<_> = (0..100).map(|_| rig.shard.incr("n")).collect();
    assert!(rig.turn().is_pending());
    rig.heard();
    rig.say(&":7\r\n".repeat(100));
    rig.is_woken();
    let mut turns = 0;
    while {
        assert!(rig.turn().is_pending());
        turns += 1;
        assert_eq!(rig.wakes.take(), 0, "it does not wake itself");
        rig.is_woken()
    } {}
    assert!(
        turns >= 4,
        "400 bytes by 16, at most eight times a turn, and less often where that takes long: {turns}"
    );
    for mut reply in replies {
        assert_eq!(answer(&mut reply).unwrap().unwrap(), 7);
    }
}

#[test]
fn read_that_fills_the_buffer_is_followed_by_another() {
    let mut rig = Rig::new();
    rig.read_at_once(16);
    let mut replies: Vec<_> = (0..8).map(|_| rig.shard.incr("n")).collect();
    assert!(rig.turn().is_pending());
    rig.say(&":7\r\n".repeat(8));
    assert!(rig.is_woken());
    assert!(rig.turn().is_pending());
    assert!(replies.iter_mut().all(|reply| answer(reply).is_some()), "both halves were read");
    // The end of it was seen: what comes later wakes the driver.
    let mut late = rig.shard.incr("n");
    assert!(rig.turn().is_pending());
    rig.wakes.take();
    rig.say(":8\r\n");
    assert!(rig.is_woken() && rig.turn().is_pending());
    assert_eq!(answer(&mut late).unwrap().unwrap(), 8);
}

/// A server answers, says why it leaves, and closes. A write that fails must hide neither.
#[test]
fn last_words_are_read_after_a_failed_write() {
    let mut rig = Rig::new();
    let mut answered = rig.shard.incr("a");
    assert!(rig.turn().is_pending());
    rig.heard();
    rig.say(":1\r\n");
    rig.hang_up();
    let mut lost = rig.shard.incr("b");
    rig.is_woken();
    assert!(rig.turn().is_ready(), "the end is found in the same turn");
    assert_eq!(answer(&mut answered).unwrap().unwrap(), 1);
    let last_error = rig.shard.shared.state.lock().pool.last_error().unwrap().to_string();
    assert_eq!(last_error, "the server closed the connection", "and not a broken pipe");
    assert!(answer(&mut lost).is_none(), "no byte of it was written: it waits for the next connection");
}

#[test]
fn full_socket_wakes_the_driver_when_there_is_room() {
    let mut rig = Rig::new();
    let value = "v".repeat(1 << 20);
    let _reply = rig.shard.set("key", &value);
    assert!(rig.turn().is_pending());
    let first = rig.heard();
    assert!(!first.is_empty() && first.len() < value.len(), "it takes more than one turn");
    let mut all = first.len();
    while all < value.len() {
        assert!(rig.is_woken(), "{all} bytes were written");
        assert!(rig.turn().is_pending());
        all += rig.heard().len();
    }
}

#[test]
fn command_wakes_its_driver_once_until_it_runs() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    let _replies: Vec<_> = (0..3).map(|_| rig.shard.incr("n")).collect();
    assert_eq!(rig.wakes.take(), 1);
    assert!(rig.turn().is_pending());
    let _reply = rig.shard.incr("n");
    assert_eq!(rig.wakes.take(), 1);
}

/// A driver that was notified of a command may end before it runs. The supervisor has to note the time of that command.
#[test]
fn unseen_commands_of_a_removed_driver_go_to_the_supervisor() {
    let mut rig = Rig::new();
    assert!(rig.turn().is_pending());
    run_supervisor(&rig);
    assert!(turns::remove(&rig.shard.shared, rig.id).is_some());
    assert!(!rig.is_supervisor_notified(), "the driver has seen every command");
    assert!(rig.turn().is_pending());
    run_supervisor(&rig);
    let _reply = rig.shard.incr("n");
    assert!(!rig.is_supervisor_notified(), "its driver was notified");
    assert!(turns::remove(&rig.shard.shared, rig.id).is_some());
    assert!(rig.is_supervisor_notified());
}

#[test]
fn driver_of_a_closed_connection_ends_and_wakes_the_supervisor() {
    let mut rig = Rig::new();
    let mut lost = rig.shard.incr("a");
    assert!(rig.turn().is_pending());
    run_supervisor(&rig);
    rig.say("?");
    rig.is_woken();
    assert!(rig.turn().is_ready(), "what came is no RESP");
    let error = answer(&mut lost).unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::ConnectionLost, Outcome::Ambiguous), "{error}");
    assert!(rig.is_supervisor_notified(), "it has to log, and to dial again");
    assert!(rig.turn().is_ready(), "and it stays ended");
}
