//! Who is dead is found out, for somebody is asked whenever nothing was heard for long.

use super::Violation;
use crate::sim::network::{Network, Wire};

/// A while after the last fault.
pub(in crate::sim) fn check_calm(network: &Network) -> Result<(), Violation> {
    let is_believed = |wire: &Wire| wire.vanished && !wire.client_gone;
    match network.wires.iter().find(|(_, wire)| is_believed(wire)) {
        Some((id, _)) => {
            let what = format!("{id:?} is dead, and is still held to be alive");
            Err(Violation::new("the dead are found out", what))
        }
        None => Ok(()),
    }
}
