//! The faults of the plan, and their end.

use std::time::Duration;

use super::{Dns, Simulation};
use crate::proto::error::CloseReason;
use crate::proto::time::Instant;
use crate::rehearsal::NodeId;
use crate::sim::checkers::passwords::password;
use crate::sim::event_queue::SimEvent;
use crate::sim::network::{Chunk, WireId};
use crate::sim::plan::{FaultKind, NODES};
use crate::sim::violation::Violation;

impl Simulation<'_> {
    pub(super) fn inject(&mut self, index: usize) -> Result<(), Violation> {
        let Some(fault) = self.plan.faults.get(index).filter(|_| !self.is_recovering) else { return Ok(()) };
        self.trace.note(self.now, &[5, index as u64], |line| line.push_str(&format!("fault: {fault}")));
        match &fault.kind {
            FaultKind::Rehearse { node, command } => {
                self.rehearse(*node, command);
                Ok(())
            }
            FaultKind::Reset { which } => {
                let Some(id) = self.pick(*which) else { return Ok(()) };
                self.drop_connection(id);
                self.closed(id, CloseReason::Io("connection reset".into()))
            }
            FaultKind::Stall { which, ms } => {
                let until = self.now.after(Duration::from_millis(*ms));
                if let Some(wire) = self.pick_to_stall(*which).and_then(|id| self.network.get(id)) {
                    wire.to_server.hold_until(until);
                    wire.to_client.hold_until(until);
                }
                self.redeliver(*which, until);
                Ok(())
            }
            FaultKind::Silence { which } => {
                if let Some(wire) = self.pick_to_stall(*which).and_then(|id| self.network.get(id)) {
                    wire.silent = true;
                }
                Ok(())
            }
            FaultKind::Garbage { which } => {
                if let Some(id) = self.pick(*which) {
                    self.send_to_client(id, Chunk::Bytes(b"?what\r\n".to_vec()));
                }
                Ok(())
            }
            FaultKind::PushFlood { which, pushes } => {
                self.flood(*which, *pushes);
                Ok(())
            }
            FaultKind::EndlessReply { which, ms } => {
                self.begin_endless(*which, Duration::from_millis(*ms));
                Ok(())
            }
            FaultKind::DnsChange { nodes } => {
                self.dns.nodes.clone_from(nodes);
                Ok(())
            }
            FaultKind::SlowDns { ms } => {
                self.dns.time = Duration::from_millis(*ms);
                Ok(())
            }
            FaultKind::RotatePassword { within_ms } => {
                let number = self.password.map_or(1, |number| number + 1);
                self.password = Some(number);
                self.server.set_password(Some(password(number)));
                for shard in 0..self.shards.len() {
                    let at = self.now.after(Duration::from_millis(self.random.u64(..*within_ms)));
                    self.events.schedule(at, SimEvent::Renewed { shard });
                }
                Ok(())
            }
            FaultKind::ShutDown { shard, grace_ms } => {
                self.shut_down(*shard, Duration::from_millis(*grace_ms))
            }
        }
    }

    fn flood(&mut self, which: u32, pushes: u32) {
        let Some(id) = self.pick(which) else { return };
        let mut left = pushes;
        while left > 0 {
            let count = left.min(self.random.u32(1..1_000));
            left -= count;
            self.send_to_client(id, Chunk::Pushes(count));
        }
    }

    /// Later replies of the server arrive inside of the endless one and count as its elements.
    fn begin_endless(&mut self, which: u32, time: Duration) {
        let (Some(id), until) = (self.pick(which), self.now.after(time)) else { return };
        self.send_to_client(id, Chunk::Endless);
        let mut at = self.now;
        while at < until {
            at = at.after(Duration::from_millis(self.random.u64(1..100)));
            if let Some(wire) = self.network.get(id) {
                let at = wire.to_client.send(Chunk::Bytes(b":1\r\n".to_vec()), at);
                self.events.schedule(at, SimEvent::ToClient { wire: id });
            }
        }
    }

    /// Schedules the arrival of the delayed chunks for the end of the stall.
    pub(super) fn redeliver(&mut self, which: u32, at: Instant) {
        let Some(id) = self.pick(which) else { return };
        for _ in 0..STALLED_CHUNKS_MAX {
            self.events.schedule(at, SimEvent::ToServer { wire: id });
            self.events.schedule(at, SimEvent::ToClient { wire: id });
        }
    }

    /// One of the open connections, from which nothing arrives from now on.
    fn pick_to_stall(&mut self, which: u32) -> Option<WireId> {
        let id = self.pick(which)?;
        if let Some(checks) = self.checks.get_mut(&id) {
            checks.floods.note_stall();
        }
        Some(id)
    }

    /// One of the open connections.
    pub(super) fn pick(&self, which: u32) -> Option<WireId> {
        let open: Vec<_> =
            self.network.wires.iter().filter(|(_, wire)| wire.connected && !wire.client_closed).collect();
        open.get(which as usize % open.len().max(1)).map(|(id, _)| **id)
    }

    pub(super) fn rehearse(&mut self, node: usize, command: &str) {
        let words: Vec<Vec<u8>> = command.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        // The rehearsal may reject a command, such as a move of a node to itself; then nothing happens.
        let _ = self.server.rehearse(NodeId(node), self.micros(), &words);
        self.send_replies(None);
    }

    /// Ends all faults: every node listens again and the name resolves to the first one.
    pub(super) fn end_faults(&mut self) {
        self.is_recovering = true;
        for node in 0..NODES {
            self.rehearse(node, "FAULT off");
            self.rehearse(node, "LISTEN on");
            self.rehearse(node, "RETURN");
        }
        self.dns = Dns::default();
    }

    /// Closes the silent connections at the servers, which cannot detect them.
    pub(super) fn drop_dead(&mut self) {
        let dead: Vec<WireId> =
            self.network.wires.iter().filter(|(_, wire)| wire.silent).map(|(id, _)| *id).collect();
        for id in dead {
            self.drop_connection(id);
        }
    }
}

/// The number of delayed chunks that a stall delivers afterwards.
const STALLED_CHUNKS_MAX: usize = 64;
