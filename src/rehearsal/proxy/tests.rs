//! Tests of the proxy, without sockets.

use super::WHOLE_REQUEST_BYTES_MAX;
use crate::rehearsal::session::upstream::{REQUEST_BYTES_MAX, REQUESTS_MAX, UPSTREAM_REPLY_BYTES_MAX};
use crate::rehearsal::wire::reply::Protocol;
use crate::rehearsal::{Ending, NodeId, Server, ServerConfig, SessionId};

fn open_with(upstream: bool) -> (Server, SessionId) {
    let config = ServerConfig { upstream, ..ServerConfig::default() };
    let mut server = Server::new(config, vec![([127, 0, 0, 1], 2).into()], NOW_US);
    let id = server.open(NodeId(0), ([127, 0, 0, 1], 1).into(), NOW_US);
    (server, id)
}

fn open() -> (Server, SessionId) {
    open_with(true)
}

/// The server's reply to [`LOCAL`].
fn local_reply() -> Vec<u8> {
    let (mut server, id) = open_with(false);
    server.handle_bytes(id, NOW_US, LOCAL);
    server.output(id).to_vec()
}

fn take(server: &mut Server, id: SessionId) -> Vec<u8> {
    let output = server.output(id).to_vec();
    server.consume_output(id, output.len());
    output
}

fn take_upstream(server: &mut Server, id: SessionId) -> Vec<u8> {
    let output = server.upstream_output(id).to_vec();
    server.consume_upstream_output(id, output.len());
    output
}

/// Handles bytes from upstream, and then the backlog, as a connection does.
fn answer(server: &mut Server, id: SessionId, bytes: &[u8]) {
    server.handle_upstream_bytes(id, NOW_US, bytes);
    while server.has_backlog(id) {
        server.handle_bytes(id, NOW_US, &[]);
    }
}

#[test]
fn any_split_of_requests_and_replies_passes_unchanged() {
    let requests = [
        &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n\r\n*1\r\r\n\r\n*0\r\nget k\n"[..],
        b"*2\r\n$6\r\nclient\r\n$2\r\nid\r\nSET a \"b c\"\r\n",
    ]
    .concat();
    let replies = b"+OK\r\n$5\r\n\r\n*1\r\r\n:7\r\n>2\r\n+invalidate\r\n*1\r\n+k\r\n+OK\r\n";
    for size in 1..requests.len() {
        let (mut server, id) = open();
        for chunk in requests.chunks(size) {
            assert!(server.wants_input(id));
            server.handle_bytes(id, NOW_US, chunk);
        }
        assert_eq!(take_upstream(&mut server, id), requests, "in chunks of {size}");
        server.handle_bytes(id, NOW_US, LOCAL);
        assert!(!server.wants_input(id) && !server.has_backlog(id));
        for chunk in replies.chunks(size) {
            answer(&mut server, id, chunk);
        }
        assert_eq!(take(&mut server, id), [&replies[..], &local_reply()].concat(), "in chunks of {size}");
        assert!(server.wants_input(id) && server.upstream_output(id).is_empty());
    }
}

#[test]
fn local_requests_are_answered_in_order() {
    let (mut server, id) = open();
    server.handle_bytes(id, NOW_US, &[b"GET a\r\n", LOCAL, LOCAL, b"GET b\r\n", LOCAL, b"GET"].concat());
    assert_eq!(take_upstream(&mut server, id), b"GET a\r\n");
    assert_eq!(take(&mut server, id), b"");
    answer(&mut server, id, b"$1\r\nx");
    assert_eq!(take(&mut server, id), b"$1\r\nx");
    answer(&mut server, id, b"\r\n");
    assert_eq!(take(&mut server, id), [b"\r\n", &local_reply()[..], &local_reply()].concat());
    assert_eq!(take_upstream(&mut server, id), b"GET b\r\n");
    answer(&mut server, id, b"$-1\r\n");
    assert_eq!(take(&mut server, id), [b"$-1\r\n", &local_reply()[..]].concat());
    server.handle_bytes(id, NOW_US, b" c\r\n");
    assert_eq!(take_upstream(&mut server, id), b"GET c\r\n");
}

#[test]
fn a_push_waits_for_the_end_of_a_relayed_frame() {
    let reply = b"*2\r\n$3\r\na\r\n\r\n|1\r\n+k\r\n+v\r\n:1\r\n+next\r\n";
    let first = reply.len() - 7;
    for cut in 0..reply.len() {
        let (mut server, id) = open();
        server.handle_upstream_bytes(id, NOW_US, &reply[..cut]);
        server.push(id, PUSH);
        server.handle_upstream_bytes(id, NOW_US, &reply[cut..]);
        let at = [0, first].into_iter().find(|at| *at >= cut).unwrap_or(reply.len());
        let place = if cut == 0 || cut == first { at } else { reply.len() };
        let expected = [&reply[..place], PUSH, &reply[place..]].concat();
        assert_eq!(take(&mut server, id), expected, "cut at {cut}");
    }
}

#[test]
fn a_large_request_passes_in_parts() {
    let value = b"\r\n$1\r\n".repeat(20_000);
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len());
    let set = [head.as_bytes(), &value, b"\r\n"].concat();
    let requests = [&set, LOCAL].concat();
    let (mut server, id) = open();
    let mut seen = Vec::new();
    for chunk in requests.chunks(10_000) {
        server.handle_bytes(id, NOW_US, chunk);
        seen.extend(take_upstream(&mut server, id));
        assert!(server.sessions[&id].input.len() <= WHOLE_REQUEST_BYTES_MAX + 10_000);
    }
    assert_eq!(seen, set);
    answer(&mut server, id, b"+OK\r\n");
    assert_eq!(take(&mut server, id), [b"+OK\r\n", &local_reply()[..]].concat());
}

#[test]
fn a_slow_side_stops_reading_from_the_other() {
    let (mut server, id) = open();
    let size = 10_000;
    let head = format!("*2\r\n$4\r\nECHO\r\n${size}\r\n");
    let requests = [head.as_bytes(), &vec![b'x'; size], b"\r\n"].concat().repeat(300);
    server.handle_bytes(id, NOW_US, &requests);
    assert!(!server.wants_input(id) && !server.has_backlog(id));
    assert!(server.upstream_output(id).len() < REQUEST_BYTES_MAX + 2 * size);
    let mut seen = take_upstream(&mut server, id);
    while server.has_backlog(id) {
        server.handle_bytes(id, NOW_US, &[]);
        seen.extend(take_upstream(&mut server, id));
    }
    assert!(seen == requests && server.wants_input(id));
    assert!(server.wants_upstream_input(id));
    answer(&mut server, id, &b"+PONG\r\n".repeat(UPSTREAM_REPLY_BYTES_MAX / 7 + 1));
    assert!(!server.wants_upstream_input(id));
    take(&mut server, id);
    assert!(server.wants_upstream_input(id));
}

#[test]
fn requests_in_flight_at_upstream_are_bounded() {
    let (mut server, id) = open();
    let large = [b"*2\r\n$4\r\nECHO\r\n$100000\r\n", &[b'x'; 100_000][..], b"\r\n"].concat();
    let most = REQUESTS_MAX as usize;
    server.handle_bytes(id, NOW_US, &b"PING\r\n".repeat(most - 1));
    // The last request within the limit may arrive in parts.
    for chunk in large.chunks(20_000) {
        assert!(server.wants_input(id));
        server.handle_bytes(id, NOW_US, chunk);
    }
    assert!(!server.wants_input(id));
    server.handle_bytes(id, NOW_US, b"GET k\r\nGET k\r\n");
    assert!(take_upstream(&mut server, id).ends_with(b"x\r\n"));
    answer(&mut server, id, b"+PONG\r\n");
    assert_eq!(take_upstream(&mut server, id), b"GET k\r\n");
    assert!(!server.wants_input(id) && !server.has_backlog(id));
}

#[test]
fn accepted_requests_change_the_session_too() {
    let (mut server, id) = open();
    server.handle_bytes(id, NOW_US, b"hello 3 auth u p setname me\r\nHELLO 2\r\nclient setname x\r\n");
    answer(&mut server, id, b"%1\r\n+proto\r\n:3\r\n");
    assert_eq!(server.sessions[&id].reply.protocol, Protocol::Resp3);
    assert_eq!(server.sessions[&id].name, b"me");
    answer(&mut server, id, b"-ERR no\r\n>1\r\n+x\r\n+O");
    assert_eq!(server.sessions[&id].reply.protocol, Protocol::Resp3);
    assert_eq!(server.sessions[&id].name, b"me");
    answer(&mut server, id, b"K\r\n");
    assert_eq!(server.sessions[&id].name, b"x");
    server.handle_bytes(id, NOW_US, b"RESET\r\n");
    answer(&mut server, id, b"+RESET\r\n");
    assert_eq!(server.sessions[&id].reply.protocol, Protocol::Resp2);
    assert_eq!(server.sessions[&id].name, b"");
}

#[test]
fn a_subscriber_gets_local_replies_at_the_next_frame_boundary() {
    let (mut server, id) = open();
    server.handle_bytes(id, NOW_US, &[b"SUBSCRIBE a b\r\n", LOCAL].concat());
    assert_eq!(take(&mut server, id), local_reply());
    answer(&mut server, id, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1");
    server.handle_bytes(id, NOW_US, LOCAL);
    answer(&mut server, id, b"\r\n");
    assert!(take(&mut server, id).ends_with(&[b"\r\n:1\r\n", &local_reply()[..]].concat()));
}

#[test]
fn protocol_errors_are_forwarded_for_upstream_to_reject() {
    let (mut server, id) = open();
    for chunk in [&b"PING\r\n*1\r\n$-5\r\n"[..], b"REHEARSE\r\n", &b"*1\r\n".repeat(100_000)] {
        server.handle_bytes(id, NOW_US, chunk);
    }
    let expected = [&b"PING\r\n*1\r\n$-5\r\nREHEARSE\r\n"[..], &b"*1\r\n".repeat(100_000)].concat();
    assert_eq!(take_upstream(&mut server, id), expected);
    answer(&mut server, id, b"+PONG\r\n-ERR Protocol error: invalid bulk length\r\n");
    server.upstream_closed(id, NOW_US);
    assert_eq!(server.ending(id), Some(Ending::AfterOutput));
    assert!(server.output(id).ends_with(b"bulk length\r\n"));
}

#[test]
fn replication_is_relayed_without_inserted_frames() {
    let (mut server, id) = open();
    server.handle_bytes(id, NOW_US, b"SYNC\r\n");
    answer(&mut server, id, b"$3\r\nRDB*1\r\n");
    server.push(id, PUSH);
    answer(&mut server, id, b"$4\r\n");
    assert_eq!(take(&mut server, id), b"$3\r\nRDB*1\r\n$4\r\n");
}

const NOW_US: u64 = 1_000_000_000;
const LOCAL: &[u8] = b"REHEARSE NOSUCH\r\n";
const PUSH: &[u8] = b">1\r\n+hi\r\n";
