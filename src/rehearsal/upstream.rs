//! The proxy's side of the server: requests that are not ours go to a real Redis, and its replies
//! come back between whole frames.

use super::server::Server;
use super::session::SessionId;

impl Server {
    /// Bytes for the upstream connection of `id` that it has not taken yet.
    pub fn upstream_output(&self, _id: SessionId) -> &[u8] {
        &[]
    }

    /// The upstream connection of `id` has written the first `bytes` of
    /// [`Server::upstream_output`].
    pub fn consume_upstream_output(&mut self, _id: SessionId, _bytes: usize) {}

    /// Handles what arrived from upstream for `id`, however it was cut.
    pub fn handle_upstream_bytes(&mut self, _id: SessionId, _now_us: u64, _bytes: &[u8]) {}

    /// The upstream connection of `id` has ended.
    pub fn upstream_closed(&mut self, id: SessionId, _now_us: u64) {
        self.close(id);
    }
}
