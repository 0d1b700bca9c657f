//! [`ConnectionMut`]: the one accessor through which a driver talks to a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::action::PoolCounters;
use super::effects::Effect;
use super::entry::Role;
use super::ids::ConnectionId;
use super::parts::Parts;
use super::subscriber::Subscriber;
use crate::proto::connection::{Connection, Credentials, Deliver, Negotiated};
use crate::proto::error::CloseReason;
use crate::proto::time::Instant;

/// A connection of a pool, for one call of its driver.
///
/// A driver resolves and dials as [`Action::Dial`](super::Action::Dial) says, then calls
/// [`handle_connected`](Self::handle_connected) once. From then on it repeats, until a call says that the connection is
/// over: it writes what [`poll_transmit`](Self::poll_transmit) returns, reports what the socket took by
/// [`handle_written`](Self::handle_written), and hands in what the socket received. It ends with one
/// [`handle_closed`](Self::handle_closed), or with [`Action::Close`](super::Action::Close).
///
/// Every call is allowed at any time. On a connection that is over, a call does nothing and returns false, `None`, or
/// an error.
#[derive(Debug)]
pub(crate) struct ConnectionMut<'a> {
    parts: &'a mut Parts,
    id: ConnectionId,
}

impl<'a> ConnectionMut<'a> {
    #[inline]
    pub(super) fn new(parts: &'a mut Parts, id: ConnectionId) -> Self {
        ConnectionMut { parts, id }
    }

    /// Whether this connection is dialed, in use, or draining.
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.parts.entries.role(self.id).is_some()
    }

    /// Whether this connection is to replace another one that still serves.
    pub(crate) fn is_successor(&self) -> bool {
        self.parts.entries.role(self.id) == Some(Role::Successor)
    }

    /// Whether a server chose the endpoint that this connection is dialed to.
    pub(crate) fn is_redirected(&mut self) -> bool {
        self.parts.entries.connection(self.id).is_some_and(|known| known.route.redirect.is_some())
    }

    /// The addresses, of those that the endpoint's name resolves to, that this connection may be dialed at.
    ///
    /// # Errors
    /// If a server has sent it there and may not: pass the reason to [`ConnectionMut::handle_closed`].
    pub(crate) fn admit(
        self,
        addresses: Vec<SocketAddr>,
        now: Instant,
    ) -> Result<Vec<SocketAddr>, CloseReason> {
        let Parts { entries, maintenance, ctx, .. } = self.parts;
        ctx.now = now;
        match entries.connection(self.id) {
            Some(known) => maintenance.admit(known, addresses, ctx),
            None => Err(CloseReason::Local),
        }
    }

    /// A dial succeeded, and reached this address if it has one; false if the socket is not wanted any more. Without
    /// `credentials` of its own, the connection logs in with the newest that the pool knows.
    pub(crate) fn handle_connected(
        self,
        peer: Option<SocketAddr>,
        credentials: Option<Credentials>,
        now: Instant,
    ) -> bool {
        let Parts { entries, maintenance, auth, ctx, .. } = self.parts;
        ctx.now = now;
        let Some(known) = entries.connection(self.id) else { return false };
        known.peer = peer;
        known.login = credentials.map(Arc::new).or_else(|| auth.newest(&ctx.config));
        let (ip, login) = (peer.map(|peer| peer.ip()), known.login.clone());
        known.connection.handle_connected(ip, login, now, &ctx.config.connection);
        maintenance.relax(known, now);
        true
    }

    /// A dial failed, or a socket ended or broke.
    pub(crate) fn handle_closed(self, reason: CloseReason, now: Instant, deliver: &mut impl Deliver) {
        self.parts.ctx.now = now;
        self.parts.ctx.effects.push(Effect::End { id: self.id, reason });
        self.parts.apply(deliver);
    }

    /// Handles what a socket received; false once the connection is over.
    #[inline]
    pub(crate) fn handle_bytes(self, input: &[u8], now: Instant, deliver: &mut impl Deliver) -> bool {
        if self.parts.subscriber.is_on(self.id.entry) {
            return self.handle_bytes_of_subscriber(input, now, deliver);
        }
        self.receive(now, deliver, |connection, _, _, deliver| received(connection, input, now, deliver))
    }

    /// The same for the connection that carries the subscriptions: messages are delivered as they are read.
    #[inline(never)]
    fn handle_bytes_of_subscriber(self, input: &[u8], now: Instant, deliver: &mut impl Deliver) -> bool {
        let id = self.id;
        self.receive(now, deliver, |connection, subscriber, counters, deliver| {
            let mut deliver = subscriber.taking_messages(id, now, deliver);
            let result = received(connection, input, now, &mut deliver);
            counters.pushes += deliver.taken;
            result
        })
    }

    /// Where the next bytes have to be read to, if they belong to a large value: then call
    /// [`ConnectionMut::handle_filled`]. Otherwise read them anywhere, and call [`ConnectionMut::handle_bytes`].
    #[inline]
    pub(crate) fn read_buffer(self) -> Option<&'a mut [u8]> {
        self.parts.entries.connection(self.id)?.connection.read_buffer()
    }

    /// Handles `count` bytes that were read into [`ConnectionMut::read_buffer`]; false once the connection is over.
    pub(crate) fn handle_filled(self, count: usize, now: Instant, deliver: &mut impl Deliver) -> bool {
        self.receive(now, deliver, |connection, _, _, deliver| connection.handle_filled(now, count, deliver))
    }

    /// What this connection writes next, possibly nothing; then call [`ConnectionMut::handle_written`]. `None` once the
    /// connection is over.
    #[inline]
    pub(crate) fn poll_transmit(self, now: Instant) -> Option<&'a [u8]> {
        let Parts { entries, ctx, .. } = self.parts;
        entries.get_mut(self.id.entry)?.poll_transmit(self.id.generation, now, &ctx.config)
    }

    /// Takes what this connection writes next out of the pool, into `bytes`, which must be empty. It counts as written, and the
    /// caller writes it. It is for drivers that must not keep the pool while they write.
    #[inline]
    pub(crate) fn take_transmit(self, now: Instant, bytes: &mut Vec<u8>) {
        let Parts { entries, ctx, .. } = self.parts;
        let Some(entry) = entries.get_mut(self.id.entry) else { return };
        entry.poll_transmit(self.id.generation, now, &ctx.config);
        if let Some(known) = entry.connection(self.id.generation) {
            known.connection.write_buffer().take(bytes);
        }
    }

    /// Returns bytes of [`ConnectionMut::take_transmit`], of which the socket took only `count`. The others are unwritten again.
    pub(crate) fn return_transmit(self, bytes: &mut Vec<u8>, count: usize) {
        if let Some(known) = self.parts.entries.connection(self.id) {
            known.connection.write_buffer().give_back(bytes, count);
        }
    }

    /// The socket took `count` bytes of what was to be transmitted.
    #[inline]
    pub(crate) fn handle_written(self, count: usize) {
        if let Some(known) = self.parts.entries.connection(self.id) {
            known.connection.write_buffer().advance(count);
        }
    }

    /// When `Pool::handle_timeout` has something to do for the entry of this connection. Ask after each turn.
    #[inline]
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.parts.entries.get(self.id.entry)?.next_timeout(&self.parts.ctx.config)
    }

    /// What the handshake of a connection in use agreed on.
    pub(crate) fn negotiated(self) -> Option<&'a Negotiated> {
        let active = self.parts.entries.get(self.id.entry)?.active.as_ref()?;
        active.connection.negotiated().filter(|_| active.id == self.id)
    }

    /// The path of bytes that hold nothing but replies is short: all else is settled out of line.
    #[inline]
    fn receive<D: Deliver>(
        self,
        now: Instant,
        deliver: &mut D,
        receive: impl FnOnce(
            &mut Connection,
            &mut Subscriber,
            &mut PoolCounters,
            &mut D,
        ) -> Result<(), CloseReason>,
    ) -> bool {
        let (parts, id) = (self.parts, self.id);
        let Some(entry) = parts.entries.get_mut(id.entry) else { return false };
        // A successor that is ready may wait until a session lets it take over.
        let is_alone = entry.predecessors.is_empty() && entry.successor.is_none();
        let Some(known) = entry.connection(id.generation) else { return false };
        let was_ready = known.is_ready();
        let counters = &mut parts.ctx.counters;
        let received = receive(&mut known.connection, &mut parts.subscriber, counters, deliver);
        let is_plain = received.is_ok() && !known.connection.has_notices();
        if is_plain && was_ready && is_alone && parts.ctx.closing.is_none() {
            return true;
        }
        parts.handle_received(id, was_ready, received, now, deliver);
        parts.entries.role(id).is_some()
    }
}

/// Decodes what a socket received. What the peer sent first can tell which protocol it speaks.
#[inline]
fn received(
    connection: &mut Connection,
    input: &[u8],
    now: Instant,
    deliver: &mut impl Deliver,
) -> Result<(), CloseReason> {
    let is_opening = connection.traffic().0 == 0;
    let received = connection.handle_bytes(now, input, deliver);
    received.map_err(|reason| if is_opening { reason.given_opening(input) } else { reason })
}
