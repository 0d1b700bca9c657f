//! Sessions: what a handoff, a loss and the end of a session do with watches, transactions and other state.

use super::*;
use crate::proto::connection::Credentials;
use crate::proto::error::Stale;

const SESSION: u32 = 3;

impl Story {
    fn open(&mut self) -> u32 {
        self.submit_exclusive(EntryId::opening(SESSION), &[]).unwrap();
        self.next_ticket
    }

    fn say(&mut self, texts: &[&str]) -> Result<Position, Failure> {
        self.submit_exclusive(EntryId::session(SESSION), texts)
    }

    fn end(&mut self) {
        self.submit_exclusive(EntryId::closing(SESSION), &[]).unwrap();
    }

    /// A pool with a shared connection, and a session with one of its own.
    fn in_session() -> (Self, ConnectionId, ConnectionId) {
        let (mut story, shared) = Story::ready(config());
        let opening = story.open();
        assert_eq!(story.delivered.replies, [(opening, Frame::Null)]);
        let own = story.admit(7);
        (story, shared, own)
    }

    /// Submits and answers commands, each by itself.
    fn exchange(&mut self, own: ConnectionId, text: &str) {
        self.say(&[text]).unwrap();
        assert_eq!(self.written(own), text);
        self.receive(own, "+OK\r\n");
    }
}

fn is_stale(result: Result<Position, Failure>, expected: Stale) -> bool {
    let Err(failure) = result else { return false };
    assert_eq!(failure.outcome(), Outcome::Unsent);
    matches!(failure, Failure::Stale(stale) if stale == expected)
}

#[test]
fn session_has_a_connection_for_itself_and_in_order() {
    let (mut story, shared, own) = Story::in_session();
    story.say(&["SET a 1"]).unwrap();
    story.say(&["GET a"]).unwrap();
    assert_eq!((story.written(shared), story.written(own)), (String::new(), "SET a 1 GET a".into()));
    story.receive(own, "+OK\r\n$1\r\n1\r\n");
    assert_eq!(story.delivered.replies.len(), 3);
    story.close(own);
    let again = story.redial();
    story.shake_hands(again);
    story.exchange(again, "GET a");
}

#[test]
fn sessions_wait_for_a_connection_in_order() {
    let (mut story, _, _) = Story::in_session();
    story.block_once("BLPOP a 0");
    story.submit_exclusive(EntryId::opening(9), &[]).unwrap();
    let waiting = story.next_ticket;
    assert_eq!(story.pool.exclusive().waiting, 1);
    story.end();
    assert!(story.delivered.answered().contains(&waiting));
    // One that waits in vain learns the bound.
    story.submit_exclusive(EntryId::opening(10), &[]).unwrap();
    story.run(SECOND * 2);
    let (_, failure) = story.delivered.failures.pop().expect("a failure");
    assert!(crate::Error::from(failure).to_string().contains("exclusive_connections_max"));
}

#[test]
fn se_reset_on_return() {
    for (said, reset) in [(&["WATCH a"][..], "UNWATCH"), (&["WATCH a", "MULTI"], "DISCARD"), (&["GET a"], "")]
    {
        let (mut story, _, own) = Story::in_session();
        said.iter().for_each(|text| story.exchange(own, text));
        story.end();
        assert_eq!(story.written(own), reset, "{said:?}");
        story.open();
        let next = story.next_dial();
        assert_eq!(next.is_some(), !reset.is_empty(), "it serves no other session before the answer");
        if reset.is_empty() {
            story.exchange(own, "GET b");
        } else {
            story.receive(own, "+OK\r\n");
            let free = story.submit_exclusive(EntryId::opening(9), &[]);
            assert!(free.is_ok() && story.next_dial().is_none());
        }
    }
}

#[test]
fn session_with_state_of_its_own_is_closed_on_return() {
    for changes in ["SELECT 3", "CLIENT TRACKING ON", "HELLO 2"] {
        let (mut story, _, own) = Story::in_session();
        story.exchange(own, changes);
        story.end();
        assert!(!story.pool.connection(own).is_alive(), "{changes}");
    }
}

#[test]
fn idle_session_moves_with_all_others() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "GET a");
    let (_, successor) = story.handed_off(shared);
    assert!(!story.pool.connection(own).is_alive());
    story.exchange(successor, "GET b");
}

#[test]
fn mv_watch_stale() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    story.exchange(own, "GET a");
    let (_, successor) = story.handed_off(shared);
    assert!(!story.pool.connection(own).is_alive(), "it has moved at once");
    assert!(is_stale(story.say(&["MULTI", "SET a 2", "EXEC"]), Stale::Watch));
    assert_eq!(story.written(successor), "", "not a byte");
    story.exchange(successor, "WATCH a");
    story.say(&["MULTI", "SET a 2", "EXEC"]).unwrap();
    assert_eq!(story.written(successor), "MULTI SET a 2 EXEC", "the session works on");
}

#[test]
fn stale_exec_by_itself_discards_what_the_server_has_queued() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    let (_, successor) = story.handed_off(shared);
    story.exchange(successor, "MULTI");
    story.exchange(successor, "SET a 2");
    assert!(is_stale(story.say(&["EXEC"]), Stale::Watch));
    assert_eq!(story.written(successor), "DISCARD");
    story.receive(successor, "+OK\r\n");
    story.exchange(successor, "GET a");
}

#[test]
fn stale_watch_ends_with_unwatch() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    let (_, successor) = story.handed_off(shared);
    // A further watch does not bring the lost one back.
    story.exchange(successor, "WATCH b");
    assert!(is_stale(story.say(&["MULTI", "EXEC"]), Stale::Watch));
    story.exchange(successor, "UNWATCH");
    story.say(&["MULTI", "EXEC"]).unwrap();
}

#[test]
fn mv_multi_not_split() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "MULTI");
    story.exchange(own, "SET a 1");
    let (_, successor) = story.handed_off(shared);
    assert!(story.pool.connection(own).is_alive(), "it finishes where it has begun");
    story.say(&["SET b 1"]).unwrap();
    story.say(&["EXEC"]).unwrap();
    assert_eq!((story.written(own), story.written(successor)), ("SET b 1 EXEC".into(), String::new()));
    story.receive(own, "+QUEUED\r\n");
    assert!(story.pool.connection(own).is_alive());
    story.receive(own, "*2\r\n+OK\r\n+OK\r\n");
    assert!(!story.pool.connection(own).is_alive(), "the handoff follows the EXEC");
    story.exchange(successor, "GET a");
}

#[test]
fn transaction_on_the_way_holds_the_handoff() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    // Written, and not answered yet.
    story.say(&["MULTI", "SET a 2", "EXEC"]).unwrap();
    assert_eq!(story.written(own), "MULTI SET a 2 EXEC");
    let (_, successor) = story.handed_off(shared);
    story.say(&["GET a"]).unwrap();
    assert_eq!((story.written(own), story.written(successor)), ("GET a".into(), String::new()));
    story.receive(own, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n$1\r\n2\r\n");
    story.exchange(successor, "GET b");
}

#[test]
fn lost_transaction_goes_on_nowhere() {
    let (mut story, _, own) = Story::in_session();
    story.exchange(own, "MULTI");
    story.say(&["SET a 1"]).unwrap();
    story.close(own);
    assert_eq!(story.delivered.failed(), [(3, Outcome::Unsent)]);
    assert!(is_stale(story.say(&["SET b 1"]), Stale::Transaction));
    assert!(is_stale(story.say(&["EXEC"]), Stale::Transaction));
    story.say(&["GET a"]).unwrap();
    let again = story.redial();
    story.shake_hands(again);
    assert_eq!(story.written(again), "GET a");
}

#[test]
fn lost_watch_fails_the_transaction_behind_it() {
    let (mut story, _, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    // It is queued when the connection is lost: without the watch it must not run.
    story.say(&["MULTI", "SET a 1", "EXEC"]).unwrap();
    story.close(own);
    assert_eq!(story.delivered.failed(), [(3, Outcome::Unsent)]);
    let again = story.redial();
    story.shake_hands(again);
    assert_eq!(story.written(again), "");
}

#[test]
fn se_nonmigratable_stays() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "SELECT 3");
    story.receive(shared, moving(1, 15, Some("10.0.0.2:6379")));
    story.run(SECOND * 20);
    let dialed: Vec<_> = std::iter::from_fn(|| story.next_dial()).map(|id| id.entry).collect();
    assert!(dialed.iter().all(|entry| *entry == shared.entry), "{dialed:?}");
    story.exchange(own, "GET a");
    story.close(own);
    assert!(is_stale(story.say(&["GET a"]), Stale::Connection));
    assert!(is_stale(story.say(&["EXEC"]), Stale::Connection), "it does not come back");
}

#[test]
fn blocking_command_of_a_session_may_wait() {
    let (mut story, _, own) = Story::in_session();
    story.say(&["BLPOP a 30"]).unwrap();
    assert_eq!(story.written(own), "BLPOP a 30");
    story.run(SECOND * 29);
    assert!(story.delivered.failures.is_empty());
    story.receive(own, "_\r\n");
    story.say(&["GET a"]).unwrap();
    story.written(own);
    story.run(SECOND * 2);
    assert_eq!(story.delivered.failed().len(), 1, "the next one has the usual timeout");
}

#[test]
fn caller_that_leaves_before_its_session_is_open_leaves_nothing() {
    let (mut story, _, _) = Story::in_session();
    story.block_once("BLPOP a 0");
    let position = story.submit_exclusive(EntryId::opening(9), &[]).unwrap();
    story.pool.abandon(EntryId::opening(9), position);
    story.submit_exclusive(EntryId::closing(9), &[]).unwrap();
    assert_eq!(story.pool.exclusive().waiting, 0);
    story.end();
    assert!(matches!(story.submit_exclusive(EntryId::session(9), &["GET a"]), Err(Failure::ShutDown(_))));
}

#[test]
fn shutdown_answers_sessions_first() {
    let (mut story, _, own) = Story::in_session();
    story.say(&["GET a"]).unwrap();
    story.written(own);
    let until = story.now.after(SECOND * 5);
    story.pool.shut_down(story.now, until, &mut story.delivered);
    assert!(!story.pool.is_shut_down());
    story.receive(own, "+1\r\n");
    story.turn();
    assert!(story.pool.is_shut_down() && story.delivered.failures.is_empty());
}

#[test]
fn lost_reset_tells_no_caller() {
    let (mut story, _, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    story.end();
    assert_eq!(story.written(own), "UNWATCH");
    story.close(own);
    assert!(story.delivered.failures.is_empty(), "{:?}", story.delivered.failures);
}

#[test]
fn reset_is_not_sent_on_the_next_connection() {
    let (mut story, _, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    story.end();
    // It is not written when the connection is lost.
    story.close(own);
    story.open();
    let next = story.admit(8);
    story.exchange(next, "GET b");
}

#[test]
fn open_transaction_holds_internal_commands_back() {
    let (mut story, shared, own) = Story::in_session();
    story.exchange(own, "MULTI");
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!((story.written(shared), story.written(own)), ("AUTH new".into(), String::new()));
    story.run(SECOND * 100);
    assert!(!story.written(own).contains("PING"), "the server would answer it with the EXEC");
    story.say(&["EXEC"]).unwrap();
    assert_eq!(story.written(own), "EXEC AUTH new");
}

#[test]
fn dropped_exec_leaves_no_transaction_behind() {
    let (mut story, _, own) = Story::in_session();
    story.exchange(own, "MULTI");
    let exec = story.say(&["EXEC"]).unwrap();
    story.pool.abandon(EntryId::session(SESSION), exec);
    assert_eq!(story.written(own), "DISCARD UNWATCH");
    story.receive(own, "+OK\r\n+OK\r\n");
    story.exchange(own, "GET a");
}

#[test]
fn dropped_multi_does_not_free_the_commands_behind_it() {
    let (mut story, _, own) = Story::in_session();
    let multi = story.say(&["MULTI"]).unwrap();
    story.say(&["SET a 1"]).unwrap();
    story.say(&["EXEC"]).unwrap();
    story.pool.abandon(EntryId::session(SESSION), multi);
    assert_eq!(story.written(own), "MULTI SET a 1 EXEC", "it is written for the sake of the others");
    story.receive(own, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    assert_eq!(story.delivered.replies.len(), 3, "{:?}", story.delivered.replies);
}

#[test]
fn session_that_leaves_its_transaction_leaves_none_behind() {
    let (mut story, _, own) = Story::in_session();
    story.exchange(own, "WATCH a");
    let calls = ["MULTI", "SET a 1", "EXEC"].map(|text| story.say(&[text]).unwrap());
    calls.into_iter().for_each(|call| story.pool.abandon(EntryId::session(SESSION), call));
    story.end();
    assert_eq!(story.written(own), "MULTI SET a 1 DISCARD UNWATCH", "the transaction does not run");
}

#[test]
fn expired_multi_takes_its_transaction_along() {
    let (mut story, _) = Story::ready(config());
    story.open();
    story.say(&["MULTI"]).unwrap();
    story.run(SECOND / 2);
    story.say(&["SET a 1"]).unwrap();
    story.run(SECOND * 3 / 5);
    assert_eq!(story.delivered.failed().len(), 2, "{:?}", story.delivered.failures);
    assert!(is_stale(story.say(&["EXEC"]), Stale::Transaction));
}

#[test]
fn session_that_ends_without_a_connection_is_not_dialed() {
    let (mut story, _, own) = Story::in_session();
    story.close(own);
    let get = story.submit_only(EntryId::session(SESSION), "GET a");
    story.pool.abandon(EntryId::session(SESSION), get);
    story.end();
    story.run(SECOND * 2);
    assert_eq!(story.next_dial(), None);
}
