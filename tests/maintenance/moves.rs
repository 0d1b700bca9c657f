//! Successful moves: no command fails or runs twice, and every connection moves.

use futures_lite::future::block_on;
use hitless::ShardStats;

use crate::common::fixture::{
    ENDLESS, Fixture, WAIT_MAX, connected_to, eventually, is_announced, is_disconnected, is_handed_off,
    stats, sum,
};
use crate::load::Load;

/// On each shard, a successor took over before each old connection closed.
fn assert_made_before_broken(fixture: &Fixture, old: usize) {
    let (events, is_disconnected) = (fixture.events.all(), is_disconnected(fixture.address(old)));
    for shard in 0..2 {
        let (mut made, mut broken) = (0, 0);
        for (_, event) in events.iter().filter(|(on, _)| *on == shard) {
            made += usize::from(is_handed_off(event));
            broken += usize::from(is_disconnected(event));
            assert!(broken <= made, "{broken} closed, {made} taken over: {events:#?}");
        }
    }
}

#[test]
fn mv_make_before_break_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 4);
    let load = Load::start(&client, 16);
    load.wait_for_replies(100);
    fixture.announce(ENDLESS, "");
    // The server, too, sees a new connection before an old one closes.
    eventually("all connections are on the new node", || {
        let (old, new) = (fixture.connections(0).len(), fixture.connections(1).len());
        assert!(old + new >= 8, "{old} and {new} connections");
        (old, new) == (0, 8)
    });
    load.wait_for_replies(100);
    let sums = load.stop();
    assert!(sums.errors.is_empty(), "{:?}", sums.errors);
    assert_eq!(fixture.events.count(is_handed_off), 8, "{:#?}", fixture.events.all());
    assert_eq!(fixture.events.count(is_disconnected(fixture.address(0))), 8);
    assert_made_before_broken(&fixture, 0);
    assert_eq!(fixture.assert_audit(), sums.tagged);
    let totals = stats(&client);
    assert!(totals.iter().all(|stats| stats.lost == 0 && stats.maintenance.orphaned == 0), "{totals:#?}");
}

#[test]
fn mv_idle_unread_connections_move_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 25);
    let notified = fixture.connections(0)[17];
    fixture.rehearse(0, &format!("TO {notified} MOVING {ENDLESS} {}", fixture.address(1)));
    fixture.events.wait("handed off", 50, is_handed_off);
    eventually("the predecessors are closed", || connected_to(&client, fixture.address(0)) == 0);
    assert_eq!(connected_to(&client, fixture.address(1)), 50);
    assert_eq!(sum(&client, |sums| sums.notifications), 1, "one connection got the notification");
    assert_eq!(fixture.events.count(is_announced), 1);
    assert!(stats(&client).iter().all(|stats| stats.maintenance.handoffs_succeeded == 25));
}

/// One shard reads the notification, and the connections of both move.
#[test]
fn mv_cross_core_broadcast_on_sockets() {
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 3);
    let one = fixture.connections(0)[0];
    fixture.rehearse(0, &format!("TO {one} MOVING {ENDLESS} {}", fixture.address(1)));
    fixture.events.wait("handed off", 6, is_handed_off);
    assert_broadcast_once(&fixture, &stats(&client));
}

/// One shard of two read the notification, and each processed it once and moved its three connections.
#[track_caller]
pub(crate) fn assert_broadcast_once(fixture: &Fixture, stats: &[ShardStats]) {
    assert_eq!(stats.iter().map(|stats| stats.maintenance.notifications).sum::<u64>(), 1);
    for stats in stats {
        let maintenance = &stats.maintenance;
        assert_eq!((maintenance.handoffs_succeeded, maintenance.windows_open), (3, 1), "{maintenance:#?}");
        assert_eq!((maintenance.duplicates, stats.broadcasts_dropped), (0, 0), "{maintenance:#?}");
    }
    assert_eq!(fixture.events.count(is_announced), 1);
    for shard in 0..2 {
        let own = fixture.events.all().into_iter().filter(|(on, event)| *on == shard && is_handed_off(event));
        assert_eq!(own.count(), 3);
    }
}

#[test]
fn every_copy_is_counted_and_reported_once() {
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 6);
    fixture.rehearse(0, "FAULT duplicate 3");
    fixture.announce(ENDLESS, "");
    fixture.events.wait("handed off", 12, is_handed_off);
    eventually("the predecessors are closed", || connected_to(&client, fixture.address(0)) == 0);
    assert_eq!(fixture.events.count(is_announced), 1);
    let (received, duplicates) =
        (sum(&client, |sums| sums.notifications), sum(&client, |sums| sums.duplicates));
    assert!(received >= 12 && duplicates >= received - 2, "{received} copies, {duplicates} duplicates");
    block_on(client.shutdown(WAIT_MAX)).expect("nothing is open");
}

/// Ten moves back and forth under load: each command runs once, and each handle keeps its order.
#[test]
fn mv_unwritten_go_to_new_once_on_sockets() {
    const MOVES: usize = 10;
    let fixture = Fixture::new(2);
    let client = fixture.client(2, 3);
    let load = Load::start(&client, 12);
    for index in 0..MOVES {
        let (from, to) = (index % 2, (index + 1) % 2);
        load.wait_for_replies(100);
        fixture.moves((from, to), ENDLESS, "");
        fixture.events.wait("handed off", 6 * (index + 1), is_handed_off);
        eventually("the predecessors are closed", || connected_to(&client, fixture.address(from)) == 0);
    }
    load.wait_for_replies(100);
    let sums = load.stop();
    assert!(sums.errors.is_empty(), "{:?}", sums.errors);
    assert_eq!(fixture.assert_audit(), sums.tagged);
    let counter: i64 = block_on(client.get("counter")).expect("a number");
    assert_eq!(counter.unsigned_abs(), sums.counted);
    assert_eq!(fixture.events.results().len(), 6 * MOVES, "{:#?}", fixture.events.results());
}
