//! Tests of the server, without sockets.

use proptest::prelude::*;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

use super::*;
use crate::rehearsal::data::keyspace::List;

fn open() -> (Server, SessionId) {
    let nodes = vec![([127, 0, 0, 1], 2).into()];
    let mut server = Server::new(ServerConfig::default(), nodes, NOW_US);
    let id = server.open(NodeId(0), ([127, 0, 0, 1], 1).into(), NOW_US);
    (server, id)
}

fn replies_to<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
    let (mut server, id) = open();
    for chunk in chunks {
        server.handle_bytes(id, NOW_US, chunk);
    }
    server.output(id).escape_ascii().to_string()
}

#[test]
fn every_split_of_a_pipeline_gives_the_same_replies() {
    let whole = replies_to([PIPELINE]);
    assert!(whole.ends_with("-ERR Protocol error: invalid bulk length\\r\\n"), "{whole}");
    assert!(whole.contains("_\\r\\n") && whole.contains("-EXECABORT"), "{whole}");
    for cut in 0..PIPELINE.len() {
        assert_eq!(replies_to([&PIPELINE[..cut], &PIPELINE[cut..]]), whole, "cut at {cut}");
    }
    assert_eq!(replies_to(PIPELINE.chunks(1)), whole);
}

#[test]
fn requests_wait_while_the_client_does_not_read() {
    let (mut server, id) = open();
    server.handle_bytes(id, NOW_US, b"SETRANGE k 33554431 x\r\n");
    server.consume_output(id, server.output(id).len());
    // Two of these replies reach the limit of unread output.
    server.handle_bytes(id, NOW_US, &b"GET k\r\n".repeat(5));
    assert!(server.output(id).len() < REPLY_BYTES_MAX + (33 << 20));
    assert!(!server.wants_input(id) && !server.has_backlog(id));
    let mut replies = 0;
    while !server.output(id).is_empty() {
        let reply = server.output(id).len().min((32 << 20) + 13);
        server.consume_output(id, reply);
        replies += 1;
        if server.has_backlog(id) {
            server.handle_bytes(id, NOW_US, &[]);
        }
    }
    assert_eq!(replies, 5);
    assert!(server.wants_input(id));
}

#[test]
fn a_push_lands_between_two_replies() {
    let (mut server, id) = open();
    server.handle_bytes(id, NOW_US, b"PING\r\nPI");
    server.push(id, b">1\r\n+hi\r\n");
    assert_eq!(server.next_dirty_session(), Some(id));
    server.handle_bytes(id, NOW_US, b"NG\r\n");
    assert_eq!(server.output(id), b"+PONG\r\n>1\r\n+hi\r\n+PONG\r\n");
    server.close(id);
    assert!(server.ending(id) == Some(Ending::AfterOutput) && !server.wants_input(id));
    server.end(id);
    server.push(id, b"x");
    assert!(server.ending(id).is_some() && server.sessions().next().is_none());
}

#[test]
fn a_reset_is_not_replaced_by_a_graceful_ending() {
    let (mut server, id) = open();
    for how in ["rst", "half"] {
        server.rehearse(NodeId(0), NOW_US, &["CLOSE".into(), how.into()]).unwrap();
        assert_eq!(server.ending(id), Some(Ending::Reset));
    }
}

#[test]
fn the_end_of_a_session_ends_its_watches() {
    let (mut server, id) = open();
    server.handle_bytes(id, NOW_US, b"WATCH k\r\n");
    server.end(id);
    assert_eq!(server.state.keyspace.database(0).unwatch(b"k"), None);
}

proptest! {
    #[test]
    fn any_bytes_in_any_chunks_give_the_same_replies(
        input in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(
                prop::sample::select(b"*$0123-\r\n \"'xGETSLMULIXC".to_vec()), 0..300),
        ],
        size in 1usize..40,
    ) {
        prop_assert_eq!(replies_to(input.chunks(size)), replies_to([&input[..]]));
    }
}

/// What one of four sessions does at a time: it sends these lines, or it ends and another session takes its place.
fn steps() -> impl Strategy<Value = Vec<(usize, Vec<&'static str>, u64)>> {
    let lines = prop::collection::vec(prop::sample::select(LINES.to_vec()), 0..4);
    prop::collection::vec((0usize..4, lines, 0u64..3), 0..80)
}

/// The elements in replies, and the number of replies to pushes.
#[derive(Default)]
struct Received {
    taken: Vec<String>,
    pushed: usize,
}

impl Received {
    fn read(&mut self, server: &mut Server, id: SessionId) {
        let output = server.output(id).to_vec();
        server.consume_output(id, output.len());
        let mut rest = &output[..];
        while !rest.is_empty() {
            let (frame, used) = decode(rest).unwrap().expect("whole frames");
            rest = &rest[used..];
            match frame {
                OwnedFrame::Integer(_) => self.pushed += 1,
                OwnedFrame::Array(popped) => self.take(&popped[1]),
                // An element that was moved is still in a list.
                _ => {}
            }
        }
    }

    fn take(&mut self, element: &OwnedFrame) {
        match element {
            OwnedFrame::Array(elements) => elements.iter().for_each(|element| self.take(element)),
            element => self.taken.push(element.as_str().unwrap().to_owned()),
        }
    }
}

proptest! {
    /// Sessions push, block, move, time out, and end with their requests. Each pushed element is in a list afterwards,
    /// or in one reply. A session with new output is marked as dirty.
    #[test]
    fn blocked_sessions_neither_lose_nor_double_elements(steps in steps()) {
        let (mut server, first) = open();
        let (mut now_us, mut serial, mut received) = (NOW_US, 0, Received::default());
        let peer = ([127, 0, 0, 1], 1).into();
        let mut ids = vec![first];
        ids.extend((0..3).map(|_| server.open(NodeId(0), peer, now_us)));
        for (index, lines, ms) in steps {
            if lines.is_empty() {
                server.end(ids[index]);
                ids[index] = server.open(NodeId(0), peer, now_us);
            }
            let request: String = lines.iter().map(|line| {
                serial += 1;
                line.replace("ELEMENT", &serial.to_string()) + "\r\n"
            }).collect();
            server.handle_bytes(ids[index], now_us, request.as_bytes());
            for caller in [Some(ids[index]), None] {
                let dirty: Vec<_> = std::iter::from_fn(|| server.next_dirty_session()).collect();
                for id in ids.iter().filter(|id| !server.output(**id).is_empty()) {
                    prop_assert!(dirty.contains(id) || caller == Some(*id), "{id} is not dirty");
                }
                ids.iter().for_each(|id| received.read(&mut server, *id));
                if caller.is_some() {
                    now_us += ms * 1_000;
                    server.handle_time(now_us);
                }
                prop_assert!(server.next_deadline_us().is_none_or(|at_us| at_us > now_us));
            }
        }
        ids.iter().for_each(|id| server.end(*id));
        prop_assert_eq!(server.state.blocked.count(), 0);
        let database = server.state.keyspace.database(0);
        prop_assert!(database.waiting.is_empty());
        for key in [&b"a"[..], b"b"] {
            let list = database.get::<List>(key).unwrap().into_iter().flatten();
            received.taken.extend(list.map(|element| String::from_utf8(element.to_vec()).unwrap()));
        }
        prop_assert_eq!(received.taken.len(), received.pushed);
        received.taken.sort();
        received.taken.dedup();
        prop_assert_eq!(received.taken.len(), received.pushed);
    }
}

const LINES: &[&str] = &[
    "RPUSH a ELEMENT",
    "RPUSH b ELEMENT",
    "LPUSH a ELEMENT",
    "BLPOP a b 0",
    "BRPOP b 0.002",
    "BLMPOP 0.001 2 b a RIGHT COUNT 2",
    "BLMOVE a b LEFT RIGHT 0.003",
    "BLMOVE b b LEFT RIGHT 0",
    "BRPOPLPUSH b a 0",
];
const NOW_US: u64 = 1_000_000_000;
const PIPELINE: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\nGET k\r\n\
    *1\r\n$5\r\nMULTI\r\n\
    *3\r\n$6\r\nINCRBY\r\n$1\r\nn\r\n$2\r\n10\r\nNOSUCH a b\n\
    EXEC\r\nHELLO 3\nGET none\r\n*1\r\n$9x";
