//! Drivers that write while the pool is free for others, as those inside tokio do.
//!
//! Such a driver takes the bytes out of the pool and gives back what its socket had no room for. Until then callers submit and
//! cancel, other connections cut over, and the pool may close this one. The driver is one task: it reads nothing and takes
//! nothing more before its write is over. After a read that answered several calls, it lets their callers run first.

use std::time::Duration;

use super::Simulation;
use super::driver::latency;
use crate::proto::error::CloseReason;
use crate::sim::event_queue::SimEvent;
use crate::sim::network::{Chunk, WireId};
use crate::sim::unlocked::{UnlockedDrivers, UnlockedTurn, Write};
use crate::sim::violation::Violation;

impl Simulation<'_> {
    fn turn_of(&mut self, id: WireId) -> Option<&mut UnlockedTurn> {
        self.shards.get_mut(id.shard)?.unlocked.as_mut()?.turns.get_mut(&id)
    }

    /// Whether the driver of this connection is in the middle of a turn.
    pub(super) fn is_in_turn(&mut self, id: WireId) -> bool {
        self.turn_of(id).is_some()
    }

    /// Begins a turn of an unlocked driver, which takes what there is to write.
    pub(super) fn take(&mut self, id: WireId) {
        if let Some(turn) = self.turn_of(id) {
            turn.is_woken = true;
            return;
        }
        let (Some(state), Some(wire)) = (self.shards.get_mut(id.shard), self.network.get(id)) else { return };
        let Some(checks) = self.checks.get_mut(&id) else { return };
        let Some(unlocked) = &mut state.unlocked else { return };
        if !wire.connected {
            state.pool.connection(id.id()).poll_transmit(self.now);
            return;
        }
        let mut taken = Vec::new();
        state.pool.connection(id.id()).take_transmit(self.now, &mut taken);
        if taken.is_empty() {
            return;
        }
        let checked = checks.returned.check(&taken).and_then(|()| {
            let idle_ping = self.plan.parameters.idle_ping;
            checks.internal.check(&taken, 0, state.renewals, idle_ping, self.now)?;
            let is_ordered = self.plan.parameters.exclusive.connections_max == 1;
            let tickets = checks.written.note(&taken);
            state.order.check(if is_ordered { &tickets } else { &[] })
        });
        if let Err(violation) = checked {
            state.outcomes.violation.get_or_insert(violation);
        }
        checks.runs_later = true;
        let was_active = state.pool.entries().active_generation(id.id().entry) == Some(id.generation);
        let at = self.now.after(unlocked.time(self.is_recovering));
        unlocked.turns.insert(id, UnlockedTurn { taken, was_active, ..UnlockedTurn::default() });
        self.tally.writes_taken += 1;
        self.events.schedule(at, SimEvent::Write { wire: id });
    }

    /// An unlocked driver has woken several callers. They run before it does.
    pub(super) fn run_behind_callers(&mut self, id: WireId) {
        let Some(unlocked) = self.shards.get_mut(id.shard).and_then(|state| state.unlocked.as_mut()) else {
            return;
        };
        let at = self.now.after(unlocked.time(self.is_recovering));
        unlocked.turns.insert(id, UnlockedTurn::default());
        if let Some(checks) = self.checks.get_mut(&id) {
            checks.runs_later = true;
        }
        self.events.schedule(at, SimEvent::Write { wire: id });
    }

    /// A chunk has arrived at a driver that is in the middle of a turn. It is read when that is over.
    pub(super) fn read_later(&mut self, id: WireId) {
        if let Some(turn) = self.turn_of(id) {
            turn.unread += 1;
        }
    }

    /// The driver learns at the end of its turn that its socket broke. Returns the reason if there is no turn.
    pub(super) fn break_later(&mut self, id: WireId, reason: CloseReason) -> Option<CloseReason> {
        match self.turn_of(id) {
            Some(turn) => {
                turn.broken = Some(reason);
                None
            }
            None => Some(reason),
        }
    }

    /// The socket takes a part of the taken bytes, or all, or has no room.
    pub(super) fn write_unlocked(&mut self, id: WireId) -> Result<(), Violation> {
        let Some(unlocked) = self.shards.get_mut(id.shard).and_then(|state| state.unlocked.as_mut()) else {
            return Ok(());
        };
        let Some(turn) = unlocked.turns.get(&id) else { return Ok(()) };
        let (begin, left) = (turn.written, turn.taken.len() - turn.written);
        let (count, write) = match self.network.get(id) {
            Some(_) => unlocked.socket_takes(left),
            // The socket is broken.
            None => (0, if left > 0 { Write::Full } else { Write::Done }),
        };
        self.send_taken(id, begin, count);
        let Some(unlocked) = self.shards.get_mut(id.shard).and_then(|state| state.unlocked.as_mut()) else {
            return Ok(());
        };
        if write == Write::Open {
            let at = self.now.after(unlocked.time(self.is_recovering));
            self.events.schedule(at, SimEvent::Write { wire: id });
            return Ok(());
        }
        let Some(turn) = unlocked.turns.remove(&id) else { return Ok(()) };
        self.end_turn(id, turn, write)
    }

    /// Sends `count` of the taken bytes, from `begin` on.
    fn send_taken(&mut self, id: WireId, begin: usize, count: usize) {
        let unlocked = self.shards.get_mut(id.shard).and_then(|state| state.unlocked.as_mut());
        let (Some(UnlockedDrivers { random, turns }), Some(wire)) = (unlocked, self.network.get(id)) else {
            return;
        };
        let Some(turn) = turns.get_mut(&id).filter(|_| count > 0) else { return };
        let bytes = turn.taken.get(begin..begin + count).unwrap_or_default().to_vec();
        turn.written += count;
        if let Some(checks) = self.checks.get_mut(&id) {
            checks.passwords.note(&bytes);
        }
        let arrival = self.now.after(latency(&self.plan.parameters, self.is_recovering, random));
        let at = wire.to_server.send(Chunk::Bytes(bytes), arrival);
        self.events.schedule(at, SimEvent::ToServer { wire: id });
        self.trace.note(self.now, &[3, id.shard as u64, id.generation.into(), count as u64], |line| {
            line.push_str(&format!("{id:?} writes {count} bytes that it took"));
        });
    }

    /// The write is over: what the socket did not take returns to the pool, and the driver reads.
    fn end_turn(&mut self, id: WireId, mut turn: UnlockedTurn, write: Write) -> Result<(), Violation> {
        let Some(state) = self.shards.get_mut(id.shard) else { return Ok(()) };
        let (is_write, is_full) = (!turn.taken.is_empty(), write == Write::Full);
        let rest = turn.taken.get(turn.written..).unwrap_or_default();
        if let Some(checks) = self.checks.get_mut(&id) {
            checks.runs_later = false;
            if is_write {
                checks.internal.note_rest(rest.len());
                checks.returned.note(rest);
            }
        }
        let is_active = state.pool.entries().active_generation(id.id().entry) == Some(id.generation);
        let is_alive = state.pool.connection(id.id()).is_alive();
        self.tally.writes_returned += u64::from(is_full);
        self.tally.written_across_cut_overs += u64::from(turn.was_active && !is_active && is_alive);
        self.tally.written_across_closes += u64::from(is_write && !is_alive && turn.broken.is_none());
        if is_full {
            let count = turn.written;
            state.pool.connection(id.id()).return_transmit(&mut turn.taken, count);
            self.trace.note(self.now, &[6, id.shard as u64, id.generation.into(), count as u64], |line| {
                line.push_str(&format!("{id:?} gives back all but {count} bytes"));
            });
        }
        for _ in 0..turn.unread {
            self.events.schedule(self.now, SimEvent::ToClient { wire: id });
        }
        if let Some(reason) = turn.broken {
            return self.closed(id, reason);
        }
        if self.network.get(id).is_some_and(|wire| wire.client_closed) {
            self.close_client_end(id);
        } else if is_full {
            self.wait_for_room(id);
        }
        if !is_full || turn.is_woken {
            self.mark_runnable(id);
        }
        self.drive(id.shard)
    }

    /// Most servers read again soon; a few take up to 300 ms.
    fn wait_for_room(&mut self, id: WireId) {
        let Some(unlocked) = self.shards.get_mut(id.shard).and_then(|state| state.unlocked.as_mut()) else {
            return;
        };
        let is_slow = !self.is_recovering && unlocked.random.u32(..8) == 0;
        let most = if is_slow { 300_000 } else { 2_000 };
        let room_at = self.now.after(Duration::from_micros(unlocked.random.u64(1..most)));
        self.events.schedule(room_at, SimEvent::Writable { wire: id });
    }
}
