//! Events: the hook gets each of them once, from one shard, and in portions.

use super::*;
use crate::driver::broadcast::ShardGroup;
use crate::observe::Event;
use crate::proto::maint::notification::{Announcement, Notification};
use crate::proto::pool::Action;

/// A server makes so many announcements.
fn announce(shard: &Shard, count: i64) {
    let now = shard.shared.clock.now();
    for seq in 0..count {
        let state = &mut *shard.shared.state.lock();
        state.pool.handle_announcement(announcement(seq, now), now, &mut state.calls);
    }
}

fn announcement(seq: i64, received: crate::proto::time::Instant) -> Announcement {
    let (time, shards) = (Duration::from_secs(9), String::new());
    let notification = Notification::Migrating { seq: Some(seq), time, shards };
    Announcement { peer: "10.0.0.1:6379".parse().unwrap(), notification, received }
}

#[test]
fn many_events_are_reported_in_portions() {
    const EVENTS: usize = 600;
    let reported = Arc::new(AtomicUsize::new(0));
    let counter = reported.clone();
    let count = move |_: usize, event: &Event| {
        counter.fetch_add(usize::from(matches!(event, Event::Announced { .. })), Ordering::Relaxed);
    };
    let (shard, _) = bare::shard_of(config("redis://127.0.0.1").on_event(count));
    announce(&shard, EVENTS as i64);
    let mut turns = Vec::new();
    loop {
        tasks::supervise(&shard.shared);
        turns.push(reported.load(Ordering::Relaxed));
        if !shard.shared.state.lock().supervisor.is_notified() {
            break;
        }
    }
    assert_eq!(turns, [256, 512, EVENTS]);
}

#[test]
fn one_shard_reports_what_all_shards_know() {
    let group = ShardGroup::new(2);
    let reported = Arc::new(AtomicUsize::new(0));
    let shards = [(); 2].map(|()| {
        let counter = reported.clone();
        let count = move |shard: usize, event: &Event| {
            if matches!(event, Event::Announced { .. }) {
                counter.fetch_add(1 + 100 * shard, Ordering::Relaxed);
            }
        };
        bare::shard_in(&group, config("redis://127.0.0.1").on_event(count)).0
    });
    for shard in &shards {
        announce(shard, 1);
        tasks::supervise(&shard.shared);
    }
    assert_eq!(reported.load(Ordering::Relaxed), 1, "by the first");
}

#[test]
fn announcements_that_a_busy_shard_has_no_room_for_are_counted() {
    let group = ShardGroup::new(2);
    let (shard, _) = bare::shard_in(&group, config("redis://127.0.0.1"));
    let _busy = group.join().unwrap();
    let now = shard.shared.clock.now();
    for seq in 0..130 {
        tasks::execute(&shard.shared, Action::Announce(announcement(seq, now)));
    }
    assert_eq!(shard.stats().broadcasts_dropped, 2);
}
