//! [`shrink`]: the minimal reproduction of a violation.

use super::plan::Plan;
use super::run::run;
use super::trace::Trace;
use super::violation::Violation;

/// Removes faults from the plan as long as the same invariant is violated: half of them at a time, then a quarter, and
/// at last single ones.
pub(crate) fn shrink(plan: &Plan, violation: &Violation) -> (Plan, Violation) {
    let (mut plan, mut violation) = (plan.clone(), violation.clone());
    let mut length = plan.faults.len();
    while length > 0 {
        let mut from = 0;
        while from < plan.faults.len() {
            let mut shorter = plan.clone();
            shorter.faults.drain(from..(from + length).min(plan.faults.len()));
            match run(&shorter, &mut Trace::default()) {
                Err(found) if found.invariant == violation.invariant => (plan, violation) = (shorter, found),
                _ => from += length,
            }
        }
        length /= 2;
    }
    (plan, violation)
}
