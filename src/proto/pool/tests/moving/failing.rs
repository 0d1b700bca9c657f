//! Targets that do not answer, servers that close early, and what follows the end of the grace period.

use super::*;

#[test]
fn mv_fallback_after_grace() {
    let mut world = World::of(1);
    let start = world.now;
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 2);
    assert!(world.all_at(B));
    world.take_dials(start);
    // During the grace period, new connections are dialed to the target.
    world.hang_up(B);
    world.run(SECOND);
    assert!(world.all_at(B));
    assert_eq!(world.take_dials(start)[0].1, B.to_string());
    world.run_until(start, ms(14_999));
    world.hang_up(B);
    world.run(ms(0));
    assert_eq!(world.take_dials(start), [], "it backs off");
    world.run(SECOND);
    assert!(world.all_at(A), "the grace period was over when it was dialed");
    assert_eq!(world.take_dials(start)[0].1, A.to_string());
    world.hang_up(A);
    world.run(SECOND);
    assert!(world.all_at(A));
}

#[test]
fn mv_target_refused_then_ok() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Refusing;
    let start = world.now;
    world.push(A, &moving_to(0, 15, B));
    for number in 0..200 {
        if world.dials.len() == 3 {
            world.server(B).reachability = Reachability::Open;
        }
        world.submit(0, 0, &number.to_string());
        world.run(ms(10));
    }
    assert!(world.all_at(B));
    world.run(SECOND);
    world.assert_unharmed();
    let stats = world.pool.maintenance();
    assert_eq!((stats.handoffs_started, stats.handoff_retries, stats.handoffs_succeeded), (1, 3, 1));
    let dials = world.take_dials(start);
    assert!(dials.iter().all(|(at, to)| *at <= ms(1400) && *to == B.to_string()), "{dials:?}");
    assert!(dials.windows(2).all(|pair| pair[1].0 - pair[0].0 >= ms(5)), "it backs off: {dials:?}");
    assert_eq!(world.take_results(), ["ok"]);
}

#[test]
fn mv_target_dead() {
    let mut world = World::of(40);
    world.server(B).reachability = Reachability::Refusing;
    let start = world.now;
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 10);
    let dials = world.dials.len();
    assert!(
        (5..=15).contains(&dials),
        "{dials}: ten had a permit when the fifth failed, and none was dialed again"
    );
    assert!(world.pool.parts.handoffs.breakers.is_open(&B.into(), world.now));
    let results = world.take_results();
    assert_eq!(results.len(), 40);
    assert!(results.iter().all(|result| ["gave_up", "breaker_open"].contains(result)), "{results:?}");
    assert!(results.contains(&"breaker_open"));
    // The old server serves until it closes.
    assert!(world.all_at(A));
    world.run_until(start, SECOND * 14);
    for entry in 0..40 {
        world.submit(entry, 0, "still here");
    }
    world.run_until(start, ms(15_500));
    world.assert_unharmed();
    world.take_dials(start);
    world.hang_up(A);
    world.run(SECOND * 2);
    assert!(world.all_at(A), "the configured address is dialed");
    assert!(world.take_dials(start).iter().all(|(_, to)| *to == A.to_string()));
    // After the cooldown, and with the target back, all can go there, a few probes first.
    world.run_until(start, SECOND * 70);
    assert!(!world.pool.parts.handoffs.breakers.is_open(&B.into(), world.now));
    world.server(B).reachability = Reachability::Open;
    world.push(A, &moving_to(1, 15, B));
    world.run(SECOND * 5);
    assert!(world.all_at(B), "{:?}", world.take_results());
}

#[test]
fn dead_target_is_dialed_four_times_per_handoff() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Refusing;
    let start = world.now;
    world.push(A, &moving_to(0, 15, B));
    world.run(SECOND * 14);
    assert_eq!(world.take_dials(start).len(), 1 + 3, "once, and three retries");
    assert_eq!((world.take_results(), world.all_at(A)), (vec!["gave_up"], true));
    world.hang_up(A);
    world.run(ms(500));
    assert_eq!(world.take_dials(start)[0].1, A.to_string(), "the failed target is not dialed again");
}

/// A server may close early and name a target that does not answer: an entry without a connection dials both addresses
/// in turn.
#[test]
fn missing_target_does_not_block_the_configured_address() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Refusing;
    let start = world.now;
    world.push(A, &moving_to(0, 60, B));
    world.run(ms(1));
    world.hang_up(A);
    world.run(ms(0));
    let ticket = world.submit(0, 0, "a");
    world.run(SECOND * 2);
    let dialed: Vec<String> = world.take_dials(start).into_iter().map(|(_, to)| to).collect();
    assert!(dialed.contains(&B.to_string()) && dialed.contains(&A.to_string()), "{dialed:?}");
    assert_eq!(world.outcomes.tickets(), [ticket]);
}

/// A target that a server named may be untrusted; that says nothing about the configured address. No command is
/// rejected for it, and the configured address is dialed at once.
#[test]
fn untrusted_target_rejects_no_command() {
    let mut world = World::of(1);
    world.server(B).reachability = Reachability::Untrusted;
    world.push(A, &moving_to(0, 60, B));
    world.run(ms(1));
    world.hang_up(A);
    world.run(ms(0));
    let ticket = world.submit(0, 0, "a");
    world.run(ms(500));
    assert_eq!((world.outcomes.tickets(), world.outcomes.failed.len()), (vec![ticket], 0));
}

#[test]
fn mv_server_closes_early() {
    // Before the first dial, while the target is silent, and while it holds its replies back.
    for (closes_at, reachability, is_stalled) in [
        (ms(5), Reachability::Open, false),
        (SECOND * 5, Reachability::Silent, false),
        (SECOND * 5, Reachability::Open, true),
    ] {
        let mut world = World::of(1);
        world.server(A).is_stalled = true;
        *world.server(B) = super::servers::Server { reachability, is_stalled, ..Default::default() };
        let start = world.now;
        world.push(A, &moving_to(0, 15, B));
        // The first is written, the second is not.
        world.take_more((0, 1), 11);
        world.run_until(start, closes_at - ms(1));
        let (written, unwritten) = (world.submit(0, 0, "a"), world.submit(0, 0, "b"));
        world.run(ms(1));
        assert_eq!(world.ran(A), ["a"]);
        world.hang_up(A);
        world.run(ms(0));
        let [(ticket, failure)] = &world.outcomes.failed[..] else { panic!("{:?}", world.outcomes.failed) };
        assert_eq!((*ticket, failure.outcome()), (written, Outcome::Ambiguous));
        assert!(matches!(failure, Failure::Lost { maintenance: Some("MOVING"), .. }), "{failure:?}");
        world.server(B).reachability = Reachability::Open;
        world.reply_at_last(B);
        world.run_until(start, SECOND * 14);
        if reachability == Reachability::Silent {
            // That dial hangs until the grace period is over: it cannot be told from a slow one.
            world.run(SECOND * 2);
        } else {
            assert!(world.all_at(B), "{closes_at:?}");
            assert_eq!(world.outcomes.tickets(), [unwritten]);
            assert_eq!((world.ran(A), world.ran(B)), (vec!["a"], vec!["b"]));
            assert!(world.take_dials(start).iter().all(|(_, to)| *to == B.to_string()));
        }
        assert_eq!(world.outcomes.answered.len() + world.outcomes.failed.len(), 2);
        assert_eq!(world.pool.maintenance().permits_in_use, 0);
    }
}
