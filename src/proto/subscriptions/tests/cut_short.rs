//! Handoffs that are cut short: a connection is lost, a bound is reached, or the server refuses.

use super::*;
use crate::proto::subscriptions::overlap::{BUFFERED_MAX, HELD_BYTES_MAX};

#[test]
fn lost_predecessor_with_a_match_costs_nothing() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(NEW, "message a 1");
    fixture.lose(OLD);
    fixture.push(NEW, "message a 2");
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 message a: 1", "1 message a: 2"]);
    assert!(fixture.subscriptions.is_settled());
}

#[test]
fn lost_predecessor_without_a_match_announces_a_gap() {
    let mut fixture = Fixture::subscribed(&["a", "b"]);
    fixture.at(5).successor(NEW);
    fixture.at(10).push(OLD, "message b 1");
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a b"]);
    fixture.at(20).push(NEW, "subscribe a 1");
    fixture.push(NEW, "message a 3");
    fixture.at(30).lose(OLD);
    fixture.at(40).push(NEW, "subscribe b 2");
    let expected = [
        "1 message b: 1",
        // The predecessor may have sent a message 2 that was not read.
        "1 gap a: 10-20 ConnectionLost",
        "1 message a: 3",
        "1 gap b: 10-40 ConnectionLost",
    ];
    assert_eq!(fixture.events(), expected);
}

#[test]
fn lost_successor_leaves_the_predecessor_in_use() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.successor(NEW);
    fixture.answer(NEW);
    fixture.push(NEW, "message a 1");
    fixture.lose(NEW);
    assert!(fixture.subscriptions.is_settled() && !fixture.subscriptions.is_released(OLD));
    assert_eq!(fixture.commands(OLD), [""; 0], "its queued UNSUBSCRIBE is withdrawn");
    fixture.push(OLD, "message a 1");
    assert_eq!(fixture.events(), ["1 message a: 1"]);
    assert_eq!(fixture.subscriptions.held.get(), 0);
}

#[test]
fn lost_successor_after_the_fence_was_asked_for() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(NEW, "message a 1");
    fixture.at(10).lose(NEW);
    fixture.at(20).push(OLD, "message a 1");
    fixture.at(30).push(OLD, "unsubscribe a 0");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.at(40).push(OLD, "subscribe a 1");
    fixture.push(OLD, "message a 3");
    assert_eq!(fixture.events(), ["1 message a: 1", "1 gap a: 30-40 HandoffCut", "1 message a: 3"]);
}

#[test]
fn lost_successor_after_the_fence() {
    let mut fixture = Fixture::overlapping(&["a", "b"]);
    fixture.at(10).push(OLD, "unsubscribe a 1");
    fixture.at(20).push(NEW, "message a 1");
    fixture.at(30).lose(NEW);
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.at(40).push(OLD, "subscribe a 1");
    assert_eq!(fixture.events(), ["1 message a: 1", "1 gap a: 20-40 HandoffCut"]);
}

#[test]
fn predecessor_that_may_repeat_messages_is_renewed() {
    let mut fixture = Fixture::subscribed(&["a", "b"]);
    fixture.successor(NEW);
    fixture.answer(NEW);
    // Its UNSUBSCRIBE waits, and the predecessor still carries the name.
    fixture.remove(A, CHANNEL, "a");
    fixture.add(A, CHANNEL, "a");
    fixture.push(NEW, "message a 1");
    fixture.events();
    fixture.at(10).lose(NEW);
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(OLD, "unsubscribe a 1");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.at(20).push(OLD, "subscribe a 1");
    assert_eq!(fixture.events(), ["1 gap a: 0-20 HandoffCut"]);
}

#[test]
fn late_fence_delivers_at_least_once() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(NEW, "message a 1");
    fixture.push(NEW, "message a 2");
    assert_eq!(fixture.subscriptions.next_timeout(), Some(at(2000)));
    fixture.at(1999).timeout();
    assert_eq!(fixture.events(), ["1 message a: 1"]);
    fixture.at(2000).timeout();
    assert_eq!(fixture.events(), ["1 message a: 1", "1 message a: 2"]);
    assert!(fixture.subscriptions.is_settled());
    fixture.push(OLD, "message a 1");
    assert_eq!(fixture.events(), [""; 0], "the predecessor is read no further");
    assert_eq!(fixture.subscriptions.stats().overlaps_bounded, 1);
}

#[test]
fn late_fence_without_a_match_announces_a_gap() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(NEW, "message a 9");
    fixture.at(2000).timeout();
    assert_eq!(fixture.events(), ["1 gap a: 0-0 HandoffCut", "1 message a: 9"]);
}

#[test]
fn buffered_messages_are_bounded() {
    let mut fixture = Fixture::overlapping(&["a"]);
    for number in 0..BUFFERED_MAX - 1 {
        fixture.push(NEW, &format!("message a {number}"));
    }
    assert_eq!(fixture.events(), [""; 0]);
    fixture.push(NEW, "message a last");
    assert_eq!(fixture.events().len(), 1 + BUFFERED_MAX);
    let stats = fixture.subscriptions.stats();
    assert_eq!((stats.overlaps_bounded, fixture.subscriptions.held.get()), (1, 0));
}

#[test]
fn buffered_bytes_are_bounded_for_all_names_together() {
    let mut fixture = Fixture::overlapping(&["a", "b"]);
    let mebibyte = "x".repeat(1 << 20);
    for _ in 0..HELD_BYTES_MAX >> 21 {
        fixture.push(NEW, &format!("message a {mebibyte}"));
        fixture.push(NEW, &format!("message b {mebibyte}"));
        assert!(fixture.subscriptions.held.get() < HELD_BYTES_MAX + (2 << 20));
    }
    assert_eq!(fixture.subscriptions.stats().overlaps_bounded, 1);
    assert!(!fixture.subscriptions.is_settled(), "the other name has room again");
}

#[test]
fn tail_is_bounded_without_harm_to_the_match() {
    let mut fixture = Fixture::overlapping(&["a"]);
    for number in 0..3 * BUFFERED_MAX {
        fixture.push(OLD, &format!("message a {number}"));
    }
    fixture.events();
    for number in 3 * BUFFERED_MAX - 2..=3 * BUFFERED_MAX {
        fixture.push(NEW, &format!("message a {number}"));
    }
    fixture.push(OLD, "unsubscribe a 0");
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 message a: 30000"]);
    assert_eq!(fixture.subscriptions.stats().overlaps_bounded, 0);
}

#[test]
fn second_successor_ends_the_first_overlap() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(NEW, "message a 1");
    fixture.push(NEW, "message a 2");
    fixture.successor(NEWEST);
    assert!(fixture.subscriptions.is_released(OLD) && !fixture.subscriptions.is_settled());
    assert_eq!(fixture.events(), ["1 message a: 1", "1 message a: 1", "1 message a: 2"]);
    assert_eq!(fixture.subscriptions.stats().overlaps_bounded, 1);
    fixture.answer(NEWEST);
    fixture.push(NEWEST, "message a 3");
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 message a: 3"]);
    assert!(fixture.subscriptions.is_settled() && fixture.subscriptions.is_released(NEW));
}

#[test]
fn successor_that_refuses_ends_the_name_everywhere() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.successor(NEW);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.refuse(NEW, "NOPERM no");
    assert_eq!(fixture.events(), ["1 refused a: NOPERM no"]);
    assert!(fixture.subscriptions.is_settled());
    assert_eq!(fixture.subscriptions.len(), 0);
}

#[test]
fn refused_unsubscribe_is_no_fence() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(NEW, "message a 1");
    fixture.refuse(OLD, "NOPERM no");
    assert_eq!(fixture.events(), ["1 message a: 1", "1 message a: 1"]);
    assert_eq!(fixture.subscriptions.stats().overlaps_bounded, 1);
}

#[test]
fn predecessor_lost_before_the_confirmation_repeats_nothing() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.successor(NEW);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.push(OLD, "message a 1");
    fixture.lose(OLD);
    assert!(fixture.subscriptions.is_released(OLD) && !fixture.subscriptions.is_settled());
    fixture.push(NEW, "subscribe a 1");
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.push(NEW, "message a 1");
    fixture.push(NEW, "message a 2");
    fixture.push(NEW, "subscribe a 1");
    assert_eq!(fixture.events(), ["1 message a: 1", "1 message a: 2"], "the match leaves no gap");
}

#[test]
fn mark_that_is_late_or_refused_delivers_at_least_once() {
    for is_refused in [false, true] {
        let mut fixture = Fixture::overlapping(&["a"]);
        fixture.push(OLD, "message a 1");
        fixture.push(NEW, "message a 1");
        fixture.push(OLD, "unsubscribe a 0");
        assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
        match is_refused {
            true => fixture.refuse(NEW, "NOPERM no"),
            false => fixture.at(2000).timeout(),
        }
        assert_eq!(fixture.events(), ["1 message a: 1", "1 message a: 1"]);
        assert!(fixture.subscriptions.is_settled());
        assert_eq!(fixture.subscriptions.stats().overlaps_bounded, 1);
    }
}

#[test]
fn successor_lost_while_its_messages_wait_leaves_a_gap() {
    for is_promoted in [false, true] {
        let mut fixture = Fixture::overlapping(if is_promoted { &["a"] } else { &["a", "b"] });
        fixture.at(10).push(OLD, "message a 1");
        fixture.push(OLD, "unsubscribe a 0");
        assert_eq!(fixture.subscriptions.is_released(OLD), is_promoted);
        fixture.at(20).push(NEW, "message a 2");
        fixture.at(30).lose(NEW);
        fixture.at(40).ready(NEWEST);
        fixture.answer(NEWEST);
        let events = fixture.events();
        assert_eq!(
            events[..2],
            [
                "1 message a: 1",
                if is_promoted { "1 gap a: 10-40 ConnectionLost" } else { "1 gap a: 10-40 HandoffCut" }
            ]
        );
    }
}
