//! What the drivers and the pilot of a shard do, with everything around them made up.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Shard, World, endpoint};
use crate::proto::connection::Credentials;
use crate::proto::endpoint::Endpoint;
use crate::proto::error::CloseReason;
use crate::proto::pool::{Action, LookupId};
use crate::proto::time::Instant;
use crate::rehearsal::{Accept, NodeId};
use crate::sim::agenda::Happening;
use crate::sim::checkers::logins::password;
use crate::sim::checkers::{Violation, awake, deadlines, losses, reach};
use crate::sim::network::{Chunk, WireId};
use crate::sim::plan::{HOSTILE_NAME, NODES, Setting, address};

impl World<'_> {
    /// What the drivers and the pilot of a shard do after something has happened: write, act, set the timer; and what
    /// the checkers do after that.
    pub(super) fn drive(&mut self, shard: usize) -> Result<(), Violation> {
        self.transmit(shard);
        while let Some(action) = self.shards.get_mut(shard).and_then(|state| state.pool.poll_action()) {
            self.act(shard, action)?;
            self.transmit(shard);
        }
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        while let Some(event) = state.pool.poll_event() {
            state.endings.check(&event)?;
            state.told.check(&event)?;
            state.demotions.check(&event, self.plan.setting.connections, self.now)?;
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

    pub(super) fn check(&mut self, shard: usize) -> Result<(), Violation> {
        let setting = &self.plan.setting;
        let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
        state.bounds.check(&mut state.pool, setting.in_flight_max)?;
        awake::check(shard, &mut state.pool, &mut self.network, setting.in_flight_max)?;
        for (_, wire) in self.network.wires.iter().filter(|(id, wire)| id.shard == shard && !wire.client_gone)
        {
            wire.floods.check_time(self.now, setting.reply_time_max)?;
        }
        for (ticket, failure) in std::mem::take(&mut state.outcomes.ended) {
            let Some(case) = state.outcomes.cases.get(&ticket) else { continue };
            if let Some((deadline, _)) = case.deadline {
                state.pool.clear_deadline(deadline);
            }
            match &failure {
                Some(failure) => {
                    self.tally.failed += 1;
                    deadlines::check(case, failure, self.now, setting.command_timeout)?;
                    losses::check(ticket, failure)?;
                    state.refusals.check(case.entry, failure, &endpoint(setting))?;
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

    /// A driver has a reason to run: no other will look whether there is something to write.
    pub(super) fn wake(&mut self, id: WireId) {
        if let Some(state) = self.shards.get_mut(id.shard) {
            state.awake.insert(id);
        }
    }

    /// Every driver that is awake writes what its socket takes.
    pub(super) fn transmit(&mut self, shard: usize) {
        let awake = self.shards.get_mut(shard).map(|state| std::mem::take(&mut state.awake));
        for id in awake.unwrap_or_default() {
            while self.write(shard, id) {}
        }
    }

    /// One write; false if there is nothing more to write, or no room.
    pub(super) fn write(&mut self, shard: usize, id: WireId) -> bool {
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
        let idle_ping = self.plan.setting.idle_ping;
        if let Err(violation) = wire.own.check(bytes, count, state.renewals, idle_ping, self.now) {
            state.outcomes.violation.get_or_insert(violation);
        }
        if count > 0 {
            wire.passwords.note(bytes.get(..count).unwrap_or_default());
            let arrival = self.now.after(latency(&self.plan.setting, self.is_calm, &mut self.random));
            let at =
                wire.to_server.send(Chunk::Bytes(bytes.get(..count).unwrap_or_default().to_vec()), arrival);
            self.agenda.plan(at, Happening::ToServer { wire: id });
            state.pool.handle_written(id.id(), count);
            self.trace.note(self.now, &[3, shard as u64, id.generation.into(), count as u64], |line| {
                line.push_str(&format!("{id:?} writes {count} bytes"));
            });
        }
        if is_full {
            // Who does not read at all for a while is the exception.
            let most = if !self.is_calm && self.random.u32(..8) == 0 { 300_000 } else { 2_000 };
            let room_at = self.now.after(Duration::from_micros(self.random.u64(1..most)));
            self.agenda.plan(room_at, Happening::Writable { wire: id });
        }
        !is_full
    }

    pub(super) fn act(&mut self, shard: usize, action: Action) -> Result<(), Violation> {
        self.trace
            .note(self.now, &[4, shard as u64], |line| line.push_str(&format!("shard {shard}: {action:?}")));
        match action {
            Action::Dial { id, endpoint: dialed, .. } => {
                let Some(state) = self.shards.get_mut(shard) else { return Ok(()) };
                state.storms.note_dial(id, self.now)?;
                state.refusals.note_dial(id, &dialed);
                let renewals = state.renewals;
                let time = if dialed.socket_addr().is_some() { Duration::ZERO } else { self.name.1 };
                let admitted = state.pool.admit(id, addresses(&dialed, &self.name.0), self.now);
                let wire = WireId::new(shard, id);
                let (found, refused) = match admitted {
                    Ok(found) => (found, None),
                    Err(reason) => (Vec::new(), Some(reason)),
                };
                reach::check(&found)?;
                let is_at =
                    |node: &usize| found.first().is_some_and(|found| address(*node) == found.to_string());
                self.network.dial(wire, (0..NODES).find(is_at), renewals, self.now);
                if let Some(wire) = self.network.get(wire) {
                    wire.refused = refused;
                }
                let time = time + latency(&self.plan.setting, self.is_calm, &mut self.random) * 2;
                self.agenda.plan(self.now.after(time), Happening::Dialed { wire });
            }
            Action::Close { id, reason, .. } => {
                if let Some(state) = self.shards.get(shard) {
                    state.handoffs.check_close(id, &reason)?;
                }
                if let Some(wire) = self.network.get(WireId::new(shard, id)) {
                    wire.floods.check_end(&reason)?;
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
            Action::AskCredentials => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.providers.note_asked(self.now)?;
                }
                let at = self.now.after(Duration::from_micros(self.random.u64(1..50_000)));
                self.agenda.plan(at, Happening::Renewed { shard });
            }
            Action::Ready { id } => {
                if let Some(state) = self.shards.get_mut(shard) {
                    state.handoffs.note_ready(id);
                }
            }
            Action::Wake { id } => self.wake(WireId::new(shard, id)),
        }
        Ok(())
    }

    /// The client has closed a connection: what it has written still arrives, and then the server sees the end.
    pub(super) fn hang_up(&mut self, id: WireId) {
        let arrival = self.now.after(latency(&self.plan.setting, self.is_calm, &mut self.random));
        let Some(wire) = self.network.get(id) else { return };
        wire.client_gone = true;
        if wire.connected && !wire.vanished {
            let at = wire.to_server.send(Chunk::Fin, arrival);
            self.agenda.plan(at, Happening::ToServer { wire: id });
        } else if !wire.connected || wire.session.is_none() {
            self.network.remove(id);
        }
    }

    pub(super) fn dialed(&mut self, id: WireId) -> Result<(), Violation> {
        let micros = self.micros();
        let Some(wire) = self.network.get(id).filter(|wire| !wire.client_gone) else { return Ok(()) };
        if let Some(reason) = wire.refused.take() {
            self.network.remove(id);
            return self.closed(id, reason);
        }
        let node = wire.node.filter(|node| self.server.is_listening(NodeId(*node)));
        let Some(node) = node else {
            self.network.remove(id);
            return self.closed(id, CloseReason::Dial("connection refused".into()));
        };
        wire.connected = true;
        wire.own.note_heard(self.now);
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
            // Who has somebody to ask has asked.
            let asked = self.password.filter(|_| self.plan.setting.renewable);
            let login = asked.map(|number| Credentials::password(password(number)));
            state.pool.handle_connected(id.id(), peer, login, self.now);
        }
        self.wake(id);
        self.drive(id.shard)
    }

    pub(super) fn closed(&mut self, id: WireId, reason: CloseReason) -> Result<(), Violation> {
        if let Some(state) = self.shards.get_mut(id.shard) {
            state.pool.handle_closed(id.id(), reason, self.now, &mut state.outcomes);
        }
        self.drive(id.shard)
    }

    /// A shard is told of the newest password.
    pub(super) fn renewed(&mut self, shard: usize) -> Result<(), Violation> {
        if let (Some(state), Some(number)) = (self.shards.get_mut(shard), self.password) {
            state.renewals += 1;
            state.pool.renew(Credentials::password(password(number)), self.now);
        }
        self.drive(shard)
    }

    pub(super) fn resolved(&mut self, shard: usize, lookup: LookupId) -> Result<(), Violation> {
        let addresses = nodes(&self.name.0);
        let result = if addresses.is_empty() { Err("no such name".to_owned()) } else { Ok(addresses) };
        if let Some(state) = self.shards.get_mut(shard) {
            state.pool.handle_resolved(lookup, result, self.now);
        }
        self.drive(shard)
    }

    pub(super) fn shut_down(&mut self, shard: usize, grace: Duration) -> Result<(), Violation> {
        if let Some(Shard { pool, outcomes, is_closing, .. }) = self.shards.get_mut(shard) {
            *is_closing = true;
            pool.shut_down(self.now, self.now.after(grace), outcomes);
        }
        self.drive(shard)
    }
}

/// What an endpoint's name leads to, which for one of them no client may use.
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

/// For how long the next bytes are under way: most are fast, and while there are faults some are not.
pub(super) fn latency(setting: &Setting, is_calm: bool, random: &mut fastrand::Rng) -> Duration {
    let is_slow = !is_calm && random.u32(..10) == 0;
    let most = if is_slow { setting.latency_us } else { setting.latency_us / 8 };
    Duration::from_micros(random.u64(1..=most.max(1)))
}

/// A timer that fires is late by so much.
const TICK: Duration = Duration::from_micros(100);
