//! Moves that go well: nobody gets an error, nothing is sent twice, and every connection goes.

use std::sync::mpsc::{self, TryRecvError};

use futures_lite::future::block_on;
use hitless::{Shard, ShardGroup};

use crate::common::stage::{
    ENDLESS, PATIENCE, Stage, connected_to, eventually, is_announced, is_gone, is_handed_off, stats, sum,
};
use crate::load::Load;

/// On no shard was a connection to the old peer closed before another one had taken over.
fn assert_made_before_broken(stage: &Stage, old: usize) {
    let (events, is_gone) = (stage.events.all(), is_gone(stage.address(old)));
    for shard in 0..2 {
        let (mut made, mut broken) = (0, 0);
        for (_, event) in events.iter().filter(|(on, _)| *on == shard) {
            made += usize::from(is_handed_off(event));
            broken += usize::from(is_gone(event));
            assert!(broken <= made, "{broken} closed, {made} taken over: {events:#?}");
        }
    }
}

#[test]
fn mv_make_before_break_on_sockets() {
    let stage = Stage::new(2);
    let client = stage.client(2, 4);
    let load = Load::start(&client, 16);
    load.goes_on(100);
    stage.announce(ENDLESS, "");
    // In the server's eyes, too, there is a new connection before an old one goes.
    eventually("all are on the new node, and none on the old", || {
        let (old, new) = (stage.connections(0).len(), stage.connections(1).len());
        assert!(old + new >= 8, "{old} and {new} connections");
        (old, new) == (0, 8)
    });
    load.goes_on(100);
    let sums = load.stop();
    assert!(sums.errors.is_empty(), "{:?}", sums.errors);
    assert_eq!(stage.events.count(is_handed_off), 8, "{:#?}", stage.events.all());
    assert_eq!(stage.events.count(is_gone(stage.address(0))), 8);
    assert_made_before_broken(&stage, 0);
    assert_eq!(stage.assert_audit(), sums.tagged);
    let totals = stats(&client);
    assert!(totals.iter().all(|stats| stats.lost == 0 && stats.maintenance.orphaned == 0), "{totals:#?}");
}

#[test]
fn mv_idle_unread_connections_move_on_sockets() {
    let stage = Stage::new(2);
    let client = stage.client(2, 25);
    let told = stage.connections(0)[17];
    stage.rehearse(0, &format!("TO {told} MOVING {ENDLESS} {}", stage.address(1)));
    stage.events.wait("handed off", 50, is_handed_off);
    eventually("the old ones are gone", || connected_to(&client, stage.address(0)) == 0);
    assert_eq!(connected_to(&client, stage.address(1)), 50);
    assert_eq!(sum(&client, |sums| sums.notifications), 1, "only one connection was told");
    assert_eq!(stage.events.count(is_announced), 1);
    assert!(stats(&client).iter().all(|stats| stats.maintenance.handoffs_succeeded == 25));
}

#[test]
fn mv_cross_core_broadcast_on_sockets() {
    let stage = Stage::new(2);
    let group = ShardGroup::new(2);
    let members: Vec<_> = (0..2)
        .map(|_| {
            let ((leave, told), (connected, is_connected)) = (mpsc::channel(), mpsc::channel());
            let (config, group) = (stage.config().connections_per_shard(3), group.clone());
            let executor = glommio::LocalExecutorBuilder::default().spawn(move || async move {
                let shard = Shard::connect_in(&group, config).await.expect("connected");
                connected.send(()).expect("somebody waits");
                while told.try_recv() == Err(TryRecvError::Empty) {
                    futures_lite::future::yield_now().await;
                }
                let stats = shard.stats();
                shard.shutdown(PATIENCE).await.expect("nothing is open");
                stats
            });
            is_connected.recv().expect("connected");
            (executor.expect("an executor"), leave)
        })
        .collect();
    let one = stage.connections(0)[0];
    stage.rehearse(0, &format!("TO {one} MOVING {ENDLESS} {}", stage.address(1)));
    stage.events.wait("handed off", 6, is_handed_off);
    for (_, leave) in &members {
        leave.send(()).expect("it waits");
    }
    let stats: Vec<_> = members.into_iter().map(|(executor, _)| executor.join().expect("no panic")).collect();
    // One shard has read it, and each has taken it in once.
    assert_eq!(stats.iter().map(|stats| stats.maintenance.notifications).sum::<u64>(), 1);
    for stats in &stats {
        let maintenance = &stats.maintenance;
        assert_eq!((maintenance.handoffs_succeeded, maintenance.windows_open), (3, 1), "{maintenance:#?}");
        assert_eq!((maintenance.duplicates, stats.broadcasts_dropped), (0, 0), "{maintenance:#?}");
    }
    assert_eq!(stage.events.count(is_announced), 1);
    for shard in 0..2 {
        let own = stage.events.all().into_iter().filter(|(on, event)| *on == shard && is_handed_off(event));
        assert_eq!(own.count(), 3);
    }
}

#[test]
fn every_copy_is_counted_and_the_announcement_told_once() {
    let stage = Stage::new(2);
    let client = stage.client(2, 6);
    stage.rehearse(0, "FAULT duplicate 3");
    stage.announce(ENDLESS, "");
    stage.events.wait("handed off", 12, is_handed_off);
    eventually("the old ones are gone", || connected_to(&client, stage.address(0)) == 0);
    assert_eq!(stage.events.count(is_announced), 1);
    let (heard, again) = (sum(&client, |sums| sums.notifications), sum(&client, |sums| sums.duplicates));
    assert!(heard >= 12 && again >= heard - 2, "{heard} copies, {again} of them duplicates");
    block_on(client.shutdown(PATIENCE)).expect("nothing is open");
}

/// Ten moves, back and forth, under load: each command is executed once, and each handle's in order.
#[test]
fn mv_unwritten_go_to_new_once_on_sockets() {
    const MOVES: usize = 10;
    let stage = Stage::new(2);
    let client = stage.client(2, 3);
    let load = Load::start(&client, 12);
    for index in 0..MOVES {
        let (from, to) = (index % 2, (index + 1) % 2);
        load.goes_on(100);
        stage.moves((from, to), ENDLESS, "");
        stage.events.wait("handed off", 6 * (index + 1), is_handed_off);
        eventually("the old ones are gone", || connected_to(&client, stage.address(from)) == 0);
    }
    load.goes_on(100);
    let sums = load.stop();
    assert!(sums.errors.is_empty(), "{:?}", sums.errors);
    assert_eq!(stage.assert_audit(), sums.tagged);
    let counter: i64 = block_on(client.get("counter")).expect("a number");
    assert_eq!(counter.unsigned_abs(), sums.counted);
    assert_eq!(stage.events.results().len(), 6 * MOVES, "{:#?}", stage.events.results());
}
