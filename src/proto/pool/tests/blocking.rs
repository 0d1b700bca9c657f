//! Blocking commands on exclusive connections: who gets one, how their waits end, and what a handoff does with them.

use super::*;
use crate::proto::connection::Credentials;
use crate::proto::endpoint::Endpoint;
use crate::proto::resp::Encoder;

const NEXT: &str = "10.0.0.2:6379";

impl Story {
    /// Submits commands as one batch, and lets the pool find a connection for them.
    pub(super) fn submit_exclusive(&mut self, entry: EntryId, texts: &[&str]) -> Result<Position, Failure> {
        let position = self.submit_texts(entry, texts);
        self.turn();
        position
    }

    /// Submits a command. No turn of the supervisor follows.
    pub(super) fn submit_only(&mut self, entry: EntryId, text: &str) -> Position {
        self.submit_texts(entry, &[text]).unwrap()
    }

    fn submit_texts(&mut self, entry: EntryId, texts: &[&str]) -> Result<Position, Failure> {
        self.next_ticket += 1;
        let (ticket, replies) = (Ticket(self.next_ticket), u32::try_from(texts.len().max(1)).unwrap());
        let encode = |out: &mut Vec<u8>| {
            for text in texts {
                let words: Vec<_> = text.split(' ').collect();
                let mut encoder = Encoder::command(out, words.len());
                words.iter().for_each(|word| encoder.bytes(word.as_bytes()));
            }
        };
        let submission = Submission { entry, handle: HandleId(0), ticket, replies };
        self.pool.submit(submission, encode)
    }

    /// Submits a blocking command, and accepts the connection that it needs.
    pub(super) fn block_once(&mut self, text: &str) -> ConnectionId {
        self.block(text);
        self.admit(5)
    }

    /// Submits a blocking command.
    fn block(&mut self, text: &str) -> Position {
        self.submit_exclusive(EntryId::EXCLUSIVE, &[text]).unwrap()
    }

    /// A turn of the supervisor.
    pub(super) fn turn(&mut self) {
        self.wait(Duration::ZERO);
    }

    /// Accepts the next dial at its endpoint, of a server that knows the connection by this id.
    pub(super) fn admit(&mut self, client: u64) -> ConnectionId {
        let dial = self.dial().expect("a dial");
        self.admit_dial(dial, client)
    }

    pub(super) fn admit_dial(
        &mut self,
        (id, endpoint, _): (ConnectionId, Endpoint, Duration),
        client: u64,
    ) -> ConnectionId {
        let hello = format!("%2\r\n+proto\r\n:3\r\n+id\r\n:{client}\r\n").into_bytes();
        let server = Server { hello, ..Server::new() };
        assert!(self.pool.connection(id).handle_connected(endpoint.socket_addr(), None, self.now));
        // The commands of callers are not answered here.
        for _ in 0..2 {
            for command in self.commands(id) {
                self.receive(id, server.answer(&command));
            }
        }
        id
    }

    /// A pool with a shared connection, and a blocking command that is written on one of its own.
    pub(super) fn blocked(text: &str) -> (Self, ConnectionId, ConnectionId) {
        let (mut story, shared) = Story::ready(config());
        story.block(text);
        let own = story.admit(7);
        assert_eq!(story.written(own), text);
        (story, shared, own)
    }

    /// A handoff of both connections, up to the handshakes: the successors of the shared and the exclusive one.
    pub(super) fn handed_off(&mut self, shared: ConnectionId) -> (ConnectionId, ConnectionId) {
        self.receive(shared, moving(1, 15, Some(NEXT)));
        // The moves of connections are spread over the beginning of the grace period.
        let mut successors = [8, 9].map(|client| {
            loop {
                if let Some(dial) = self.dial() {
                    break self.admit_dial(dial, client);
                }
                let at = self.pool.next_timeout().expect("a time to dial");
                self.run(at.since(self.now));
            }
        });
        successors.sort_by_key(|id| id.entry);
        (successors[0], successors[1])
    }
}

#[test]
fn blocking_command_has_a_connection_for_itself() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 5");
    assert_ne!(own.entry, shared.entry);
    story.submit("GET");
    assert_eq!((story.written(shared), story.written(own)), ("GET".into(), String::new()));
    story.receive(own, "*2\r\n+jobs\r\n+one\r\n");
    assert_eq!(story.delivered.answered(), [1]);
    // The next one uses the same connection.
    story.block("BRPOP jobs 5");
    assert_eq!(story.written(own), "BRPOP jobs 5");
    assert_eq!(story.next_dial(), None);
    let roles = story.pool.entries().ready_by_role();
    assert_eq!(
        roles.into_iter().map(|(role, count)| (role.name(), count)).collect::<Vec<_>>(),
        [("shared", 1), ("blocking", 1)]
    );
}

#[test]
fn bl_pool_exhausted_waits_in_order() {
    let (mut story, _, first) = Story::blocked("BLPOP a 0");
    story.block("BLPOP b 0");
    let second = story.admit(8);
    story.block("BLPOP c 0");
    story.block("BLPOP d 0");
    let last = story.block("BLPOP e 2");
    assert_eq!((story.next_dial(), story.pool.exclusive().waiting), (None, 3));
    assert_eq!(story.written(second), "BLPOP b 0");
    story.receive(second, "+b\r\n");
    assert_eq!(story.written(second), "BLPOP c 0");
    story.receive(first, "+a\r\n");
    assert_eq!(story.written(first), "BLPOP d 0");
    // It waits for a connection as long as it would for an element, and for the command timeout.
    story.run(Duration::from_millis(2999));
    assert!(story.delivered.failures.is_empty());
    story.run(Duration::from_millis(2));
    assert_eq!(story.delivered.failed(), [(5, Outcome::Unsent)]);
    let error = crate::Error::from(story.delivered.failures[0].1.clone()).to_string();
    assert!(
        error.contains("all 2 exclusive connections") && error.contains("exclusive_connections_max"),
        "{error}"
    );
    story.pool.abandon(EntryId::EXCLUSIVE, last);
    assert_eq!(story.pool.exclusive().waiting, 0);
}

#[test]
fn own_deadline_ends_the_wait_for_a_connection() {
    let (mut story, _, _) = Story::blocked("BLPOP a 0");
    story.block("BLPOP b 0");
    story.admit(8);
    let third = story.block("BLPOP c 0");
    story.pool.set_deadline(EntryId::EXCLUSIVE, third, Ticket(3), SECOND, story.now);
    story.run(SECOND);
    assert_eq!(story.delivered.failed(), [(3, Outcome::Unsent)]);
}

#[test]
fn ex_idle_connections_close() {
    let (mut story, shared, own) = Story::blocked("BLPOP a 0");
    story.run(SECOND * 100);
    assert!(story.closed().is_none() && story.delivered.failures.is_empty(), "it waits without a limit");
    story.receive(own, "+a\r\n");
    story.run(Duration::from_millis(59_999));
    assert!(story.closed().is_none());
    story.run(Duration::from_millis(2));
    assert_eq!(story.closed().map(|reason| reason.to_string()), Some("the client closed it".into()));
    assert!(story.pool.connection(shared).is_alive() && !story.pool.connection(own).is_alive());
    story.run(SECOND * 100);
    assert_eq!(story.next_dial(), None, "it is not dialed again without a need");
    story.block("BLPOP b 0");
    let again = story.admit(8);
    assert_eq!((again.entry, story.written(again).as_str()), (own.entry, "BLPOP b 0"));
}

#[test]
fn bl_timeout_margin_relaxed() {
    let (mut story, _, _) = Story::blocked("BLPOP a 3");
    story.run(Duration::from_millis(3999));
    assert!(story.delivered.failures.is_empty(), "the server's timeout, and the command timeout");
    story.run(Duration::from_millis(2));
    assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);

    let (mut story, shared, _) = Story::blocked("BLPOP a 3");
    story.receive(shared, opens("MIGRATING", 1, 30, "1"));
    story.run(Duration::from_millis(12_999));
    assert!(story.delivered.failures.is_empty(), "the relaxed timeout is 10 s");
    story.run(Duration::from_millis(2));
    assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);
}

#[test]
fn bl_cancel_returns_element() {
    for (reply, expected) in [("*2\r\n+a\r\n+x\r\n", false), ("_\r\n", true)] {
        let (mut story, shared, own) = Story::blocked("BLPOP a 0");
        story.pool.cancel(EntryId::EXCLUSIVE, (Position(0), Ticket(1)), story.now, &mut story.delivered);
        story.turn();
        assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
        story.receive(own, reply);
        assert_eq!(story.delivered.answered(), [1]);
        assert_eq!(story.delivered.replies[0].1 == Frame::Null, expected);
        // Until the server has answered, the next wait there could be ended by mistake.
        story.block("BLPOP b 0");
        assert_eq!(story.written(own), "");
        let other = story.admit(8);
        assert_eq!(story.written(other), "BLPOP b 0");
        story.receive(shared, if expected { ":1\r\n" } else { ":0\r\n" });
        story.block("BLPOP c 0");
        assert_eq!(story.written(own), "BLPOP c 0");
    }
}

#[test]
fn command_without_a_connection_is_cancelled_at_once() {
    let (mut story, _) = Story::ready(config());
    let position = story.block("BLPOP a 0");
    story.pool.cancel(EntryId::EXCLUSIVE, (position, Ticket(1)), story.now, &mut story.delivered);
    assert_eq!(story.delivered.replies, [(1, Frame::Null)]);
    story.turn();
    let own = story.admit(7);
    assert_eq!(story.written(own), "", "it is never sent");
}

#[test]
fn bl_orphan_is_counted_and_reported() {
    let (mut story, shared, own) = Story::blocked("BLPOP a 0");
    story.events();
    story.pool.abandon(EntryId::EXCLUSIVE, Position(0));
    story.turn();
    assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
    story.receive(own, "*2\r\n+a\r\n+x\r\n");
    assert!(story.delivered.replies.is_empty(), "the ticket may belong to another call by now");
    assert_eq!(story.pool.exclusive().orphaned, 1);
    let events = story.events();
    let [Event::Orphaned { command, reply: Frame::Array(items) }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((command.as_str(), items.len()), ("BLPOP", 2));
    assert!(!format!("{events:?}").contains('x'), "{events:?}");
}

#[test]
fn dropped_call_that_took_nothing_is_no_orphan() {
    let (mut story, shared, own) = Story::blocked("BLPOP a 0");
    story.pool.abandon(EntryId::EXCLUSIVE, Position(0));
    story.turn();
    story.written(shared);
    story.receive(shared, ":1\r\n");
    story.receive(own, "_\r\n");
    assert_eq!((story.pool.exclusive().orphaned, story.delivered.replies.len()), (0, 0));
}

#[test]
fn wait_that_had_not_begun_is_ended_again() {
    let (mut story, shared, own) = Story::blocked("BLPOP a 0");
    story.pool.abandon(EntryId::EXCLUSIVE, Position(0));
    story.turn();
    for delay_ms in [10, 20, 40] {
        assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
        story.receive(shared, ":0\r\n");
        story.run(Duration::from_millis(delay_ms - 1));
        assert_eq!(story.written(shared), "");
        story.run(Duration::from_millis(1));
    }
    story.receive(own, "_\r\n");
    assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
    story.receive(shared, ":0\r\n");
    story.run(SECOND);
    assert_eq!(story.written(shared), "", "the command is over");
}

#[test]
fn bl_unblock_refused() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 60");
    let (_, successor) = story.handed_off(shared);
    story.written(shared);
    story.receive(shared, "-NOPERM this user has no permissions to run the 'client|unblock' command\r\n");
    assert_eq!(story.pool.exclusive().unblocks_refused, 1);
    story.run(SECOND);
    assert_eq!((story.written(shared), story.written(successor)), (String::new(), String::new()));
    // The server closes the connection at its deadline: an element may be on its way.
    story.close(own);
    assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);
    story.block("BLPOP jobs 1");
    assert_eq!(story.written(successor), "BLPOP jobs 1", "the entry is free again");
}

#[test]
fn endless_wait_that_nothing_ends_loses_its_connection() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 0");
    story.pool.abandon(EntryId::EXCLUSIVE, Position(0));
    story.turn();
    story.written(shared);
    story.receive(shared, "-NOPERM no\r\n");
    assert!(!story.pool.connection(own).is_alive());
    assert!(story.delivered.failures.is_empty() && story.delivered.replies.is_empty());
}

#[test]
fn lost_sibling_spoils_the_connection_that_it_was_to_end() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 60");
    story.pool.abandon(EntryId::EXCLUSIVE, Position(0));
    story.turn();
    assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
    story.close(shared);
    story.receive(own, "_\r\n");
    assert!(!story.pool.connection(own).is_alive(), "a late UNBLOCK would end the next wait there");
}

#[test]
fn failed_dial_leaves_a_blocking_command_unsent() {
    let (mut story, _) = Story::ready(config());
    story.block("BLPOP jobs 1");
    for _ in 0..3 {
        let id = story.dialed();
        story.fail(id, CloseReason::Dial("refused".into()));
        story.run(SECOND / 4);
    }
    story.run(SECOND * 3);
    assert_eq!(story.delivered.failed(), [(1, Outcome::Unsent)]);
    while let Some(id) = story.next_dial() {
        story.fail(id, CloseReason::Dial("refused".into()));
    }
    story.run(SECOND * 30);
    assert_eq!(story.next_dial(), None, "nothing needs it any more");
}

#[test]
fn ex_credentials_renewed() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 0");
    story.receive(own, "+one\r\n");
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!((story.written(shared), story.written(own)), ("AUTH new".into(), "AUTH new".into()));
    story.receive(shared, "+OK\r\n");
    assert_ne!(*story.pool.renewal(), Renewal::Done);
    story.receive(own, "+OK\r\n");
    assert_eq!(*story.pool.renewal(), Renewal::Done);
}

#[test]
fn ex_shutdown_ends_all() {
    let (mut story, shared, own) = Story::blocked("BLPOP a 0");
    story.block("BLPOP b 0");
    let dialing = story.dialed();
    story.block("BLPOP c 0");
    let until = story.now.after(SECOND * 5);
    story.pool.shut_down(story.now, until, &mut story.delivered);
    let mut failed = story.delivered.failed();
    failed.sort_unstable_by_key(|(ticket, _)| *ticket);
    assert_eq!(failed, [(2, Outcome::Unsent), (3, Outcome::Unsent)]);
    assert!(story.pool.connection(shared).is_alive(), "it ends the wait");
    assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
    story.receive(shared, ":1\r\n");
    story.receive(own, "_\r\n");
    assert_eq!(story.delivered.failed().last(), Some(&(1, Outcome::Unsent)));
    story.turn();
    assert!(!story.pool.connection(dialing).is_alive() && story.pool.is_shut_down());
}

#[test]
fn wait_is_ended_by_one_request_at_a_time() {
    let (mut story, shared, own) = Story::blocked("BLPOP a 0");
    story.pool.cancel(EntryId::EXCLUSIVE, (Position(0), Ticket(1)), story.now, &mut story.delivered);
    story.turn();
    assert_eq!(story.written(shared), "CLIENT UNBLOCK 7 TIMEOUT");
    story.pool.abandon(EntryId::EXCLUSIVE, Position(0));
    story.turn();
    assert_eq!(story.written(shared), "", "the second one could end the next wait there");
    story.receive(own, "_\r\n");
    story.receive(shared, ":1\r\n");
    story.run(SECOND);
    assert_eq!(story.written(shared), "");
}

#[test]
fn endless_wait_on_a_dead_connection_is_ended() {
    for confirmed in [":1\r\n", ":0\r\n"] {
        let (mut story, shared, own) = Story::blocked("BLPOP a 0");
        story.pool.cancel(EntryId::EXCLUSIVE, (Position(0), Ticket(1)), story.now, &mut story.delivered);
        story.turn();
        story.written(shared);
        story.receive(shared, confirmed);
        // The server has answered, and nothing arrives on the connection: no other timeout ends it.
        story.run(SECOND * 10);
        assert_eq!(story.delivered.failed(), [(1, Outcome::Ambiguous)]);
        assert!(!story.pool.connection(own).is_alive());
    }
}

#[test]
fn renewal_does_not_wait_for_a_blocking_command() {
    let (mut story, shared, own) = Story::blocked("BLPOP jobs 0");
    story.pool.renew(Credentials::password("new"), story.now);
    assert_eq!((story.written(shared), story.written(own)), ("AUTH new".into(), "AUTH new".into()));
    story.receive(shared, "+OK\r\n");
    assert_eq!(*story.pool.renewal(), Renewal::Done, "the server answers when the wait is over");
}
