//! [`World`]: everything that a seed brings to life, and the loop that runs it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::agenda::{Agenda, Happening};
use super::callers::{self, Caller};
use super::checkers::bounds::Bounds;
use super::checkers::endings::Endings;
use super::checkers::handoffs::Handoffs;
use super::checkers::{Violation, deadlines, liveness, truth};
use super::network::{Chunk, Network, WireId};
use super::outcomes::Outcomes;
use super::plan::{DEEDS_END, DeedKind, NODES, Plan, Setting, address};
use super::trace::Trace;
use crate::proto::connection::{ConnectionConfig, Greeting, Lane, QueueBounds};
use crate::proto::error::CloseReason;
use crate::proto::maint::settings::MaintConfig;
use crate::proto::pool::{Action, LookupId, Pool, PoolConfig};
use crate::proto::resp::{Decoder, Encoder, Frame, Limits};
use crate::proto::time::Instant;
use crate::rehearsal::{Accept, Ending, NodeId, Server, ServerConfig, SessionId};

pub(super) struct World<'a> {
    plan: &'a Plan,
    trace: &'a mut Trace,
    now: Instant,
    random: fastrand::Rng,
    agenda: Agenda,
    shards: Vec<Shard>,
    callers: Vec<Caller>,
    network: Network,
    server: Server,
    /// The nodes that the name leads to, and how long it takes to find out.
    name: (Vec<usize>, Duration),
    server_timer: Option<Instant>,
    is_calm: bool,
    tally: Tally,
}

struct Shard {
    pool: Pool,
    outcomes: Outcomes,
    bounds: Bounds,
    endings: Endings,
    handoffs: Handoffs,
    next_ticket: u32,
    armed: Option<Instant>,
    is_closing: bool,
}

/// What happened in a world, or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) virtual_time: Duration,
    pub(crate) events: u64,
    pub(crate) commands: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) notifications: u64,
    pub(crate) handoffs: u64,
    pub(crate) handoffs_succeeded: u64,
    pub(crate) deeds: u64,
    pub(crate) connections: u64,
}

impl Tally {
    /// Both together.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.virtual_time += other.virtual_time;
        self.events += other.events;
        self.commands += other.commands;
        self.answered += other.answered;
        self.failed += other.failed;
        self.notifications += other.notifications;
        self.handoffs += other.handoffs;
        self.handoffs_succeeded += other.handoffs_succeeded;
        self.deeds += other.deeds;
        self.connections += other.connections;
    }
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, trace: &'a mut Trace) -> Self {
        let setting = &plan.setting;
        let now = Instant::from_nanos(1_000_000_000);
        let mut random = fastrand::Rng::with_seed(plan.seed ^ 0x9e37_79b9_7f4a_7c15);
        let nodes: Vec<SocketAddr> = (0..NODES).filter_map(|node| address(node).parse().ok()).collect();
        let server = Server::new(ServerConfig::default(), nodes, now.as_nanos() / 1000);
        let mut shards: Vec<Shard> = (0..setting.shards)
            .map(|_| Shard {
                pool: Pool::new(config(setting, random.u64(..)), now),
                outcomes: Outcomes::default(),
                bounds: Bounds::default(),
                endings: Endings::default(),
                handoffs: Handoffs::default(),
                next_ticket: 0,
                armed: None,
                is_closing: false,
            })
            .collect();
        let mut agenda = Agenda::default();
        let mut people = Vec::new();
        for (shard, state) in shards.iter_mut().enumerate() {
            for number in 0..setting.callers {
                agenda.plan(now, Happening::Caller { caller: people.len() });
                people.push(Caller::new(shard, number, &mut state.pool));
            }
        }
        for (index, deed) in plan.deeds.iter().enumerate() {
            agenda.plan(now.after(deed.at), Happening::Deed { index });
        }
        World {
            plan,
            trace,
            now,
            random,
            agenda,
            shards,
            callers: people,
            network: Network::default(),
            server,
            name: (vec![0], Duration::from_millis(1)),
            server_timer: None,
            is_calm: false,
            tally: Tally::default(),
        }
    }

    /// From the first dial to the last close.
    pub(super) fn run(mut self) -> Result<Tally, Violation> {
        let begin = self.now;
        for shard in 0..self.shards.len() {
            self.drive(shard)?;
        }
        self.run_until(begin.after(DEEDS_END))?;
        self.heal();
        self.run_until(begin.after(DEEDS_END + CALM))?;
        for Shard { pool, outcomes, is_closing, .. } in &mut self.shards {
            match is_closing {
                true => liveness::check_shut_down(pool, outcomes)?,
                false => liveness::check_calm(pool, outcomes)?,
            }
            let stats = pool.maintenance();
            self.tally.notifications += stats.notifications;
            self.tally.handoffs += stats.handoffs_started;
            self.tally.handoffs_succeeded += stats.handoffs_succeeded;
            self.tally.connections += pool.counters().connected;
        }
        for shard in 0..self.shards.len() {
            self.shut_down(shard, SHUTDOWN_GRACE)?;
        }
        self.run_until(begin.after(DEEDS_END + CALM + SHUTDOWN_GRACE * 2))?;
        for Shard { pool, outcomes, .. } in &mut self.shards {
            liveness::check_shut_down(pool, outcomes)?;
        }
        let open = self.server.sessions().count();
        if open > 0 {
            return Err(Violation::new("nothing is left behind", format!("{open} connections are open")));
        }
        self.compare_with_the_truth()?;
        self.tally.virtual_time = self.now.since(begin);
        self.tally.deeds = self.plan.deeds.len() as u64;
        Ok(self.tally)
    }

    fn run_until(&mut self, until: Instant) -> Result<(), Violation> {
        while self.agenda.next_at().is_some_and(|at| at <= until) {
            let Some((at, happening)) = self.agenda.pop() else { break };
            self.now = at;
            self.tally.events += 1;
            if self.tally.events > EVENTS_MAX {
                return Err(Violation::new(
                    "everything comes to its end",
                    "events follow each other without end",
                ));
            }
            self.happen(happening)?;
        }
        self.now = until;
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Timer { shard } => {
                let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
                if state.armed == Some(self.now) {
                    state.armed = None;
                    state.pool.handle_timeout(self.now, &mut state.outcomes);
                    self.drive(shard)?;
                }
                Ok(())
            }
            Happening::Writable { shard } => self.drive(shard),
            Happening::Dialed { wire } => self.dialed(wire),
            Happening::ToServer { wire } => self.to_server(wire),
            Happening::ToClient { wire } => self.to_client(wire),
            Happening::ServerTimer => {
                if self.server_timer.is_some_and(|at| at <= self.now) {
                    self.server_timer = None;
                    self.server.handle_time(self.micros());
                    self.serve(None);
                }
                Ok(())
            }
            Happening::Deed { index } => self.deed(index),
            Happening::Caller { caller } => self.caller(caller),
            Happening::Resolved { shard, lookup } => self.resolved(shard, lookup),
            Happening::Told { shard, announcement } => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.pool.handle_announcement(*announcement, self.now);
                }
                self.drive(shard)
            }
        }
    }

    fn caller(&mut self, number: usize) -> Result<(), Violation> {
        let Some(caller) = self.callers.get(number).filter(|_| !self.is_calm) else { return Ok(()) };
        let shard = caller.shard;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let Shard { pool, outcomes, next_ticket, .. } = state;
        let again = caller.act(pool, outcomes, next_ticket, &mut self.random, self.now);
        self.agenda.plan(self.now.after(again), Happening::Caller { caller: number });
        self.drive(shard)
    }

    /// What the drivers and the pilot of a shard do after something has happened: write, act, set the timer; and what
    /// the checkers do after that.
    fn drive(&mut self, shard: usize) -> Result<(), Violation> {
        self.transmit(shard);
        while let Some(action) = self.shards.get_mut(shard).and_then(|state| state.pool.poll_action()) {
            self.act(shard, action)?;
            self.transmit(shard);
        }
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        while let Some(event) = state.pool.poll_event() {
            state.endings.check(&event)?;
            self.trace.note(self.now, &[1, shard as u64], |line| {
                line.push_str(&format!("shard {shard}: {event:?}"))
            });
        }
        if let Some(at) = state.pool.next_timeout().map(|at| at.max(self.now.after(TICK)))
            && state.armed.is_none_or(|armed| at < armed)
            && at < Instant::from_nanos(u64::MAX)
        {
            state.armed = Some(at);
            self.agenda.plan(at, Happening::Timer { shard });
        }
        self.check(shard)
    }

    fn check(&mut self, shard: usize) -> Result<(), Violation> {
        let setting = &self.plan.setting;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        state.bounds.check(&mut state.pool, setting.in_flight_max)?;
        for (ticket, failure) in std::mem::take(&mut state.outcomes.ended) {
            let Some(case) = state.outcomes.cases.get(&ticket) else { continue };
            if let Some((deadline, _)) = case.deadline {
                state.pool.clear_deadline(deadline);
            }
            match &failure {
                Some(failure) => {
                    self.tally.failed += 1;
                    deadlines::check(case, failure, self.now, setting.command_timeout)?;
                }
                None => self.tally.answered += 1,
            }
            self.trace.note(
                self.now,
                &[2, shard as u64, u64::from(ticket), u64::from(failure.is_some())],
                |line| {
                    line.push_str(&format!("shard {shard}: ticket {ticket}: {:?} {failure:?}", case.replies));
                },
            );
        }
        state.outcomes.violation.take().map_or(Ok(()), Err)
    }

    /// Every connection writes what its socket takes.
    fn transmit(&mut self, shard: usize) {
        for id in self.network.of_shard(shard) {
            while self.write(shard, id) {}
        }
    }

    /// One write; false if there is nothing more to write, or no room.
    fn write(&mut self, shard: usize, id: WireId) -> bool {
        let (Some(state), Some(wire)) = (self.shards.get_mut(shard), self.network.get(id)) else {
            return false;
        };
        let bytes = state.pool.poll_transmit(id.id(), self.now).unwrap_or_default();
        if bytes.is_empty() || !wire.connected {
            return false;
        }
        let count = match self.random.u32(..6) {
            0 => self.random.usize(..bytes.len()),
            _ => bytes.len(),
        };
        let is_full = count < bytes.len();
        if count > 0 {
            let arrival = self.now.after(latency(&self.plan.setting, &mut self.random));
            let at = wire.to_server.send(Chunk::Bytes(bytes[..count].to_vec()), arrival);
            self.agenda.plan(at, Happening::ToServer { wire: id });
            state.pool.handle_written(id.id(), count);
            self.trace.note(self.now, &[3, shard as u64, id.generation.into(), count as u64], |line| {
                line.push_str(&format!("{id:?} writes {count} bytes"));
            });
        }
        if is_full {
            let room_at = self.now.after(Duration::from_micros(self.random.u64(1..2_000)));
            self.agenda.plan(room_at, Happening::Writable { shard });
        }
        !is_full
    }

    fn act(&mut self, shard: usize, action: Action) -> Result<(), Violation> {
        self.trace
            .note(self.now, &[4, shard as u64], |line| line.push_str(&format!("shard {shard}: {action:?}")));
        match action {
            Action::Dial { id, endpoint, .. } => {
                let (node, time) = match endpoint.socket_addr() {
                    Some(found) => {
                        ((0..NODES).find(|node| address(*node) == found.to_string()), Duration::ZERO)
                    }
                    None => (self.name.0.first().copied(), self.name.1),
                };
                let wire = WireId::new(shard, id);
                self.network.dial(wire, node, self.now);
                let time = time + latency(&self.plan.setting, &mut self.random) * 2;
                self.agenda.plan(self.now.after(time), Happening::Dialed { wire });
            }
            Action::Close { id, reason, .. } => {
                if let Some(state) = self.shards.get(shard) {
                    state.handoffs.check_close(id, &reason)?;
                }
                self.hang_up(WireId::new(shard, id));
            }
            Action::Announce(announcement) => {
                for other in (0..self.shards.len()).filter(|other| *other != shard) {
                    let announcement = Box::new(announcement.clone());
                    let at = self.now.after(Duration::from_micros(self.random.u64(1..500)));
                    self.agenda.plan(at, Happening::Told { shard: other, announcement });
                }
            }
            Action::Resolve { lookup, .. } => {
                let at = self.now.after(self.name.1);
                self.agenda.plan(at, Happening::Resolved { shard, lookup });
            }
            Action::Ready { id } => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.handoffs.note_ready(id);
                }
            }
            Action::Wake { .. } => {}
        }
        Ok(())
    }

    /// The client has closed a connection: what it has written still arrives, and then the server sees the end.
    fn hang_up(&mut self, id: WireId) {
        let arrival = self.now.after(latency(&self.plan.setting, &mut self.random));
        let Some(wire) = self.network.get(id) else { return };
        wire.client_gone = true;
        if wire.connected && !wire.vanished {
            let at = wire.to_server.send(Chunk::Fin, arrival);
            self.agenda.plan(at, Happening::ToServer { wire: id });
        } else if !wire.connected || wire.session.is_none() {
            self.network.remove(id);
        }
    }

    fn dialed(&mut self, id: WireId) -> Result<(), Violation> {
        let micros = self.micros();
        let Some(wire) = self.network.get(id).filter(|wire| !wire.client_gone) else { return Ok(()) };
        let node = wire.node.filter(|node| self.server.is_listening(NodeId(*node)));
        let Some(node) = node else {
            self.network.remove(id);
            return self.closed(id, CloseReason::Dial("connection refused".into()));
        };
        wire.connected = true;
        let accept = self.server.accepts(NodeId(node));
        if accept == Accept::Serve {
            let client = SocketAddr::from(([10, 1, 0, 1], 1000));
            let session = self.server.open(NodeId(node), client, micros);
            self.network.open(id, session);
        } else if accept == Accept::Drop
            && let Some(wire) = self.network.get(id)
        {
            let at = wire.to_client.send(Chunk::Fin, self.now);
            self.agenda.plan(at, Happening::ToClient { wire: id });
        }
        let peer = address(node).parse().ok();
        if let Some(state) = self.shards.get_mut(id.shard) {
            state.pool.handle_connected(id.id(), peer, self.now);
        }
        self.drive(id.shard)
    }

    fn closed(&mut self, id: WireId, reason: CloseReason) -> Result<(), Violation> {
        if let Some(state) = self.shards.get_mut(id.shard) {
            state.pool.handle_closed(id.id(), reason, self.now, &mut state.outcomes);
        }
        self.drive(id.shard)
    }

    fn to_server(&mut self, id: WireId) -> Result<(), Violation> {
        let micros = self.micros();
        let Some(wire) = self.network.get(id).filter(|wire| !wire.vanished) else { return Ok(()) };
        let (Some(chunk), session) = (wire.to_server.receive(self.now), wire.session) else { return Ok(()) };
        match (chunk, session) {
            (Chunk::Bytes(bytes), Some(session)) => {
                self.server.handle_bytes(session, micros, &bytes);
                self.serve(Some(session));
            }
            // Nobody reads what a stalled listener has accepted.
            (Chunk::Bytes(_), None) => {}
            (Chunk::Fin | Chunk::Reset, _) => self.forget(id),
        }
        Ok(())
    }

    fn forget(&mut self, id: WireId) {
        if let Some(session) = self.network.remove(id) {
            self.server.end(session);
            self.serve(None);
        }
    }

    /// Takes what the servers have to say, to this session and to those that it disturbed.
    fn serve(&mut self, session: Option<SessionId>) {
        let mut sessions: Vec<SessionId> = session.into_iter().collect();
        while let Some(disturbed) = self.server.next_disturbed() {
            sessions.push(disturbed);
        }
        while self.server.next_disturbed_node().is_some() {}
        for session in sessions {
            self.speak(session);
        }
        if let Some(at) =
            self.server.next_deadline_us().map(|us| Instant::from_nanos(us.saturating_mul(1000)))
            && self.server_timer.is_none_or(|armed| at < armed)
        {
            let at = at.max(self.now);
            self.server_timer = Some(at);
            self.agenda.plan(at, Happening::ServerTimer);
        }
    }

    fn speak(&mut self, session: SessionId) {
        let Some(id) = self.network.of_session(session) else { return };
        loop {
            let output = self.server.output(session);
            if output.is_empty() {
                break;
            }
            let count = match self.random.u32(..4) {
                0 => self.random.usize(1..=output.len()),
                _ => output.len(),
            };
            let bytes = output[..count].to_vec();
            self.server.consume_output(session, count);
            self.send_to_client(id, Chunk::Bytes(bytes));
        }
        match self.server.ending(session) {
            None => {}
            Some(Ending::Reset) => {
                if let Some(wire) = self.network.get(id) {
                    wire.to_client.clear();
                }
                self.send_to_client(id, Chunk::Reset);
                self.server.end(session);
            }
            // Half-closed, the session lives on until its client closes.
            Some(Ending::HalfClose) => self.send_to_client(id, Chunk::Fin),
            Some(Ending::AfterOutput | Ending::AtOnce) => {
                self.send_to_client(id, Chunk::Fin);
                self.server.end(session);
            }
        }
    }

    fn send_to_client(&mut self, id: WireId, chunk: Chunk) {
        let arrival = self.now.after(latency(&self.plan.setting, &mut self.random));
        if let Some(wire) = self.network.get(id) {
            let at = wire.to_client.send(chunk, arrival);
            self.agenda.plan(at, Happening::ToClient { wire: id });
        }
    }

    fn to_client(&mut self, id: WireId) -> Result<(), Violation> {
        let Some(wire) = self.network.get(id).filter(|wire| !wire.vanished && !wire.client_gone) else {
            return Ok(());
        };
        let Some(chunk) = wire.to_client.receive(self.now) else { return Ok(()) };
        match chunk {
            Chunk::Bytes(bytes) => {
                if let Some(state) = self.shards.get_mut(id.shard) {
                    state.pool.handle_bytes(id.id(), &bytes, self.now, &mut state.outcomes);
                }
                self.drive(id.shard)
            }
            Chunk::Fin => {
                self.forget(id);
                self.closed(id, CloseReason::ClosedByServer)
            }
            Chunk::Reset => {
                self.forget(id);
                self.closed(id, CloseReason::Io("connection reset".into()))
            }
        }
    }

    fn resolved(&mut self, shard: usize, lookup: LookupId) -> Result<(), Violation> {
        let addresses: Vec<SocketAddr> =
            self.name.0.iter().filter_map(|node| address(*node).parse().ok()).collect();
        let result = if addresses.is_empty() { Err("no such name".to_owned()) } else { Ok(addresses) };
        if let Some(state) = self.shards.get_mut(shard) {
            state.pool.handle_resolved(lookup, result, self.now);
        }
        self.drive(shard)
    }

    fn deed(&mut self, index: usize) -> Result<(), Violation> {
        let Some(deed) = self.plan.deeds.get(index).filter(|_| !self.is_calm) else { return Ok(()) };
        self.trace.note(self.now, &[5, index as u64], |line| line.push_str(&format!("deed: {deed}")));
        match &deed.kind {
            DeedKind::Rehearse { node, words } => {
                self.rehearse(*node, words);
                Ok(())
            }
            DeedKind::Cut { which } => {
                let Some(id) = self.pick(*which) else { return Ok(()) };
                self.forget(id);
                self.closed(id, CloseReason::Io("connection reset".into()))
            }
            DeedKind::Stall { which, ms } => {
                let until = self.now.after(Duration::from_millis(*ms));
                if let Some(wire) = self.pick(*which).and_then(|id| self.network.get(id)) {
                    wire.to_server.hold_until(until);
                    wire.to_client.hold_until(until);
                }
                self.replan(*which, until);
                Ok(())
            }
            DeedKind::Vanish { which } => {
                if let Some(wire) = self.pick(*which).and_then(|id| self.network.get(id)) {
                    wire.vanished = true;
                }
                Ok(())
            }
            DeedKind::Garble { which } => {
                if let Some(id) = self.pick(*which) {
                    self.send_to_client(id, Chunk::Bytes(b"?what\r\n".to_vec()));
                }
                Ok(())
            }
            DeedKind::Name { nodes } => {
                self.name.0.clone_from(nodes);
                Ok(())
            }
            DeedKind::SlowNames { ms } => {
                self.name.1 = Duration::from_millis(*ms);
                Ok(())
            }
            DeedKind::ShutDown { shard, grace_ms } => {
                self.shut_down(*shard, Duration::from_millis(*grace_ms))
            }
        }
    }

    /// What was to arrive on a stalled connection arrives when the stall is over.
    fn replan(&mut self, which: u32, at: Instant) {
        let Some(id) = self.pick(which) else { return };
        for _ in 0..STALLED_MAX {
            self.agenda.plan(at, Happening::ToServer { wire: id });
            self.agenda.plan(at, Happening::ToClient { wire: id });
        }
    }

    fn shut_down(&mut self, shard: usize, grace: Duration) -> Result<(), Violation> {
        if let Some(Shard { pool, outcomes, is_closing, .. }) = self.shards.get_mut(shard) {
            *is_closing = true;
            pool.shut_down(self.now, self.now.after(grace), outcomes);
        }
        self.drive(shard)
    }

    /// One of the connections that there are.
    fn pick(&self, which: u32) -> Option<WireId> {
        let open: Vec<_> =
            self.network.wires.iter().filter(|(_, wire)| wire.connected && !wire.client_gone).collect();
        open.get(which as usize % open.len().max(1)).map(|(id, _)| **id)
    }

    fn rehearse(&mut self, node: usize, words: &str) {
        let words: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        // What is refused, say a move to the node itself, does not happen.
        let _ = self.server.rehearse(NodeId(node), self.micros(), &words);
        self.serve(None);
    }

    /// Faults stop: everybody listens and is found, and what was dead is seen to be.
    fn heal(&mut self) {
        self.is_calm = true;
        for node in 0..NODES {
            self.rehearse(node, "FAULT off");
            self.rehearse(node, "LISTEN on");
            self.rehearse(node, "RETURN");
        }
        self.name = (vec![0], Duration::from_millis(1));
        let dead: Vec<WireId> =
            self.network.wires.iter().filter(|(_, wire)| wire.vanished).map(|(id, _)| *id).collect();
        for id in dead {
            let gone = self.network.get(id).is_none_or(|wire| wire.client_gone);
            self.forget(id);
            if !gone {
                // The only way in which this can fail is a violation, which is found again at the next event.
                let _ = self.closed(id, CloseReason::Io("keepalive timed out".into()));
            }
        }
    }

    fn compare_with_the_truth(&mut self) -> Result<(), Violation> {
        for shard in 0..self.shards.len() {
            let mut lists = BTreeMap::new();
            for lane in (0..self.plan.setting.callers).filter_map(|lane| u32::try_from(lane).ok()).map(Lane) {
                let list = self.read_list(shard, lane);
                lists.insert(lane, list);
            }
            if let Some(state) = self.shards.get(shard) {
                self.tally.commands += state.outcomes.cases.len() as u64;
                truth::check(&state.outcomes, &lists)?;
            }
        }
        Ok(())
    }

    /// Asks the server, past all networks.
    fn read_list(&mut self, shard: usize, lane: Lane) -> Vec<u64> {
        let micros = self.micros();
        let session = self.server.open(NodeId(0), SocketAddr::from(([10, 1, 0, 2], 1000)), micros);
        let mut command = Vec::new();
        let mut encoder = Encoder::command(&mut command, 4);
        for argument in ["LRANGE", &callers::list(shard, lane), "0", "-1"] {
            encoder.bytes(argument.as_bytes());
        }
        self.server.handle_bytes(session, micros, &command);
        let reply = Decoder::new(Limits::default()).decode(&mut self.server.output(session));
        self.server.end(session);
        let Ok(Some(Frame::Array(values))) = reply else { return Vec::new() };
        let number = |value: &Frame| match value {
            Frame::Bulk(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        };
        values.iter().filter_map(number).collect()
    }

    fn micros(&self) -> u64 {
        self.now.as_nanos() / 1000
    }
}

fn latency(setting: &Setting, random: &mut fastrand::Rng) -> Duration {
    // Most are fast, and some are not.
    let most = if random.u32(..10) == 0 { setting.latency_us } else { setting.latency_us / 8 };
    Duration::from_micros(random.u64(1..=most.max(1)))
}

fn config(setting: &Setting, seed: u64) -> PoolConfig {
    let endpoint = if setting.by_name { "db.sim:6379".to_owned() } else { address(0) };
    let seconds = Duration::from_secs;
    PoolConfig {
        // Both are well-formed; the fallback only spares a panic.
        endpoint: endpoint.parse().unwrap_or_else(|_| SocketAddr::from(([10, 0, 0, 1], 6379)).into()),
        connections: setting.connections,
        connection: ConnectionConfig {
            greeting: Arc::new(Greeting::default()),
            limits: Limits::default(),
            in_flight_max: setting.in_flight_max,
            connect_timeout: seconds(1),
            command_timeout: setting.command_timeout,
        },
        queue: QueueBounds { commands: setting.queue_max, bytes: 1 << 16 },
        maint: MaintConfig {
            relaxed_timeout: setting.relaxed_timeout,
            window_max: seconds(6),
            post_event_relaxed: seconds(1),
            post_handoff_relaxed: seconds(2),
            handoff_timeout: seconds(3),
            ..MaintConfig::default()
        },
        backoff_first: Duration::from_millis(20),
        backoff_max: Duration::from_millis(500),
        seed,
    }
}

/// From the last fault to the time when all must be well: the longest grace, drain, timeout and window together.
const CALM: Duration = Duration::from_secs(20);
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// A timer that fires is late by so much.
const TICK: Duration = Duration::from_micros(100);
/// No world of this length has as many.
const EVENTS_MAX: u64 = 2_000_000;
/// How many pieces that are under way a stall keeps back.
const STALLED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Plan, Trace, run, shrink};

    /// As many worlds as `HITLESS_WORLDS` says, or enough for every day.
    #[test]
    fn no_world_violates_an_invariant() {
        let wanted = std::env::var("HITLESS_WORLDS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
        let mut tally = Tally::default();
        for seed in 0..wanted {
            let plan = Plan::new(seed);
            match run(&plan, &mut Trace::default()) {
                Ok(world) => tally.add(&world),
                Err(violation) => {
                    let (plan, violation) = shrink(&plan, &violation);
                    let deeds: String = plan.deeds.iter().map(|deed| format!("{deed}\n")).collect();
                    panic!("seed {seed}: {violation}\n{:?}\n{deeds}", plan.setting);
                }
            }
        }
        println!("{tally:?}");
        assert!(tally.handoffs_succeeded > wanted && tally.answered > 20 * wanted, "{tally:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        let fingerprint = |seed| {
            let mut trace = Trace::default();
            let _ = run(&Plan::new(seed), &mut trace);
            trace.fingerprint()
        };
        assert_eq!(fingerprint(7), fingerprint(7));
        assert_ne!(fingerprint(7), fingerprint(8));
    }
}
