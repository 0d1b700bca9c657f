//! How blocked sessions continue: an element for them arrives, their time is over, `CLIENT UNBLOCK`, or they end.
//!
//! ```text
//!  open ── blocking command, no list ──▶ blocked ─┬─ a list appears ──▶ served: the reply has the element ─┐
//!   ▲                                             ├─ the time is over ──▶ the reply is null ───────────────┤
//!   │                                             ├─ CLIENT UNBLOCK ──▶ the reply is null, or an error ────┤
//!   │                                             └─ the session ends ──▶ it takes nothing                 │
//!   └──────────────────────────── the requests behind the blocking command ◀───────────────────────────────┘
//! ```
//!
//! A session that has an ending takes no element, even if its connection is still open. A fault that only holds output
//! back is different: as with a slow network, the session is served, and gets its reply when the fault is over.

use std::collections::BTreeMap;

use super::blocking;
use super::command::{CommandContext, DataContext};
use crate::rehearsal::data::keyspace::Value;
use crate::rehearsal::ids::SessionId;
use crate::rehearsal::session::Session;
use crate::rehearsal::session::blocked::BlockedRequest;
use crate::rehearsal::state::ServerState;
use crate::rehearsal::wire::reply::ErrorReply;

/// Serves the sessions that wait for keys which the last command, or the last `EXEC`, has made lists. As in Redis 7.0,
/// the key that became a list first is served first, and among its sessions the one that was blocked first.
pub(crate) fn serve_ready(context: &mut CommandContext<'_>) {
    // A move adds to another list, for which other sessions can wait.
    while let Some((database, key)) = context.state.keyspace.take_ready() {
        serve_key(context.state, context.others, context.now_us, database, &key);
    }
}

/// Unblocks a session whose time is over, or with `error`. Returns false if the session is not blocked.
pub(crate) fn unblock(
    state: &mut ServerState,
    session: &mut Session,
    error: Option<ErrorReply>,
    now_us: u64,
) -> bool {
    if !session.is_open() || stop_waiting(state, session).is_none() {
        return false;
    }
    match error {
        Some(error) => session.reply.error(&error),
        // Redis gives a null array for all blocking commands, while BLMOVE in a transaction gives a null string.
        None => session.reply.null_array(),
    }
    resume(state, session, now_us);
    true
}

/// Ends the wait of a session without a reply, and returns its request. It must be called for each session that ends.
pub(crate) fn stop_waiting(state: &mut ServerState, session: &mut Session) -> Option<Box<BlockedRequest>> {
    let request = session.blocked.take()?;
    state.blocked.unblock(session.id, request.until_us);
    let waiting = &mut state.keyspace.database(request.database).waiting;
    request.keys.iter().for_each(|key| waiting.remove(key, request.turn));
    Some(request)
}

fn serve_key(
    state: &mut ServerState,
    others: &mut BTreeMap<SessionId, Box<Session>>,
    now_us: u64,
    database: usize,
    key: &[u8],
) {
    let mut turn = None;
    while let Some((next, id)) = state.keyspace.database(database).waiting.next_after(key, turn) {
        turn = Some(next);
        if !matches!(state.keyspace.database(database).value(key), Some(Value::List(_))) {
            return;
        }
        // An element must not be taken for a session whose client gets no reply any more.
        let Some(session) = others.get_mut(&id).filter(|session| session.is_open()) else {
            continue;
        };
        let Some(request) = stop_waiting(state, session) else {
            continue;
        };
        let mut data = DataContext {
            db: state.keyspace.database(database),
            reply: &mut session.reply,
            random: &mut state.random,
            now_us,
        };
        // The target of a move can hold another type. The element stays then, and the session gets the error.
        if let Err(error) = blocking::take(&mut data, key, &request.wanted) {
            session.reply.error(&error);
        }
        resume(state, session, now_us);
    }
}

/// The session has its reply: the server's owner must write it, and the server handles the waiting requests.
fn resume(state: &mut ServerState, session: &mut Session, now_us: u64) {
    if !session.input.is_empty() {
        state.blocked.resume(session.id);
    }
    state.account_output(session, now_us);
    state.dirty_sessions.push(session.id);
}

#[cfg(test)]
mod tests {
    use crate::rehearsal::SessionId;
    use crate::rehearsal::commands::testing::TestClient;

    /// A server with the session of the client, and with these other sessions.
    fn open<const N: usize>() -> (TestClient, [SessionId; N]) {
        let mut client = TestClient::new();
        let others = std::array::from_fn(|_| client.open());
        (client, others)
    }

    #[test]
    fn sessions_are_served_in_the_order_of_blocking() {
        let (mut client, [first, second, third]) = open();
        for id in [second, first, third] {
            client.expect_from(id, "BLPOP k k j 0", "");
        }
        assert_eq!(client.dirty(), []);
        client.expect("RPUSH k 1 2", ":2\r\n");
        assert_eq!(client.dirty(), [first, second]);
        assert_eq!(client.take_from(second), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
        assert_eq!(client.take_from(first), "*2\r\n$1\r\nk\r\n$1\r\n2\r\n");
        assert_eq!(client.take_from(third), "");
        client.expect_all(&[("EXISTS k", ":0\r\n"), ("RPUSH j 3", ":1\r\n")]);
        assert_eq!(client.take_from(third), "*2\r\n$1\r\nj\r\n$1\r\n3\r\n");
        client.expect_all(&[("EXISTS j", ":0\r\n"), ("RPUSH k 4", ":1\r\n"), ("LLEN k", ":1\r\n")]);
    }

    #[test]
    fn a_whole_transaction_comes_before_its_elements() {
        let (mut client, [first, second, third]) = open();
        client.expect_from(first, "BLPOP m n 0", "");
        client.expect_from(second, "BLMPOP 0 1 n RIGHT COUNT 9", "");
        client.expect_from(third, "BLMOVE m s LEFT LEFT 0", "");
        client.expect_all(&[("MULTI", ""), ("RPUSH n 1 2 3", ""), ("LPUSH m 9", ""), ("SET s v", "")]);
        client.expect_all(&[("RPUSH gone x", ""), ("DEL gone", "")]);
        client.expect("EXEC", "*5\r\n:3\r\n:1\r\n+OK\r\n:1\r\n:1\r\n");
        // The key that became a list first serves its sessions first.
        assert_eq!(client.take_from(first), "*2\r\n$1\r\nn\r\n$1\r\n1\r\n");
        assert_eq!(client.take_from(second), "*2\r\n$1\r\nn\r\n*2\r\n$1\r\n3\r\n$1\r\n2\r\n");
        assert!(client.take_from(third).starts_with("-WRONGTYPE "));
        client.expect("LRANGE m 0 -1", "*1\r\n$1\r\n9\r\n");
    }

    #[test]
    fn a_served_move_serves_the_next_session() {
        let (mut client, [mover, popper]) = open();
        client.expect_from(popper, "BRPOP target 0", "");
        client.expect_from(mover, "BLMOVE source target LEFT RIGHT 0", "");
        client.expect("RPUSH source a b", ":2\r\n");
        assert_eq!(client.take_from(mover), "$1\r\na\r\n");
        assert_eq!(client.take_from(popper), "*2\r\n$6\r\ntarget\r\n$1\r\na\r\n");
        client.expect_all(&[("LLEN source", ":1\r\n"), ("EXISTS target", ":0\r\n")]);
    }

    #[test]
    fn only_lists_of_the_same_database_serve() {
        let (mut client, [blocked]) = open();
        client.expect_from(blocked, "BLPOP k 0", "");
        client.expect_all(&[("SELECT 1", "+OK\r\n"), ("RPUSH k other", ":1\r\n"), ("SELECT 0", "+OK\r\n")]);
        client.expect_all(&[("SET k v", "+OK\r\n"), ("DEL k", ":1\r\n"), ("SADD k a", ":1\r\n")]);
        client.expect_all(&[("DEL k", ":1\r\n"), ("RPUSH j x", ":1\r\n")]);
        assert_eq!(client.take_from(blocked), "");
        client.expect("RENAME j k", "+OK\r\n");
        assert_eq!(client.take_from(blocked), "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    }

    #[test]
    fn pipelined_requests_wait_for_the_blocked_one() {
        let (mut client, [blocked, other]) = open();
        let request = b"BLPOP a 0\r\nRPUSH b 1\r\nBLPOP a 0\r\nPI";
        client.server.handle_bytes(blocked, client.now_us, request);
        client.server.handle_bytes(blocked, client.now_us, b"NG\r\n");
        client.expect_from(other, "BLPOP b 0", "");
        assert!(client.server.wants_input(blocked) && !client.server.has_backlog(blocked));
        client.expect("RPUSH a x", ":1\r\n");
        assert_eq!(client.take_from(blocked), "*2\r\n$1\r\na\r\n$1\r\nx\r\n:1\r\n");
        assert_eq!(client.take_from(other), "*2\r\n$1\r\nb\r\n$1\r\n1\r\n");
        let dirty = client.dirty();
        assert!(dirty.contains(&blocked) && dirty.contains(&other), "{dirty:?}");
        client.expect("RPUSH a y", ":1\r\n");
        assert_eq!(client.take_from(blocked), "*2\r\n$1\r\na\r\n$1\r\ny\r\n+PONG\r\n");
    }

    #[test]
    fn the_time_of_a_blocked_session_is_over() {
        let (mut client, [short, long, forever]) = open();
        client.expect_from(forever, "BLPOP k 0", "");
        client.expect_from(long, "BLMOVE k j LEFT LEFT 1.5", "");
        client.server.handle_bytes(short, client.now_us, b"BRPOP k 0.0001\r\nBRPOP k 0.002\r\nPING\r\n");
        assert_eq!(client.server.next_deadline_us(), Some(client.now_us + 1_000));
        client.advance_ms(1);
        client.server.handle_time(client.now_us);
        assert_eq!(client.take_from(short), "*-1\r\n");
        assert_eq!(client.server.next_deadline_us(), Some(client.now_us + 2_000));
        assert!(client.dirty().contains(&short));
        client.advance_ms(1_499);
        client.server.handle_time(client.now_us);
        assert_eq!(client.take_from(short), "*-1\r\n+PONG\r\n");
        assert_eq!(client.take_from(long), "*-1\r\n");
        assert_eq!(client.server.next_deadline_us(), None);
        client.expect("LPUSH k 1", ":1\r\n");
        assert_eq!(client.take_from(forever), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    }

    #[test]
    fn a_served_session_has_no_deadline() {
        let (mut client, [blocked]) = open();
        client.expect_from(blocked, "BLPOP k 5", "");
        client.expect("RPUSH k 1", ":1\r\n");
        assert_eq!(client.server.next_deadline_us(), None);
        client.take_from(blocked);
        client.advance_ms(9_000);
        client.server.handle_time(client.now_us);
        client.expect_from(blocked, "PING", "+PONG\r\n");
    }

    #[test]
    fn another_client_can_unblock() {
        let (mut client, [blocked]) = open();
        assert!(client.ask_from(blocked, "HELLO 3").contains(&format!("$2\r\nid\r\n:{blocked}\r\n")));
        client.expect_from(blocked, "CLIENT ID", &format!(":{blocked}\r\n"));
        client.expect_from(blocked, "BLPOP k 0", "");
        let list = client.ask(&format!("CLIENT LIST ID {blocked}"));
        assert!(list.contains(" flags=b ") && client.ask("INFO").contains("blocked_clients:1"), "{list}");
        client.expect(&format!("CLIENT UNBLOCK {blocked}"), ":1\r\n");
        assert_eq!(client.take_from(blocked), "_\r\n");
        assert!(client.dirty().contains(&blocked));
        client.expect(&format!("CLIENT UNBLOCK {blocked} TIMEOUT"), ":0\r\n");
        client.expect_from(blocked, "BLPOP k 7", "");
        client.expect(&format!("CLIENT UNBLOCK {blocked} error"), ":1\r\n");
        assert_eq!(client.take_from(blocked), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
        assert_eq!(client.server.next_deadline_us(), None);
        client.expect_all(&[("RPUSH k 1", ":1\r\n"), ("LLEN k", ":1\r\n")]);
    }

    #[test]
    fn an_ended_session_takes_no_element() {
        let (mut client, ids) = open::<6>();
        for id in ids {
            client.expect_from(id, "BLPOP k 9", "");
        }
        let [gone, closed, reset, half, killed, last] = ids;
        client.server.end(gone);
        client.server.close(closed);
        for (id, how) in [(reset, "rst"), (half, "half")] {
            assert!(client.ask(&format!("REHEARSE TO {id} CLOSE {how}")).contains("OK"));
        }
        client.expect(&format!("CLIENT KILL ID {killed}"), ":1\r\n");
        client.expect(&format!("CLIENT UNBLOCK {half}"), ":0\r\n");
        client.expect("RPUSH k 1 2", ":2\r\n");
        assert_eq!(client.take_from(last), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
        client.expect("LRANGE k 0 -1", "*1\r\n$1\r\n2\r\n");
        client.advance_ms(9_000);
        client.server.handle_time(client.now_us);
        for id in [closed, half] {
            assert_eq!(client.take_from(id), "");
        }
        assert_eq!(client.server.next_deadline_us(), None);
    }

    /// Redis cannot know that a network keeps a reply back, so it serves such a client as well.
    #[test]
    fn a_stalled_session_gets_its_element_after_the_stall() {
        let (mut client, [blocked]) = open();
        client.expect_from(blocked, "BLPOP k 0", "");
        assert!(client.ask("REHEARSE FAULT stall").contains("OK"));
        client.expect("RPUSH k 1", ":1\r\n");
        assert_eq!(client.take_from(blocked), "");
        client.ask("REHEARSE FAULT off");
        assert_eq!(client.take_from(blocked), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    }

    #[test]
    fn a_delay_holds_the_reply_of_a_blocked_session() {
        let (mut client, [blocked]) = open();
        client.expect_from(blocked, "BLPOP k 0", "");
        client.ask("REHEARSE FAULT delay 5");
        client.ask("RPUSH k 1");
        assert_eq!(client.take_from(blocked), "");
        assert_eq!(client.server.next_deadline_us(), Some(client.now_us + 5_000));
        client.advance_ms(5);
        client.server.handle_time(client.now_us);
        assert_eq!(client.take_from(blocked), "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    }
}
