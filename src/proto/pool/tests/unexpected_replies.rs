//! Servers that answer without a request, and the errors that callers get.

use super::story::*;
use super::*;

#[test]
fn unexpected_reply_to_hello_is_named_by_its_kind() {
    for (answer, kind) in [
        ("+OK\r\n", "simple string"),
        (":1\r\n", "integer"),
        ("$2\r\nOK\r\n", "bulk string"),
        ("_\r\n", "null"),
        ("#t\r\n", "boolean"),
        (",1.5\r\n", "double"),
        ("(3492890328409238509324850943850943825024385\r\n", "big number"),
        ("=6\r\ntxt:OK\r\n", "verbatim string"),
        ("~0\r\n", "set"),
    ] {
        let mut story = Story::new(config());
        let id = story.dialed();
        story.pool.connection(id).handle_connected(PEER, None, story.now);
        story.written(id);
        assert!(!story.receive(id, answer), "{kind}");
        let reason = story.closed().unwrap().to_string();
        assert_eq!(reason, format!("the server refused HELLO: {kind}"));
    }
}

/// The last error explains only commands that were not sent.
#[test]
fn deadline_of_an_unsent_call_names_the_last_error() {
    let mut story = Story::new(config());
    let id = story.dialed();
    story.fail(id, CloseReason::Dial("refused".into()));
    let position = story.submit("a");
    story.pool.set_deadline(ONLY, position, Ticket(1), Duration::from_millis(1), story.now);
    story.wait(Duration::from_millis(1));
    let Failure::TimedOut(timed_out) = &story.delivered.failures[0].1 else {
        panic!("{:?}", story.delivered.failures)
    };
    let last_error = timed_out.last_error.as_ref().expect("the reason");
    assert_eq!(last_error.to_string(), "could not connect: refused");
}
