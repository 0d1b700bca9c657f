//! [`Census`]: a look at every connection of a pool, for the simulator's checkers.

pub(crate) use super::entry::Role;
use super::link::Link;
use super::{ConnectionId, Pool};

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Census {
    pub(crate) id: ConnectionId,
    pub(crate) role: Role,
    pub(crate) in_flight: usize,
    /// It has something to say of its own accord.
    pub(crate) has_internal: bool,
}

impl Pool {
    /// All connections, entry by entry.
    pub(crate) fn census(&mut self) -> Vec<Census> {
        let mut census = Vec::new();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let look = |link: &mut Link| {
                (link.generation, link.connection.in_flight(), link.connection.has_internal())
            };
            let links: Vec<_> = entry.links().map(look).collect();
            for (generation, in_flight, has_internal) in links {
                let id = entry.id(index, generation);
                census.extend(entry.role(generation).map(|role| Census {
                    id,
                    role,
                    in_flight,
                    has_internal,
                }));
            }
        }
        census
    }
}
