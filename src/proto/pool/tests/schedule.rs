//! A pool under random schedules, against a server that echoes: whatever happens, each ticket is resolved once, with
//! its own reply, and nothing runs twice. The simulator in the large begins here.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::*;
use crate::proto::resp::Encoder;

/// The world around a pool: its tickets, and one server process behind each of its connections.
struct World {
    pool: Pool,
    now: Instant,
    random: fastrand::Rng,
    outcome: Outcomes,
    open: BTreeMap<u32, (EntryId, Position)>,
    next_ticket: u32,
    sockets: HashMap<ConnectionId, Socket>,
    executed: Vec<u32>,
}

#[derive(Default)]
struct Outcomes {
    resolved: BTreeMap<u32, Result<(), Outcome>>,
    cancelled: BTreeSet<u32>,
}

#[derive(Default)]
struct Socket {
    connected: bool,
    /// What arrived at the server, as far as it is no whole command yet.
    inbox: Vec<u8>,
    /// What the server sent, as far as the client has not read it.
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

    fn push(&mut self, _frame: Frame) {}
}

impl Outcomes {
    fn resolve(&mut self, ticket: u32, how: Result<(), Outcome>) {
        assert!(!self.cancelled.contains(&ticket), "ticket {ticket} was cancelled");
        assert_eq!(self.resolved.insert(ticket, how), None, "ticket {ticket} was resolved before");
    }
}

impl World {
    fn new(seed: u64) -> Self {
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
        }
    }

    fn step(&mut self) {
        match self.random.u32(..100) {
            0..30 => self.submit(),
            30..36 => self.cancel(),
            36..55 => self.with_socket(Self::transmit),
            55..80 => self.with_socket(Self::receive),
            80..92 => self.pass_time(),
            92..94 => self.with_socket(|world, id| world.end(id)),
            _ => self.act(),
        }
        self.check_bounds();
    }

    fn submit(&mut self) {
        self.next_ticket += 1;
        let (ticket, entry) = (self.next_ticket, EntryId(self.random.u32(..2)));
        let encode = |out: &mut Vec<u8>| Encoder::command(out, 1).integer(ticket.into());
        if let Ok(position) = self.pool.submit(entry, Lane(0), Ticket(ticket), 1, encode) {
            self.open.insert(ticket, (entry, position));
        }
    }

    fn cancel(&mut self) {
        let open: Vec<_> =
            self.open.keys().filter(|t| !self.outcome.resolved.contains_key(t)).copied().collect();
        if open.is_empty() {
            return;
        }
        let ticket = open[self.random.usize(..open.len())];
        if let Some((entry, position)) = self.open.remove(&ticket) {
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
            socket.connected = self.pool.handle_connected(id, PEER, self.now);
        }
        let Some(bytes) = self.pool.poll_transmit(id, self.now) else { return };
        let count = self.random.usize(..=bytes.len());
        socket.inbox.extend_from_slice(&bytes[..count]);
        self.pool.handle_written(id, count);
        while let Some(words) = take_command(&mut socket.inbox) {
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

    fn receive(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let count = self.random.usize(..=socket.outbox.len());
        let bytes: Vec<u8> = socket.outbox.drain(..count).collect();
        self.pool.handle_bytes(id, &bytes, self.now, &mut self.outcome);
    }

    fn pass_time(&mut self) {
        let most = if self.random.u32(..10) == 0 { 1_500_000_000 } else { 20_000_000 };
        self.now = Instant::from_nanos(self.now.as_nanos() + self.random.u64(..most));
        self.pool.handle_timeout(self.now, &mut self.outcome);
    }

    fn end(&mut self, id: ConnectionId) {
        self.sockets.remove(&id);
        self.pool.handle_closed(id, CloseReason::ClosedByServer, self.now, &mut self.outcome);
    }

    fn act(&mut self) {
        while let Some(action) = self.pool.poll_action() {
            match action {
                Action::Dial { id, .. } => {
                    self.sockets.insert(id, Socket::default());
                }
                Action::Close { id, .. } => {
                    self.sockets.remove(&id);
                }
                _ => {}
            }
        }
    }

    fn check_bounds(&mut self) {
        let (_, in_flight) = self.pool.depth();
        assert!(in_flight <= 2 * 8, "{in_flight} in flight");
    }

    /// No more faults: everything must come to an end, soon.
    fn settle(&mut self) {
        let until = self.now.after(Duration::from_secs(1));
        self.pool.shut_down(self.now, until, &mut self.outcome);
        for _ in 0..200 {
            self.act();
            let mut ids: Vec<_> = self.sockets.keys().copied().collect();
            ids.sort_by_key(|id| (id.entry.0, id.generation));
            for id in ids {
                self.transmit(id);
                self.receive(id);
            }
            self.now = self.now.after(Duration::from_millis(10));
            self.pool.handle_timeout(self.now, &mut self.outcome);
        }
    }

    fn judge(&self, seed: u64) {
        assert!(self.pool.is_shut_down(), "seed {seed}: not shut down");
        let executed: BTreeSet<_> = self.executed.iter().copied().collect();
        assert_eq!(executed.len(), self.executed.len(), "seed {seed}: a command ran twice");
        for ticket in self.open.keys() {
            match self.outcome.resolved.get(ticket) {
                Some(Ok(())) => assert!(executed.contains(ticket), "seed {seed}: a reply from nowhere"),
                Some(Err(Outcome::Unsent)) => {
                    assert!(!executed.contains(ticket), "seed {seed}: {ticket} ran, and is called unsent");
                }
                Some(Err(_)) => {}
                None => panic!("seed {seed}: ticket {ticket} was never resolved"),
            }
        }
        for entry in [EntryId(0), EntryId(1)] {
            let of_entry = |ticket: &&u32| self.open.get(ticket).is_some_and(|(of, _)| *of == entry);
            let order: Vec<_> = self.executed.iter().filter(of_entry).collect();
            assert!(order.is_sorted(), "seed {seed}: out of order");
        }
    }
}

/// A command's words, if it is there whole; its bytes are taken.
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

/// As many schedules as `HITLESS_SCHEDULES` says, or enough for every day.
#[test]
fn whatever_happens_each_ticket_is_resolved_once_and_rightly() {
    let mut resolved = BTreeMap::new();
    let wanted =
        std::env::var("HITLESS_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(2_000);
    for seed in 0..wanted {
        let mut world = World::new(seed);
        world.act();
        for _ in 0..300 {
            world.step();
        }
        world.settle();
        world.judge(seed);
        for how in world.outcome.resolved.values() {
            *resolved.entry(format!("{how:?}")).or_insert(0) += 1;
        }
    }
    // A schedule that never gets anywhere would prove nothing.
    for (how, least) in [("Ok(())", 50_000), ("Err(Unsent)", 1_000), ("Err(Ambiguous)", 1_000)] {
        assert!(resolved.get(how).is_some_and(|count| *count > least), "{resolved:?}");
    }
}
