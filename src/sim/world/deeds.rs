//! What is done to a world, and how it is healed.

use std::time::Duration;

use super::World;
use crate::proto::error::CloseReason;
use crate::proto::time::Instant;
use crate::rehearsal::NodeId;
use crate::sim::agenda::Happening;
use crate::sim::checkers::Violation;
use crate::sim::checkers::logins::password;
use crate::sim::network::{Chunk, WireId};
use crate::sim::plan::{DeedKind, NODES};

impl World<'_> {
    pub(super) fn deed(&mut self, index: usize) -> Result<(), Violation> {
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
            DeedKind::Flood { which, pushes } => {
                self.flood(*which, *pushes);
                Ok(())
            }
            DeedKind::Endless { which, ms } => {
                self.begin_endless(*which, Duration::from_millis(*ms));
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
            DeedKind::Rotate { within_ms } => {
                let number = self.password.map_or(1, |number| number + 1);
                self.password = Some(number);
                self.server.set_password(Some(password(number)));
                for shard in 0..self.shards.len() {
                    let at = self.now.after(Duration::from_millis(self.random.u64(..*within_ms)));
                    self.agenda.plan(at, Happening::Renewed { shard });
                }
                Ok(())
            }
            DeedKind::ShutDown { shard, grace_ms } => {
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

    /// What else the server has to say comes behind it, and is taken for a part of it.
    fn begin_endless(&mut self, which: u32, time: Duration) {
        let (Some(id), until) = (self.pick(which), self.now.after(time)) else { return };
        self.send_to_client(id, Chunk::Endless);
        let mut at = self.now;
        while at < until {
            at = at.after(Duration::from_millis(self.random.u64(1..100)));
            if let Some(wire) = self.network.get(id) {
                let at = wire.to_client.send(Chunk::Bytes(b":1\r\n".to_vec()), at);
                self.agenda.plan(at, Happening::ToClient { wire: id });
            }
        }
    }

    /// What was to arrive on a stalled connection arrives when the stall is over.
    pub(super) fn replan(&mut self, which: u32, at: Instant) {
        let Some(id) = self.pick(which) else { return };
        for _ in 0..STALLED_MAX {
            self.agenda.plan(at, Happening::ToServer { wire: id });
            self.agenda.plan(at, Happening::ToClient { wire: id });
        }
    }

    /// One of the connections that there are.
    pub(super) fn pick(&self, which: u32) -> Option<WireId> {
        let open: Vec<_> =
            self.network.wires.iter().filter(|(_, wire)| wire.connected && !wire.client_gone).collect();
        open.get(which as usize % open.len().max(1)).map(|(id, _)| **id)
    }

    pub(super) fn rehearse(&mut self, node: usize, words: &str) {
        let words: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        // What is refused, say a move to the node itself, does not happen.
        let _ = self.server.rehearse(NodeId(node), self.micros(), &words);
        self.serve(None);
    }

    /// Faults stop: everybody listens and is found.
    pub(super) fn heal(&mut self) {
        self.is_calm = true;
        for node in 0..NODES {
            self.rehearse(node, "FAULT off");
            self.rehearse(node, "LISTEN on");
            self.rehearse(node, "RETURN");
        }
        self.name = (vec![0], Duration::from_millis(1));
    }

    /// Servers, too, learn at last of the connections that are dead.
    pub(super) fn bury(&mut self) {
        let dead: Vec<WireId> =
            self.network.wires.iter().filter(|(_, wire)| wire.vanished).map(|(id, _)| *id).collect();
        for id in dead {
            self.forget(id);
        }
    }
}

/// How many pieces that are under way a stall keeps back.
const STALLED_MAX: usize = 64;
