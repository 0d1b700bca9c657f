//! Queues and in-flight commands stay within their bounds, an entry has one active connection, and a draining
//! connection accepts no command.

use std::collections::BTreeMap;

use crate::proto::pool::{ConnectionId, ConnectionSnapshot, Role};
use crate::sim::violation::Violation;

#[derive(Debug, Default)]
pub(in crate::sim) struct Bounds {
    /// The number of commands in flight on each draining connection at the last check.
    draining: BTreeMap<(u32, u32), usize>,
}

impl Bounds {
    /// Commands that end the waits of other connections, or are for subscriptions, take no place. Draining connections send them as
    /// well.
    pub(in crate::sim) fn check(
        &mut self,
        all: &[ConnectionSnapshot],
        in_flight_max: usize,
    ) -> Result<(), Violation> {
        let mut draining = BTreeMap::new();
        let mut active = BTreeMap::new();
        for ConnectionSnapshot { id, role, in_flight, without_places, .. } in all.iter().copied() {
            let (ConnectionId { entry, generation }, in_flight) =
                (id, in_flight.saturating_sub(without_places));
            if in_flight > in_flight_max {
                return Err(Violation::new(
                    "the in-flight bound holds",
                    format!("{in_flight} commands are in flight, and the bound is {in_flight_max}"),
                ));
            }
            if role == Role::Active && active.insert(entry.0, generation).is_some() {
                return Err(Violation::new(
                    "an entry has one active connection",
                    format!("{entry:?} has two"),
                ));
            }
            if role == Role::Predecessor {
                let before = self.draining.get(&(entry.0, generation)).copied();
                if before.is_some_and(|before| in_flight > before) {
                    let what = format!("connection {generation} of entry {entry:?} accepted a command");
                    return Err(Violation::new("a draining connection accepts no command", what));
                }
                draining.insert((entry.0, generation), in_flight);
            }
        }
        self.draining = draining;
        Ok(())
    }
}
