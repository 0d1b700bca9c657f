//! Moves that lead back, or are over: nobody goes in circles, and connections that are made later find their way.

use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use hitless::observe::{Event, HandoffResult};

use crate::common::pauses::undisturbed;
use crate::common::stage::{
    ENDLESS, PATIENCE, Stage, connected_to, eventually, is_announced, is_ended, is_gone, is_handed_off,
    stats, sum,
};

/// Less than what any step here has before the end of a grace.
const SPARE: Duration = Duration::from_millis(200);

/// A move to the very address that announced it, said outright or meant by naming none: it is dialed once, in case that
/// somebody else is behind it by then, and nobody goes in circles. Says how the handoffs ended.
fn redial(target: &str) -> Vec<HandoffResult> {
    let stage = Stage::new(1);
    let client = stage.client(1, 2);
    let begin = Instant::now();
    stage.rehearse(0, &format!("MOVING 2 {} never", target.replace("self", &stage.address(0).to_string())));
    stage.events.wait("both have ended", 2, is_ended);
    assert!(begin.elapsed() >= Duration::from_secs(1), "not before half of the grace: {:?}", begin.elapsed());
    eventually("the grace is over", || {
        block_on(client.incr("counter")).expect("it serves");
        begin.elapsed() > Duration::from_millis(2500)
    });
    eventually("there are as many as there were", || stage.connections(0).len() == 2);
    assert_eq!((stage.events.results().len(), stage.events.count(is_announced)), (2, 1));
    assert_eq!(stats(&client)[0].lost, 0);
    stage.events.results()
}

#[test]
fn mv_to_same_endpoint_on_sockets() {
    let results = undisturbed(SPARE, || redial("self"));
    assert!(results.iter().all(|result| matches!(result, HandoffResult::GaveUp(_))), "{results:?}");
}

/// Who reaches the same server, and is told the same by it, stays.
#[test]
fn a_redial_that_reaches_the_same_server_is_given_up() {
    let results = undisturbed(SPARE, || redial("null"));
    assert!(results.iter().all(|result| matches!(result, HandoffResult::GaveUp(_))), "{results:?}");
}

/// A new connection to the old server is told of the same move, too, which is no reason to move again.
#[test]
fn mv_resend_on_new_connection_no_loop_on_sockets() {
    let stage = Stage::new(2);
    let client = stage.client(2, 3);
    // The new node tells whoever asks of the move that led there.
    let target = stage.address(1);
    stage.rehearse(0, &format!("ALL MOVING {ENDLESS} {target} never"));
    stage.events.wait("handed off", 6, is_handed_off);
    eventually("the old ones are gone", || connected_to(&client, stage.address(0)) == 0);
    for handle in [client.clone(), client.clone()] {
        block_on(handle.incr("counter")).expect("it serves");
    }
    assert_eq!((stage.connections(1).len(), stage.events.results().len()), (6, 6));
    assert!(sum(&client, |sums| sums.stale + sums.duplicates) >= 6);
}

/// While a move goes on, connections that are made anew follow it; afterwards they go where they always went.
#[test]
fn mv_fallback_after_grace_on_sockets() {
    undisturbed(SPARE, assert_falls_back_after_the_grace);
}

fn assert_falls_back_after_the_grace() {
    let stage = Stage::new(2);
    let client = stage.client(1, 2);
    let [old, new] = [stage.address(0), stage.address(1)];
    let begin = Instant::now();
    stage.announce("3", "never");
    stage.events.wait("handed off", 2, is_handed_off);
    stage.events.clear();
    stage.rehearse(1, "CLOSE");
    stage.events.wait("lost", 2, is_gone(new));
    stage
        .events
        .wait("connected to the target again", 2, |event| *event == Event::Connected { peer: Some(new) });
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    eventually("the grace is over", || begin.elapsed() > Duration::from_millis(3100));
    stage.rehearse(1, "CLOSE");
    stage.events.wait("connected as configured", 2, |event| *event == Event::Connected { peer: Some(old) });
    block_on(client.incr("counter")).expect("it serves");
}

/// A transaction is executed whole by one server.
#[test]
fn mv_multi_not_split_on_sockets() {
    let stage = Stage::new(2);
    let client = stage.client(1, 1);
    let (own, done) = (client.clone(), stage.events.clone());
    let pipelines = std::thread::spawn(move || {
        block_on(own.run_on(0, |shard| async move {
            let (mut before, begin) = (0, Instant::now());
            while done.count(is_handed_off) == 0 {
                assert!(begin.elapsed() < PATIENCE, "it is not handed off");
                let transaction = shard.transaction();
                for _ in 0..20 {
                    transaction.incr("counter");
                }
                let replies: Vec<i64> = transaction.run().await.expect("no error");
                before += 20;
                assert_eq!(replies.len(), 20);
                assert_eq!(replies.last(), Some(&before), "nobody else counted in between");
            }
            before
        }))
    });
    stage.announce(ENDLESS, "");
    let executed = pipelines.join().expect("no panic").expect("no panic");
    assert_eq!(block_on(client.get::<i64>("counter")).expect("a number"), executed);
}
