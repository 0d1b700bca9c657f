//! The simulated servers: bytes arrive there, their output travels back, and the pools receive it.
//!
//! A wire is a connection as the network knows it; a session is the same connection as its server knows it. A wire has
//! no session while it is dialed, nor if its listener does not serve it. Chunks on a silent wire are lost.
//!
//! All chance comes from `self.random`, so that a seed repeats its run. One draw more or less changes the run of each
//! seed.

use std::net::SocketAddr;

use super::Simulation;
use super::driver::latency;
use crate::proto::error::CloseReason;
use crate::proto::resp::{Decoder, Encoder, Frame, Limits};
use crate::proto::time::Instant;
use crate::rehearsal::{Ending, NodeId, SessionId};
use crate::sim::event_queue::SimEvent;
use crate::sim::network::{Chunk, WireId};
use crate::sim::violation::Violation;

impl Simulation<'_> {
    /// The server reads the next chunk that has arrived on this wire.
    pub(super) fn arrive_at_server(&mut self, id: WireId) -> Result<(), Violation> {
        let micros = self.micros();
        let Some(wire) = self.network.get(id).filter(|wire| !wire.silent) else { return Ok(()) };
        let (Some(chunk), session) = (wire.to_server.receive(self.now), wire.session) else { return Ok(()) };
        match (chunk, session) {
            (Chunk::Bytes(bytes), Some(session)) => {
                self.check_blocking(id, session, &bytes)?;
                self.server.handle_bytes(session, micros, &bytes);
                self.send_replies(Some(session));
            }
            // Without a session the listener stalls or drops the connection: it reads nothing. Floods travel to clients
            // only.
            (Chunk::Bytes(_) | Chunk::Pushes(_) | Chunk::Endless, _) => {}
            (Chunk::Fin | Chunk::Reset, _) => self.drop_connection(id),
        }
        Ok(())
    }

    /// Removes a connection from the network and from its server. The pool does not learn of it here: if it has to, the
    /// caller tells it with [`closed`](Self::closed).
    pub(super) fn drop_connection(&mut self, id: WireId) {
        if let Some(session) = self.remove_wire(id) {
            self.server.end(session);
            self.send_replies(None);
        }
    }

    /// Sends the output of this session and of every session that the server marks as dirty. Call it after each call
    /// that changes the server: a command of one session can add output to others, or close them.
    pub(super) fn send_replies(&mut self, session: Option<SessionId>) {
        let mut sessions: Vec<SessionId> = session.into_iter().collect();
        while let Some(dirty) = self.server.next_dirty_session() {
            sessions.push(dirty);
        }
        // A dial asks the listener itself. The marks are taken only so that they do not pile up.
        while self.server.next_dirty_node().is_some() {}
        for session in sessions {
            self.send_output(session);
        }
        if let Some(at) =
            self.server.next_deadline_us().map(|us| Instant::from_nanos(us.saturating_mul(1000)))
            && self.server_timer.is_none_or(|armed| at < armed)
        {
            let at = at.max(self.now);
            // The event of a later time stays in the queue. `handle` ignores it if no timer is due then.
            self.server_timer = Some(at);
            self.events.schedule(at, SimEvent::ServerTimer);
        }
    }

    /// Sends all output of a session, and then its ending, if it has one.
    pub(super) fn send_output(&mut self, session: SessionId) {
        let Some(id) = self.network.of_session(session) else { return };
        loop {
            let output = self.server.output(session);
            if output.is_empty() {
                break;
            }
            // A quarter of the writes is split, so that frames arrive in pieces.
            let count = match self.random.u32(..4) {
                0 => self.random.usize(1..=output.len()),
                _ => output.len(),
            };
            let bytes = output.get(..count).unwrap_or_default().to_vec();
            self.server.consume_output(session, count);
            self.send_to_client(id, Chunk::Bytes(bytes));
        }
        match self.server.ending(session) {
            None => {}
            // A reset discards the bytes that are on their way.
            Some(Ending::Reset) => {
                if let Some(wire) = self.network.get(id) {
                    wire.to_client.clear();
                }
                self.send_to_client(id, Chunk::Reset);
                self.server.end(session);
            }
            // A half-closed session lives until its client closes.
            Some(Ending::HalfClose) => self.send_to_client(id, Chunk::Fin),
            Some(Ending::AfterOutput | Ending::AtOnce) => {
                self.send_to_client(id, Chunk::Fin);
                self.server.end(session);
            }
        }
    }

    /// Sends a chunk to the client, and schedules its arrival.
    pub(super) fn send_to_client(&mut self, id: WireId, chunk: Chunk) {
        let arrival = self.now.after(latency(&self.plan.parameters, self.is_recovering, &mut self.random));
        if let Some(wire) = self.network.get(id) {
            let at = wire.to_client.send(chunk, arrival);
            self.events.schedule(at, SimEvent::ToClient { wire: id });
        }
    }

    /// The client reads the next chunk that has arrived on this wire. Floods are noted for the checker before the pool
    /// reads them, because the pool may close the connection at once.
    pub(super) fn arrive_at_client(&mut self, id: WireId) -> Result<(), Violation> {
        let is_in_turn = self.is_in_turn(id);
        let Some(wire) = self.network.get(id).filter(|wire| !wire.silent && !wire.client_closed) else {
            return Ok(());
        };
        if is_in_turn {
            self.read_later(id);
            return Ok(());
        }
        let Some(chunk) = wire.to_client.receive(self.now) else { return Ok(()) };
        match chunk {
            Chunk::Bytes(bytes) => self.receive(id, &bytes),
            Chunk::Pushes(count) => {
                if let Some(checks) = self.checks.get_mut(&id) {
                    checks.floods.note_pushes(count, self.now);
                }
                self.receive(id, &UNKNOWN_PUSH.repeat(count as usize))?;
                let is_open = self.network.get(id).is_some_and(|wire| !wire.client_closed);
                match self.checks.get(&id).filter(|_| is_open) {
                    Some(checks) => checks.floods.check_alive(self.now),
                    None => Ok(()),
                }
            }
            Chunk::Endless => {
                if let Some(checks) = self.checks.get_mut(&id) {
                    checks.floods.note_endless(self.now);
                }
                // The head of an array whose length is not known yet.
                self.receive(id, b"*?\r\n")
            }
            Chunk::Fin => {
                self.drop_connection(id);
                self.closed(id, CloseReason::ClosedByServer)
            }
            Chunk::Reset => {
                self.drop_connection(id);
                self.closed(id, CloseReason::Io("connection reset".into()))
            }
        }
    }

    /// Removes a wire together with its checks, and returns its session.
    pub(super) fn remove_wire(&mut self, id: WireId) -> Option<SessionId> {
        self.checks.remove(&id);
        self.network.remove(id)
    }

    /// The pool takes in these bytes. Then the shard runs, and its checkers with it.
    fn receive(&mut self, id: WireId, bytes: &[u8]) -> Result<(), Violation> {
        if let Some(checks) = self.checks.get_mut(&id) {
            checks.internal.note_received(self.now);
        }
        let Some(state) = self.shards.get_mut(id.shard) else { return Ok(()) };
        let before = state.outcomes.ended.len();
        state.pool.connection(id.id()).handle_bytes(bytes, self.now, &mut state.outcomes);
        let answered =
            state.outcomes.ended.iter().skip(before).filter(|(_, failure)| failure.is_none()).count();
        if answered > 1 && state.unlocked.is_some() {
            self.run_behind_callers(id);
        } else {
            self.mark_runnable(id);
        }
        self.drive(id.shard)
    }

    /// Reads a list of numbers, directly at the server. No network or pool is involved, so that a defect there cannot hide an
    /// execution. A reply that is no list counts as an empty one.
    pub(super) fn read_list(&mut self, key: &str) -> Vec<u64> {
        let Some(Frame::Array(values)) = self.ask_server(&["LRANGE", key, "0", "-1"]) else {
            return Vec::new();
        };
        let number = |value: &Frame| match value {
            Frame::Bulk(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        };
        values.iter().filter_map(number).collect()
    }

    /// The reply to a command that is given to the server directly.
    pub(super) fn ask_server(&mut self, words: &[&str]) -> Option<Frame> {
        let micros = self.micros();
        let session = self.server.open(NodeId(0), SocketAddr::from(([10, 1, 0, 2], 1000)), micros);
        let mut command = Vec::new();
        let mut encoder = Encoder::command(&mut command, words.len());
        words.iter().for_each(|word| encoder.bytes(word.as_bytes()));
        self.server.handle_bytes(session, micros, &command);
        let reply = Decoder::new(Limits::default()).decode(&mut self.server.output(session));
        self.server.end(session);
        reply.ok().flatten()
    }
}

/// A push that the client does not know.
const UNKNOWN_PUSH: &[u8] = b">2\r\n+useless\r\n:1\r\n";
