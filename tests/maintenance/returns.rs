//! Moves back to the same server, and finished moves: no connection loops, and later connections reach their server.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::{Event, HandoffResult};

use crate::common::fixture::{
    ENDLESS, Fixture, WAIT_MAX, connected_to, eventually, is_announced, is_disconnected, is_ended,
    is_handed_off, stats, sum,
};
use crate::common::pauses::retry_on_pause;

/// Less than the time that any step has before the end of a grace.
const SPARE: Duration = Duration::from_millis(200);

/// A move to the announcing address itself, named or implied by a missing target. The address is dialed once, because
/// another server may be behind it by then. Returns the results of the handoffs.
fn redial(target: &str) -> Vec<HandoffResult> {
    let fixture = Fixture::new(1);
    let client = fixture.client(1, 2);
    let begin = Instant::now();
    fixture
        .rehearse(0, &format!("MOVING 2 {} never", target.replace("self", &fixture.address(0).to_string())));
    fixture.events.wait("both have ended", 2, is_ended);
    assert!(begin.elapsed() >= Duration::from_secs(1), "not before half of the grace: {:?}", begin.elapsed());
    eventually("the grace is over", || {
        block_on(client.incr("counter")).expect("it serves");
        begin.elapsed() > Duration::from_millis(2500)
    });
    eventually("the number of connections is the same", || fixture.connections(0).len() == 2);
    assert_eq!((fixture.events.results().len(), fixture.events.count(is_announced)), (2, 1));
    assert_eq!(stats(&client)[0].lost, 0);
    fixture.events.results()
}

#[test]
fn mv_to_same_endpoint_on_sockets() {
    let results = retry_on_pause(SPARE, || redial("self"));
    assert!(results.iter().all(|result| matches!(result, HandoffResult::GaveUp(_))), "{results:?}");
}

/// A successor that reaches the same server, and gets the same notification, is given up.
#[test]
fn a_redial_that_reaches_the_same_server_is_given_up() {
    let results = retry_on_pause(SPARE, || redial("null"));
    assert!(results.iter().all(|result| matches!(result, HandoffResult::GaveUp(_))), "{results:?}");
}

/// A new connection to the old server gets the same notification, which is no reason to move again.
#[test]
fn mv_resend_on_new_connection_no_loop_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 3);
    // The new node sends the notification of the move that led to it.
    let target = fixture.address(1);
    fixture.rehearse(0, &format!("ALL MOVING {ENDLESS} {target} never"));
    fixture.events.wait("handed off", 6, is_handed_off);
    eventually("the predecessors are closed", || connected_to(&client, fixture.address(0)) == 0);
    for handle in [client.clone(), client.clone()] {
        block_on(handle.incr("counter")).expect("it serves");
    }
    assert_eq!((fixture.connections(1).len(), fixture.events.results().len()), (6, 6));
    assert!(sum(&client, |sums| sums.stale + sums.duplicates) >= 6);
}

/// During the grace, reconnects go to the target; afterwards they go to the configured endpoint.
#[test]
fn mv_fallback_after_grace_on_sockets() {
    retry_on_pause(SPARE, assert_falls_back_after_the_grace);
}

fn assert_falls_back_after_the_grace() {
    let fixture = Fixture::new(2);
    let client = fixture.client(1, 2);
    let [old, new] = [fixture.address(0), fixture.address(1)];
    let begin = Instant::now();
    fixture.announce("3", "never");
    fixture.events.wait("handed off", 2, is_handed_off);
    fixture.events.clear();
    fixture.rehearse(1, "CLOSE");
    fixture.events.wait("lost", 2, is_disconnected(new));
    fixture.events.wait(
        "connected to the target again",
        2,
        |event| matches!(event, Event::Connected { peer: Some(peer), .. } if *peer == new),
    );
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    eventually("the grace is over", || begin.elapsed() > Duration::from_millis(3100));
    fixture.rehearse(1, "CLOSE");
    fixture.events.wait(
        "connected as configured",
        2,
        |event| matches!(event, Event::Connected { peer: Some(peer), .. } if *peer == old),
    );
    block_on(client.incr("counter")).expect("it serves");
}

/// One server executes a whole transaction.
#[test]
fn mv_multi_not_split_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client(1, 1);
    let (own, done) = (client.clone(), fixture.events.clone());
    let transactions = std::thread::spawn(move || {
        let (mut before, begin) = (0, Instant::now());
        while done.count(is_handed_off) == 0 {
            assert!(begin.elapsed() < WAIT_MAX, "it is not handed off");
            let transaction = own.transaction();
            for _ in 0..20 {
                transaction.incr("counter");
            }
            let replies: Vec<i64> = block_on(transaction.run()).expect("no error");
            before += 20;
            assert_eq!(replies.len(), 20);
            assert_eq!(replies.last(), Some(&before), "no other command ran in between");
        }
        before
    });
    fixture.announce(ENDLESS, "");
    let executed = transactions.join().expect("no panic");
    assert_eq!(block_on(client.get::<i64>("counter")).expect("a number"), executed);
}
