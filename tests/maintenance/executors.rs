//! Shards on executors that the test starts itself: a group of them, and room for other tasks of the executor.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hitless::{Shard, ShardGroup, cmd};

use crate::common::fixture::{ENDLESS, Fixture, WAIT_MAX, is_announced, is_handed_off};
use crate::moves::assert_broadcast_once;

#[test]
fn a_shard_group_passes_announcements_on() {
    let fixture = Fixture::new(2);
    let group = ShardGroup::new(2);
    let members: Vec<_> = (0..2)
        .map(|_| {
            let ((leave, left), (connected, is_connected)) = (mpsc::channel(), mpsc::channel());
            let (config, group) = (fixture.config().connections_per_shard(3), group.clone());
            let executor = glommio::LocalExecutorBuilder::default().spawn(move || async move {
                let shard = Shard::connect_in(&group, config).await.expect("connected");
                connected.send(()).expect("the test waits");
                while left.try_recv() == Err(TryRecvError::Empty) {
                    futures_lite::future::yield_now().await;
                }
                let stats = shard.stats();
                shard.shutdown(WAIT_MAX).await.expect("nothing is open");
                stats
            });
            is_connected.recv().expect("connected");
            (executor.expect("an executor"), leave)
        })
        .collect();
    let one = fixture.connections(0)[0];
    fixture.rehearse(0, &format!("TO {one} MOVING {ENDLESS} {}", fixture.address(1)));
    fixture.events.wait("handed off", 6, is_handed_off);
    for (_, leave) in &members {
        leave.send(()).expect("the shard runs");
    }
    let stats: Vec<_> = members.into_iter().map(|(executor, _)| executor.join().expect("no panic")).collect();
    assert_broadcast_once(&fixture, &stats);
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
