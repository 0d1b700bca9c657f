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

pub(crate) use self::checkers::Violation;
pub(crate) use self::plan::Plan;
pub(crate) use self::shrink::shrink;
pub(crate) use self::trace::Trace;
pub(crate) use self::world::Tally;

use self::world::World;

/// Runs the world of this plan to its end; its trace is kept in words if it is asked for.
///
/// # Errors
/// The first invariant that did not hold.
pub(crate) fn run(plan: &Plan, trace: &mut Trace) -> Result<Tally, Violation> {
    World::new(plan, trace).run()
}
