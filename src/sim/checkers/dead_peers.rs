//! Every dead connection is detected, because an idle connection pings its peer.

use std::collections::BTreeMap;

use super::connection::ConnectionChecks;
use crate::sim::network::{Network, Wire, WireId};
use crate::sim::outcomes::Outcomes;
use crate::sim::violation::Violation;

/// Runs long after the last fault: no client may still hold a connection that has gone silent. A server answers nothing while a
/// blocking command waits, so the connection of one that waits without a limit cannot be told from a dead one.
pub(in crate::sim) fn check_recovered<'a>(
    network: &Network,
    checks: &BTreeMap<WireId, ConnectionChecks>,
    outcomes: impl Fn(usize) -> Option<&'a Outcomes>,
) -> Result<(), Violation> {
    let is_undetected = |wire: &Wire| wire.silent && !wire.client_closed;
    let waits = |id: &WireId| {
        let newest = checks.get(id)?.written.newest()?;
        Some(outcomes(id.shard)?.calls.get(&newest)?.is_endless())
    };
    match network.wires.iter().find(|(id, wire)| is_undetected(wire) && waits(id) != Some(true)) {
        Some((id, _)) => {
            let what = format!("{id:?} is dead, and its client has not closed it");
            Err(Violation::new("dead connections are detected", what))
        }
        None => Ok(()),
    }
}
