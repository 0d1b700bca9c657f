//! The proxy's side of the server: requests that are not ours go to a real Redis byte for byte, and what it sends
//! comes back byte for byte, with our frames between its own.
//!
//! Ours are `REHEARSE …` and `CLIENT MAINT_NOTIFICATIONS …`. They are answered here, in order: while earlier requests
//! of the session are unanswered upstream, one of ours waits, and what follows it with it. Once a session subscribes,
//! monitors or silences replies, replies cannot be told from messages any more, and ours are answered at once.

use std::collections::VecDeque;

use super::commands::{self, Context};
use super::server::{Server, World, settle};
use super::session::{Session, SessionId};
use super::wire::frames::FrameScanner;
use super::wire::reply::Protocol;
use super::wire::request::{Args, Parsed};

/// Bytes of requests that may wait for upstream to take them, before the client is not read any more (1 MiB).
pub const UPSTREAM_REQUEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of replies that may wait for the client to take them, before upstream is not read any more (1 MiB).
pub const UPSTREAM_REPLY_BYTES_MAX: usize = 1 << 20;

/// Requests of one session that upstream may have under way: it keeps the replies to all of them, and has no bound
/// for that itself.
pub const UPSTREAM_REQUESTS_MAX: u64 = 1_024;

/// A request is passed on in parts from this size on.
const WHOLE_REQUEST_BYTES_MAX: usize = 16 << 10;
/// Request memory that an idle session keeps.
const CAPACITY_KEPT_BYTES: usize = 128 << 10;

/// What one session has under way with its upstream connection.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    requests: Vec<u8>,
    /// Bytes at the head of `requests` that the connection has taken.
    taken: usize,
    scanner: FrameScanner,
    /// Requests that were passed on, and replies that came back.
    sent: u64,
    answered: u64,
    /// What changes here if upstream agrees, by the number of the request.
    hopes: VecDeque<(u64, Hope)>,
    /// A request was passed on in part.
    is_inside_request: bool,
    /// What the client sends is not understood, and passed on as it comes: upstream will say what is wrong with it.
    is_request_stream_opaque: bool,
    /// One of our requests waits for replies to earlier ones.
    is_waiting: bool,
    replies: Replies,
}

/// What upstream sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Replies {
    /// One reply for each request; nothing else but pushes.
    #[default]
    Counted,
    /// Frames that are not all replies, and requests that get none.
    Uncounted,
    /// Something else than frames, between which nothing can be put: replication.
    Opaque,
}

/// What a request will have changed, once it is answered without an error.
#[derive(Debug)]
enum Hope {
    Hello { protocol: Option<Protocol>, name: Option<Vec<u8>> },
    Name(Vec<u8>),
    LibraryName(Vec<u8>),
    LibraryVersion(Vec<u8>),
    Reset,
}

impl Upstream {
    fn pending(&self) -> &[u8] {
        self.requests.get(self.taken..).unwrap_or_default()
    }

    /// Whether no more than `more_bytes` may be passed on now. A request that was passed on in part does not count as another one.
    fn is_full(&self, more_bytes: usize) -> bool {
        let is_counted = self.replies == Replies::Counted && !self.is_inside_request;
        self.pending().len() + more_bytes >= UPSTREAM_REQUEST_BYTES_MAX
            || (is_counted && self.sent - self.answered >= UPSTREAM_REQUESTS_MAX)
    }

    fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if self.taken >= self.requests.len() {
            self.requests.clear();
            self.requests.shrink_to(CAPACITY_KEPT_BYTES);
            self.taken = 0;
        } else if self.taken >= self.requests.len() / 2 {
            self.requests.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Whether one of our requests would overtake the replies to earlier ones.
    fn must_wait(&self) -> bool {
        self.replies == Replies::Counted && self.answered < self.sent
    }

    /// A request is passed on; looks at what it may mean for this session.
    #[inline]
    fn note(&mut self, args: Args<'_>) {
        self.sent += 1;
        // Nearly all commands have another length than those that are looked for.
        if matches!(args.at(0).len(), 4..=7 | 9..=12) {
            self.note_command(args);
        }
    }

    fn note_command(&mut self, args: Args<'_>) {
        let hope = match args.at(0).to_ascii_uppercase().as_slice() {
            b"HELLO" => hello(args),
            b"RESET" => Some(Hope::Reset),
            b"CLIENT" => match args.at(1).to_ascii_uppercase().as_slice() {
                b"SETNAME" => Some(Hope::Name(args.at(2).to_vec())),
                b"SETINFO" if args.at(2).eq_ignore_ascii_case(b"LIB-NAME") => {
                    Some(Hope::LibraryName(args.at(3).to_vec()))
                }
                b"SETINFO" if args.at(2).eq_ignore_ascii_case(b"LIB-VER") => {
                    Some(Hope::LibraryVersion(args.at(3).to_vec()))
                }
                b"REPLY" => return self.stop_counting(),
                _ => None,
            },
            b"MONITOR" | b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"PUNSUBSCRIBE"
            | b"SUNSUBSCRIBE" => return self.stop_counting(),
            b"SYNC" | b"PSYNC" => {
                self.replies = Replies::Opaque;
                return;
            }
            _ => None,
        };
        if let Some(hope) = hope {
            self.hopes.push_back((self.sent, hope));
        }
    }

    fn stop_counting(&mut self) {
        if self.replies == Replies::Counted {
            self.replies = Replies::Uncounted;
        }
    }
}

fn hello(args: Args<'_>) -> Option<Hope> {
    let protocol = match args.get(1)? {
        b"2" => Some(Protocol::Resp2),
        b"3" => Some(Protocol::Resp3),
        _ => None,
    };
    let words: Vec<&[u8]> = args.iter().collect();
    let name = words.windows(2).skip(2).find_map(|pair| match pair {
        [option, name] if option.eq_ignore_ascii_case(b"SETNAME") => Some(name.to_vec()),
        _ => None,
    });
    Some(Hope::Hello { protocol, name })
}

/// Whether upstream must not see this request.
#[inline]
fn is_ours(args: Args<'_>) -> bool {
    match args.at(0) {
        name if name.len() == 6 => {
            name.eq_ignore_ascii_case(b"CLIENT") && args.at(1).eq_ignore_ascii_case(b"MAINT_NOTIFICATIONS")
        }
        name => name.eq_ignore_ascii_case(b"REHEARSE"),
    }
}

/// Whether the head of a request, as far as it is known, says that upstream may see it without its rest, which does
/// not matter to us.
fn is_theirs_whatever_follows(head: Args<'_>) -> bool {
    // A name that does not end within a whole request's bytes is nobody's, and theirs to refuse.
    head.get(0).is_none_or(|name| {
        let ours = [&b"CLIENT"[..], b"REHEARSE", b"HELLO"];
        !ours.iter().any(|own| name.eq_ignore_ascii_case(own))
    })
}

impl Server {
    /// Bytes for the upstream connection of `id` that it has not taken yet.
    pub fn upstream_output(&self, id: SessionId) -> &[u8] {
        self.upstream(id).map_or(&[], Upstream::pending)
    }

    /// The upstream connection of `id` has written the first `bytes` of [`Server::upstream_output`].
    pub fn consume_upstream_output(&mut self, id: SessionId, bytes: usize) {
        if let Some(upstream) = self.sessions.get_mut(&id).and_then(|session| session.upstream.as_mut()) {
            upstream.take(bytes);
        }
    }

    /// Whether there is room for more of what upstream sends. While not, its connection must not be read: the client
    /// has to read first.
    pub fn wants_upstream_input(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            session.ending.is_none() && session.reply.pending().len() < UPSTREAM_REPLY_BYTES_MAX
        })
    }

    /// Handles what arrived from upstream for `id`, however it was cut. Requests that waited for it may be due then:
    /// see [`Server::has_backlog`].
    pub fn handle_upstream_bytes(&mut self, id: SessionId, now_us: u64, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Some(mut upstream) = session.upstream.take() else {
            return;
        };
        let whole = if upstream.replies == Replies::Opaque { 0 } else { scan(session, &mut upstream, bytes) };
        let (whole, part) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
        if !session.is_silent {
            session.reply.pass(whole, part);
        }
        session.upstream = Some(upstream);
        self.world.now_us = now_us;
        settle(&mut self.world, session, now_us);
    }

    /// The upstream connection of `id` has ended, or could not be had: so does the session's, with what came before.
    pub fn upstream_closed(&mut self, id: SessionId, _now_us: u64) {
        self.close(id);
    }

    fn upstream(&self, id: SessionId) -> Option<&Upstream> {
        self.sessions.get(&id)?.upstream.as_deref()
    }

    /// As `handle_requests`, for a session that has an upstream.
    pub(super) fn forward_requests(&mut self, session: &mut Session, now_us: u64, input: &[u8]) -> usize {
        let Some(mut upstream) = session.upstream.take() else {
            return 0;
        };
        let mut parser = std::mem::take(&mut session.parser);
        upstream.is_waiting = false;
        // Up to `copied` everything is dealt with, from there to `at` it is theirs.
        let (mut copied, mut at) = (0, 0);
        while session.ending.is_none() && !session.is_silent {
            if upstream.is_full(at - copied) {
                session.is_stalled = true;
                break;
            }
            if upstream.is_request_stream_opaque {
                at = input.len();
                break;
            }
            let rest = input.get(at..).unwrap_or_default();
            match parser.parse(rest) {
                Parsed::Empty(used) => at += used,
                Parsed::Request(used) if upstream.is_inside_request => {
                    upstream.is_inside_request = false;
                    at += used;
                }
                Parsed::Request(used) if !is_ours(parser.args(rest)) => {
                    self.world.note_request(session, parser.args(rest));
                    upstream.note(parser.args(rest));
                    at += used;
                }
                Parsed::Request(_) if upstream.must_wait() => {
                    upstream.is_waiting = true;
                    session.is_stalled = true;
                    break;
                }
                Parsed::Request(used) => {
                    upstream.requests.extend_from_slice(input.get(copied..at).unwrap_or_default());
                    let (world, others) = (&mut self.world, &mut self.sessions);
                    let mut context = Context { world, others, session, now_us };
                    commands::execute(&mut context, parser.args(rest));
                    at += used;
                    copied = at;
                }
                Parsed::Incomplete => {
                    let is_theirs = upstream.is_inside_request
                        || (rest.len() > WHOLE_REQUEST_BYTES_MAX
                            && rest.starts_with(b"*")
                            && is_theirs_whatever_follows(parser.args(rest)));
                    if is_theirs {
                        if !upstream.is_inside_request {
                            self.world.note_request(session, parser.args(rest));
                            upstream.note(parser.args(rest));
                            upstream.is_inside_request = true;
                        }
                        at += parser.release(rest);
                    }
                    break;
                }
                Parsed::Invalid(_) => upstream.is_request_stream_opaque = true,
            }
        }
        upstream.requests.extend_from_slice(input.get(copied..at).unwrap_or_default());
        session.parser = parser;
        session.upstream = Some(upstream);
        at
    }
}

impl World {
    /// Counts a request that is passed on; its reply tells nobody whether it was executed.
    fn note_request(&mut self, session: &mut Session, args: Args<'_>) {
        self.commands += 1;
        session.counts.commands += 1;
        self.audit.note(args);
    }
}

impl Session {
    /// Whether requests that wait could be passed on, or answered, now.
    pub(super) fn upstream_has_room(&self) -> bool {
        self.upstream
            .as_ref()
            .is_none_or(|upstream| !(upstream.is_full(0) || upstream.is_waiting && upstream.must_wait()))
    }

    /// An error would have changed nothing.
    fn fulfil(&mut self, hope: Hope) {
        match hope {
            Hope::Hello { protocol, name } => {
                self.reply.protocol = protocol.unwrap_or(self.reply.protocol);
                self.name = name.unwrap_or(std::mem::take(&mut self.name));
            }
            Hope::Name(name) => self.name = name,
            Hope::LibraryName(name) => self.library_name = name,
            Hope::LibraryVersion(version) => self.library_version = version,
            Hope::Reset => {
                self.reply.protocol = Protocol::Resp2;
                self.opt_in = None;
                self.name.clear();
            }
        }
    }
}

/// Goes through what upstream sent, and returns where the last whole frame in it ends.
fn scan(session: &mut Session, upstream: &mut Upstream, bytes: &[u8]) -> usize {
    let mut whole = 0;
    loop {
        match upstream.scanner.frame_end(bytes.get(whole..).unwrap_or_default()) {
            Ok(Some((length, kind))) => {
                whole += length;
                // In RESP2 there are no pushes, and this is an array as any other.
                if kind == b'>' {
                    continue;
                }
                upstream.answered = upstream.sent.min(upstream.answered + 1);
                while upstream.hopes.front().is_some_and(|(request, _)| *request <= upstream.answered) {
                    if let Some((_, hope)) = upstream.hopes.pop_front()
                        && kind != b'-'
                    {
                        session.fulfil(hope);
                    }
                }
            }
            Ok(None) => return whole,
            Err(_) => {
                tracing::debug!(session = %session.id, "upstream sends what is not RESP; passed on as it is");
                upstream.replies = Replies::Opaque;
                return whole;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::{Ending, NodeId, ServerConfig};

    const NOW_US: u64 = 1_000_000_000;
    const OURS: &[u8] = b"REHEARSE NOSUCH\r\n";
    const PUSH: &[u8] = b">1\r\n+hi\r\n";

    fn open_with(upstream: bool) -> (Server, SessionId) {
        let config = ServerConfig { upstream, ..ServerConfig::default() };
        let mut server = Server::new(config, vec![([127, 0, 0, 1], 2).into()], NOW_US);
        let id = server.open(NodeId(0), ([127, 0, 0, 1], 1).into(), NOW_US);
        (server, id)
    }

    fn open() -> (Server, SessionId) {
        open_with(true)
    }

    /// What the server answers to [`OURS`].
    fn our_reply() -> Vec<u8> {
        let (mut server, id) = open_with(false);
        server.handle_bytes(id, NOW_US, OURS);
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

    /// As a connection does, when upstream answers.
    fn answer(server: &mut Server, id: SessionId, bytes: &[u8]) {
        server.handle_upstream_bytes(id, NOW_US, bytes);
        while server.has_backlog(id) {
            server.handle_bytes(id, NOW_US, &[]);
        }
    }

    #[test]
    fn requests_and_replies_pass_unchanged_however_they_are_cut() {
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
            server.handle_bytes(id, NOW_US, OURS);
            assert!(!server.wants_input(id) && !server.has_backlog(id));
            for chunk in replies.chunks(size) {
                answer(&mut server, id, chunk);
            }
            assert_eq!(take(&mut server, id), [&replies[..], &our_reply()].concat(), "in chunks of {size}");
            assert!(server.wants_input(id) && server.upstream_output(id).is_empty());
        }
    }

    #[test]
    fn ours_are_answered_in_order_and_what_follows_waits() {
        let (mut server, id) = open();
        server.handle_bytes(id, NOW_US, &[b"GET a\r\n", OURS, OURS, b"GET b\r\n", OURS, b"GET"].concat());
        assert_eq!(take_upstream(&mut server, id), b"GET a\r\n");
        assert_eq!(take(&mut server, id), b"");
        answer(&mut server, id, b"$1\r\nx");
        assert_eq!(take(&mut server, id), b"$1\r\nx");
        answer(&mut server, id, b"\r\n");
        assert_eq!(take(&mut server, id), [b"\r\n", &our_reply()[..], &our_reply()].concat());
        assert_eq!(take_upstream(&mut server, id), b"GET b\r\n");
        answer(&mut server, id, b"$-1\r\n");
        assert_eq!(take(&mut server, id), [b"$-1\r\n", &our_reply()[..]].concat());
        server.handle_bytes(id, NOW_US, b" c\r\n");
        assert_eq!(take_upstream(&mut server, id), b"GET c\r\n");
    }

    #[test]
    fn a_push_waits_for_the_end_of_the_frame() {
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
        let requests = [&set, OURS].concat();
        let (mut server, id) = open();
        let mut seen = Vec::new();
        for chunk in requests.chunks(10_000) {
            server.handle_bytes(id, NOW_US, chunk);
            seen.extend(take_upstream(&mut server, id));
            assert!(server.sessions[&id].input.len() <= WHOLE_REQUEST_BYTES_MAX + 10_000);
        }
        assert_eq!(seen, set);
        answer(&mut server, id, b"+OK\r\n");
        assert_eq!(take(&mut server, id), [b"+OK\r\n", &our_reply()[..]].concat());
    }

    #[test]
    fn each_side_waits_for_the_other() {
        let (mut server, id) = open();
        let size = 10_000;
        let head = format!("*2\r\n$4\r\nECHO\r\n${size}\r\n");
        let requests = [head.as_bytes(), &vec![b'x'; size], b"\r\n"].concat().repeat(300);
        server.handle_bytes(id, NOW_US, &requests);
        assert!(!server.wants_input(id) && !server.has_backlog(id));
        assert!(server.upstream_output(id).len() < UPSTREAM_REQUEST_BYTES_MAX + 2 * size);
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
    fn upstream_has_only_so_many_requests_under_way() {
        let (mut server, id) = open();
        let large = [b"*2\r\n$4\r\nECHO\r\n$100000\r\n", &[b'x'; 100_000][..], b"\r\n"].concat();
        let most = UPSTREAM_REQUESTS_MAX as usize;
        server.handle_bytes(id, NOW_US, &b"PING\r\n".repeat(most - 1));
        // The last one that fits may come in parts.
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
    fn what_upstream_agrees_to_holds_here_too() {
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
    fn who_subscribes_is_answered_at_the_next_boundary() {
        let (mut server, id) = open();
        server.handle_bytes(id, NOW_US, &[b"SUBSCRIBE a b\r\n", OURS].concat());
        assert_eq!(take(&mut server, id), our_reply());
        answer(&mut server, id, b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1");
        server.handle_bytes(id, NOW_US, OURS);
        answer(&mut server, id, b"\r\n");
        assert!(take(&mut server, id).ends_with(&[b"\r\n:1\r\n", &our_reply()[..]].concat()));
    }

    #[test]
    fn what_is_not_the_protocol_is_for_upstream_to_refuse() {
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
    fn replication_passes_unframed_and_alone() {
        let (mut server, id) = open();
        server.handle_bytes(id, NOW_US, b"SYNC\r\n");
        answer(&mut server, id, b"$3\r\nRDB*1\r\n");
        server.push(id, PUSH);
        answer(&mut server, id, b"$4\r\n");
        assert_eq!(take(&mut server, id), b"$3\r\nRDB*1\r\n$4\r\n");
    }
}
