//! Event handlers: the order of events, and room for other tasks during a flood of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_lite::future::block_on;
use hitless::observe::{Event, HandoffResult};
use hitless::{Shard, cmd};

use crate::common::fixture::{Fixture, WAIT_MAX, is_announced, is_disconnected};

/// The life of two shards as an event handler sees it.
#[test]
fn events_are_ordered_and_carry_their_shard() {
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 1);
    fixture.announce("10", "");
    fixture.events.wait("the predecessors are closed", 2, is_disconnected(fixture.address(0)));
    block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
    let events = fixture.events.all();
    let [old, new] = [fixture.address(0), fixture.address(1)];
    for shard in 0..2 {
        let own: Vec<_> = events.iter().filter(|(on, _)| *on == shard).map(|(_, event)| event).collect();
        let own: Vec<_> = own.into_iter().filter(|event| !is_announced(event)).collect();
        let is_expected = matches!(
            own[..],
            [
                Event::Connected { peer: Some(first) },
                Event::HandoffStarted { from: begun, to },
                Event::Connected { peer: Some(second) },
                Event::HandoffEnded { from, result: HandoffResult::Succeeded, attempts: 1, .. },
                Event::Disconnected { peer: Some(third), .. },
                Event::Disconnected { peer: Some(last), .. },
            ] if [*first, *begun, *from, *third] == [old; 4] && [*second, *last] == [new; 2]
                && to.socket_addr() == Some(new)
        );
        assert!(is_expected, "{own:#?}");
    }
    let announced: Vec<_> = events.iter().filter(|(_, event)| is_announced(event)).collect();
    assert_eq!(announced.len(), 1, "{announced:?}");
}

/// During a flood of events, other tasks of the shard run in between.
#[test]
fn a_flood_of_events_leaves_room_for_others() {
    /// As many events as may wait for delivery.
    const EVENTS: usize = 1000;
    /// The number of events delivered in a row.
    const ROW_MAX: usize = 256;
    let fixture = Fixture::new(1);
    // The number of events by the turns of the other task.
    let delivered: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
    let (turns, sink) = (Arc::new(AtomicU64::new(0)), delivered.clone());
    let (counted, counting) = (turns.clone(), turns);
    let config = fixture.config().connections_per_shard(1).on_event(move |_, event| {
        if is_announced(event) {
            *sink.lock().unwrap().entry(counted.load(Ordering::Relaxed)).or_default() += 1;
        }
    });
    let executor = glommio::LocalExecutorBuilder::default().spawn(move || async move {
        let shard = Shard::connect(config).await.unwrap();
        let other = glommio::spawn_local(async move {
            loop {
                counting.fetch_add(1, Ordering::Relaxed);
                futures_lite::future::yield_now().await;
            }
        });
        let moved = |seq| {
            format!(r">3\r\n+SMIGRATED\r\n:{seq}\r\n*1\r\n*3\r\n+10.0.0.1:1\r\n+10.0.0.2:1\r\n+1-9\r\n")
        };
        let moved: String = (0..EVENTS).map(moved).collect();
        shard.run::<()>(&cmd("REHEARSE").arg("PUSH").arg(moved)).await.unwrap();
        let begin = Instant::now();
        while delivered.lock().unwrap().values().sum::<usize>() < EVENTS {
            assert!(begin.elapsed() < WAIT_MAX, "{:?}", delivered.lock().unwrap());
            futures_lite::future::yield_now().await;
        }
        other.cancel().await;
        let rows = delivered.lock().unwrap().clone();
        assert!(rows.values().all(|row| *row <= ROW_MAX), "{rows:?}");
    });
    executor.unwrap().join().unwrap();
}
