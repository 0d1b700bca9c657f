//! A cluster of servers without sockets, which a [`Cluster`] talks to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::servers::{Servers, Socket};
use crate::proto::cluster::commands::Args;
use crate::proto::cluster::encoded::Commands;
use crate::proto::cluster::{AddressMap, Cluster, ClusterConfig};
use crate::proto::connection::{
    ConnectionConfig, Deliver, EntryId, HandleId, HandshakeConfig, Position, QueueBounds, Submission, Ticket,
};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::{CloseReason, Failure, Outcome};
use crate::proto::maint::settings::MaintConfig;
use crate::proto::pool::{Action, ConnectionId, PoolConfig};
use crate::proto::resp::{Encoder, Frame, Limits};
use crate::proto::targets::Targets;
use crate::proto::time::Instant;

/// A cluster client, and the servers that it talks to. A server is known by its port, and all have one address.
pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) now: Instant,
    pub(super) servers: Servers,
    pub(super) sockets: BTreeMap<ConnectionId, Socket>,
    pub(super) delivered: Delivered,
    next_ticket: u32,
    /// The ports that were dialed, in their order.
    pub(super) dialed: Vec<u16>,
}

/// What the callers got.
#[derive(Default)]
pub(super) struct Delivered {
    pub(super) replies: BTreeMap<u32, Vec<Frame>>,
    pub(super) done: BTreeSet<u32>,
    pub(super) failures: BTreeMap<u32, Failure>,
    pub(super) order: Vec<u32>,
}

impl World {
    /// Three primaries at these ports, of a third of the slots each, and a client that knows the first.
    pub(super) fn new() -> World {
        World::with(AddressMap::default(), 1, &[7000])
    }

    pub(super) fn with(address_map: AddressMap, seed: u64, seeds: &[u16]) -> World {
        let now = Instant::from_nanos(1_000_000_000);
        let seeds: Vec<Endpoint> =
            seeds.iter().map(|port| format!("10.0.0.1:{port}").parse().unwrap()).collect();
        let pool = PoolConfig {
            endpoint: seeds[0].clone(),
            named: None,
            generation: 0,
            connections: 1,
            exclusive_connections_max: 2,
            exclusive_idle: Duration::from_secs(60),
            connection: ConnectionConfig {
                handshake: Arc::new(HandshakeConfig::default()),
                limits: Limits::default(),
                in_flight_max: 1000,
                connect_timeout: Duration::from_secs(2),
                command_timeout: Duration::from_secs(5),
                reply_time_max: Duration::from_secs(60),
                idle_ping: Duration::MAX,
            },
            queue: QueueBounds { commands: 1000, bytes: 1 << 20 },
            maint: MaintConfig::default(),
            targets: Targets::default(),
            backoff_first: Duration::from_millis(10),
            backoff_max: Duration::from_millis(100),
            renewable: false,
            seed,
        };
        let servers = Servers {
            up: [7000, 7001, 7002].into(),
            owners: [(0, 7000), (5461, 7001), (10923, 7002)].into(),
            ..Servers::default()
        };
        World {
            cluster: Cluster::new(ClusterConfig { seeds, pool, address_map }, now),
            now,
            servers,
            sockets: BTreeMap::new(),
            delivered: Delivered::default(),
            next_ticket: 0,
            dialed: Vec::new(),
        }
    }

    /// A world whose client is connected to all primaries.
    pub(super) fn ready() -> World {
        let mut world = World::new();
        world.settle();
        assert_eq!(world.cluster.ready(), (3, 3));
        world
    }

    /// The number of the next command.
    pub(super) fn next_ticket(&self) -> u32 {
        self.next_ticket
    }

    /// Submits a command of the first handle.
    pub(super) fn send(&mut self, text: &str) -> u32 {
        self.submit(0, &[text])
    }

    /// Submits a command, or a batch, of a handle.
    pub(super) fn submit(&mut self, handle: u32, commands: &[&str]) -> u32 {
        self.try_submit(handle, commands).unwrap().0
    }

    pub(super) fn try_submit(&mut self, handle: u32, commands: &[&str]) -> Result<(u32, Position), Failure> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let submission = Submission {
            entry: EntryId(0),
            handle: HandleId(handle),
            ticket: Ticket(ticket),
            replies: u32::try_from(commands.len()).unwrap(),
        };
        let submitted = self.cluster.submit(submission, |out| {
            for text in commands {
                let words: Vec<&str> = text.split(' ').collect();
                let mut encoder = Encoder::command(out, words.len());
                words.iter().for_each(|word| encoder.bytes(word.as_bytes()));
            }
        });
        submitted.map(|(position, _)| (ticket, position))
    }

    /// Runs until nothing more happens at this time.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            let acted = self.act();
            let written = self.write_all();
            let read = self.read_all();
            if !acted && !written && !read {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Lets time pass, and runs.
    pub(super) fn advance(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
        self.cluster.handle_timeout(self.now, &mut self.delivered);
        self.settle();
    }

    /// Lets time pass in steps, each of which ends at a timeout of the cluster.
    pub(super) fn advance_by_timeouts(&mut self, ms: u64) {
        let until = self.now.after(Duration::from_millis(ms));
        while let Some(next) = self.cluster.next_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next).after(Duration::from_micros(1));
            self.cluster.handle_timeout(self.now, &mut self.delivered);
            self.settle();
        }
        self.now = self.now.max(until);
    }

    /// Executes what the cluster asks for; true if it asked for anything.
    pub(super) fn act(&mut self) -> bool {
        let mut acted = false;
        if self.cluster.has_actions() {
            self.cluster.handle_timeout(self.now, &mut self.delivered);
        }
        while let Some(action) = self.cluster.poll_action() {
            acted = true;
            match action {
                Action::Dial { id, endpoint, .. } => self.dial(id, endpoint.port()),
                Action::Close { id, .. } => drop(self.sockets.remove(&id)),
                _ => {}
            }
        }
        while self.cluster.poll_event().is_some() {}
        acted
    }

    fn dial(&mut self, id: ConnectionId, port: u16) {
        self.dialed.push(port);
        if !self.servers.up.contains(&port) {
            let reason = CloseReason::Dial("refused".into());
            return self.cluster.handle_closed(id, reason, self.now, &mut self.delivered);
        }
        let peer = SocketAddr::from(([10, 0, 0, 1], port));
        if self.cluster.connection(id).handle_connected(Some(peer), None, self.now) {
            self.sockets.insert(id, Socket { port, ..Socket::default() });
        }
    }

    /// Servers receive and answer what the client has to write.
    pub(super) fn write_all(&mut self) -> bool {
        let ids: Vec<ConnectionId> = self.sockets.keys().copied().collect();
        ids.into_iter().filter(|id| self.write(*id)).count() > 0
    }

    pub(super) fn write(&mut self, id: ConnectionId) -> bool {
        let Some(port) = self.sockets.get(&id).map(|socket| socket.port) else { return false };
        let Some(bytes) = self.cluster.connection(id).poll_transmit(self.now) else { return false };
        let bytes = bytes.to_vec();
        self.cluster.connection(id).handle_written(bytes.len());
        if !self.servers.up.contains(&port) {
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.unread.extend_from_slice(&bytes);
            }
            return false;
        }
        self.serve(id, &bytes);
        !bytes.is_empty()
    }

    /// A server that was stopped reads what was written to it.
    pub(super) fn revive(&mut self, port: u16) {
        let ids = self.sockets.iter().filter(|(_, socket)| socket.port == port).map(|(id, _)| *id);
        for id in ids.collect::<Vec<_>>() {
            let unread = self.sockets.get_mut(&id).map(|socket| std::mem::take(&mut socket.unread));
            self.serve(id, &unread.unwrap_or_default());
        }
    }

    fn serve(&mut self, id: ConnectionId, bytes: &[u8]) {
        // A server cannot know what the others have refused: the client may be told of that later than of this.
        let refused: Vec<String> = self.sockets.values().flat_map(|socket| socket.refused.clone()).collect();
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        for command in Commands::new(bytes) {
            let words: Vec<String> = (0..command.args.len())
                .map(|index| String::from_utf8_lossy(command.args.get(index).unwrap()).into_owned())
                .collect();
            if words[0] == "RPUSH" {
                let earlier =
                    refused.iter().chain(&socket.refused).map(|first| (first.clone(), words[2].clone()));
                self.servers.overtaken.extend(earlier);
            }
            let reply = self.servers.answer(socket, &words);
            socket.replies.extend_from_slice(reply.as_bytes());
        }
    }

    /// The client reads all replies.
    pub(super) fn read_all(&mut self) -> bool {
        let ids: Vec<ConnectionId> = self.sockets.keys().copied().collect();
        ids.into_iter().filter(|id| self.read(*id)).count() > 0
    }

    pub(super) fn read(&mut self, id: ConnectionId) -> bool {
        let Some(socket) = self.sockets.get_mut(&id) else { return false };
        socket.refused.clear();
        let bytes = std::mem::take(&mut socket.replies);
        if bytes.is_empty() || !self.servers.up.contains(&socket.port) {
            return false;
        }
        self.cluster.handle_bytes(id, &bytes, self.now, &mut self.delivered);
        true
    }

    /// The client reads what these servers have sent.
    pub(super) fn read_from(&mut self, ports: &[u16]) {
        let ids = self.sockets.iter().filter(|(_, socket)| ports.contains(&socket.port)).map(|(id, _)| *id);
        for id in ids.collect::<Vec<_>>() {
            self.read(id);
        }
    }

    /// The client reads the first line that this server has sent, and no more.
    pub(super) fn read_line(&mut self, port: u16) {
        let found = self.sockets.iter_mut().find(|(_, socket)| socket.port == port);
        let (id, socket) = found.expect("a connection");
        let end = socket.replies.windows(2).position(|end| end == b"\r\n").expect("a line") + 2;
        let line: Vec<u8> = socket.replies.drain(..end).collect();
        let id = *id;
        self.cluster.handle_bytes(id, &line, self.now, &mut self.delivered);
    }

    /// The server at this port is gone, with its connections.
    pub(super) fn kill(&mut self, port: u16) {
        self.servers.up.remove(&port);
        let gone: Vec<ConnectionId> =
            self.sockets.iter().filter(|(_, socket)| socket.port == port).map(|(id, _)| *id).collect();
        for id in gone {
            self.sockets.remove(&id);
            self.cluster.handle_closed(id, CloseReason::ClosedByServer, self.now, &mut self.delivered);
        }
    }

    /// The reply to a command.
    pub(super) fn reply(&self, ticket: u32) -> Frame {
        match self.delivered.replies.get(&ticket).map(Vec::as_slice) {
            Some([reply]) => reply.clone(),
            other => panic!("{other:?}, {:?}", self.delivered.failures.get(&ticket)),
        }
    }

    /// The ports at which commands with this text arrived.
    pub(super) fn ports_of(&self, text: &str) -> Vec<u16> {
        self.servers.log.iter().filter(|(_, logged)| logged == text).map(|(port, _)| *port).collect()
    }
}

impl Deliver for Delivered {
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        self.replies.entry(ticket.0).or_default().push(frame);
        if last {
            assert!(self.done.insert(ticket.0), "{} is answered twice", ticket.0);
            self.order.push(ticket.0);
        }
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        assert!(self.done.insert(ticket.0), "{} is answered twice", ticket.0);
        self.order.push(ticket.0);
        self.failures.insert(ticket.0, failure);
    }

    fn push(&mut self, _: Frame) -> bool {
        false
    }
}

impl Delivered {
    /// The outcome of a command that has failed.
    pub(super) fn outcome(&self, ticket: u32) -> Option<Outcome> {
        self.failures.get(&ticket).map(Failure::outcome)
    }
}
