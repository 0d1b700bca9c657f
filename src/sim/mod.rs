//! The simulator: pools, callers, a network and rehearsal servers in virtual time, decided by one seed.
//!
//! Callers submit commands, cancel them and set deadlines. Some block, some have sessions with transactions, and some subscribe to
//! what publishers stamp and count. Connections are cut at any byte, stall and go silent. Servers announce maintenance of every
//! kind: in any order, late, twice and contradictory. Half of the shards write while their pool is free for others, as inside
//! tokio. After every event the [`checkers`] test the invariants, and when the faults end, they test that every command resolves
//! and that every subscription gets messages. Nothing sleeps, and the seed is the only source of randomness, so the same seed
//! gives the same trace.
//!
//! ```text
//!  Plan (seed) ──▶ Simulation: events ─▶ callers ─▶ Pool ─▶ network ─▶ Server ─▶ network ─▶ Pool ─▶ outcomes ─▶ checkers
//! ```

mod blockers;
mod call_context;
mod callers;
mod checkers;
mod event_queue;
mod network;
mod outcomes;
mod plan;
mod publications;
mod run;
mod session_caller;
mod shrink;
mod simulation;
mod subscription_caller;
mod tally;
mod trace;
mod transactions;
mod unlocked;
mod violation;

pub(crate) use self::plan::Plan;
pub(crate) use self::run::run;
pub(crate) use self::shrink::shrink;
pub(crate) use self::tally::Tally;
pub(crate) use self::trace::Trace;
pub(crate) use self::violation::Violation;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs as many seeds as `HITLESS_WORLDS` says, or 300.
    #[test]
    fn no_simulation_violates_an_invariant() {
        let wanted = std::env::var("HITLESS_WORLDS").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
        let mut tally = Tally::default();
        for seed in 0..wanted {
            let plan = Plan::new(seed);
            match run(&plan, &mut Trace::default()) {
                Ok(one) => tally.add(&one),
                Err(violation) => {
                    let (plan, violation) = shrink(&plan, &violation);
                    let faults: String = plan.faults.iter().map(|fault| format!("{fault}\n")).collect();
                    panic!("seed {seed}: {violation}\n{:?}\n{faults}", plan.parameters);
                }
            }
        }
        println!("{tally:?}");
        assert!(tally.handoffs_succeeded > wanted && tally.answered > 20 * wanted, "{tally:?}");
        assert!(tally.writes_returned > 20 * wanted, "{tally:?}");
        assert!(tally.taken > wanted && tally.transactions > wanted, "{tally:?}");
        assert!(tally.messages > 50 * wanted && tally.subscribed > wanted, "{tally:?}");
        assert!(tally.gaps > wanted / 4 && tally.duplicates > 0 && tally.lagged > 0, "{tally:?}");
        assert!(tally.reissued > 0 && tally.orphaned > 0 && tally.stale > 0, "{tally:?}");
        assert!(tally.written_across_cut_overs > 0 && tally.written_across_closes > 0, "{tally:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        let fingerprint = |seed| {
            let mut trace = Trace::default();
            let _ = run(&Plan::new(seed), &mut trace);
            trace.fingerprint()
        };
        assert_eq!(fingerprint(7), fingerprint(7));
        assert_ne!(fingerprint(7), fingerprint(8));
    }
}
