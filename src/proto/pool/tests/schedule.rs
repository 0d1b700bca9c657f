//! A pool under random schedules, against servers that echo. In every run each ticket is resolved once, with its own
//! reply, no command runs twice, and the commands of one handle run in their order. The simulator checks the same on a
//! larger scale.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::*;
use crate::proto::resp::Encoder;

/// Everything around a pool: its tickets, and one server for each of its connections.
struct World {
    pool: Pool,
    now: Instant,
    random: fastrand::Rng,
    outcome: Outcomes,
    open: BTreeMap<u32, (EntryId, Position, HandleId)>,
    next_ticket: u32,
    sockets: HashMap<ConnectionId, Socket>,
    executed: Vec<u32>,
    /// Servers announce maintenance, and close connections when the grace period is over.
    maintained: bool,
    next_seq: i64,
    evictions: Vec<(Instant, SocketAddr)>,
}

#[derive(Default)]
struct Outcomes {
    resolved: BTreeMap<u32, Result<(), Outcome>>,
    cancelled: BTreeSet<u32>,
}

struct Socket {
    peer: SocketAddr,
    connected: bool,
    /// Bytes that arrived at the server and were not executed yet.
    inbox: Vec<u8>,
    /// Bytes that the server sent and the client has not read yet.
    outbox: VecDeque<u8>,
}

impl Deliver for Outcomes {
    fn reply(&mut self, ticket: Ticket, frame: Frame, last: bool) {
        assert!(last);
        assert_eq!(frame, Frame::Integer(i64::from(ticket.0)), "a reply for another command");
        self.resolve(ticket.0, Ok(()));
    }

    fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.resolve(ticket.0, Err(failure.outcome()));
    }

    fn push(&mut self, _frame: Frame) -> bool {
        false
    }
}

impl Outcomes {
    fn resolve(&mut self, ticket: u32, how: Result<(), Outcome>) {
        assert!(!self.cancelled.contains(&ticket), "ticket {ticket} was cancelled");
        assert_eq!(self.resolved.insert(ticket, how), None, "ticket {ticket} was resolved before");
    }
}

impl World {
    fn new(seed: u64, maintained: bool) -> Self {
        let mut config = config();
        config.connections = 2;
        config.connection.in_flight_max = 8;
        config.queue.commands = 8;
        config.seed = seed;
        let now = Instant::from_nanos(1_000_000_000);
        World {
            pool: Pool::new(config, now),
            now,
            random: fastrand::Rng::with_seed(seed),
            outcome: Outcomes::default(),
            open: BTreeMap::new(),
            next_ticket: 0,
            sockets: HashMap::new(),
            executed: Vec::new(),
            maintained,
            next_seq: 0,
            evictions: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.random.u32(..100) {
            0..30 => self.submit(),
            30..36 => self.cancel(),
            36..50 => self.with_socket(Self::transmit),
            50..62 => self.with_socket(Self::serve),
            62..80 => self.with_socket(Self::receive),
            80..91 => self.pass_time(),
            91..93 => self.with_socket(|world, id| world.end(id)),
            93..97 if self.maintained => self.with_socket(Self::announce),
            _ => self.act(),
        }
        self.check_bounds();
    }

    fn submit(&mut self) {
        self.next_ticket += 1;
        let handle = self.random.u32(..6);
        let (ticket, entry, handle) = (self.next_ticket, EntryId(handle % 2), HandleId(handle));
        let encode = |out: &mut Vec<u8>| Encoder::command(out, 1).integer(ticket.into());
        let submission = Submission { entry, handle, ticket: Ticket(ticket), replies: 1 };
        if let Ok(position) = self.pool.submit(submission, encode) {
            self.open.insert(ticket, (entry, position, handle));
        }
    }

    fn cancel(&mut self) {
        let open: Vec<_> =
            self.open.keys().filter(|t| !self.outcome.resolved.contains_key(t)).copied().collect();
        if open.is_empty() {
            return;
        }
        let ticket = open[self.random.usize(..open.len())];
        if let Some((entry, position, _)) = self.open.remove(&ticket) {
            self.pool.abandon(entry, position);
            self.outcome.cancelled.insert(ticket);
        }
    }

    fn with_socket(&mut self, run: impl FnOnce(&mut Self, ConnectionId)) {
        let mut ids: Vec<_> = self.sockets.keys().copied().collect();
        ids.sort_by_key(|id| (id.entry.0, id.generation));
        if !ids.is_empty() {
            let id = ids[self.random.usize(..ids.len())];
            run(self, id);
        }
    }

    fn transmit(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if !socket.connected {
            socket.connected = self.pool.connection(id).handle_connected(Some(socket.peer), None, self.now);
        }
        let Some(bytes) = self.pool.connection(id).poll_transmit(self.now) else { return };
        let count = self.random.usize(..=bytes.len());
        socket.inbox.extend_from_slice(&bytes[..count]);
        self.pool.connection(id).handle_written(count);
    }

    /// The server executes some of the commands that have arrived.
    fn serve(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        for _ in 0..self.random.u32(1..5) {
            let Some(words) = take_command(&mut socket.inbox) else { return };
            let reply = match words[0].as_str() {
                "HELLO" => String::from_utf8_lossy(HELLO_OK).into_owned(),
                "CLIENT" => "+OK\r\n".to_owned(),
                number => {
                    self.executed.push(number.parse().unwrap());
                    format!(":{number}\r\n")
                }
            };
            socket.outbox.extend(reply.bytes());
            if self.random.u32(..10) == 0 {
                socket.outbox.extend(b">1\r\n+noise\r\n");
            }
        }
    }

    /// The server announces something to one connection, or to all.
    fn announce(&mut self, id: ConnectionId) {
        let Some(peer) = self.sockets.get(&id).map(|socket| socket.peer) else { return };
        if self.random.u32(..4) > 0 {
            self.next_seq += 1;
        }
        let (seq, time) = (self.next_seq, self.random.u32(..5));
        let push = match self.random.u32(..8) {
            0..4 => {
                let target = match self.random.u32(..5) {
                    0 => "_\r\n".to_owned(),
                    number => format!("+10.0.0.{number}:6379\r\n"),
                };
                if self.random.u32(..3) > 0 {
                    let late = Duration::from_millis(self.random.u64(..2_000));
                    let closed_at = self.now.after(Duration::from_secs(time.into())).after(late);
                    self.evictions.push((closed_at, peer));
                }
                format!(">4\r\n+MOVING\r\n:{seq}\r\n:{time}\r\n{target}")
            }
            4 => format!(">4\r\n+MIGRATING\r\n:{seq}\r\n:{time}\r\n+[\"1\"]\r\n"),
            5 => format!(">3\r\n+MIGRATED\r\n:{seq}\r\n+[\"1\"]\r\n"),
            6 => format!(">4\r\n+FAILING_OVER\r\n:{seq}\r\n:{time}\r\n+[\"1\"]\r\n"),
            _ => format!(">3\r\n+FAILED_OVER\r\n:{seq}\r\n+[\"1\"]\r\n"),
        };
        let to_all = self.random.bool();
        for (other, socket) in &mut self.sockets {
            if socket.peer == peer && socket.connected && (to_all || *other == id) {
                socket.outbox.extend(push.bytes());
            }
        }
    }

    fn receive(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let count = self.random.usize(..=socket.outbox.len());
        let bytes: Vec<u8> = socket.outbox.drain(..count).collect();
        self.pool.connection(id).handle_bytes(&bytes, self.now, &mut self.outcome);
    }

    fn pass_time(&mut self) {
        let most = if self.random.u32(..10) == 0 { 1_500_000_000 } else { 20_000_000 };
        self.now = Instant::from_nanos(self.now.as_nanos() + self.random.u64(..most));
        self.pool.handle_timeout(self.now, &mut self.outcome);
        self.evict();
    }

    /// Servers close the connections whose grace period is over.
    fn evict(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.evictions.extract_if(.., |(at, _)| *at <= now).map(|(_, peer)| peer).collect();
        let mut ids: Vec<_> = self.sockets.iter().filter(|(_, socket)| due.contains(&socket.peer)).collect();
        ids.sort_by_key(|(id, _)| (id.entry.0, id.generation));
        for id in ids.into_iter().map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end(id);
        }
    }

    fn end(&mut self, id: ConnectionId) {
        self.sockets.remove(&id);
        self.pool.connection(id).handle_closed(CloseReason::ClosedByServer, self.now, &mut self.outcome);
    }

    fn act(&mut self) {
        while let Some(action) = self.pool.poll_action() {
            match action {
                Action::Dial { id, endpoint, .. } => {
                    let peer = endpoint.socket_addr().unwrap();
                    let (inbox, outbox) = (Vec::new(), VecDeque::new());
                    self.sockets.insert(id, Socket { peer, connected: false, inbox, outbox });
                }
                Action::Close { id, .. } => {
                    self.sockets.remove(&id);
                }
                _ => {}
            }
        }
    }

    fn check_bounds(&mut self) {
        for entry in self.pool.parts.entries.iter() {
            assert!(entry.connections().all(|link| link.connection.in_flight() <= 8));
            assert!(entry.predecessors.len() <= 8);
        }
    }

    /// For this long everything arrives, and servers neither announce nor close anything.
    fn calm(&mut self, time: Duration) {
        let until = self.now.after(time);
        while self.now < until {
            self.act();
            let mut ids: Vec<_> = self.sockets.keys().copied().collect();
            ids.sort_by_key(|id| (id.entry.0, id.generation));
            for id in ids {
                self.transmit(id);
                self.serve(id);
                self.receive(id);
            }
            self.now = self.now.after(CALM_STEP);
            self.pool.handle_timeout(self.now, &mut self.outcome);
        }
    }

    /// Without faults: handoffs end, connections settle, and every command is answered.
    fn recover(&mut self, seed: u64) {
        self.evictions.clear();
        self.calm(Duration::from_secs(16));
        let stats = self.pool.maintenance();
        let rest = (stats.draining, stats.permits_in_use, stats.handoffs_queued);
        assert_eq!(rest, (0, 0, 0), "seed {seed}: a handoff has no end");
        assert_eq!(self.pool.entries().ready(), (2, 2), "seed {seed}: not connected");
        let open = self.open.keys().filter(|ticket| !self.outcome.resolved.contains_key(ticket));
        assert_eq!(open.count(), 0, "seed {seed}: not answered");
        let ended = stats.handoffs_succeeded + stats.handoffs_failed + stats.handoffs_superseded;
        assert!(stats.handoffs_started <= ended, "seed {seed}: {stats:?}");
    }

    /// Without faults and new commands: the pool must shut down soon.
    fn settle(&mut self) {
        let until = self.now.after(Duration::from_secs(1));
        self.pool.shut_down(self.now, until, &mut self.outcome);
        self.calm(Duration::from_secs(2));
    }

    fn judge(&self, seed: u64) {
        assert!(self.pool.is_shut_down(), "seed {seed}: not shut down");
        let executed: BTreeSet<_> = self.executed.iter().copied().collect();
        assert_eq!(executed.len(), self.executed.len(), "seed {seed}: a command ran twice");
        for ticket in self.open.keys() {
            match self.outcome.resolved.get(ticket) {
                Some(Ok(())) => assert!(executed.contains(ticket), "seed {seed}: a reply without a command"),
                Some(Err(Outcome::Unsent)) => {
                    assert!(
                        !executed.contains(ticket),
                        "seed {seed}: {ticket} ran, and was reported as unsent"
                    );
                }
                Some(Err(_)) => {}
                None => panic!("seed {seed}: ticket {ticket} was never resolved"),
            }
        }
        for handle in (0..6).map(HandleId) {
            let of_handle = |ticket: &&u32| self.open.get(ticket).is_some_and(|(.., of)| *of == handle);
            let order: Vec<_> = self.executed.iter().filter(of_handle).collect();
            assert!(order.is_sorted(), "seed {seed}: out of order");
        }
    }
}

const CALM_STEP: Duration = Duration::from_millis(25);

/// The words of the first command, if it is complete; its bytes are removed.
fn take_command(inbox: &mut Vec<u8>) -> Option<Vec<String>> {
    let text = String::from_utf8(inbox.clone()).unwrap();
    let mut lines = text.split_inclusive("\r\n");
    let header = lines.next().filter(|line| line.ends_with("\r\n"))?;
    let count: usize = header[1..].trim_end().parse().unwrap();
    let mut taken = header.len();
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, word) = (lines.next()?, lines.next().filter(|line| line.ends_with("\r\n"))?);
        taken += length.len() + word.len();
        words.push(word.trim_end().to_owned());
    }
    inbox.drain(..taken);
    Some(words)
}

/// The number of schedules in `HITLESS_SCHEDULES`, or a small default.
fn schedules() -> u64 {
    std::env::var("HITLESS_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000)
}

fn run(seed: u64, maintained: bool, resolved: &mut BTreeMap<String, u64>) -> MaintenanceStats {
    let mut world = World::new(seed, maintained);
    world.act();
    for _ in 0..if maintained { 700 } else { 300 } {
        world.step();
    }
    if maintained {
        world.recover(seed);
    }
    let stats = world.pool.maintenance();
    world.settle();
    world.judge(seed);
    for how in world.outcome.resolved.values() {
        *resolved.entry(format!("{how:?}")).or_insert(0) += 1;
    }
    stats
}

#[test]
fn random_schedules_resolve_each_ticket_once() {
    let mut resolved = BTreeMap::new();
    for seed in 0..schedules() {
        run(seed, false, &mut resolved);
    }
    // Schedules in which nothing succeeds would prove nothing.
    for (how, least) in [("Ok(())", 40_000), ("Err(Unsent)", 1_000), ("Err(Ambiguous)", 1_000)] {
        assert!(resolved.get(how).is_some_and(|count| *count > least), "{resolved:?}");
    }
}

#[test]
fn random_maintenance_loses_repeats_reorders_nothing() {
    let (mut resolved, mut succeeded, mut failed, mut superseded) = (BTreeMap::new(), 0, 0, 0);
    for seed in 0..schedules() / 2 {
        let stats = run(seed, true, &mut resolved);
        succeeded += stats.handoffs_succeeded;
        failed += stats.handoffs_failed;
        superseded += stats.handoffs_superseded;
    }
    assert!(resolved.get("Ok(())").is_some_and(|count| *count > 40_000), "{resolved:?}");
    assert!(succeeded > 300 && failed > 100 && superseded > 50, "{succeeded} {failed} {superseded}");
}
