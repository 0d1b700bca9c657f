//! What is asked of the server, and what its answers mean.

use super::*;
use crate::proto::subscriptions::link::{ANSWER_TIMEOUT, COMMAND_NAMES_MAX, RETRY_AFTER, UNANSWERED_MAX};

#[test]
fn server_is_asked_once_for_each_name() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    fixture.add(B, CHANNEL, "a");
    fixture.add(A, PATTERN, "a");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a", "PSUBSCRIBE a"]);
    fixture.push(OLD, "subscribe a 1");
    assert_eq!(fixture.events(), ["1 confirmed a", "2 confirmed a"]);
    fixture.push(OLD, "message a x");
    assert_eq!(fixture.events(), ["1 message a: x", "2 message a: x"]);
}

#[test]
fn last_subscription_unsubscribes() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.add(B, CHANNEL, "a");
    assert_eq!(fixture.events(), ["2 confirmed a"], "a confirmed name is reported at once");
    fixture.remove(A, CHANNEL, "a");
    assert_eq!(fixture.events(), ["1 unsubscribed a"]);
    assert_eq!(fixture.commands(OLD), [""; 0]);
    fixture.push(OLD, "message a x");
    assert_eq!(fixture.events(), ["2 message a: x"]);
    fixture.remove(B, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.push(OLD, "unsubscribe a 0");
    assert_eq!((fixture.subscriptions.len(), fixture.subscriptions.unanswered(OLD)), (0, 0));
    fixture.remove(B, CHANNEL, "a");
    assert_eq!(fixture.events(), ["2 unsubscribed a"], "a name is removed once");
}

#[test]
fn close_drops_all_names_without_events() {
    let mut fixture = Fixture::subscribed(&["a", "b"]);
    fixture.add(B, CHANNEL, "b");
    fixture.events();
    fixture.subscriptions.close(A, fixture.now);
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.push(OLD, "message b x");
    assert_eq!(fixture.events(), ["2 message b: x"]);
}

#[test]
fn name_is_alive_by_its_confirmation_only() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.push(OLD, "message a early");
    assert_eq!(fixture.events(), [""; 0]);
    fixture.push(OLD, "subscribe a 1");
    fixture.push(OLD, "message a x");
    assert_eq!(fixture.events(), ["1 confirmed a", "1 message a: x"]);
    assert_eq!(fixture.subscriptions.stats().strays, 1);
}

#[test]
fn change_of_mind_waits_for_the_answer() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.remove(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), [""; 0]);
    fixture.push(OLD, "subscribe a 1");
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.add(A, CHANNEL, "a");
    fixture.push(OLD, "message a between");
    assert_eq!(fixture.commands(OLD), [""; 0]);
    fixture.push(OLD, "unsubscribe a 0");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.push(OLD, "subscribe a 1");
    assert_eq!(fixture.events(), ["1 unsubscribed a", "1 confirmed a"]);
}

#[test]
fn change_of_mind_before_the_write_costs_no_command() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    for _ in 0..1000 {
        fixture.add(A, CHANNEL, "a");
        fixture.remove(A, CHANNEL, "a");
    }
    assert_eq!(fixture.commands(OLD), [""; 0]);
    assert_eq!(fixture.subscriptions.len(), 0);
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.remove(A, CHANNEL, "a");
    fixture.add(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), [""; 0]);
    assert_eq!(fixture.events(), ["1 unsubscribed a", "1 confirmed a"]);
}

#[test]
fn names_are_asked_for_in_bounded_batches() {
    let mut fixture = Fixture::new();
    for name in 0..=COMMAND_NAMES_MAX {
        let name = Bytes::from(format!("{name:04}"));
        fixture.subscriptions.add(A, CHANNEL, name, fixture.now, &mut fixture.events);
    }
    fixture.ready(OLD);
    let commands = fixture.commands(OLD);
    let counts: Vec<usize> = commands.iter().map(|command| command.split(' ').count() - 1).collect();
    assert_eq!(counts, [COMMAND_NAMES_MAX, 1]);
}

#[test]
fn commands_without_answers_are_bounded() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    let mut written = 0;
    for name in 0..1000 {
        let name = Bytes::from(format!("{name:04}"));
        fixture.subscriptions.add(A, CHANNEL, name.clone(), fixture.now, &mut fixture.events);
        written += fixture.commands(OLD).len();
        fixture.subscriptions.remove(A, CHANNEL, name, fixture.now, &mut fixture.events);
    }
    assert_eq!((written, fixture.subscriptions.unanswered(OLD)), (UNANSWERED_MAX, UNANSWERED_MAX));
}

#[test]
fn late_confirmation_is_asked_for_again() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    fixture.add(A, CHANNEL, "b");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a b"]);
    fixture.push(OLD, "subscribe a 1");
    let due = Instant::default().after(ANSWER_TIMEOUT);
    assert_eq!(fixture.subscriptions.next_timeout(), Some(due));
    fixture.at(millis(due) - 1).timeout();
    assert_eq!(fixture.commands(OLD), [""; 0]);
    fixture.at(millis(due)).timeout();
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE b"]);
    assert_eq!(fixture.subscriptions.stats().retries, 1);
    fixture.push(OLD, "subscribe b 2");
    fixture.push(OLD, "subscribe b 2");
    assert_eq!(fixture.events(), ["1 confirmed a", "1 confirmed b"]);
    assert_eq!(fixture.subscriptions.unanswered(OLD), 0);
    assert_eq!(fixture.subscriptions.next_timeout(), None);
}

#[test]
fn late_answers_to_repetitions_are_no_other_answers() {
    let mut fixture = Fixture::subscribed(&["a"]);
    fixture.remove(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.at(5000).timeout();
    assert_eq!(fixture.commands(OLD), ["UNSUBSCRIBE a"]);
    fixture.add(A, CHANNEL, "a");
    fixture.push(OLD, "unsubscribe a 0");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.push(OLD, "unsubscribe a 0");
    fixture.push(OLD, "subscribe a 1");
    assert_eq!(fixture.events(), ["1 unsubscribed a", "1 confirmed a"]);
    assert_eq!(fixture.subscriptions.stats().unsolicited_unsubscribes, 0);
}

#[test]
fn refused_batch_is_asked_for_name_by_name() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    for name in ["a", "b", "c"] {
        fixture.add(A, CHANNEL, name);
    }
    fixture.add(B, CHANNEL, "b");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a b c"]);
    fixture.refuse(OLD, "NOPERM no");
    assert_eq!(fixture.events(), [""; 0]);
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a", "SUBSCRIBE b", "SUBSCRIBE c"]);
    fixture.push(OLD, "subscribe a 1");
    fixture.refuse(OLD, "NOPERM no");
    fixture.push(OLD, "subscribe c 2");
    assert_eq!(
        fixture.events(),
        ["1 confirmed a", "1 refused b: NOPERM no", "2 refused b: NOPERM no", "1 confirmed c"]
    );
    assert_eq!(fixture.subscriptions.len(), 2, "a refused name leaves the desired state");
    assert_eq!(fixture.subscriptions.by_id.get(&B), None);
    fixture.remove(A, CHANNEL, "b");
    assert_eq!(fixture.events(), [""; 0]);
}

#[test]
fn refusal_answers_the_oldest_command() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    fixture.add(A, PATTERN, "p");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a", "PSUBSCRIBE p"]);
    fixture.push(OLD, "subscribe a 1");
    fixture.refuse(OLD, "NOPERM no");
    fixture.refuse(OLD, "ERR unasked");
    assert_eq!(fixture.events(), ["1 confirmed a", "1 refused p: NOPERM no"]);
    assert_eq!(fixture.subscriptions.stats().unmatched_refusals, 1);
}

#[test]
fn moved_slot_is_asked_for_again_and_not_refused() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, SHARDED, "s");
    assert_eq!(fixture.commands(OLD), ["SSUBSCRIBE s"]);
    fixture.refuse(OLD, "MOVED 1 other:1");
    assert_eq!((fixture.commands(OLD), fixture.events()), (vec![], vec![]));
    let due = Instant::default().after(RETRY_AFTER);
    assert_eq!(fixture.subscriptions.next_timeout(), Some(due));
    fixture.at(millis(due)).timeout();
    assert_eq!(fixture.commands(OLD), ["SSUBSCRIBE s"]);
    fixture.push(OLD, "ssubscribe s 1");
    fixture.push(OLD, "smessage s x");
    assert_eq!(fixture.events(), ["1 confirmed s", "1 message s: x"]);
}

#[test]
fn unsolicited_sunsubscribe_begins_a_gap_and_asks_again() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, SHARDED, "s");
    fixture.answer(OLD);
    fixture.add(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.at(10).push(OLD, "sunsubscribe s 0");
    assert_eq!(fixture.subscriptions.unanswered(OLD), 1, "it answers no command");
    assert_eq!(fixture.commands(OLD), ["SSUBSCRIBE s"]);
    fixture.add(B, SHARDED, "s");
    fixture.push(OLD, "subscribe a 1");
    fixture.at(30).push(OLD, "ssubscribe s 1");
    assert_eq!(
        fixture.events(),
        ["1 confirmed s", "1 confirmed a", "1 gap s: 10-30 ServerUnsubscribed", "2 confirmed s"],
        "a subscription that began during the gap has missed nothing"
    );
    assert_eq!(fixture.subscriptions.stats().unsolicited_unsubscribes, 1);
}

#[test]
fn other_pushes_are_left_to_the_caller() {
    let mut fixture = Fixture::subscribed(&["a"]);
    let items = [Frame::Bulk(bytes("MOVING")), Frame::Integer(1)];
    assert!(!fixture.subscriptions.handle_push(OLD, &items, fixture.now, &mut fixture.events));
    let items = [Frame::Bulk(bytes("message")), Frame::Integer(1)];
    assert!(fixture.subscriptions.handle_push(OLD, &items, fixture.now, &mut fixture.events));
    assert_eq!(fixture.subscriptions.stats().malformed, 1);
}

#[test]
fn pushes_that_nothing_asked_for_change_nothing() {
    let mut fixture = Fixture::subscribed(&["a"]);
    for push in ["subscribe b 1", "subscribe a 1", "unsubscribe b 0", "message b x", "pmessage a a x"] {
        fixture.push(OLD, push);
        fixture.push(NEW, push);
    }
    assert_eq!((fixture.commands(OLD), fixture.commands(NEW), fixture.events()), (vec![], vec![], vec![]));
    assert_eq!((fixture.subscriptions.len(), fixture.subscriptions.stats().strays), (1, 4));
}

#[test]
fn debug_of_a_message_hides_its_data() {
    let message = Message { kind: PATTERN, channel: bytes("c"), pattern: None, payload: bytes("s3cret") };
    let shown = format!("{:?}", PubSubEvent::Message(message));
    assert_eq!(shown, "Message(Message(Pattern, a channel of 1 bytes, a payload of 6 bytes))");
}

#[test]
fn refusal_waits_for_the_answer_to_a_repetition() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, CHANNEL, "a");
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.at(5000).timeout();
    assert_eq!(fixture.commands(OLD), ["SUBSCRIBE a"]);
    fixture.refuse(OLD, "NOPERM no");
    assert_eq!(fixture.events(), [""; 0]);
    fixture.push(OLD, "subscribe a 1");
    assert_eq!(fixture.events(), ["1 confirmed a"]);
}

#[test]
fn repetition_that_subscribes_again_is_given_up_if_unwanted() {
    let mut fixture = Fixture::new();
    fixture.ready(OLD);
    fixture.add(A, SHARDED, "s");
    assert_eq!(fixture.commands(OLD), ["SSUBSCRIBE s"]);
    fixture.at(5000).timeout();
    assert_eq!(fixture.commands(OLD), ["SSUBSCRIBE s"]);
    fixture.remove(A, SHARDED, "s");
    fixture.push(OLD, "ssubscribe s 1");
    fixture.push(OLD, "sunsubscribe s 0");
    fixture.push(OLD, "ssubscribe s 1");
    assert_eq!(fixture.commands(OLD), ["SUNSUBSCRIBE s"]);
}
