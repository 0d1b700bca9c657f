//! Every dead connection is detected, because an idle connection pings its peer.

use crate::sim::network::{Network, Wire};
use crate::sim::violation::Violation;

/// Runs long after the last fault: no client may still hold a connection that has gone silent.
pub(in crate::sim) fn check_recovered(network: &Network) -> Result<(), Violation> {
    let is_undetected = |wire: &Wire| wire.silent && !wire.client_closed;
    match network.wires.iter().find(|(_, wire)| is_undetected(wire)) {
        Some((id, _)) => {
            let what = format!("{id:?} is dead, and its client has not closed it");
            Err(Violation::new("dead connections are detected", what))
        }
        None => Ok(()),
    }
}
