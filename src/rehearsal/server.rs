//! The server without its sockets: bytes and the time in, bytes out.
//!
//! Replies gather in each session until the connection takes them, whole frames always: whatever is
//! pushed to a session from elsewhere lands between two replies, never inside one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::commands::{self, Context};
use super::data::keyspace::Keyspace;
use super::maintenance::agenda::{Agenda, Due};
use super::maintenance::audit::Audit;
use super::maintenance::control;
use super::maintenance::node::{Accept, Ending, Node, NodeId};
use super::maintenance::stage::{Scope, Stage, tell_raw};
use super::session::{Session, SessionId};
use super::wire::reply::{Failure, REPLY_BYTES_MAX, REPLY_OVERRUN_BYTES_MAX};
use super::wire::request::Parsed;

/// The version that the server claims to be, so that clients know what to expect of it.
pub const REDIS_VERSION: &str = "7.2.0";
/// Most bytes that wait for their request to be complete, before the session is closed (1 GiB).
pub const REQUEST_BYTES_MAX: usize = 1 << 30;

/// Input memory that an idle session keeps.
const INPUT_KEPT_BYTES: usize = 256 << 10;

/// How a [`Server`] behaves.
#[derive(Clone)]
pub struct ServerConfig {
    /// What user `default` must give before other commands are allowed; `None`: nothing. Default:
    /// `None`.
    pub password: Option<String>,
    /// How many numbered databases there are, at least one. Default: 16.
    pub databases: usize,
    /// Where the choices of `SPOP`, `SRANDMEMBER` and `RANDOMKEY` start: the same seed and the same
    /// commands give the same replies. Default: 0.
    pub seed: u64,
    /// Whether requests that are not about the connection or the rehearsal are forwarded to a real
    /// Redis, instead of executed: see [`Server::upstream_output`]. Default: `false`.
    pub upstream: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self { password: None, databases: 16, seed: 0, upstream: false }
    }
}

impl std::fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerConfig")
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("databases", &self.databases)
            .field("seed", &self.seed)
            .field("upstream", &self.upstream)
            .finish()
    }
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) keyspace: Keyspace,
    pub(crate) nodes: Vec<Node>,
    pub(crate) config: ServerConfig,
    pub(crate) random: fastrand::Rng,
    pub(crate) started_us: u64,
    pub(crate) commands: u64,
    pub(crate) sessions_opened: u64,
    /// Sessions to whose output something was added, or that were ended, from outside of them.
    pub(crate) disturbed: Vec<SessionId>,
    /// Nodes that listen differently from before.
    pub(crate) disturbed_nodes: Vec<NodeId>,
    /// The number of the database's next maintenance event, of whatever kind.
    pub(crate) sequence: u64,
    /// MOVINGs so far: each close knows which one it was planned for.
    pub(crate) moves: u64,
    pub(crate) agenda: Agenda,
    pub(crate) failed_steps: u64,
    pub(crate) audit: Audit,
    /// The latest time that the server was told.
    pub(crate) now_us: u64,
}

/// A Redis server as a function of bytes and time: one keyspace, and a session for each connection.
///
/// All times are Unix time in microseconds, and should not go backwards. Nothing here blocks, reads
/// a clock or knows a socket; memory is bounded for each session by the constants of this module,
/// and the keyspace grows with what is stored.
#[derive(Debug)]
pub struct Server {
    pub(super) world: World,
    // Boxed, so that lending one out moves a pointer.
    pub(super) sessions: BTreeMap<SessionId, Box<Session>>,
}

impl Server {
    /// An empty server behind listeners at `nodes`, started at `now_us`.
    pub fn new(config: ServerConfig, nodes: Vec<SocketAddr>, now_us: u64) -> Self {
        let world = World {
            keyspace: Keyspace::new(config.databases),
            nodes: nodes.into_iter().map(Node::new).collect(),
            random: fastrand::Rng::with_seed(config.seed),
            config,
            started_us: now_us,
            commands: 0,
            sessions_opened: 0,
            disturbed: Vec::new(),
            disturbed_nodes: Vec::new(),
            sequence: 0,
            moves: 0,
            failed_steps: 0,
            agenda: Agenda::default(),
            audit: Audit::default(),
            now_us,
        };
        Self { world, sessions: BTreeMap::new() }
    }

    /// A connection from `peer` to the listener `node` begins.
    pub fn open(&mut self, node: NodeId, peer: SocketAddr, now_us: u64) -> SessionId {
        self.world.sessions_opened += 1;
        let id = SessionId(self.world.sessions_opened);
        let local = self.world.nodes.get(node.0).map_or(peer, |node| node.address);
        let mut session = Session::new(id, node, peer, local, now_us);
        // Whoever may talk to upstream, upstream knows.
        session.upstream = self.world.config.upstream.then(Box::default);
        session.authenticated = self.world.config.password.is_none() || session.upstream.is_some();
        if let Some(node) = self.world.nodes.get(node.0) {
            session.set_faults(&node.faults);
        }
        self.world.now_us = now_us;
        self.sessions.insert(id, Box::new(session));
        id
    }

    /// The connection has ended: the session, and what it watched, is forgotten.
    pub fn end(&mut self, id: SessionId) {
        if let Some(mut session) = self.sessions.remove(&id) {
            session.unwatch_all(&mut self.world.keyspace);
        }
    }

    /// Handles what arrived from the client of `id`, however it was cut. Replies are in
    /// [`Server::output`].
    ///
    /// With no `bytes`, goes on with what waits: see [`Server::has_backlog`].
    pub fn handle_bytes(&mut self, id: SessionId, now_us: u64, bytes: &[u8]) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        self.world.now_us = now_us;
        self.world.keyspace.advance(now_us / 1_000);
        session.last_us = now_us;
        session.is_stalled = false;
        session.counts.bytes_in += bytes.len() as u64;
        let readable = session.gate.as_ref().map_or(bytes.len(), |gate| gate.readable(bytes.len()));
        // Before a request among them can set another fault.
        let ending = session.gate.as_mut().and_then(|gate| gate.note_read(readable));
        self.handle_input(&mut session, now_us, bytes.get(..readable).unwrap_or(bytes));
        if let Some(ending) = ending {
            session.end_with(ending);
        }
        if session.ending.is_some() || session.is_silent {
            session.input = Vec::new();
        } else if session.input.is_empty() {
            session.input.shrink_to(INPUT_KEPT_BYTES);
        } else if session.input.len() > REQUEST_BYTES_MAX && !session.is_stalled {
            refuse(&mut session, "request larger than the limit");
        }
        settle(&mut self.world, &mut session, now_us);
        self.sessions.insert(id, session);
    }

    fn handle_input(&mut self, session: &mut Session, now_us: u64, bytes: &[u8]) {
        if session.input.is_empty() {
            let used = self.handle_requests(session, now_us, bytes);
            session.input.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut input = std::mem::take(&mut session.input);
            input.extend_from_slice(bytes);
            let used = self.handle_requests(session, now_us, &input);
            input.drain(..used.min(input.len()));
            session.input = input;
        }
    }

    /// Replies, and pushes, that the connection has not taken yet and may be sent now: in this
    /// order, from the first byte.
    pub fn output(&self, id: SessionId) -> &[u8] {
        self.sessions.get(&id).map_or(&[], |session| session.writable())
    }

    /// Whether nothing is left to write, neither now nor later.
    pub fn is_drained(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_none_or(|session| session.unread() == 0)
    }

    /// The connection has written the first `bytes` of [`Server::output`].
    pub fn consume_output(&mut self, id: SessionId, bytes: usize) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.take_output(bytes);
        }
    }

    /// Whether there is room for the replies to more requests. While not, the connection must not
    /// read: the client has to read first.
    pub fn wants_input(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| match session.ending {
            // To see the client's end: what arrives is dropped.
            Some(ending) => ending == Ending::HalfClose,
            None => {
                !session.is_stalled
                    && session.reply.pending().len() < REPLY_BYTES_MAX
                    && session.upstream_has_room()
                    && session.gate.as_ref().is_none_or(|gate| !gate.is_stalled())
            }
        })
    }

    /// Whether requests wait that could be handled now: the connection should call
    /// [`Server::handle_bytes`] without bytes, before it reads more.
    pub fn has_backlog(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            session.is_stalled
                && session.reply.pending().len() < REPLY_BYTES_MAX
                && session.upstream_has_room()
        })
    }

    /// How the connection must end, if it must. A session that does not exist ends at once.
    pub fn ending(&self, id: SessionId) -> Option<Ending> {
        self.sessions.get(&id).map_or(Some(Ending::AtOnce), |session| session.visible_ending())
    }

    /// The listener that the connection of `id` came through.
    pub fn node(&self, id: SessionId) -> Option<NodeId> {
        self.sessions.get(&id).map(|session| session.node)
    }

    /// Whether `node` listens. While not, connects to it should be refused.
    pub fn is_listening(&self, node: NodeId) -> bool {
        self.world.nodes.get(node.0).is_some_and(Node::is_listening)
    }

    /// What `node` does with those who connect.
    pub fn accepts(&self, node: NodeId) -> Accept {
        self.world.nodes.get(node.0).map_or(Accept::Drop, Node::accept)
    }

    /// When [`Server::handle_time`] has something to do next, if ever. It may become earlier with
    /// every call that changes the server.
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.world.agenda.next_us()
    }

    /// Does what was due by `now_us`: closes, held-back output, steps that were scheduled.
    pub fn handle_time(&mut self, now_us: u64) {
        self.world.now_us = now_us;
        self.world.keyspace.advance(now_us / 1_000);
        while let Some((at_us, due)) = self.world.agenda.take_due(now_us) {
            let mut stage = self.stage(at_us);
            match due {
                Due::Step { node, words } => {
                    let scope = Scope { nodes: vec![node], only: None };
                    if let Err(error) = control::rehearse(&mut stage, scope, &words) {
                        tracing::warn!(%node, %error, "a step of the rehearsal failed");
                        stage.world.failed_steps += 1;
                    }
                }
                Due::CloseNode { node, move_id } => stage.close_moved(node, move_id),
                Due::CutOff { sessions } => stage.cut_off(&sessions),
                Due::Release { session } => self.release(session, now_us),
            }
        }
    }

    /// Does what `REHEARSE words…` does on `node`, and returns the reply's text.
    ///
    /// # Errors
    ///
    /// The text of the error reply, without its `-ERR`.
    pub fn rehearse(&mut self, node: NodeId, now_us: u64, words: &[Vec<u8>]) -> Result<String, String> {
        self.world.now_us = now_us;
        if node.0 >= self.world.nodes.len() {
            return Err(format!("there is no node {node}"));
        }
        let scope = Scope { nodes: vec![node], only: None };
        control::rehearse(&mut self.stage(now_us), scope, words)
    }

    /// Has [`Server::rehearse`] called at `at_us`; an error is logged. At most [`AGENDA_MAX`] steps
    /// wait at a time, one more is dropped and logged.
    ///
    /// [`AGENDA_MAX`]: super::AGENDA_MAX
    pub fn schedule(&mut self, at_us: u64, node: NodeId, words: Vec<Vec<u8>>) {
        if !self.world.agenda.plan(at_us, Due::Step { node, words }) {
            tracing::warn!(%node, "too many steps of the rehearsal wait");
            self.world.failed_steps += 1;
        }
    }

    /// What clients have to log in with from now on; those that are logged in stay so.
    pub fn set_password(&mut self, password: Option<String>) {
        self.world.config.password = password;
    }

    /// How many scheduled steps, and closes that a MOVING has announced, are still to come.
    pub fn planned(&self) -> usize {
        self.world.agenda.events()
    }

    /// How many scheduled steps were refused when their time came.
    pub fn failed_steps(&self) -> u64 {
        self.world.failed_steps
    }

    /// A listener for which [`Server::is_listening`] or [`Server::accepts`] may have changed, if
    /// there is one left.
    pub fn next_disturbed_node(&mut self) -> Option<NodeId> {
        self.world.disturbed_nodes.pop()
    }

    fn stage(&mut self, now_us: u64) -> Stage<'_> {
        Stage { world: &mut self.world, others: &mut self.sessions, current: None, now_us }
    }

    fn release(&mut self, id: SessionId, now_us: u64) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if let Some(gate) = &mut session.gate
            && let Some(at_us) = gate.release(now_us)
            && !self.world.agenda.plan(at_us, Due::Release { session: id })
        {
            gate.release(u64::MAX);
        }
        self.world.disturbed.push(id);
    }

    /// Adds `bytes`, which should be whole frames, to what the client of `id` is sent; between two
    /// replies.
    pub fn push(&mut self, id: SessionId, bytes: &[u8]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let now_us = self.world.now_us;
            tell_raw(&mut self.world, session, bytes, now_us);
        }
    }

    /// Asks for the connection of `id` to be closed, once its output is written.
    pub fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.close();
            self.world.disturbed.push(id);
        }
    }

    /// The sessions that exist, in the order in which they were opened.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// A session whose output or end somebody else brought about, if there is one left: its
    /// connection should look again at [`Server::output`] and [`Server::ending`]. Each is named
    /// at least once.
    pub fn next_disturbed(&mut self) -> Option<SessionId> {
        self.world.disturbed.pop()
    }

    /// Handles the requests at the head of `input`, and returns how many bytes they took.
    fn handle_requests(&mut self, session: &mut Session, now_us: u64, input: &[u8]) -> usize {
        if session.upstream.is_some() {
            return self.forward_requests(session, now_us, input);
        }
        let mut parser = std::mem::take(&mut session.parser);
        let mut at = 0;
        while session.ending.is_none() && !session.is_silent {
            if session.reply.pending().len() >= REPLY_BYTES_MAX {
                session.is_stalled = true;
                break;
            }
            let rest = input.get(at..).unwrap_or_default();
            match parser.parse(rest) {
                Parsed::Incomplete => break,
                Parsed::Empty(used) => at += used,
                Parsed::Request(used) => {
                    let mut context =
                        Context { world: &mut self.world, others: &mut self.sessions, session, now_us };
                    commands::execute(&mut context, parser.args(rest));
                    limit_output(session);
                    at += used;
                }
                Parsed::Invalid(text) => refuse(session, &text),
            }
        }
        session.parser = parser;
        at
    }
}

/// Answers what is not the protocol, after which nothing that follows can be understood.
fn refuse(session: &mut Session, text: &str) {
    session.reply.error(&Failure::from(format!("ERR Protocol error: {text}")));
    session.close();
}

/// Ends a session whose client has left too much unread, and gives the memory back.
fn limit_output(session: &mut Session) {
    if session.unread() > REPLY_OVERRUN_BYTES_MAX {
        session.end_with(Ending::AtOnce);
    }
}

/// Takes note of output that was added to a session.
pub(crate) fn settle(world: &mut World, session: &mut Session, now_us: u64) {
    limit_output(session);
    let pending = session.reply.pending().len();
    let Some(gate) = &mut session.gate else {
        return;
    };
    let mut idle = now_us;
    let busy_us = world.nodes.get_mut(session.node.0).map_or(&mut idle, |node| &mut node.busy_us);
    let ready_us = gate.ready_us(session.counts.commands, now_us, busy_us);
    if let Some(at_us) = gate.note_output(pending, ready_us)
        && !world.agenda.plan(at_us, Due::Release { session: session.id })
    {
        // Too many wait: this one does without.
        gate.release(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_US: u64 = 1_000_000_000;

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

    const PIPELINE: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\nGET k\r\n\
        *1\r\n$5\r\nMULTI\r\n\
        *3\r\n$6\r\nINCRBY\r\n$1\r\nn\r\n$2\r\n10\r\nNOSUCH a b\n\
        EXEC\r\nHELLO 3\nGET none\r\n*1\r\n$9x";

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
        // Each reply is half of what may wait.
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
        assert_eq!(server.next_disturbed(), Some(id));
        server.handle_bytes(id, NOW_US, b"NG\r\n");
        assert_eq!(server.output(id), b"+PONG\r\n>1\r\n+hi\r\n+PONG\r\n");
        server.close(id);
        assert!(server.ending(id) == Some(Ending::AfterOutput) && !server.wants_input(id));
        server.end(id);
        server.push(id, b"x");
        assert!(server.ending(id).is_some() && server.sessions().next().is_none());
    }

    #[test]
    fn a_reset_that_was_asked_for_is_not_softened() {
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
        assert_eq!(server.world.keyspace.database(0).unwatch(b"k"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_are_survived(
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
}
