//! The side of the server that faces a real Redis, when it is a proxy.

use super::Server;
use crate::rehearsal::ids::SessionId;
use crate::rehearsal::proxy;
use crate::rehearsal::session::upstream::{UPSTREAM_REPLY_BYTES_MAX, Upstream};

/// What the upstream connection of a session calls, in the same order as for the client: bytes in, output, consume.
impl Server {
    /// The bytes that the upstream connection of `id` has to write.
    pub fn upstream_output(&self, id: SessionId) -> &[u8] {
        let upstream = self.sessions.get(&id).and_then(|session| session.upstream.as_deref());
        upstream.map_or(&[], Upstream::pending)
    }

    /// The upstream connection of `id` has written the first `bytes` of [`Server::upstream_output`].
    pub fn consume_upstream_output(&mut self, id: SessionId, bytes: usize) {
        if let Some(upstream) = self.sessions.get_mut(&id).and_then(|session| session.upstream.as_mut()) {
            upstream.take(bytes);
        }
    }

    /// Whether the session has room for more bytes from upstream. While it has none, the upstream connection must not be
    /// read, because the client has to read first.
    pub fn wants_upstream_input(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| {
            session.ending.is_none() && session.reply.pending().len() < UPSTREAM_REPLY_BYTES_MAX
        })
    }

    /// Handles bytes from upstream for `id`, which may be split anywhere. Waiting requests may be due afterwards: see
    /// [`Server::has_backlog`].
    pub fn handle_upstream_bytes(&mut self, id: SessionId, now_us: u64, bytes: &[u8]) {
        if let Some(session) = self.sessions.get_mut(&id) {
            proxy::relay_replies(&mut self.state, session, now_us, bytes);
        }
    }

    /// The upstream connection of `id` has closed or could not be opened. The session ends after its output is written.
    pub fn upstream_closed(&mut self, id: SessionId, _now_us: u64) {
        self.close(id);
    }
}
