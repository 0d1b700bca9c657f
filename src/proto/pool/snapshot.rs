//! [`ConnectionSnapshot`]: the state of every connection of a pool, for the simulator's checkers.

use super::entries::Entries;
use super::entry::Role;
use super::ids::ConnectionId;

/// The state of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionSnapshot {
    pub(crate) id: ConnectionId,
    pub(crate) role: Role,
    pub(crate) in_flight: usize,
    /// How many of them take no place: a connection that drains sends them as well.
    pub(crate) without_places: usize,
    /// It has a command of its own to send, which no caller submitted.
    pub(crate) has_internal: bool,
}

impl Entries {
    /// All connections, entry by entry.
    pub(crate) fn snapshot(&self) -> Vec<ConnectionSnapshot> {
        let mut all = Vec::new();
        for entry in self.iter() {
            for known in entry.connections() {
                let Some(role) = entry.role(known.id.generation) else { continue };
                let (in_flight, has_internal) =
                    (known.connection.in_flight(), known.connection.has_internal());
                let without_places = known.connection.without_places();
                all.push(ConnectionSnapshot { id: known.id, role, in_flight, without_places, has_internal });
            }
        }
        all
    }
}
