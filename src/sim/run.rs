//! [`run`]: one simulation, whose panics are violations.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::plan::Plan;
use super::simulation::Simulation;
use super::tally::Tally;
use super::trace::Trace;
use super::violation::Violation;
use crate::proto::error::panic_text;

/// Runs the simulation of this plan to its end and records its trace.
///
/// # Errors
/// The first invariant that did not hold. A panic violates one, too.
pub(crate) fn run(plan: &Plan, trace: &mut Trace) -> Result<Tally, Violation> {
    unless_it_panics(|| Simulation::new(plan, trace).run())
}

fn unless_it_panics(run: impl FnOnce() -> Result<Tally, Violation>) -> Result<Tally, Violation> {
    // The closure owns the simulation, so no broken state is visible after a panic.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        Err(Violation { invariant: "nothing panics", what: panic_text(&*panic).to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_violation() {
        let violation = unless_it_panics(|| panic!("seed {}", 7)).unwrap_err();
        assert_eq!((violation.invariant, violation.what.as_str()), ("nothing panics", "seed 7"));
        assert!(unless_it_panics(|| Ok(Tally::default())).is_ok());
    }
}
