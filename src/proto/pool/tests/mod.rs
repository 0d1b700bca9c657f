//! Scenarios of a pool, in virtual time and without a socket.

mod auth;
mod blocking;
mod blocking_moves;
mod counters;
mod demotions;
mod events;
mod floods;
mod handshake;
mod internal_commands;
mod moving;
mod opt_in;
mod relaxed;
mod schedule;
mod sessions;
mod story;
mod subscriptions;
mod timers;
mod unexpected_replies;
mod wakes;

use std::sync::Arc;

use self::story::*;
use super::*;
use crate::proto::connection::{HandleId, HandshakeConfig, Secret};
use crate::proto::error::CloseReason;
use crate::proto::resp::Frame;

#[test]
fn commands_wait_for_the_handshake_then_share_one_write() {
    let mut story = Story::new(config());
    story.submit("a");
    let id = story.dialed();
    story.submit("b");
    story.shake_hands(id);
    assert_eq!(story.written(id), "a b");
    assert_eq!(story.written(id), "");
    assert!(story.receive(id, b":1\r\n:2\r\n"));
    assert_eq!(story.delivered.replies, [(1, Frame::Integer(1)), (2, Frame::Integer(2))]);
}

#[test]
fn unsent_commands_are_sent_later_and_written_ones_ambiguous() {
    let (mut story, id) = Story::ready(config());
    for text in ["a", "b", "c", "d"] {
        story.submit(text);
    }
    // Each command is 11 bytes long: the second is cut in the middle.
    story.written_up_to(id, 16);
    assert!(story.receive(id, b"+one\r\n"));
    story.submit("e");
    story.close(id);
    assert_eq!(story.delivered.answered(), [1]);
    assert_eq!(story.delivered.failed(), [(2, Outcome::Ambiguous)]);
    let next = story.redial();
    assert_ne!(next, id);
    story.shake_hands(next);
    assert_eq!(story.written(next), "c d e");
    story.receive(next, b"+3\r\n+4\r\n+5\r\n");
    assert_eq!(story.delivered.answered(), [1, 3, 4, 5]);
}

#[test]
fn bytes_of_a_closed_connection_are_ignored() {
    let (mut story, id) = Story::ready(config());
    story.close(id);
    assert!(!story.receive(id, b"+late\r\n"));
    assert!(story.pool.connection(id).poll_transmit(story.now).is_none());
    assert!(!story.pool.connection(id).handle_connected(PEER, None, story.now));
    assert_eq!(story.pool.counters().lost, 1);
}

#[test]
fn cancelled_command_is_dropped_or_leaves_a_tombstone() {
    let (mut story, id) = Story::ready(config());
    let sent = story.submit("a");
    assert_eq!(story.written(id), "a");
    story.submit("b");
    let unsent = story.submit("c");
    story.submit("d");
    story.pool.abandon(ONLY, sent);
    story.pool.abandon(ONLY, unsent);
    assert_eq!(story.written(id), "b d");
    story.receive(id, b"+a\r\n+b\r\n+d\r\n");
    assert_eq!(story.delivered.answered(), [2, 4]);
}

#[test]
fn batch_stays_together_and_takes_its_own_replies() {
    let (mut story, id) = Story::ready(config());
    story.submit_batch("two", 2);
    story.submit("one");
    assert_eq!(story.written(id), "two one");
    story.receive(id, b":1\r\n:2\r\n:3\r\n");
    assert_eq!(story.delivered.answered(), [1, 1, 2]);
}

#[test]
fn head_expires_first_and_its_late_reply_is_dropped() {
    let (mut story, id) = Story::ready(config());
    story.submit("a");
    story.written(id);
    story.wait(SECOND / 2);
    story.submit("b");
    story.written(id);
    // Bytes arrive, so the connection is alive.
    story.receive(id, b">1\r\n+x\r\n");
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND / 2)));
    story.wait(SECOND / 2);
    assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);
    assert!(story.receive(id, b"+a\r\n+b\r\n"));
    assert_eq!(story.delivered.replies, [(2, Frame::Simple("b".into()))]);
    assert_eq!(story.pool.next_timeout(), None);
}

#[test]
fn silence_while_replies_are_overdue_closes_the_connection() {
    let (mut story, id) = Story::ready(config());
    story.wait(SECOND * 100);
    assert!(story.pool.connection(id).is_alive(), "an idle connection may be silent");
    story.submit("a");
    story.written(id);
    story.submit("b");
    story.wait(SECOND);
    assert!(!story.pool.connection(id).is_alive());
    assert!(matches!(*story.closed().unwrap(), CloseReason::Unresponsive(_)));
    assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);
    let next = story.redial();
    story.shake_hands(next);
    assert_eq!(story.written(next), "b");
}

#[test]
fn slow_server_is_not_taken_for_a_dead_one() {
    let (mut story, id) = Story::ready(config());
    story.submit("a");
    story.submit("b");
    story.written(id);
    story.wait(SECOND * 9 / 10);
    story.receive(id, b"+a\r\n");
    story.wait(SECOND / 10);
    assert_eq!(story.delivered.failed(), [(2, Outcome::Ambiguous)]);
    assert!(story.pool.connection(id).is_alive());
    // The reply is still awaited, and so are any other bytes.
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND * 9 / 10)));
    story.wait(SECOND);
    assert!(!story.pool.connection(id).is_alive());
}

#[test]
fn command_not_sent_in_time_fails_unsent_with_the_last_error() {
    let mut story = Story::new(config());
    let id = story.dialed();
    story.submit("a");
    story.pool.connection(id).poll_transmit(story.now);
    story.pool.connection(id).handle_closed(
        CloseReason::Dial("refused".into()),
        story.now,
        &mut story.delivered,
    );
    story.wait(SECOND);
    assert_eq!(story.delivered.failed(), [(1, Outcome::Unsent)]);
    match &story.delivered.failures[0].1 {
        Failure::TimedOut(timed_out) => {
            let reason = timed_out.last_error.as_ref().expect("the reason");
            assert_eq!(reason.to_string(), "could not connect: refused");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn dials_back_off_with_jitter_until_a_connection_is_stable() {
    let mut story = Story::new(config());
    let mut id = story.dialed();
    let mut waits = Vec::new();
    for _ in 0..12 {
        story.pool.connection(id).handle_closed(
            CloseReason::Dial("refused".into()),
            story.now,
            &mut story.delivered,
        );
        assert!(story.next_dial().is_none(), "not at once");
        let before = story.now;
        id = story.redial();
        waits.push(story.now.since(before));
    }
    assert!(waits[0] <= Duration::from_millis(50), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(5) && *wait <= SECOND * 2), "{waits:?}");
    assert!(waits[6..].iter().any(|wait| *wait > SECOND / 2), "{waits:?}");
    assert_eq!(story.pool.counters().dial_failures, 12);

    // A connection that breaks at once counts as another failure; a stable one starts the backoff anew.
    story.shake_hands(id);
    story.wait(SECOND);
    story.close(id);
    let before = story.now;
    story.redial();
    assert!(story.now.since(before) <= Duration::from_millis(50));
}

#[test]
fn hanging_dial_or_handshake_is_given_up() {
    for connected in [false, true] {
        let mut story = Story::new(config());
        let id = story.dialed();
        if connected {
            story.pool.connection(id).handle_connected(PEER, None, story.now);
        }
        assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND * 2)));
        story.wait(SECOND * 2);
        let reason = story.closed().unwrap();
        match connected {
            false => assert!(matches!(*reason, CloseReason::ConnectTimeout(_)), "{reason}"),
            true => {
                assert_eq!(reason.to_string(), "connected, but no reply to HELLO came within 2s of dialing")
            }
        }
        assert!(!story.pool.connection(id).handle_connected(PEER, None, story.now));
        story.redial();
    }
}

#[test]
fn refused_credentials_fail_callers_without_a_dial_storm() {
    let mut config = config();
    let greeting = HandshakeConfig { password: Some(Secret("wrong".into())), ..HandshakeConfig::default() };
    config.connection.handshake = Arc::new(greeting);
    let mut story = Story::new(config);
    story.submit("a");
    let id = story.dialed();
    story.pool.connection(id).handle_connected(PEER, None, story.now);
    story.written(id);
    assert!(!story.receive(id, b"-WRONGPASS invalid\r\n"));
    assert!(matches!(story.delivered.failures[..], [(1, Failure::Refused(_))]));
    let late = Submission { entry: ONLY, handle: HandleId(0), ticket: Ticket(9), replies: 1 };
    let refused = story.pool.submit(late, |_| panic!("it must not be encoded"));
    assert!(matches!(refused, Err(Failure::Refused(_))));
    assert_eq!(story.pool.next_timeout(), Some(story.now.after(SECOND * 2)));
    // With the right password, everything works again.
    let next = story.redial();
    story.shake_hands(next);
    story.submit("b");
    assert_eq!(story.written(next), "b");
}

#[test]
fn unasked_reply_ends_the_connection() {
    let (mut story, id) = Story::ready(config());
    assert!(story.receive(id, b">1\r\n+push\r\n"));
    assert_eq!(story.delivered.pushes, 1);
    assert!(!story.receive(id, b"+what\r\n"));
    assert!(matches!(*story.closed().unwrap(), CloseReason::UnaskedReply));
}

#[test]
fn push_never_takes_the_place_of_a_reply() {
    let (mut story, id) = Story::ready(config());
    story.submit("a");
    story.submit("b");
    story.written(id);
    story.receive(id, b">1\r\n+x\r\n+a\r\n>1\r\n+y\r\n+b\r\n>1\r\n+z\r\n");
    assert_eq!(story.delivered.answered(), [1, 2]);
    assert_eq!((story.delivered.pushes, story.pool.counters().pushes), (3, 3));
}

#[test]
fn in_flight_is_bounded_and_callers_wait_in_order() {
    let mut config = config();
    config.connection.in_flight_max = 2;
    config.queue.commands = 2;
    let (mut story, id) = Story::ready(config);
    for text in ["a", "b", "c", "d", "e"] {
        story.submit(text);
    }
    assert!(!story.pool.entries().has_room(ONLY));
    assert_eq!(story.written(id), "a b");
    assert_eq!(story.pool.entries().depth(), (3, 2));
    story.receive(id, b"+a\r\n");
    assert_eq!(story.written(id), "c");
    story.receive(id, b"+b\r\n+c\r\n");
    assert_eq!(story.written(id), "d e");
    assert!(story.pool.entries().has_room(ONLY));
}

#[test]
fn shutdown_finishes_accepted_commands_and_accepts_none() {
    let (mut story, id) = Story::ready(config());
    story.submit("a");
    story.written(id);
    story.submit("b");
    story.pool.shut_down(story.now, story.now.after(SECOND), &mut story.delivered);
    let late = Submission { entry: ONLY, handle: HandleId(0), ticket: Ticket(9), replies: 1 };
    let refused = story.pool.submit(late, |_| panic!("it must not be encoded"));
    assert!(matches!(refused, Err(Failure::ShutDown(Outcome::Unsent))));
    assert_eq!(story.written(id), "b");
    assert!(story.receive(id, b"+a\r\n"));
    assert!(!story.pool.is_shut_down());
    assert!(!story.receive(id, b"+b\r\n"), "it closes with the last reply");
    assert!(story.pool.is_shut_down());
    assert_eq!(story.delivered.answered(), [1, 2]);
    assert_eq!(story.pool.next_timeout(), None, "no timer is left");
}

#[test]
fn shutdown_gives_up_in_time() {
    let mut config = config();
    config.connection.command_timeout = SECOND * 60;
    let (mut story, id) = Story::ready(config);
    for text in ["a", "b"] {
        story.submit(text);
    }
    // The first command is 11 bytes long.
    story.written_up_to(id, 11);
    story.submit("c");
    story.pool.shut_down(story.now, story.now.after(SECOND), &mut story.delivered);
    story.wait(SECOND);
    let mut failed = story.delivered.failed();
    failed.sort_by_key(|(ticket, _)| *ticket);
    assert_eq!(failed, [(1, Outcome::Ambiguous), (2, Outcome::Unsent), (3, Outcome::Unsent)]);
    assert!(story.pool.is_shut_down());
    assert_eq!(story.pool.counters().given_up, 3);
    assert!(story.next_dial().is_none());
}

#[test]
fn shutdown_does_not_wait_for_cancelled_commands() {
    let (mut story, id) = Story::ready(config());
    let cancelled = story.submit("a");
    story.pool.abandon(ONLY, cancelled);
    story.pool.shut_down(story.now, story.now.after(SECOND), &mut story.delivered);
    assert!(story.pool.is_shut_down());
    assert!(story.pool.connection(id).poll_transmit(story.now).is_none());
    assert_eq!(story.pool.counters().given_up, 0);
}

#[test]
fn shutdown_without_work_closes_at_once_and_dials_no_more() {
    let mut story = Story::new(config());
    let id = story.dialed();
    story.pool.connection(id).handle_closed(
        CloseReason::Dial("refused".into()),
        story.now,
        &mut story.delivered,
    );
    story.pool.shut_down(story.now, story.now.after(SECOND), &mut story.delivered);
    assert!(story.pool.is_shut_down());
    story.wait(SECOND * 10);
    assert!(story.next_dial().is_none());
}

#[test]
fn handles_are_bound_to_each_entry_in_turn() {
    let mut pool = Pool::new(PoolConfig { connections: 3, ..config() }, Instant::from_nanos(0));
    let assigned: Vec<_> = (0..4).map(|_| pool.assign().0).collect();
    assert_eq!(assigned, [0, 1, 2, 0]);
}
