//! The simulator: whole worlds in virtual time, of which one number decides everything.
//!
//! A world holds the pools of several shards, a network, and the rehearsal's servers; callers submit, cancel and set
//! deadlines; connections are cut at any byte, stall, vanish; servers announce maintenance of every kind, in any order,
//! late, twice, and contradicting themselves. After every event the [`checkers`] look whether the invariants hold, and
//! when the faults stop, whether everything comes to its end. Nothing sleeps and nothing is random but by the seed: the
//! same seed gives the same trace.
//!
//! ```text
//!  Plan (seed) ──▶ World: agenda ─▶ callers ─▶ Pool ─▶ network ─▶ Server ─▶ network ─▶ Pool ─▶ outcomes ─▶ checkers
//! ```

mod agenda;
mod callers;
mod checkers;
mod network;
mod outcomes;
mod plan;
mod shrink;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use self::checkers::Violation;
pub(crate) use self::plan::Plan;
pub(crate) use self::shrink::shrink;
pub(crate) use self::trace::Trace;
pub(crate) use self::world::Tally;

use self::world::World;

/// Runs the world of this plan to its end; its trace is kept in words if it is asked for.
///
/// # Errors
/// The first invariant that did not hold. That nothing panics is one of them.
pub(crate) fn run(plan: &Plan, trace: &mut Trace) -> Result<Tally, Violation> {
    unless_it_panics(|| World::new(plan, trace).run())
}

fn unless_it_panics(run: impl FnOnce() -> Result<Tally, Violation>) -> Result<Tally, Violation> {
    // What is left of the world is not looked at any more.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let what = text.unwrap_or_else(|| "without a message".to_owned());
        Err(Violation { invariant: "nothing panics", what })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_violation_and_ends_nothing_else() {
        let violation = unless_it_panics(|| panic!("seed {}", 7)).unwrap_err();
        assert_eq!((violation.invariant, violation.what.as_str()), ("nothing panics", "seed 7"));
        assert!(unless_it_panics(|| Ok(Tally::default())).is_ok());
    }
}
