//! Timers of a handoff: each fires although nothing else happens.

use super::world::LATENCY;
use super::*;

#[test]
fn hanging_successor_is_given_up_and_dialed_again() {
    for is_connected in [false, true] {
        let mut config = config();
        config.maint.handoff_timeout = SECOND * 3;
        let mut world = World::ready(config);
        match is_connected {
            true => world.server(B).is_stalled = true,
            false => world.server(B).reachability = Reachability::Silent,
        }
        let start = world.now;
        world.push(A, &moving_to(0, 30, B));
        world.run_until_dials(1);
        let first = world.dials[0].at;
        world.run_until(start, SECOND * 5);
        let again = world.dials.get(1).expect("it is dialed again").at.since(first);
        assert!((SECOND * 3..=SECOND * 3 + ms(50) + LATENCY).contains(&again), "{again:?}");
        assert!(world.all_at(A));
    }
}

#[test]
fn reply_on_a_predecessor_has_its_normal_timeout() {
    let mut config = config();
    config.maint.relaxed_timeout = SECOND * 4;
    config.maint.post_handoff_relaxed = SECOND * 4;
    let mut world = World::ready(config);
    world.server(A).is_stalled = true;
    let start = world.now;
    world.push(A, &moving_to(0, 30, B));
    let ticket = world.submit(0, 0, "never");
    world.run_until(start, SECOND * 2);
    assert!(world.all_at(B) && world.sockets[&(0, 1)].is_open);
    world.run_until(start, SECOND * 4 - ms(1));
    assert!(world.outcomes.failed.is_empty());
    world.run_until(start, SECOND * 4);
    let [(failed, Failure::TimedOut(timed_out))] = &world.outcomes.failed[..] else {
        panic!("{:?}", world.outcomes.failed)
    };
    assert_eq!((*failed, timed_out.outcome, timed_out.after), (ticket, Outcome::Ambiguous, SECOND * 4));
}
