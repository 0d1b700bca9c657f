//! The server without sockets: bytes and the current time go in, bytes come out.

mod deadlines;
mod upstream;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::commands::cluster::route;
use super::commands::command::CommandContext;
use super::commands::{dispatch, pubsub, unblocking};
use super::config::ServerConfig;
use super::context::{Scope, ServerContext};
use super::control::verbs;
use super::ending::Ending;
use super::ids::{NodeId, SessionId};
use super::maintenance::agenda::Action;
use super::maintenance::node::{Accept, Node};
use super::proxy;
use super::session::Session;
use super::state::ServerState;
use super::wire::reply::REPLY_BYTES_MAX;
use super::wire::request::Parsed;

/// A Redis server as a function of bytes and time: one keyspace, and one session for each connection.
///
/// The server neither blocks, nor reads a clock, nor knows sockets. All times are Unix time in microseconds and must not
/// decrease. Memory is bounded for each session; the keyspace grows with the stored data.
///
/// The owner calls it in this order:
///
/// 1. [`Server::open`] for each accepted connection, [`Server::end`] when the connection has closed.
/// 2. [`Server::handle_bytes`] with bytes from the client, while [`Server::wants_input`].
/// 3. [`Server::output`] and [`Server::consume_output`] to write; then [`Server::ending`], and [`Server::has_backlog`]
///    before the next read.
/// 4. [`Server::handle_time`] at [`Server::next_deadline_us`].
/// 5. After each call, [`Server::next_dirty_session`] and [`Server::next_dirty_node`] until both return `None`: one
///    session's command can add output to other sessions, or close them.
///
/// Output is a sequence of whole frames. A push is never inside a reply.
#[derive(Debug)]
pub struct Server {
    state: ServerState,
    // Boxed, so that taking a session out of the map moves a pointer.
    pub(super) sessions: BTreeMap<SessionId, Box<Session>>,
}

impl Server {
    /// Creates an empty server with listeners at `nodes`, started at `now_us`.
    pub fn new(config: ServerConfig, nodes: Vec<SocketAddr>, now_us: u64) -> Self {
        Self { state: ServerState::new(config, nodes, now_us), sessions: BTreeMap::new() }
    }

    /// Opens a session for a connection from `peer` to the listener `node`.
    pub fn open(&mut self, node: NodeId, peer: SocketAddr, now_us: u64) -> SessionId {
        self.state.sessions_opened += 1;
        let id = SessionId(self.state.sessions_opened);
        let local = self.state.nodes.get(node.0).map_or(peer, |node| node.address);
        let mut session = Session::new(id, node, peer, local, now_us);
        session.database = self.state.first_database(node);
        session.cluster.is_node = self.state.cluster.is_some();
        session.upstream = self.state.config.upstream.then(Box::default);
        // Behind a proxy, upstream checks the client's credentials.
        session.authenticated = self.state.config.password.is_none() || session.upstream.is_some();
        if let Some(node) = self.state.nodes.get(node.0) {
            session.set_faults(&node.faults);
        }
        self.state.now_us = now_us;
        self.sessions.insert(id, Box::new(session));
        id
    }

    /// The connection has closed: removes its session with its watches and subscriptions. A blocked session stops waiting.
    pub fn end(&mut self, id: SessionId) {
        if let Some(mut session) = self.sessions.remove(&id) {
            session.unwatch_all(&mut self.state.keyspace);
            pubsub::unsubscribe_all(&mut self.state, &mut session);
            unblocking::stop_waiting(&mut self.state, &mut session);
            route::stop_holding(&mut self.state, &session);
        }
    }

    /// Handles bytes from the client of `id`, which may be split anywhere. The replies are in [`Server::output`].
    ///
    /// Without `bytes`, it handles waiting requests: see [`Server::has_backlog`]. Requests behind a command that blocks are
    /// kept until the session is unblocked, and the call that unblocks it handles them as well.
    pub fn handle_bytes(&mut self, id: SessionId, now_us: u64, bytes: &[u8]) {
        self.handle_session_bytes(id, now_us, bytes);
        self.resume_sessions(now_us);
    }

    fn handle_session_bytes(&mut self, id: SessionId, now_us: u64, bytes: &[u8]) {
        // The session leaves the map, so that its commands can change all other sessions.
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        self.state.now_us = now_us;
        self.state.keyspace.advance(now_us / 1_000);
        session.last_us = now_us;
        session.is_stalled = false;
        session.counts.bytes_in += bytes.len() as u64;
        let filter = session.fault_filter.as_mut();
        let readable = filter.as_ref().map_or(bytes.len(), |filter| filter.readable(bytes.len()));
        // The fault applies to these bytes, even if a request among them changes the faults.
        let ending = filter.and_then(|filter| filter.note_read(readable));
        self.handle_input(&mut session, now_us, bytes.get(..readable).unwrap_or(bytes));
        if let Some(ending) = ending {
            session.end_with(ending);
        }
        if session.ending.is_some() || session.is_silent {
            session.input = Vec::new();
        } else if session.input.is_empty() {
            session.input.shrink_to(INPUT_KEPT_BYTES);
        } else if session.input.len() > REQUEST_BYTES_MAX && !session.is_stalled {
            session.reject_input("request larger than the limit");
        }
        self.state.account_output(&mut session, now_us);
        self.sessions.insert(id, session);
    }

    /// The bytes that the connection may write now, from the first byte in this order.
    pub fn output(&self, id: SessionId) -> &[u8] {
        self.sessions.get(&id).map_or(&[], |session| session.writable())
    }

    /// Whether the session has no output, neither now nor later.
    pub fn is_drained(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_none_or(|session| session.unread() == 0)
    }

    /// The connection has written the first `bytes` of [`Server::output`].
    pub fn consume_output(&mut self, id: SessionId, bytes: usize) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.take_output(bytes);
        }
    }

    /// Whether the session has room for more requests. While it has none, the connection must not be read, because the
    /// client has to read its replies first.
    pub fn wants_input(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| match session.ending {
            // The connection reads to notice that the client closes; the bytes are dropped.
            Some(ending) => ending == Ending::HalfClose,
            None => {
                !session.is_stalled
                    && session.reply.pending().len() < REPLY_BYTES_MAX
                    && session.upstream_has_room()
                    && session.fault_filter.as_ref().is_none_or(|filter| !filter.is_stalled())
            }
        })
    }

    /// Whether waiting requests can be handled now. The connection then calls [`Server::handle_bytes`] without bytes
    /// before it reads more.
    pub fn has_backlog(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            session.is_stalled
                && session.reply.pending().len() < REPLY_BYTES_MAX
                && session.upstream_has_room()
        })
    }

    /// How the connection must end now, if it must. The ending of an unknown session is [`Ending::AtOnce`].
    pub fn ending(&self, id: SessionId) -> Option<Ending> {
        self.sessions.get(&id).map_or(Some(Ending::AtOnce), |session| session.visible_ending())
    }

    /// The listener that accepted the connection of `id`.
    pub fn node(&self, id: SessionId) -> Option<NodeId> {
        self.sessions.get(&id).map(|session| session.node)
    }

    /// Whether `node` listens. While it does not, connections to it are refused.
    pub fn is_listening(&self, node: NodeId) -> bool {
        self.state.nodes.get(node.0).is_some_and(Node::is_listening)
    }

    /// How `node` treats new connections.
    pub fn accepts(&self, node: NodeId) -> Accept {
        self.state.nodes.get(node.0).map_or(Accept::Drop, Node::accept)
    }

    /// When [`Server::handle_time`] is due, if ever. Every call that changes the server can make it earlier.
    pub fn next_deadline_us(&self) -> Option<u64> {
        self.state.agenda.next_us().into_iter().chain(self.state.blocked.next_us()).min()
    }

    /// Executes what is due by `now_us`: closes, delayed output, scheduled verbs, and timeouts of blocked sessions.
    pub fn handle_time(&mut self, now_us: u64) {
        self.state.now_us = now_us;
        self.state.keyspace.advance(now_us / 1_000);
        self.execute_due(now_us);
    }

    /// Executes `REHEARSE words…` on `node`. Returns the text of the reply.
    ///
    /// # Errors
    ///
    /// The text of the error reply, without its `-ERR`.
    pub fn rehearse(&mut self, node: NodeId, now_us: u64, words: &[Vec<u8>]) -> Result<String, String> {
        self.state.now_us = now_us;
        if node.0 >= self.state.nodes.len() {
            return Err(format!("there is no node {node}"));
        }
        let result = verbs::rehearse(&mut self.context(now_us), Scope::of_node(node), words);
        self.resume_sessions(now_us);
        result
    }

    /// Plans a call of [`Server::rehearse`] at `at_us`, whose error is logged. At most 65,536 steps can wait. A further
    /// step is dropped, logged, and counted as failed.
    pub fn schedule(&mut self, at_us: u64, node: NodeId, words: Vec<Vec<u8>>) {
        if !self.state.agenda.plan(at_us, Action::Step { node, words }) {
            tracing::warn!(%node, "a step of the rehearsal is dropped: too many steps wait");
            self.state.failed_steps += 1;
        }
    }

    /// Replaces the password. Authenticated connections stay authenticated.
    pub fn set_password(&mut self, password: Option<String>) {
        self.state.config.password = password;
    }

    /// The number of scheduled steps and planned closes that are not executed yet.
    pub fn planned(&self) -> usize {
        self.state.agenda.events()
    }

    /// The number of scheduled steps that failed or were dropped.
    pub fn failed_steps(&self) -> u64 {
        self.state.failed_steps
    }

    /// Sends `bytes`, which should be whole frames, to the client of `id`, between two replies.
    pub fn push(&mut self, id: SessionId, bytes: &[u8]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let now_us = self.state.now_us;
            self.state.push_raw(session, bytes, now_us);
        }
    }

    /// Closes the connection of `id` after its output is written.
    pub fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.close();
            self.state.dirty_sessions.push(id);
        }
    }

    /// The open sessions, in the order in which they were opened.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// Whether a session waits in a blocking command.
    pub(crate) fn is_blocked(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.blocked.is_some())
    }

    /// A session whose output or ending was changed by another session, a timer, or the owner. Its connection must read
    /// [`Server::output`] and [`Server::ending`] again. Each such session is returned at least once.
    pub fn next_dirty_session(&mut self) -> Option<SessionId> {
        let id = self.state.dirty_sessions.pop()?;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.has_new_messages = false;
        }
        Some(id)
    }

    /// A listener for which [`Server::is_listening`] or [`Server::accepts`] may have changed.
    pub fn next_dirty_node(&mut self) -> Option<NodeId> {
        self.state.dirty_nodes.pop()
    }

    fn context(&mut self, now_us: u64) -> ServerContext<'_> {
        ServerContext { state: &mut self.state, others: &mut self.sessions, current: None, now_us }
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

    /// Handles the requests at the head of `input`. Returns the number of handled bytes.
    fn handle_requests(&mut self, session: &mut Session, now_us: u64, input: &[u8]) -> usize {
        let (state, others) = (&mut self.state, &mut self.sessions);
        if session.upstream.is_some() {
            return proxy::forward_requests(state, others, session, now_us, input);
        }
        let mut parser = std::mem::take(&mut session.parser);
        let mut at = 0;
        while session.is_open() && session.blocked.is_none() {
            if session.reply.pending().len() >= REPLY_BYTES_MAX {
                session.is_stalled = true;
                break;
            }
            let rest = input.get(at..).unwrap_or_default();
            match parser.parse(rest) {
                Parsed::Incomplete => break,
                Parsed::Empty(used) => at += used,
                // The request stays in the input.
                Parsed::Request(_) if route::is_held(state, session, parser.args(rest)) => break,
                Parsed::Request(used) => {
                    let mut context = CommandContext { state, others, session, now_us };
                    dispatch::execute(&mut context, parser.args(rest));
                    session.limit_output();
                    at += used;
                }
                Parsed::Invalid(text) => session.reject_input(&text),
            }
        }
        session.parser = parser;
        at
    }
}

/// Most bytes of one incomplete request; more closes the session (1 GiB).
const REQUEST_BYTES_MAX: usize = 1 << 30;
/// Input memory that an idle session keeps.
const INPUT_KEPT_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests;
