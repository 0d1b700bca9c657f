//! Connections that replace each other and share one queue: whatever happens, each caller gets one true result.
//!
//! A server at the other end of each connection numbers its replies and records its commands. So a swapped reply, a
//! command that is sent twice, and two commands of one handle in the wrong order are all detected.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::callers::Callers;
use super::peer::{Executed, HANDLES, Peer, command};
use super::script::Script;
use crate::proto::connection::{
    Connection, ConnectionConfig, Credentials, EntryId, HandleId, HandshakeConfig, Queue, QueueBounds,
    ReplyDeadline, Submission, TimeoutWindow,
};
use crate::proto::error::{CloseReason, Outcome};
use crate::proto::resp::Limits;
use crate::proto::time::Instant;

/// The input is a script of what the callers, the network, the clock and the server do.
///
/// # Panics
/// If a caller gets no result, a wrong result or two results; if a command is executed twice or out of order.
pub fn connection(data: &[u8]) {
    let mut script = Script::new(data);
    let mut harness = Harness::new(&mut script);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        harness.step(&mut script);
    }
    harness.close();
}

struct Harness {
    queue: Queue,
    /// The last one is the current connection; the others are retired.
    connections: Vec<ServerConnection>,
    callers: Callers,
    executed: Executed,
    config: ConnectionConfig,
    allowance: TimeoutWindow,
}

struct ServerConnection {
    connection: Connection,
    peer: Peer,
    retired: bool,
}

impl Harness {
    fn new(script: &mut Script<'_>) -> Harness {
        let config = ConnectionConfig {
            handshake: Arc::new(HandshakeConfig::default()),
            limits: Limits::default(),
            in_flight_max: script.below(8) + 1,
            connect_timeout: SECOND * 2,
            command_timeout: SECOND,
            reply_time_max: SECOND * 60,
            idle_ping: SECOND / 2,
        };
        let bounds = QueueBounds { commands: script.below(8) + 1, bytes: script.below(256) + 1 };
        let until = script.coin().then(|| Instant::default().after(SECOND * 5));
        Harness {
            queue: Queue::new(bounds),
            connections: Vec::new(),
            callers: Callers::with_numbered_replies(),
            executed: Executed::default(),
            config,
            allowance: TimeoutWindow::relaxed(SECOND, SECOND * 3, until),
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(STEPS) {
            0 | 1 => self.submit(script),
            2 => self.abandon(script),
            3 | 4 => self.transmit(script.byte(), usize::from(script.byte())),
            5 => self.transmit(script.byte(), usize::MAX),
            6 | 7 => self.receive(script.byte(), usize::from(script.byte())),
            8 => self.receive(script.byte(), usize::MAX),
            9 => self.inject(script.byte(), b">2\r\n+MIGRATED\r\n:1\r\n"),
            10 => self.advance(Duration::from_millis(u64::from(script.byte()) * 8)),
            11 => self.dial(),
            12 => self.end(script.byte(), &CloseReason::ClosedByServer),
            13 => self.give_up(script.byte()),
            14 => self.drain(),
            // Random bytes can look like replies, so from here on replies are only counted and not compared.
            _ => {
                self.callers.numbered = false;
                let count = script.below(32);
                let bytes = script.take(count);
                self.inject(script.byte(), bytes);
            }
        }
    }

    fn submit(&mut self, script: &mut Script<'_>) {
        if self.callers.len() >= COMMANDS_MAX {
            return;
        }
        let handle = script.below(HANDLES) as u32;
        let (replies, padding) = (script.below(3) as u32 + 1, script.below(64));
        let ticket = self.callers.next_ticket();
        let bytes = command(ticket.0, handle, padding).repeat(replies as usize);
        let submission = Submission { entry: EntryId(0), handle: HandleId(handle), ticket, replies };
        let position = self.queue.submit(submission, |out| out.extend_from_slice(&bytes));
        self.callers.add(position, replies);
    }

    /// Cancels a command, which is either queued or in flight on exactly one connection.
    fn abandon(&mut self, script: &mut Script<'_>) {
        let index = usize::from(script.byte());
        let Some(position) = self.callers.waiting(index) else { return };
        let queued = self.queue.abandon(position);
        let written = self
            .connections
            .iter_mut()
            .filter_map(|server| server.connection.abandon(position).then_some(()));
        assert_eq!(written.count() + usize::from(queued), 1, "{index} is not in exactly one place");
        self.callers.leave(index);
    }

    fn choose(&mut self, which: u8) -> Option<usize> {
        usize::from(which).checked_rem(self.connections.len())
    }

    fn transmit(&mut self, which: u8, most: usize) {
        let Some(index) = self.choose(which) else { return };
        // A handle's next command waits until its predecessor connection has answered the earlier ones.
        let mut held: Vec<HandleId> = Vec::new();
        for server in self.connections.iter().filter(|server| server.retired) {
            held.extend(server.connection.handles());
        }
        held.sort();
        let server = &mut self.connections[index];
        let bytes = server.connection.poll_transmit(self.callers.now, &mut self.queue, &held, &self.config);
        let count = bytes.len().min(most);
        server.peer.receive(&bytes[..count], &mut self.executed);
        server.connection.write_buffer().advance(count);
        assert!(server.connection.in_flight() <= self.config.in_flight_max);
    }

    fn receive(&mut self, which: u8, most: usize) {
        let Some(index) = self.choose(which) else { return };
        let server = &mut self.connections[index];
        let count = server.peer.replies.len().min(most);
        let bytes: Vec<u8> = server.peer.replies.drain(..count).collect();
        let taken = server.connection.handle_bytes(self.callers.now, &bytes, &mut self.callers);
        if server.connection.awaits_opt_in() {
            server.connection.handle_opt_in(true);
        }
        let pushes = server.connection.take_pushes();
        assert!(pushes.iter().all(|push| push.frame.is_push()));
        match taken {
            Ok(()) if server.retired && server.connection.is_idle() => {
                self.remove(index, &CloseReason::Replaced)
            }
            Ok(()) => {}
            Err(reason) => {
                assert!(!self.callers.numbered, "{reason}");
                self.remove(index, &reason);
            }
        }
    }

    /// Adds bytes to what the server sends.
    fn inject(&mut self, which: u8, bytes: &[u8]) {
        if let Some(index) = self.choose(which) {
            let peer = &mut self.connections[index].peer;
            // The bytes must not land inside a reply, of which the client may have read a part.
            if self.callers.numbered && !peer.replies.is_empty() {
                peer.replies.extend_from_slice(bytes);
            } else {
                peer.replies.splice(0..0, bytes.iter().copied());
            }
        }
    }

    fn advance(&mut self, time: Duration) {
        if time.is_zero() {
            self.authenticate();
        }
        self.callers.now = self.callers.now.after(time);
        let (now, delivered) = (self.callers.now, self.callers.delivered);
        let patience = ReplyDeadline { window: self.allowance, maintenance: None };
        for index in (0..self.connections.len()).rev() {
            let connection = &mut self.connections[index].connection;
            let due = connection.next_timeout(&self.allowance).is_some_and(|at| at <= now);
            let before = self.callers.delivered;
            let ended = connection.handle_timeout(now, &patience, &mut self.callers);
            assert!(due || (ended.is_ok() && self.callers.delivered == before), "nothing was due");
            if let Err(reason) = ended {
                self.remove(index, &reason);
            }
        }
        if let Some(until) = self.allowance.expired_until(now) {
            let callers = &mut self.callers;
            self.queue.expire(until, |ticket| callers.timed_out(ticket, Outcome::Unsent));
        }
        self.queue.stamp(now);
        assert!(self.callers.delivered >= delivered);
    }

    /// The current connection sends a command of its own, whose reply must not reach any caller.
    fn authenticate(&mut self) {
        if let Some(server) = self.connections.last_mut() {
            server.connection.log_in(Arc::new(Credentials::password("secret")));
        }
    }

    /// Opens a connection, which replaces the current one.
    fn dial(&mut self) {
        if self.connections.len() >= CONNECTIONS_MAX {
            return;
        }
        if let Some(current) = self.connections.last_mut().filter(|server| !server.retired) {
            current.connection.retire(&mut self.queue);
            current.retired = true;
        }
        let mut connection = Connection::dialing(self.callers.now, SECOND * 2, &self.config);
        let peer = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        connection.handle_connected(peer, None, self.callers.now, &self.config);
        self.connections.push(ServerConnection { connection, peer: Peer::default(), retired: false });
    }

    fn end(&mut self, which: u8, reason: &CloseReason) {
        if let Some(index) = self.choose(which) {
            self.remove(index, reason);
        }
    }

    fn remove(&mut self, index: usize, reason: &CloseReason) {
        let server = self.connections.remove(index);
        let before = self.callers.delivered;
        let lost = server.connection.end(&Arc::new(reason.clone()), None, &mut self.queue, &mut self.callers);
        assert_eq!(lost, (self.callers.delivered - before) as u64);
        server.peer.end(&mut self.executed);
    }

    fn give_up(&mut self, which: u8) {
        let Some(index) = self.choose(which) else { return };
        let callers = &mut self.callers;
        self.connections[index].connection.give_up(|ticket, outcome| callers.failed(ticket, outcome));
        self.remove(index, &CloseReason::Local);
    }

    fn drain(&mut self) {
        if let Some(server) = self.connections.last_mut() {
            server.connection.drain();
        }
    }

    /// Closes all connections and fails the remaining commands; then every caller must have its result.
    fn close(&mut self) {
        while !self.connections.is_empty() {
            self.remove(0, &CloseReason::Local);
        }
        let callers = &mut self.callers;
        self.queue.clear(|ticket| callers.failed(ticket, Outcome::Unsent));
        assert!(self.queue.is_empty());
        self.callers.check(&self.executed);
    }
}

const SECOND: Duration = Duration::from_secs(1);
const STEPS: usize = 16;
const STEPS_MAX: usize = 2000;
const COMMANDS_MAX: usize = 256;
const CONNECTIONS_MAX: usize = 3;
