//! Lost connections outside a handoff: everything is subscribed again, and gaps are announced.

use super::*;

#[test]
fn loss_announces_one_gap_before_the_next_message() {
    let mut fixture = Fixture::subscribed(&["a", "b"]);
    fixture.at(10).push(OLD, "message a x");
    fixture.at(20).subscriptions.note_bytes(OLD, at(20));
    fixture.at(50).lose(OLD);
    assert_eq!(fixture.events(), ["1 message a: x"]);
    fixture.at(70).ready(NEW);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a b"]);
    fixture.at(80).push(NEW, "subscribe a 1");
    fixture.push(NEW, "message a y");
    fixture.push(NEW, "message a z");
    let expected = ["1 gap a: 20-80 ConnectionLost", "1 message a: y", "1 message a: z"];
    assert_eq!(fixture.events(), expected);
    assert_eq!(fixture.subscriptions.stats().gaps, 2);
}

#[test]
fn second_loss_extends_the_open_gap() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.at(10).lose(OLD);
    fixture.at(20).ready(NEW);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.at(30).lose(NEW);
    fixture.at(40).ready(NEWEST);
    fixture.answer(NEWEST);
    assert_eq!(fixture.events(), ["1 gap a: 0-40 ConnectionLost"]);
}

#[test]
fn subscription_that_begins_in_a_gap_has_none() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.lose(OLD);
    fixture.at(5).add(B, CHANNEL, "a");
    fixture.at(10).ready(NEW);
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 gap a: 0-10 ConnectionLost", "2 confirmed a"]);
}

#[test]
fn name_that_was_never_confirmed_has_no_gap() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.at(10).lose(OLD);
    fixture.at(20).ready(NEW);
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 confirmed a"]);
}

#[test]
fn removed_name_is_not_subscribed_again() {
    let mut fixture = Fixture::subscribed(&["a", "b"]);
    fixture.lose(OLD);
    fixture.remove(A, CHANNEL, "a");
    fixture.ready(NEW);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE b"]);
    assert_eq!(fixture.subscriptions.len(), 1);
}

#[test]
fn nothing_is_known_of_a_lost_connection() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.lose(OLD);
    assert!(fixture.subscriptions.is_released(OLD));
    fixture.push(OLD, "message a late");
    fixture.push(OLD, "unsubscribe a 0");
    fixture.refuse(OLD, "ERR late");
    fixture.lose(OLD);
    assert_eq!((fixture.events(), fixture.commands(OLD)), (vec![], vec![]));
    assert_eq!(fixture.subscriptions.next_timeout(), None);
}

#[test]
fn ready_without_a_loss_counts_as_one() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.at(10).ready(NEWEST);
    assert!(fixture.subscriptions.is_released(OLD) && fixture.subscriptions.is_released(NEW));
    fixture.answer(NEWEST);
    let events = fixture.events();
    assert_eq!(events.last().unwrap(), "1 gap a: 0-10 ConnectionLost", "{events:?}");
}

#[test]
fn name_added_again_in_a_gap_is_confirmed_after_it() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.lose(OLD);
    fixture.add(A, CHANNEL, "a");
    fixture.at(10).ready(NEW);
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 gap a: 0-10 ConnectionLost", "1 confirmed a"]);
}
