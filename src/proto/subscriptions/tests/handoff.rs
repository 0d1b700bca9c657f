//! Handoffs that succeed: what each connection is asked for, and what is delivered when.

use super::*;

#[test]
fn handoff_delivers_each_message_once_and_in_order() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.successor(NEW);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(NEW, "subscribe a 1");
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.push(NEW, "message a 2");
    fixture.push(NEW, "message a 3");
    assert_eq!(fixture.events(), ["1 message a: 1"], "the successor's messages wait");
    fixture.push(OLD, "message a 2");
    fixture.push(NEW, "message a 4");
    assert!(!fixture.subscriptions.is_settled() && !fixture.subscriptions.is_released(OLD));
    fixture.push(OLD, "unsubscribe a 0");
    assert!(fixture.subscriptions.is_released(OLD) && !fixture.subscriptions.is_settled());
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"], "the mark");
    fixture.push(NEW, "message a 5");
    assert_eq!(fixture.events(), ["1 message a: 2"]);
    fixture.push(NEW, "subscribe a 1");
    assert!(fixture.subscriptions.is_settled());
    fixture.push(NEW, "message a 6");
    let expected = ["1 message a: 3", "1 message a: 4", "1 message a: 5", "1 message a: 6"];
    assert_eq!(fixture.events(), expected);
    let stats = fixture.subscriptions.stats();
    assert_eq!((stats.duplicates_dropped, stats.messages, stats.gaps), (1, 6, 0));
    assert_eq!(fixture.subscriptions.held.get(), 0);
}

#[test]
fn tail_begins_when_the_command_is_handed_out() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.successor(NEW);
    fixture.push(OLD, "message a x");
    assert_eq!(fixture.subscriptions.held.get(), 0);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.push(OLD, "message a x");
    assert_ne!(fixture.subscriptions.held.get(), 0);
}

#[test]
fn each_name_has_its_own_fence() {
    let mut fixture = Fixture::overlapping(&["a", "b"]);
    for message in ["message a 1", "message b 1"] {
        fixture.push(NEW, message);
    }
    fixture.push(OLD, "unsubscribe a 1");
    assert_eq!(fixture.events(), ["1 message a: 1"]);
    assert!(!fixture.subscriptions.is_settled());
    fixture.push(OLD, "unsubscribe b 0");
    assert_eq!(fixture.events(), ["1 message b: 1"]);
    assert!(fixture.subscriptions.is_settled());
}

#[test]
fn unsubscribe_before_the_successors_confirmation_is_no_fence() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, SHARDED, "s");
    fixture.answer(OLD);
    fixture.successor(NEW);
    assert_eq!(fixture.commands(NEW), ["SSUBSCRIBE s"]);
    fixture.events();
    fixture.at(10).push(OLD, "sunsubscribe s 0");
    assert!(fixture.subscriptions.is_settled(), "nothing more is expected of the predecessor");
    fixture.at(20).push(NEW, "ssubscribe s 1");
    assert_eq!(fixture.events(), ["1 gap s: 10-20 ServerUnsubscribed"]);
}

#[test]
fn server_unsubscribes_both_in_turn() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, SHARDED, "s");
    fixture.answer(OLD);
    fixture.successor(NEW);
    fixture.answer(NEW);
    assert_eq!(fixture.commands(OLD), ["SSUBSCRIBE s"]);
    fixture.events();
    fixture.push(NEW, "smessage s 1");
    fixture.push(NEW, "sunsubscribe s 0");
    assert_eq!(fixture.commands(NEW), ["SSUBSCRIBE s"]);
    fixture.at(10).push(NEW, "ssubscribe s 1");
    fixture.push(NEW, "smessage s 2");
    fixture.at(20).push(OLD, "sunsubscribe s 0");
    assert_eq!(
        fixture.events(),
        ["1 gap s: 10-10 ServerUnsubscribed", "1 message s: 2"],
        "the predecessor may have ended before the successor began for the second time"
    );
}

#[test]
fn names_of_a_handoff_are_added_and_removed() {
    let mut fixture = Fixture::subscribed(&["a", "b"]);
    fixture.successor(NEW);
    fixture.add(A, CHANNEL, "c");
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a b c"]);
    assert_eq!(fixture.commands(OLD), [""; 0], "a new name is asked of the successor only");
    fixture.confirm(NEW, "SUBSCRIBE a b c");
    fixture.push(NEW, "message b x");
    fixture.remove(A, CHANNEL, "b");
    assert_eq!(fixture.subscriptions.held.get(), 0);
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a b"]);
    assert_eq!(fixture.commands(NEW), ["UNSUBSCRIBE b"]);
    fixture.push(NEW, "message c y");
    assert_eq!(fixture.events(), ["1 confirmed c", "1 unsubscribed b", "1 message c: y"]);
    fixture.confirm(OLD, "UNSUBSCRIBE a");
    assert!(fixture.subscriptions.is_settled(), "a removed name needs no fence");
}

#[test]
fn removed_name_is_added_again_on_the_successor() {
    let mut fixture = Fixture::overlapping(&["a", "b"]);
    fixture.remove(A, CHANNEL, "a");
    fixture.add(B, CHANNEL, "a");
    assert_eq!(fixture.events(), ["1 unsubscribed a", "2 confirmed a"]);
    fixture.push(OLD, "message a old");
    fixture.push(NEW, "message a new");
    assert_eq!(fixture.events(), ["2 message a: new"]);
}

#[test]
fn subscription_added_at_a_fence_is_confirmed_by_it() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.add(B, CHANNEL, "a");
    fixture.push(OLD, "message a 1");
    fixture.push(NEW, "message a 1");
    fixture.push(NEW, "message a 2");
    assert_eq!(fixture.events(), ["1 message a: 1"]);
    fixture.push(OLD, "unsubscribe a 0");
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["2 confirmed a", "1 message a: 2", "2 message a: 2"]);
}

#[test]
fn handoff_without_confirmed_names_ends_at_once() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.successor(NEW);
    assert!(fixture.subscriptions.is_released(OLD));
    fixture.push(OLD, "subscribe a 1");
    assert_eq!(fixture.events(), [""; 0]);
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 confirmed a"]);
}

#[test]
fn successor_without_predecessor_is_the_first_connection() {
    let mut fixture = Fixture::new();
    fixture.add(A, CHANNEL, "a");
    fixture.successor(NEW);
    assert!(fixture.subscriptions.is_settled());
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 confirmed a"]);
}

#[test]
fn successor_of_a_moving_slot_is_asked_until_it_confirms() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, SHARDED, "s");
    fixture.answer(OLD);
    fixture.successor(NEW);
    fixture.events();
    for step in 0..10 {
        assert_eq!(fixture.commands(NEW), ["SSUBSCRIBE s"]);
        fixture.refuse(NEW, "MOVED 1 old:1");
        fixture.at(250 * (step + 1)).timeout();
    }
    fixture.push(OLD, "smessage s 1");
    fixture.push(OLD, "sunsubscribe s 0");
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 message s: 1"]);
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 gap s: 2500-2500 ServerUnsubscribed"]);
}

#[test]
fn patterns_and_their_channels_are_handed_off_separately() {
    let mut fixture = Fixture::subscribed(&["ab"]);
    fixture.add(A, PATTERN, "a*");
    fixture.answer(OLD);
    fixture.successor(NEW);
    fixture.answer(NEW);
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE ab", "PUNSUBSCRIBE a*"]);
    fixture.events();
    for link in [OLD, NEW] {
        fixture.push(link, "pmessage a* ab 1");
        fixture.push(link, "message ab 1");
        fixture.push(link, "pmessage a* ac 1");
    }
    fixture.confirm(OLD, "UNSUBSCRIBE ab");
    fixture.confirm(OLD, "PUNSUBSCRIBE a*");
    fixture.answer(NEW);
    assert_eq!(fixture.events(), ["1 message a* ab: 1", "1 message ab: 1", "1 message a* ac: 1"]);
    assert_eq!(fixture.subscriptions.stats().duplicates_dropped, 3);
}

#[test]
fn successor_behind_the_predecessor_repeats_nothing() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(OLD, "message a 2");
    // The successor has sent both, and only the first has arrived.
    fixture.push(NEW, "message a 1");
    fixture.push(OLD, "unsubscribe a 0");
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.push(NEW, "message a 2");
    fixture.push(NEW, "subscribe a 1");
    fixture.push(NEW, "message a 3");
    assert_eq!(fixture.events(), ["1 message a: 1", "1 message a: 2", "1 message a: 3"]);
}

#[test]
fn fence_after_a_quiet_overlap_needs_no_mark() {
    let mut fixture = Fixture::overlapping(&["a"]);
    fixture.push(NEW, "message a 1");
    fixture.push(OLD, "unsubscribe a 0");
    assert_eq!((fixture.commands(NEW), fixture.events()), (vec![], vec!["1 message a: 1".to_owned()]));
}

#[test]
fn late_answer_to_a_repetition_is_no_mark() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.successor(NEW);
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.at(5000).timeout();
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.push(NEW, "subscribe a 1");
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.push(OLD, "message a 1");
    fixture.push(OLD, "unsubscribe a 0");
    assert_eq!(fixture.commands(NEW), ["SUBSCRIBE a"]);
    fixture.push(NEW, "subscribe a 1");
    fixture.push(NEW, "message a 1");
    assert!(!fixture.subscriptions.is_settled());
    fixture.push(NEW, "subscribe a 1");
    assert!(fixture.subscriptions.is_settled());
    assert_eq!(fixture.events(), ["1 message a: 1"]);
}

#[test]
fn fence_of_a_sharded_channel_is_a_mark() {
    for is_moved in [false, true] {
        let mut fixture = Fixture::new();
        fixture.ready(OLD);
        fixture.add(A, SHARDED, "s");
        fixture.answer(OLD);
        fixture.successor(NEW);
        fixture.answer(NEW);
        fixture.events();
        assert_eq!(fixture.commands(OLD), ["SSUBSCRIBE s"]);
        if is_moved {
            // The slot had moved before the successor had the name.
            fixture.at(10).push(OLD, "sunsubscribe s 0");
            fixture.refuse(OLD, "MOVED 1 new:1");
            assert_eq!(fixture.events(), ["1 gap s: 0-0 ServerUnsubscribed"]);
        } else {
            fixture.push(OLD, "ssubscribe s 1");
            assert_eq!(fixture.events(), [""; 0]);
        }
        assert!(fixture.subscriptions.is_settled());
    }
}
