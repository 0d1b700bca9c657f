//! Every driver that has something to write has been woken.

use std::collections::BTreeMap;

use super::connection::ConnectionChecks;
use crate::proto::pool::{ConnectionSnapshot, Role};
use crate::sim::network::WireId;
use crate::sim::violation::Violation;

/// Runs after every woken driver has written: no active connection with room may hold an unsent internal command.
pub(in crate::sim) fn check(
    shard: usize,
    all: &[ConnectionSnapshot],
    checks: &BTreeMap<WireId, ConnectionChecks>,
    in_flight_max: usize,
) -> Result<(), Violation> {
    for ConnectionSnapshot { id, role, in_flight, has_internal, .. } in all.iter().copied() {
        let can_write = role == Role::Active && in_flight < in_flight_max;
        if !has_internal || !can_write {
            continue;
        }
        // A full socket wakes its driver itself when it has room.
        let is_idle = |checks: &ConnectionChecks| !checks.internal.is_waiting() && !checks.runs_later;
        if checks.get(&WireId::new(shard, id)).is_some_and(is_idle) {
            let what = format!("{id:?} has an unsent internal command");
            return Err(Violation::new("every driver with work is woken", what));
        }
    }
    Ok(())
}
