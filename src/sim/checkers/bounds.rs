//! Queues, in-flight commands and drains never pass their bounds, and a draining connection takes nothing new.

use std::collections::BTreeMap;

use super::Violation;
use crate::proto::pool::{Census, ConnectionId, Pool, Role};

#[derive(Debug, Default)]
pub(in crate::sim) struct Bounds {
    /// What each draining connection had in flight when it was last looked at.
    draining: BTreeMap<(u32, u32), usize>,
}

impl Bounds {
    pub(in crate::sim) fn check(&mut self, pool: &mut Pool, in_flight_max: usize) -> Result<(), Violation> {
        let mut draining = BTreeMap::new();
        let mut active = BTreeMap::new();
        for Census { id: ConnectionId { entry, generation }, role, in_flight, .. } in pool.census() {
            if in_flight > in_flight_max {
                return Err(Violation::new(
                    "bounds hold",
                    format!("{in_flight} in flight of {in_flight_max}"),
                ));
            }
            if role == Role::Active && active.insert(entry.0, generation).is_some() {
                return Err(Violation::new("one active connection", format!("entry {entry:?} has two")));
            }
            if role == Role::Predecessor {
                let before = self.draining.get(&(entry.0, generation)).copied();
                if before.is_some_and(|before| in_flight > before) {
                    let what = format!("connection {generation} of entry {entry:?} took a command");
                    return Err(Violation::new("a draining connection takes nothing", what));
                }
                draining.insert((entry.0, generation), in_flight);
            }
        }
        self.draining = draining;
        Ok(())
    }
}
