//! [`World`]: a pool, the servers that it can reach, one name, and virtual time that advances from one due event to
//! the next. It drives the pool as little as the contract allows: a socket is written to after something was read
//! from it or submitted to it, and when its driver was woken.

use std::collections::{BTreeMap, BTreeSet};

use super::super::story::{HELLO_OK, config_of};
use super::outcomes::{Closed, Dial, Executed, Outcomes};
use super::servers::{Reachability, Server, Socket, parse};
use super::*;
use crate::proto::connection::HandleId;
use crate::proto::resp::Encoder;

/// How long a dial takes, and a reply.
pub(super) const LATENCY: Duration = ms(1);

pub(super) struct World {
    pub(super) pool: Pool,
    pub(super) now: Instant,
    servers: BTreeMap<SocketAddr, Server>,
    /// What the configured name resolves to.
    pub(super) dns: Result<Vec<SocketAddr>, String>,
    /// What other names resolve to.
    pub(super) names: BTreeMap<&'static str, Vec<SocketAddr>>,
    pub(super) sockets: BTreeMap<Key, Socket>,
    /// Commands of the application, in the order in which servers ran them.
    pub(super) executed: Vec<Executed>,
    pub(super) dials: Vec<Dial>,
    /// When each connection became ready.
    pub(super) readies: BTreeMap<Key, Instant>,
    pub(super) closes: Vec<Closed>,
    pub(super) announcements: Vec<Announcement>,
    /// When names were looked up.
    pub(super) lookups: Vec<Instant>,
    pub(super) events: Vec<Event>,
    pub(super) outcomes: Outcomes,
    /// The most connections that were being made at once.
    pub(super) most_in_progress: usize,
    in_progress: BTreeSet<Key>,
    due: BTreeMap<(Instant, u64), Due>,
    next_due: u64,
    to_write: BTreeSet<Key>,
}

/// A connection, as its entry and its generation: sorted keys make runs repeatable.
pub(super) type Key = (u32, u32);

enum Due {
    Connected(Key),
    Failed(Key, CloseReason),
    Bytes(Key, Vec<u8>),
    Resolved(LookupId),
}

impl World {
    /// Servers at [`A`], [`B`] and [`C`], and a name that resolves to the first.
    pub(super) fn new(config: PoolConfig) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let servers = [A, B, C].map(|address| (address, Server::default()));
        World {
            pool: Pool::new(config, now),
            now,
            servers: servers.into_iter().collect(),
            dns: Ok(vec![A]),
            names: BTreeMap::new(),
            sockets: BTreeMap::new(),
            executed: Vec::new(),
            dials: Vec::new(),
            readies: BTreeMap::new(),
            closes: Vec::new(),
            announcements: Vec::new(),
            lookups: Vec::new(),
            events: Vec::new(),
            outcomes: Outcomes::default(),
            most_in_progress: 0,
            in_progress: BTreeSet::new(),
            due: BTreeMap::new(),
            next_due: 0,
            to_write: BTreeSet::new(),
        }
    }

    /// With all connections ready, and all records cleared.
    pub(super) fn ready(config: PoolConfig) -> Self {
        let mut world = World::new(config);
        world.run(ms(20));
        assert_eq!(world.pool.entries().ready().0, world.pool.entries().ready().1);
        world.dials.clear();
        world.events.clear();
        world.most_in_progress = 0;
        world
    }

    /// The same with a pool of this many connections.
    pub(super) fn of(connections: usize) -> Self {
        World::ready(config_of(connections))
    }

    pub(super) fn server(&mut self, address: SocketAddr) -> &mut Server {
        self.servers.get_mut(&address).unwrap()
    }

    /// Submits a command that is answered with its own text; returns its ticket.
    pub(super) fn submit(&mut self, entry: u32, handle: u32, text: &str) -> u32 {
        let ticket = u32::try_from(self.outcomes.texts.len()).unwrap();
        self.outcomes.texts.push(text.to_owned());
        let encode = |out: &mut Vec<u8>| Encoder::command(out, 1).bytes(text.as_bytes());
        let entry = EntryId(entry);
        let submission = Submission { entry, handle: HandleId(handle), ticket: Ticket(ticket), replies: 1 };
        self.pool.submit(submission, encode).unwrap();
        self.to_write
            .extend(self.pool.entries().active_generation(entry).map(|generation| (entry.0, generation)));
        ticket
    }

    /// Sends a push to every connection of this server that asked for notifications.
    pub(super) fn push(&mut self, peer: SocketAddr, push: &str) {
        for key in self.connected_to(peer) {
            if self.sockets[&key].opted_in {
                self.push_on(key, push);
            }
        }
    }

    pub(super) fn push_on(&mut self, key: Key, push: &str) {
        self.plan(Duration::ZERO, Due::Bytes(key, push.as_bytes().to_vec()));
    }

    /// A server announces this to all connections that asked for notifications, and to every new one.
    pub(super) fn announce(&mut self, peer: SocketAddr, push: &str) {
        self.server(peer).with_opt_in = push.to_owned();
        self.push(peer, push);
    }

    /// A server closes all of its connections.
    pub(super) fn hang_up(&mut self, peer: SocketAddr) {
        for key in self.connected_to(peer) {
            self.lose(key);
        }
    }

    /// A server closes one connection.
    pub(super) fn lose(&mut self, key: Key) {
        self.plan(Duration::ZERO, Due::Failed(key, CloseReason::ClosedByServer));
    }

    /// A server that held its replies back sends them, and holds none back any more.
    pub(super) fn reply_at_last(&mut self, peer: SocketAddr) {
        self.server(peer).is_stalled = false;
        for key in self.connected_to(peer) {
            let held = std::mem::take(&mut self.sockets.get_mut(&key).unwrap().held);
            self.plan(LATENCY, Due::Bytes(key, held));
        }
    }

    /// A socket takes this many more bytes.
    pub(super) fn take_more(&mut self, key: Key, takes: usize) {
        self.sockets.get_mut(&key).unwrap().takes = takes;
        self.to_write.insert(key);
    }

    /// The open connections to a server, oldest of each entry first.
    pub(super) fn connected_to(&self, peer: SocketAddr) -> Vec<Key> {
        let open = self.sockets.iter().filter(|(_, socket)| socket.is_open && socket.peer == peer);
        open.map(|(key, _)| *key).collect()
    }

    /// The peer of each entry's connection in use.
    pub(super) fn peers(&self) -> Vec<Option<SocketAddr>> {
        let active = self.pool.parts.entries.iter().map(|entry| entry.active.as_ref());
        active.map(|link| link.filter(|link| link.is_ready())?.peer).collect()
    }

    pub(super) fn all_at(&self, peer: SocketAddr) -> bool {
        self.peers().iter().all(|at| *at == Some(peer))
    }

    /// The dials since the last call, and how long after `start` each was.
    pub(super) fn take_dials(&mut self, start: Instant) -> Vec<(Duration, String)> {
        let dials = std::mem::take(&mut self.dials);
        dials.into_iter().map(|dial| (dial.at.since(start), dial.to)).collect()
    }

    /// The results of handoffs since the last call, as words.
    pub(super) fn take_results(&mut self) -> Vec<&'static str> {
        let events = std::mem::take(&mut self.events);
        let results = events.iter().filter_map(|event| match event {
            Event::HandoffEnded { result, .. } => Some(result.name()),
            _ => None,
        });
        results.collect()
    }

    /// How many announcements were reported.
    pub(super) fn announced(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Announced { .. })).count()
    }

    /// The texts that this server ran, in order.
    pub(super) fn ran(&self, by: SocketAddr) -> Vec<&str> {
        self.executed.iter().filter(|one| one.by == by).map(|one| one.text.as_str()).collect()
    }

    /// Asserts that each command was answered and ran once, and none failed.
    pub(super) fn assert_unharmed(&self) {
        assert!(self.outcomes.failed.is_empty(), "{:?}", self.outcomes.failed);
        let mut answered = self.outcomes.tickets();
        answered.sort_unstable();
        assert!(answered.iter().copied().eq(0..u32::try_from(self.outcomes.texts.len()).unwrap()));
        let mut ran: Vec<_> = self.executed.iter().map(|one| &one.text).collect();
        let mut submitted: Vec<_> = self.outcomes.texts.iter().collect();
        ran.sort_unstable();
        submitted.sort_unstable();
        assert!(ran == submitted, "each runs once");
    }

    /// Handles everything that is due within this time.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now.after(time);
        let mut idle = 0;
        loop {
            self.settle();
            let due = self.due.first_key_value().map(|(key, _)| key.0);
            let timer = self.pool.next_timeout();
            let Some(next) = earliest(due, timer).filter(|next| *next <= end) else { break };
            idle = if next > self.now { 0 } else { idle + 1 };
            assert!(idle < 10_000, "a timer fires again and again");
            self.now = self.now.max(next);
            self.outcomes.now = self.now;
            self.fire_due();
            if timer.is_some_and(|timer| timer <= self.now) {
                self.pool.handle_timeout(self.now, &mut self.outcomes);
            }
        }
        self.now = end;
        self.outcomes.now = end;
    }

    /// Runs until this long after `start`.
    pub(super) fn run_until(&mut self, start: Instant, time: Duration) {
        let end = start.after(time);
        assert!(end >= self.now, "time only advances");
        self.run(end.since(self.now));
    }

    /// Runs until this many dials were begun, for 5 s at most.
    pub(super) fn run_until_dials(&mut self, count: usize) {
        let start = self.now;
        while self.dials.len() < count {
            self.run(LATENCY / 10);
            assert!(self.now.since(start) < ms(5_000), "{} dials", self.dials.len());
        }
    }

    fn plan(&mut self, after: Duration, due: Due) {
        self.due.insert((self.now.after(after), self.next_due), due);
        self.next_due += 1;
    }

    fn fire_due(&mut self) {
        while let Some(first) = self.due.first_entry()
            && first.key().0 <= self.now
        {
            match first.remove() {
                Due::Connected(key) => {
                    let socket = &self.sockets[&key];
                    if socket.is_open
                        && self.pool.connection(socket.id).handle_connected(Some(socket.peer), None, self.now)
                    {
                        self.to_write.insert(key);
                    }
                }
                Due::Failed(key, reason) => {
                    let socket = self.sockets.get_mut(&key).unwrap();
                    if std::mem::take(&mut socket.is_open) {
                        self.pool.connection(socket.id).handle_closed(reason, self.now, &mut self.outcomes);
                    }
                }
                Due::Bytes(key, bytes) => {
                    let socket = &self.sockets[&key];
                    if socket.is_open {
                        self.pool.connection(socket.id).handle_bytes(&bytes, self.now, &mut self.outcomes);
                        self.to_write.insert(key);
                    }
                }
                Due::Resolved(lookup) => {
                    self.pool.handle_resolved(lookup, self.dns.clone(), self.now, &mut self.outcomes);
                }
            }
            self.act();
        }
    }

    /// Carries out the pool's actions, and writes what it has to write.
    fn settle(&mut self) {
        loop {
            self.act();
            let keys = std::mem::take(&mut self.to_write);
            if keys.is_empty() {
                return;
            }
            for key in keys {
                self.write(key);
            }
        }
    }

    fn act(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.pool.poll_event()));
        while let Some(action) = self.pool.poll_action() {
            match action {
                Action::Dial { id, endpoint, .. } => self.dial(id, &endpoint),
                Action::Ready { id } => {
                    self.in_progress.remove(&key(id));
                    self.readies.insert(key(id), self.now);
                }
                Action::Close { id, reason, .. } => {
                    let key = key(id);
                    self.in_progress.remove(&key);
                    self.sockets.get_mut(&key).unwrap().is_open = false;
                    self.closes.push(Closed { at: self.now, key, reason });
                }
                Action::Wake { id } => {
                    self.to_write.insert(key(id));
                }
                Action::Announce(announcement) => self.announcements.push(announcement),
                Action::AskCredentials => {}
                Action::Resolve { lookup, .. } => {
                    self.lookups.push(self.now);
                    self.plan(LATENCY, Due::Resolved(lookup));
                }
            }
        }
    }

    fn dial(&mut self, id: ConnectionId, endpoint: &Endpoint) {
        let key = key(id);
        self.dials.push(Dial { at: self.now, to: endpoint.to_string() });
        self.in_progress.insert(key);
        self.most_in_progress = self.most_in_progress.max(self.in_progress.len());
        let found = match (endpoint.socket_addr(), self.names.get(endpoint.host())) {
            (Some(address), _) => vec![address],
            (None, Some(addresses)) => addresses.clone(),
            (None, None) => self.dns.clone().unwrap_or_default(),
        };
        let admitted = self.pool.connection(id).admit(found, self.now);
        let peer = admitted.as_ref().ok().and_then(|found| found.first().copied()).unwrap_or(NOWHERE);
        let socket = Socket {
            id,
            peer,
            is_open: true,
            opted_in: false,
            greeting: Vec::new(),
            takes: usize::MAX,
            inbox: Vec::new(),
            held: Vec::new(),
        };
        self.sockets.insert(key, socket);
        if let Err(reason) = admitted {
            return self.plan(LATENCY, Due::Failed(key, reason));
        }
        match self.servers.get(&peer).map_or(Reachability::Refusing, |server| server.reachability) {
            Reachability::Open => self.plan(LATENCY, Due::Connected(key)),
            Reachability::Refusing => {
                self.plan(LATENCY, Due::Failed(key, CloseReason::Dial("refused".into())))
            }
            Reachability::Untrusted => {
                let reason = CloseReason::Tls { problem: "no".into(), remedy: None };
                self.plan(LATENCY, Due::Failed(key, reason));
            }
            Reachability::Silent => {}
        }
    }

    fn write(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        while let Some(bytes) =
            self.pool.connection(socket.id).poll_transmit(self.now).filter(|bytes| !bytes.is_empty())
        {
            let count = bytes.len().min(socket.takes);
            if count == 0 {
                break;
            }
            socket.takes -= count;
            socket.inbox.extend_from_slice(&bytes[..count]);
            self.pool.connection(socket.id).handle_written(count);
        }
        self.serve(key);
    }

    /// The server runs the commands that have arrived completely.
    fn serve(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let Some(server) = self.servers.get(&socket.peer) else { return };
        let inbox = String::from_utf8(std::mem::take(&mut socket.inbox)).unwrap();
        let (mut rest, mut replies) = (&inbox[..], String::new());
        while let Some((words, after)) = parse(rest) {
            rest = after;
            let text = words.join(" ");
            match words[0] {
                "HELLO" => {
                    replies.push_str(std::str::from_utf8(HELLO_OK).unwrap());
                    replies.push_str(&server.with_hello);
                }
                "CLIENT" | "SELECT" => {
                    replies.push_str("+OK\r\n");
                    if words[1] == "MAINT_NOTIFICATIONS" {
                        socket.opted_in = true;
                        replies.push_str(&server.with_opt_in);
                    }
                }
                _ => {
                    replies.push_str(&format!("+{text}\r\n"));
                    self.executed.push(Executed { by: socket.peer, text });
                    continue;
                }
            }
            socket.greeting.push(text);
        }
        socket.inbox = rest.as_bytes().to_vec();
        if server.is_stalled {
            socket.held.extend(replies.bytes());
        } else if !replies.is_empty() {
            self.plan(LATENCY, Due::Bytes(key, replies.into_bytes()));
        }
    }
}

/// An address without a server.
const NOWHERE: SocketAddr = super::server(0);

pub(super) fn key(id: ConnectionId) -> Key {
    (id.entry.0, id.generation)
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
