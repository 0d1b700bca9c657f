//! What those who watch are told, and that nobody else has to wait for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_lite::future::block_on;
use hitless::observe::{Event, HandoffResult};
use hitless::{Shard, cmd};

use crate::common::stage::{PATIENCE, Stage, is_announced, is_gone};

/// The life of two shards, as one who watches is told it.
#[test]
fn what_happens_is_told_in_order_by_the_shard_on_which_it_happens() {
    let stage = Stage::new(2);
    let client = stage.client(2, 1);
    stage.announce("10", "");
    stage.events.wait("the old ones are closed", 2, is_gone(stage.address(0)));
    block_on(client.shutdown(PATIENCE)).expect("nothing is open");
    let events = stage.events.all();
    let [old, new] = [stage.address(0), stage.address(1)];
    for shard in 0..2 {
        let own: Vec<_> = events.iter().filter(|(on, _)| *on == shard).map(|(_, event)| event).collect();
        let own: Vec<_> = own.into_iter().filter(|event| !is_announced(event)).collect();
        let is_told = matches!(
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
        assert!(is_told, "{own:#?}");
    }
    let announced: Vec<_> = events.iter().filter(|(_, event)| is_announced(event)).collect();
    assert_eq!(announced.len(), 1, "{announced:?}");
}

/// Very many events at once: other tasks of the shard run in between.
#[test]
fn a_flood_of_events_leaves_room_for_others() {
    /// No more than may wait to be told.
    const EVENTS: usize = 1000;
    /// How many are told in a row.
    const ROW_MAX: usize = 256;
    let stage = Stage::new(1);
    // By how often the other task had run by then.
    let told: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
    let (turns, telling) = (Arc::new(AtomicU64::new(0)), told.clone());
    let (counted, counting) = (turns.clone(), turns);
    let config = stage.config().connections_per_shard(1).on_event(move |_, event| {
        if is_announced(event) {
            *telling.lock().unwrap().entry(counted.load(Ordering::Relaxed)).or_default() += 1;
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
        while told.lock().unwrap().values().sum::<usize>() < EVENTS {
            assert!(begin.elapsed() < PATIENCE, "{:?}", told.lock().unwrap());
            futures_lite::future::yield_now().await;
        }
        other.cancel().await;
        let rows = told.lock().unwrap().clone();
        assert!(rows.values().all(|row| *row <= ROW_MAX), "{rows:?}");
    });
    executor.unwrap().join().unwrap();
}
