//! Who has something to say of its own accord, and could, has said it: no driver was left asleep.

use super::Violation;
use crate::proto::pool::{Census, Pool, Role};
use crate::sim::network::{Network, WireId};

/// After everybody who was woken has written.
pub(in crate::sim) fn check(
    shard: usize,
    pool: &mut Pool,
    network: &mut Network,
    in_flight_max: usize,
) -> Result<(), Violation> {
    for Census { id, role, in_flight, has_internal } in pool.census() {
        let could = role == Role::Active && in_flight < in_flight_max;
        if !has_internal || !could {
            continue;
        }
        // A socket that is full tells its driver when it has room.
        if network.get(WireId::new(shard, id)).is_some_and(|wire| !wire.own.is_waiting()) {
            return Err(Violation::new("nobody is left asleep", format!("{id:?} has something to say")));
        }
    }
    Ok(())
}
