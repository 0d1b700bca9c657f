//! What the connection drivers and the supervisor of a shard do, with a simulated network, DNS and clock.

use std::net::SocketAddr;
use std::time::Duration;

use super::{SimShard, Simulation, endpoint};
use crate::proto::connection::Credentials;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::{Action, ConnectionId, LookupId};
use crate::proto::time::Instant;
use crate::rehearsal::{Accept, NodeId};
use crate::sim::checkers::connection::ConnectionChecks;
use crate::sim::checkers::passwords::password;
use crate::sim::checkers::{deadlines, dial_targets, exclusive_use, losses, wakeups};
use crate::sim::event_queue::SimEvent;
use crate::sim::network::{Chunk, Wire, WireId};
use crate::sim::plan::{HOSTILE_NAME, NODES, Parameters, address};
use crate::sim::violation::Violation;

impl Simulation<'_> {
    /// Runs a shard after an event: writes, performs the pool's actions, sets the timer and runs the checkers.
    pub(super) fn drive(&mut self, shard: usize) -> Result<(), Violation> {
        self.transmit(shard);
        while let Some(action) = self.shards.get_mut(shard).and_then(|state| state.pool.poll_action()) {
            self.perform(shard, action)?;
            self.transmit(shard);
        }
        self.deliver_events(shard)?;
        let parameters = &self.plan.parameters;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        while let Some(event) = state.pool.poll_event() {
            state.handoff_ends.check(&event)?;
            state.dedup.check(&event)?;
            state.elements.note(&event);
            let connections = parameters.connections + parameters.exclusive.connections_max;
            state.demotions.check(&event, connections, self.now)?;
            self.trace.note(self.now, &[1, shard as u64], |line| {
                line.push_str(&format!("shard {shard}: {event:?}"))
            });
        }
        if let Some(at) = state.pool.next_timeout().map(|at| at.max(self.now.after(TICK)))
            && state.timer_at.is_none_or(|timer_at| at < timer_at)
            && at < Instant::from_nanos(u64::MAX)
        {
            state.timer_at = Some(at);
            self.events.schedule(at, SimEvent::Timer { shard });
        }
        self.check(shard)
    }

    pub(super) fn check(&mut self, shard: usize) -> Result<(), Violation> {
        let parameters = &self.plan.parameters;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        let exclusive_max = parameters.exclusive.connections_max;
        let all = state.pool.entries().snapshot();
        state.bounds.check(&all, parameters.in_flight_max)?;
        state.subscriptions.note_connections(&all, parameters.connections, self.now);
        exclusive_use::check_bound(&all, parameters.connections, exclusive_max)?;
        wakeups::check(shard, &all, &self.checks, parameters.in_flight_max)?;
        let is_open = |(id, wire): &(&WireId, &Wire)| id.shard == shard && !wire.client_closed;
        for (id, _) in self.network.wires.iter().filter(is_open) {
            if let Some(checks) = self.checks.get(id) {
                checks.floods.check_time(self.now, parameters.reply_time_max)?;
            }
        }
        for (ticket, failure) in std::mem::take(&mut state.outcomes.ended) {
            let Some(call) = state.outcomes.calls.get(&ticket) else { continue };
            if let Some((deadline, _)) = call.deadline {
                state.pool.clear_deadline(deadline);
            }
            match &failure {
                Some(failure) => {
                    self.tally.failed += 1;
                    deadlines::check(call, failure, self.now, parameters.command_timeout)?;
                    losses::check(ticket, failure)?;
                    state.rejections.check(call.entry, failure, &endpoint(parameters))?;
                }
                None => {
                    self.tally.answered += 1;
                    deadlines::check_wait(call, self.now)?;
                }
            }
            self.trace.note(
                self.now,
                &[2, shard as u64, u64::from(ticket), u64::from(failure.is_some())],
                |line| {
                    line.push_str(&format!("shard {shard}: ticket {ticket}: {:?} {failure:?}", call.replies));
                },
            );
        }
        state.outcomes.violation.take().map_or(Ok(()), Err)
    }

    /// Marks a driver as runnable. Only marked drivers look for bytes to write, as in a real shard.
    pub(super) fn mark_runnable(&mut self, id: WireId) {
        if let Some(state) = self.shards.get_mut(id.shard) {
            state.runnable.insert(id);
        }
    }

    /// Every runnable driver writes until its socket is full.
    pub(super) fn transmit(&mut self, shard: usize) {
        let runnable = self.shards.get_mut(shard).map(|state| std::mem::take(&mut state.runnable));
        let is_unlocked = self.shards.get(shard).is_some_and(|state| state.unlocked.is_some());
        for id in runnable.unwrap_or_default() {
            if is_unlocked {
                self.take(id);
                continue;
            }
            while self.write(shard, id) {}
        }
    }

    /// Writes once. Returns false if the driver has nothing more to write or no room.
    pub(super) fn write(&mut self, shard: usize, id: WireId) -> bool {
        let (Some(state), Some(wire)) = (self.shards.get_mut(shard), self.network.get(id)) else {
            return false;
        };
        let Some(checks) = self.checks.get_mut(&id) else { return false };
        let bytes = state.pool.connection(id.id()).poll_transmit(self.now).unwrap_or_default();
        if bytes.is_empty() || !wire.connected {
            return false;
        }
        let count = match self.random.u32(..6) {
            0 => self.random.usize(..bytes.len()),
            _ => bytes.len(),
        };
        let is_full = count < bytes.len();
        let idle_ping = self.plan.parameters.idle_ping;
        if let Err(violation) = checks.internal.check(bytes, count, state.renewals, idle_ping, self.now) {
            state.outcomes.violation.get_or_insert(violation);
        }
        if count > 0 {
            let written = bytes.get(..count).unwrap_or_default();
            checks.passwords.note(written);
            let is_ordered = self.plan.parameters.exclusive.connections_max == 1;
            let tickets = checks.written.note(written);
            if let Err(violation) = state.order.check(if is_ordered { &tickets } else { &[] }) {
                state.outcomes.violation.get_or_insert(violation);
            }
            let arrival =
                self.now.after(latency(&self.plan.parameters, self.is_recovering, &mut self.random));
            let at =
                wire.to_server.send(Chunk::Bytes(bytes.get(..count).unwrap_or_default().to_vec()), arrival);
            self.events.schedule(at, SimEvent::ToServer { wire: id });
            state.pool.connection(id.id()).handle_written(count);
            self.trace.note(self.now, &[3, shard as u64, id.generation.into(), count as u64], |line| {
                line.push_str(&format!("{id:?} writes {count} bytes"));
            });
        }
        if is_full {
            // Most servers read again soon; a few take up to 300 ms.
            let most = if !self.is_recovering && self.random.u32(..8) == 0 { 300_000 } else { 2_000 };
            let room_at = self.now.after(Duration::from_micros(self.random.u64(1..most)));
            self.events.schedule(room_at, SimEvent::Writable { wire: id });
        }
        !is_full
    }

    pub(super) fn perform(&mut self, shard: usize, action: Action) -> Result<(), Violation> {
        self.trace
            .note(self.now, &[4, shard as u64], |line| line.push_str(&format!("shard {shard}: {action:?}")));
        match action {
            Action::Dial { id, endpoint: dialed, .. } => self.dial(shard, id, &dialed)?,
            Action::Close { id, reason, .. } => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.make_before_break.check_close(id, &reason)?;
                    let has_drained = self.is_reading && matches!(*reason, CloseReason::Replaced);
                    if id.entry.0 as usize >= self.plan.parameters.connections && !has_drained {
                        state.subscriptions.note_loss();
                    }
                }
                if let Some(checks) = self.checks.get(&WireId::new(shard, id)) {
                    checks.floods.check_close(&reason)?;
                }
                self.close_client_end(WireId::new(shard, id));
            }
            Action::Announce(announcement) => {
                for other in (0..self.shards.len()).filter(|other| *other != shard) {
                    let announcement = Box::new(announcement.clone());
                    let at = self.now.after(Duration::from_micros(self.random.u64(1..500)));
                    self.events.schedule(at, SimEvent::Broadcast { shard: other, announcement });
                }
            }
            Action::Resolve { lookup, .. } => {
                let at = self.now.after(self.dns.time);
                self.events.schedule(at, SimEvent::Resolved { shard, lookup });
            }
            Action::AskCredentials => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.credential_requests.note_request(self.now)?;
                }
                let at = self.now.after(Duration::from_micros(self.random.u64(1..50_000)));
                self.events.schedule(at, SimEvent::Renewed { shard });
            }
            Action::Ready { id } => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.make_before_break.note_ready(id);
                }
            }
            Action::Wake { id } => self.mark_runnable(WireId::new(shard, id)),
        }
        Ok(())
    }

    /// Starts a dial. The pool admits the addresses first, as it does before a real dial.
    fn dial(&mut self, shard: usize, id: ConnectionId, dialed: &Endpoint) -> Result<(), Violation> {
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        state.dial_rate.note_dial(id, self.now)?;
        state.rejections.note_dial(id, dialed);
        let renewals = state.renewals;
        let time = if dialed.socket_addr().is_some() { Duration::ZERO } else { self.dns.time };
        let (found, refused) =
            match state.pool.connection(id).admit(addresses(dialed, &self.dns.nodes), self.now) {
                Ok(found) => (found, None),
                Err(reason) => (Vec::new(), Some(reason)),
            };
        dial_targets::check(&found)?;
        let is_at = |node: &usize| found.first().is_some_and(|found| address(*node) == found.to_string());
        let wire = WireId::new(shard, id);
        self.network.dial(wire, (0..NODES).find(is_at), self.now);
        self.checks.insert(wire, ConnectionChecks::new(renewals, self.now));
        if let Some(wire) = self.network.get(wire) {
            wire.refused = refused;
        }
        let time = time + latency(&self.plan.parameters, self.is_recovering, &mut self.random) * 2;
        self.events.schedule(self.now.after(time), SimEvent::Dialed { wire });
        Ok(())
    }

    /// The client closes a connection: its written bytes still arrive, and then the server sees the end. A driver in the middle of
    /// a turn ends that first.
    pub(super) fn close_client_end(&mut self, id: WireId) {
        let arrival = self.now.after(latency(&self.plan.parameters, self.is_recovering, &mut self.random));
        let is_in_turn = self.is_in_turn(id);
        let Some(wire) = self.network.get(id) else { return };
        wire.client_closed = true;
        if is_in_turn {
            return;
        }
        if wire.connected && !wire.silent {
            let at = wire.to_server.send(Chunk::Fin, arrival);
            self.events.schedule(at, SimEvent::ToServer { wire: id });
        } else if !wire.connected || wire.session.is_none() {
            self.remove_wire(id);
        }
    }

    pub(super) fn dialed(&mut self, id: WireId) -> Result<(), Violation> {
        let micros = self.micros();
        let Some(wire) = self.network.get(id).filter(|wire| !wire.client_closed) else { return Ok(()) };
        if let Some(reason) = wire.refused.take() {
            self.remove_wire(id);
            return self.closed(id, reason);
        }
        let node = wire.node.filter(|node| self.server.is_listening(NodeId(*node)));
        let Some(node) = node else {
            self.remove_wire(id);
            return self.closed(id, CloseReason::Dial("connection refused".into()));
        };
        wire.connected = true;
        if let Some(checks) = self.checks.get_mut(&id) {
            checks.internal.note_received(self.now);
        }
        let accept = self.server.accepts(NodeId(node));
        if accept == Accept::Serve {
            let client = SocketAddr::from(([10, 1, 0, 1], 1000));
            let session = self.server.open(NodeId(node), client, micros);
            self.network.open(id, session);
        } else if accept == Accept::Drop
            && let Some(wire) = self.network.get(id)
        {
            let at = wire.to_client.send(Chunk::Fin, self.now);
            self.events.schedule(at, SimEvent::ToClient { wire: id });
        }
        let peer = address(node).parse().ok();
        if let Some(state) = self.shards.get_mut(id.shard) {
            // A client with a credentials provider has asked it for the newest password.
            let asked = self.password.filter(|_| self.plan.parameters.renewable);
            let login = asked.map(|number| Credentials::password(password(number)));
            state.pool.connection(id.id()).handle_connected(peer, login, self.now);
        }
        self.mark_runnable(id);
        self.drive(id.shard)
    }

    pub(super) fn closed(&mut self, id: WireId, reason: CloseReason) -> Result<(), Violation> {
        let Some(reason) = self.break_later(id, reason) else { return Ok(()) };
        if let Some(state) = self.shards.get_mut(id.shard) {
            state.pool.connection(id.id()).handle_closed(reason, self.now, &mut state.outcomes);
        }
        self.drive(id.shard)
    }

    /// A shard gets the newest password.
    pub(super) fn renewed(&mut self, shard: usize) -> Result<(), Violation> {
        if let (Some(state), Some(number)) = (self.shards.get_mut(shard), self.password) {
            state.renewals += 1;
            state.pool.renew(Credentials::password(password(number)), self.now);
        }
        self.drive(shard)
    }

    pub(super) fn resolved(&mut self, shard: usize, lookup: LookupId) -> Result<(), Violation> {
        let addresses = nodes(&self.dns.nodes);
        let result = if addresses.is_empty() { Err("no such name".to_owned()) } else { Ok(addresses) };
        if let Some(state) = self.shards.get_mut(shard) {
            state.pool.handle_resolved(lookup, result, self.now, &mut state.outcomes);
        }
        self.drive(shard)
    }

    pub(super) fn shut_down(&mut self, shard: usize, grace: Duration) -> Result<(), Violation> {
        if let Some(SimShard { pool, outcomes, is_shutting_down, .. }) = self.shards.get_mut(shard) {
            *is_shutting_down = true;
            pool.shut_down(self.now, self.now.after(grace), outcomes);
        }
        self.drive(shard)
    }
}

/// The addresses of an endpoint; those of the hostile name are forbidden.
fn addresses(dialed: &Endpoint, named: &[usize]) -> Vec<SocketAddr> {
    match (dialed.socket_addr(), dialed.host()) {
        (Some(address), _) => vec![address],
        (None, HOSTILE_NAME) => {
            vec![SocketAddr::from(([127, 0, 0, 1], 6379)), SocketAddr::from(([0; 4], 6379))]
        }
        (None, _) => nodes(named),
    }
}

fn nodes(named: &[usize]) -> Vec<SocketAddr> {
    named.iter().filter_map(|node| address(*node).parse().ok()).collect()
}

/// How long the next bytes travel: most are fast, and during faults a tenth are slow.
pub(super) fn latency(parameters: &Parameters, is_recovering: bool, random: &mut fastrand::Rng) -> Duration {
    let is_slow = !is_recovering && random.u32(..10) == 0;
    let most = if is_slow { parameters.latency_us } else { parameters.latency_us / 8 };
    Duration::from_micros(random.u64(1..=most.max(1)))
}

/// How late a timer fires.
const TICK: Duration = Duration::from_micros(100);
