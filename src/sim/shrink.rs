//! Shrinking: the same violation with fewer deeds makes a shorter story.

use super::{Plan, Trace, Violation, run};

/// Leaves out deeds for as long as the same invariant is violated.
pub(crate) fn shrink(plan: &Plan, violation: &Violation) -> (Plan, Violation) {
    let (mut plan, mut violation) = (plan.clone(), violation.clone());
    let mut length = plan.deeds.len();
    while length > 0 {
        let mut from = 0;
        while from < plan.deeds.len() {
            let mut shorter = plan.clone();
            shorter.deeds.drain(from..(from + length).min(plan.deeds.len()));
            match run(&shorter, &mut Trace::default()) {
                Err(found) if found.invariant == violation.invariant => (plan, violation) = (shorter, found),
                _ => from += length,
            }
        }
        length /= 2;
    }
    (plan, violation)
}
