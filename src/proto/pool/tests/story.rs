//! [`Story`]: a pool and the calls of its driver; [`Server`]: its peer; and the bytes of announcements.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::super::*;
use crate::proto::connection::{ConnectionConfig, HandleId, HandshakeConfig, QueueBounds};
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::maint::settings::MaintConfig;
use crate::proto::resp::{Encoder, Frame, Limits};
use crate::proto::subscriptions::PubSubEvent;
use crate::proto::targets::Targets;

/// What was delivered, in order.
#[derive(Default)]
pub(super) struct Delivered {
    pub(super) replies: Vec<(u32, Frame)>,
    pub(super) failures: Vec<(u32, Failure)>,
    pub(super) pushes: usize,
    /// The events of subscriptions.
    pub(super) events: Vec<(SubscriptionId, PubSubEvent)>,
}

impl Deliver for Delivered {
    fn reply(&mut self, ticket: Ticket, frame: Frame, _last: bool) {
        self.replies.push((ticket.0, frame));
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.failures.push((ticket.0, failure));
    }

    fn push(&mut self, _frame: Frame) -> bool {
        self.pushes += 1;
        false
    }

    fn event(&mut self, to: SubscriptionId, event: PubSubEvent) {
        self.events.push((to, event));
    }
}

impl Delivered {
    pub(super) fn answered(&self) -> Vec<u32> {
        self.replies.iter().map(|(ticket, _)| *ticket).collect()
    }

    pub(super) fn failed(&self) -> Vec<(u32, Outcome)> {
        self.failures.iter().map(|(ticket, failure)| (*ticket, failure.outcome())).collect()
    }
}

/// A pool, and the calls that its driver makes.
pub(super) struct Story {
    pub(super) pool: Pool,
    pub(super) now: Instant,
    pub(super) delivered: Delivered,
    pub(super) next_ticket: u32,
    /// Actions that the test has not looked at yet.
    pub(super) actions: VecDeque<Action>,
}

pub(super) const HELLO_OK: &[u8] = b"%1\r\n+proto\r\n:3\r\n";
/// SETINFO twice, and the request for notifications.
pub(super) const SETTINGS_OK: &[u8] = b"+OK\r\n+OK\r\n+OK\r\n";
pub(super) const ONLY: EntryId = EntryId(0);
/// The peer that [`config`] names.
pub(super) const PEER: Option<SocketAddr> =
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 6379));
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn config() -> PoolConfig {
    PoolConfig {
        endpoint: "10.0.0.1:6379".parse().unwrap(),
        named: None,
        generation: 0,
        connections: 1,
        exclusive_connections_max: 2,
        exclusive_idle: Duration::from_secs(60),
        connection: ConnectionConfig {
            handshake: Arc::new(HandshakeConfig::default()),
            limits: Limits::default(),
            in_flight_max: 100,
            connect_timeout: Duration::from_secs(2),
            command_timeout: Duration::from_secs(1),
            reply_time_max: Duration::from_secs(60),
            idle_ping: Duration::MAX,
        },
        queue: QueueBounds { commands: 100, bytes: 1 << 20 },
        maint: MaintConfig::default(),
        targets: Targets::default(),
        backoff_first: Duration::from_millis(50),
        backoff_max: Duration::from_secs(2),
        renewable: false,
        seed: 1,
    }
}

/// The same with a pool of this many connections.
pub(super) fn config_of(connections: usize) -> PoolConfig {
    PoolConfig { connections, ..config() }
}

/// The same with another handshake, and its mode in all settings.
pub(super) fn config_with(greeting: HandshakeConfig) -> PoolConfig {
    let mut config = config();
    config.maint.mode = greeting.mode;
    config.maint.endpoint_type = greeting.endpoint_type;
    config.connection.handshake = Arc::new(greeting);
    config
}

/// The replies of a server. The reply to a command of the application is the command's first word.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) hello: Vec<u8>,
    pub(super) auth: Vec<u8>,
    /// The reply to the request for notifications; anything appended arrives in the same write.
    pub(super) maint: Vec<u8>,
    pub(super) select: Vec<u8>,
}

impl Server {
    /// A server that offers notifications.
    pub(super) fn new() -> Self {
        let ok = || b"+OK\r\n".to_vec();
        Server { hello: HELLO_OK.to_vec(), auth: ok(), maint: ok(), select: ok() }
    }

    /// A server with this reply to the request for notifications.
    pub(super) fn with_maint(reply: impl AsRef<[u8]>) -> Self {
        Server { maint: reply.as_ref().to_vec(), ..Server::new() }
    }

    /// A server without the feature.
    pub(super) fn without_maint() -> Self {
        Server::with_maint("-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n")
    }

    pub(super) fn answer(&self, command: &str) -> Vec<u8> {
        let is = |start: &str| command.starts_with(start);
        if is("HELLO") {
            self.hello.clone()
        } else if is("AUTH") {
            self.auth.clone()
        } else if is("CLIENT MAINT_NOTIFICATIONS") {
            self.maint.clone()
        } else if is("SELECT") {
            self.select.clone()
        } else if is("CLIENT") {
            b"+OK\r\n".to_vec()
        } else {
            format!("+{}\r\n", command.split(' ').next().unwrap_or_default()).into_bytes()
        }
    }
}

impl Story {
    pub(super) fn new(config: PoolConfig) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let (delivered, actions) = (Delivered::default(), VecDeque::new());
        Story { pool: Pool::new(config, now), now, delivered, next_ticket: 0, actions }
    }

    /// With its one connection ready.
    pub(super) fn ready(config: PoolConfig) -> (Self, ConnectionId) {
        let mut story = Story::new(config);
        let id = story.dialed();
        story.shake_hands(id);
        (story, id)
    }

    /// With all of its connections ready, each at the endpoint that it was dialed to, which is an address.
    pub(super) fn all_ready(config: PoolConfig) -> (Self, Vec<ConnectionId>) {
        let mut story = Story::new(config);
        let ids = story.accept_all(&Server::new());
        (story, ids)
    }

    pub(super) fn submit(&mut self, text: &str) -> Position {
        self.submit_batch(text, 1)
    }

    pub(super) fn submit_batch(&mut self, text: &str, replies: u32) -> Position {
        self.submit_to(ONLY, HandleId(0), text, replies)
    }

    pub(super) fn submit_to(
        &mut self,
        entry: EntryId,
        handle: HandleId,
        text: &str,
        replies: u32,
    ) -> Position {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let encode = |out: &mut Vec<u8>| Encoder::command(out, 1).bytes(text.as_bytes());
        self.pool.submit(Submission { entry, handle, ticket, replies }, encode).unwrap()
    }

    /// Lets time pass all at once: everything that was due in between happens at its end.
    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.pool.handle_timeout(self.now, &mut self.delivered);
    }

    /// Lets time pass as a driver does: it wakes whenever the pool asked for it.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now.after(time);
        let mut idle = 0;
        while let Some(at) = self.pool.next_timeout().filter(|at| *at <= end) {
            idle = if at > self.now { 0 } else { idle + 1 };
            assert!(idle < 100, "a timer fires again and again at {at:?}");
            self.now = self.now.max(at);
            self.pool.handle_timeout(self.now, &mut self.delivered);
        }
        self.now = end;
        self.pool.handle_timeout(self.now, &mut self.delivered);
    }

    /// Takes the first action of a kind; the others stay.
    pub(super) fn action<T>(&mut self, is: impl Fn(&Action) -> Option<T>) -> Option<T> {
        self.actions.extend(std::iter::from_fn(|| self.pool.poll_action()));
        let index = self.actions.iter().position(|action| is(action).is_some())?;
        is(&self.actions.remove(index)?)
    }

    /// The next dial, with its endpoint and timeout.
    pub(super) fn dial(&mut self) -> Option<(ConnectionId, Endpoint, Duration)> {
        self.action(|action| match action {
            Action::Dial { id, endpoint, timeout } => Some((*id, endpoint.clone(), *timeout)),
            _ => None,
        })
    }

    pub(super) fn next_dial(&mut self) -> Option<ConnectionId> {
        self.dial().map(|(id, ..)| id)
    }

    pub(super) fn dialed(&mut self) -> ConnectionId {
        self.next_dial().expect("a dial")
    }

    pub(super) fn closed(&mut self) -> Option<Arc<CloseReason>> {
        self.action(|action| match action {
            Action::Close { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    }

    /// The next look-up.
    pub(super) fn lookup(&mut self) -> Option<LookupId> {
        self.action(|action| match action {
            Action::Resolve { lookup, .. } => Some(*lookup),
            _ => None,
        })
    }

    /// Answers the next look-up.
    pub(super) fn resolve(&mut self, addresses: &[&str]) {
        let lookup = self.lookup().expect("a look-up");
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.pool.handle_resolved(lookup, Ok(addresses), self.now, &mut self.delivered);
    }

    /// The next message to the other shards.
    pub(super) fn announcement(&mut self) -> Option<Announcement> {
        self.action(|action| match action {
            Action::Announce(announcement) => Some(announcement.clone()),
            _ => None,
        })
    }

    /// The events since the last call.
    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.pool.poll_event()).collect()
    }

    /// The same, announcements only.
    pub(super) fn announced(&mut self) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| matches!(event, Event::Announced { .. }));
        events
    }

    /// Waits until the timer of the next dial fires.
    pub(super) fn redial(&mut self) -> ConnectionId {
        let at = self.pool.next_timeout().expect("a time to dial again");
        self.wait(at.since(self.now));
        self.dialed()
    }
}

/// What the driver of a connection and its server do.
impl Story {
    pub(super) fn shake_hands(&mut self, id: ConnectionId) {
        assert!(self.pool.connection(id).handle_connected(PEER, None, self.now));
        assert!(self.written(id).contains("HELLO"));
        assert!(self.receive(id, HELLO_OK));
        assert!(self.written(id).contains("SETINFO"));
        assert!(self.receive(id, SETTINGS_OK));
    }

    /// A dial reached this address.
    pub(super) fn connect(&mut self, id: ConnectionId, peer: &str) -> bool {
        self.pool.connection(id).handle_connected(Some(peer.parse().unwrap()), None, self.now)
    }

    /// A dial reached a server at this address, which answers until nothing more is written; returns what was written.
    pub(super) fn accept(&mut self, id: ConnectionId, peer: &str, server: &Server) -> Vec<String> {
        assert!(self.connect(id, peer), "{id:?} is not wanted");
        self.serve(id, server)
    }

    /// Accepts every dial, each at its address, and returns the connections. Some wait for the answers of others, so
    /// all are connected before the first is answered.
    pub(super) fn accept_all(&mut self, server: &Server) -> Vec<ConnectionId> {
        let mut ids = Vec::new();
        while let Some((id, endpoint, _)) = self.dial() {
            let peer = endpoint.socket_addr().expect("an address");
            assert!(self.pool.connection(id).handle_connected(Some(peer), None, self.now));
            ids.push(id);
        }
        self.serve_all(&ids, server);
        ids
    }

    /// The server answers until nothing more is written; returns what was written, each command as its words.
    pub(super) fn serve(&mut self, id: ConnectionId, server: &Server) -> Vec<String> {
        self.serve_all(&[id], server)
    }

    /// The same on several connections at once: the first commands of all are answered before the second of any.
    pub(super) fn serve_all(&mut self, ids: &[ConnectionId], server: &Server) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            for id in ids {
                let written = self.commands(*id);
                let replies: Vec<u8> = written.iter().flat_map(|command| server.answer(command)).collect();
                all.extend(written);
                if !replies.is_empty() {
                    self.receive(*id, &replies);
                }
            }
            if all.len() == before {
                return all;
            }
        }
    }

    /// When an entry has something to do, as the driver of any of its connections asks for it.
    pub(super) fn next_timeout_of(&mut self, entry: EntryId) -> Option<Instant> {
        self.pool.connection(ConnectionId { entry, generation: 0 }).next_timeout()
    }

    pub(super) fn receive(&mut self, id: ConnectionId, bytes: impl AsRef<[u8]>) -> bool {
        self.pool.connection(id).handle_bytes(bytes.as_ref(), self.now, &mut self.delivered)
    }

    pub(super) fn close(&mut self, id: ConnectionId) {
        self.fail(id, CloseReason::ClosedByServer);
    }

    pub(super) fn fail(&mut self, id: ConnectionId, reason: CloseReason) {
        self.pool.connection(id).handle_closed(reason, self.now, &mut self.delivered);
    }

    /// Writes everything, and returns its words.
    pub(super) fn written(&mut self, id: ConnectionId) -> String {
        self.written_up_to(id, usize::MAX)
    }

    /// Writes this many bytes at most, and returns their words.
    pub(super) fn written_up_to(&mut self, id: ConnectionId, most: usize) -> String {
        let text = String::from_utf8(self.wire(id, most)).unwrap();
        let words = text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Writes everything, and returns each command as its words. None of them may hold a `*` or `$`.
    pub(super) fn commands(&mut self, id: ConnectionId) -> Vec<String> {
        let text = String::from_utf8(self.wire(id, usize::MAX)).unwrap();
        let commands = text.split('*').skip(1).map(|command| {
            let words =
                command.split("\r\n").skip(1).filter(|line| !line.is_empty() && !line.starts_with('$'));
            words.collect::<Vec<_>>().join(" ")
        });
        commands.collect()
    }

    /// Writes this many bytes at most, and returns them.
    pub(super) fn wire(&mut self, id: ConnectionId, mut most: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        while let Some(bytes) =
            self.pool.connection(id).poll_transmit(self.now).filter(|bytes| !bytes.is_empty())
        {
            let count = bytes.len().min(most);
            wire.extend_from_slice(&bytes[..count]);
            most -= count;
            self.pool.connection(id).handle_written(count);
            if most == 0 {
                break;
            }
        }
        wire
    }
}

/// `MOVING`, with a target or with none.
pub(super) fn moving(seq: i64, grace_s: i64, target: Option<&str>) -> String {
    let target = target.map_or("_\r\n".into(), bulk);
    format!(">4\r\n{}:{seq}\r\n:{grace_s}\r\n{target}", bulk("MOVING"))
}

/// `MIGRATING` or `FAILING_OVER`.
pub(super) fn opens(name: &str, seq: i64, time_s: i64, shard: &str) -> String {
    format!(">4\r\n{}:{seq}\r\n:{time_s}\r\n{}", bulk(name), bulk(&format!("[\"{shard}\"]")))
}

/// `MIGRATED` or `FAILED_OVER`.
pub(super) fn closes(name: &str, seq: i64, shard: &str) -> String {
    format!(">3\r\n{}:{seq}\r\n{}", bulk(name), bulk(&format!("[\"{shard}\"]")))
}

pub(super) fn smigrating(seq: i64, slots: &str) -> String {
    format!(">3\r\n{}:{seq}\r\n{}", bulk("SMIGRATING"), bulk(slots))
}

/// Each move from, to, and which slots.
pub(super) fn smigrated(seq: i64, moves: &[[&str; 3]]) -> String {
    let mut text = format!(">3\r\n{}:{seq}\r\n*{}\r\n", bulk("SMIGRATED"), moves.len());
    for [from, to, slots] in moves {
        write!(text, "*3\r\n{}{}{}", bulk(from), bulk(to), bulk(slots)).unwrap();
    }
    text
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
